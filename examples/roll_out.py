"""How do I try new statistics on some users, tell the two apart in the log, and take them back?

Numbers of several normalizations lie side by side in one index, each under a fingerprint of all
that they rest on. A user's share decides which is used; the log keeps the fingerprint; the loser is
dropped. A query shift needs nothing in the index: there the saved file's own name will do.

Needs: pip install 'distnorm[duckdb]'
Run: python examples/roll_out.py
"""

from __future__ import annotations

import hashlib
import tempfile
from collections import defaultdict
from pathlib import Path

import duckdb
import numpy as np
from make_vectors import synthetic_pairs

import distnorm

images, texts = synthetic_pairs()
gallery, queries = images[600:], texts[600:]  # text i asks for image i
old = distnorm.make("nnn", strength=0.1).fit(images=images[:600], texts=texts[:60])
new = distnorm.make("nnn").fit(images=images[:600], texts=texts[:600])
SHARE = 50  # of 100 users get the new one


def variant_of(user: str) -> distnorm.ScoreNormalization:
    """Always the same one for the same user."""
    return new if int(hashlib.sha256(user.encode()).hexdigest(), 16) % 100 < SHARE else old


with tempfile.TemporaryDirectory() as folder:
    place = Path(folder) / "shop.duckdb"
    with duckdb.connect(str(place)) as connection:
        connection.execute(f"CREATE TABLE photos (id INT, embedding FLOAT[{gallery.shape[1]}])")
        rows = [[i, row.tolist()] for i, row in enumerate(gallery)]
        connection.executemany("INSERT INTO photos VALUES (?, ?)", rows)

    clicks = defaultdict(list)
    with distnorm.open_index(f"duckdb:{place}/photos") as index:
        for norm in (old, new):
            print(index.upload_bias(norm))
        fingerprint = {id(norm): index.published_biases(norm)[0] for norm in (old, new)}
        for i, query in enumerate(queries):
            norm = variant_of(f"user {i}")
            found = index.search(query[None], 10, norm)
            # Your log: user, query, fingerprint, ids, what was clicked. Here: was it first?
            clicks[fingerprint[id(norm)]].append(found.ids[0][0] == i)

        for name, norm in {"old": old, "new": new}.items():
            hits = clicks[fingerprint[id(norm)]]
            error = np.std(hits) / np.sqrt(len(hits))
            print(f"{name}: right photo first {np.mean(hits):.0%} +- {error:.0%} of {len(hits)}")

        index.drop_biases(*index.published_biases(old))  # or of new: back to what was
        print("left:", index.published_biases())
        assert index.published_biases() == (fingerprint[id(new)],)

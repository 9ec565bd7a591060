"""My job adds photos every day: how do they get their numbers, so that none is without one?

Where biases are a key of each item (Qdrant, Chroma, Milvus), write it with the item itself:
``payload={"title": ..., added.key: float(bias), added.residual_key: float(residual)}``, without the
second one where `residuals` is None. Where they are a table or a folder, as here,
``index.biases.write`` does it.

Needs: pip install 'distnorm[duckdb]'
Run: python examples/new_photos.py
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import duckdb
from make_vectors import synthetic_pairs

import distnorm

images, texts = synthetic_pairs()
norm = distnorm.make("nnn").fit(images=images[:300], texts=texts[:300])


def insert(path: Path, ids: range) -> None:
    """What the job did before."""
    with duckdb.connect(str(path)) as connection:
        size = images.shape[1]
        connection.execute(
            f"CREATE TABLE IF NOT EXISTS photos (id BIGINT, embedding FLOAT[{size}])"
        )
        rows = [[i, images[i].tolist()] for i in ids]
        connection.executemany("INSERT INTO photos VALUES (?, ?)", rows)


with tempfile.TemporaryDirectory() as folder:
    place = Path(folder) / "shop.duckdb"
    insert(place, range(300, 400))
    with distnorm.open_index(f"duckdb:{place}/photos") as index:
        print(index.upload_bias(norm))

    new = range(400, 410)
    insert(place, new)
    with distnorm.open_index(f"duckdb:{place}/photos") as index:
        added = index.item_biases(norm, images[400:410])  # norm.item_bias(images=...), and its key
        index.biases.write(added.key, list(new), added.values, added.residuals)
        print(f"{len(new)} new items with biases in {added.where}")
        print(f"items without a bias: {index.check(norm).without_bias}")

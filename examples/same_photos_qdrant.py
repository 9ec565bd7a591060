"""My Qdrant search returns the same photos for every query: what do I change?

The query: q - s m, m the mean of the queries' side. The collection stays as it is. Here it lies in
a folder (local mode); for a server take QdrantClient("http://localhost:6333").

Needs: pip install 'distnorm[qdrant]'
Run: python examples/same_photos_qdrant.py
"""

from __future__ import annotations

import tempfile
from collections import Counter

from make_vectors import synthetic_pairs
from qdrant_client import QdrantClient, models

import distnorm

images, texts = synthetic_pairs()
gallery, queries = images[500:], texts[500:600]  # text i asks for image i
norm = distnorm.make("dn").fit(images=images[:500], texts=texts[:500])  # unlabelled samples


def report(name: str, found: list[list[int]]) -> int:
    """Print how often the right photo is first; how many lists hold the commonest one."""
    first = sum(ids[0] == i for i, ids in enumerate(found)) / len(found)
    most = Counter(i for ids in found for i in ids).most_common(1)[0][1]
    print(f"{name:14} right photo first {first:.0%}, commonest photo in {most} of {len(found)}")
    return most


with tempfile.TemporaryDirectory() as folder:
    client = QdrantClient(path=folder)
    client.create_collection(
        "photos",
        vectors_config=models.VectorParams(size=images.shape[1], distance=models.Distance.COSINE),
    )
    client.upload_collection("photos", vectors=gallery, ids=range(len(gallery)))

    def search(rows: list[list[float]]) -> list[list[int]]:
        """What your program does."""
        asked = [models.QueryRequest(query=row, limit=10) for row in rows]
        answers = client.query_batch_points("photos", asked)
        return [[point.id for point in answer.points] for answer in answers]

    print("synthetic vectors")
    before = report("dot product", search(queries.tolist()))
    after = report("shifted query", search(norm.shift_queries(texts=queries).tolist()))
    client.close()

    # distnorm asks the same collection, and gives scores that mean the same for every query.
    with distnorm.open_index(f"qdrant:{folder}/photos") as index:
        print(index.search(queries, 10, norm))

assert after < before

"""My FAISS search returns the same photos for every query: what do I change?

The query: q - s m, m the mean of the queries' side. The index stays as it is.

Needs: pip install 'distnorm[faiss]'
Run: python examples/same_photos_faiss.py
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import faiss
import numpy as np
from make_vectors import synthetic_pairs

import distnorm

images, texts = synthetic_pairs()
gallery, queries = images[500:], texts[500:]  # text i asks for image i


def report(name: str, found: np.ndarray) -> None:
    """Print how often the right photo is first, and in how many lists the commonest one is."""
    first = np.mean(found[:, 0] == np.arange(len(found)))
    print(f"{name:28} right photo first {first:.1%}, commonest photo in {often(found)} lists")


def often(found: np.ndarray) -> int:
    """Lists that hold the photo that comes up most."""
    return int(np.bincount(found.ravel()).max())


with tempfile.TemporaryDirectory() as folder:
    file = Path(folder) / "photos.index"
    index = faiss.IndexFlatIP(gallery.shape[1])  # yours, of unit vectors
    index.add(gallery)
    faiss.write_index(index, str(file))

    norm = distnorm.make("dn").fit(images=images[:500], texts=texts[:500])  # unlabelled samples
    _, before = index.search(queries, 10)
    _, after = index.search(norm.shift_queries(texts=queries), 10)  # the one line
    print("synthetic vectors")
    report("dot product", before)
    report("shifted query", after)

    # distnorm asks the same file: corrected scores, and methods with a number per item.
    nnn = distnorm.make("nnn").fit(images=images[:500], texts=texts[:500])
    with distnorm.open_index(f"faiss:{file}") as opened:
        print(opened.upload_bias(nnn))  # beside the file, which is not written to
        found = opened.search(queries, 10, nnn)
    report("nnn, a number per photo", np.array(found.ids))

assert often(after) < often(before)

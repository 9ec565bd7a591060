"""How do I keep what was fitted? In one small file, loaded elsewhere.

Run: python examples/keep_statistics.py
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
from make_vectors import synthetic_pairs

import distnorm

images, texts = synthetic_pairs()
# Statistics from one half, scores on the other: what is scored has not been seen.
norm = distnorm.make("dn", strength={"image": 0.25, "text": 0.5})
norm.fit(images=images[:500], texts=texts[:500])
print(norm)
print("how sure is the text mean:", norm.moments("text").uncertainty())

with tempfile.TemporaryDirectory() as folder:
    path = Path(folder) / "norm.safetensors"
    norm.save(path)
    again = distnorm.load(path)
    print("file:", path.stat().st_size, "bytes")

X, Y = images[500:], texts[500:]
scores = again.similarity(X, Y)
assert np.array_equal(scores, norm.similarity(X, Y))
own = np.arange(len(X))
for name, matrix in {"dot product": X @ Y.T, "normalised": scores}.items():
    print(f"{name}: text->image recall@1 {np.mean(matrix.argmax(axis=0) == own):.3f}")

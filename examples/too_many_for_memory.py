"""My vectors do not fit into memory, or lie on many machines: how do I fit?

Count and sums are what is kept, so any chunking, any order and any merge gives the same result.

Run: python examples/too_many_for_memory.py
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
from make_vectors import synthetic_pairs

import distnorm

images, texts = synthetic_pairs()
with tempfile.TemporaryDirectory() as folder:
    path = Path(folder) / "image.npy"
    np.save(path, images.astype(np.float16))
    mapped = np.load(path, mmap_mode="r")

    first = distnorm.make("dn").partial_fit(images=mapped[:300])
    first.partial_fit(images=mapped[300:600], texts=texts)
    second = distnorm.make("dn").partial_fit(images=mapped[600:])
    merged = first.merge(second)

    whole = distnorm.make("dn").fit(images=mapped, texts=texts)
    del mapped

print(merged)
difference = np.abs(merged.moments("image").mean - whole.moments("image").mean).max()
print(f"largest difference to one fit over everything: {difference:.1e}")
assert difference < 1e-12

"""My vectors arrive day by day, and old ones should count less: how do I keep statistics?

Count and sums are all there is: chunks in any order give what one fit gives. `forget(keep)` makes
what was seen before count for less, as an exponential mean does.

Run: python examples/a_stream.py
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
from make_vectors import synthetic_pairs

import distnorm

images, texts = synthetic_pairs(3000)
days = np.array_split(texts, 10)

with tempfile.TemporaryDirectory() as folder:
    file = Path(folder) / "norm.safetensors"
    distnorm.make("dn").fit(images=images[:500], texts=days[0]).save(file)
    for rows in days[1:]:
        norm = distnorm.load(file)
        norm.partial_fit(texts=rows)
        norm.save(file)  # whole or not at all: searches may read it meanwhile
    norm = distnorm.load(file)
    print(f"{norm}, {file.stat().st_size // 1000} kB however many rows")

whole = distnorm.make("dn").fit(images=images[:500], texts=texts)
difference = np.abs(norm.moments("text").mean - whole.moments("text").mean).max()
print(f"largest difference to one fit over everything: {difference:.1e}")
assert difference < 1e-12

drift = np.linspace(0, 0.3, len(days))[:, None] * images[0]
recent = distnorm.make("dn")
for rows, by in zip(days, drift, strict=True):
    if recent.counts["text"]:
        recent.forget(0.5)  # yesterday counts half
    recent.partial_fit(texts=distnorm.normalize(rows + by))
today = distnorm.normalize(days[-1] + drift[-1]).mean(axis=0)
off = np.linalg.norm(recent.moments("text").mean - today)
print(f"a drifting stream: {off:.3f} from today's mean; had nothing been forgotten, more")

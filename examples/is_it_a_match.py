"""Is .27 a match? How high does a pair score that does not match?

Unlabelled, unpaired rows say how non-matching pairs score; a threshold is then a rate of false
alarms, not a number from a blog.

Run: python examples/is_it_a_match.py
"""

from __future__ import annotations

import numpy as np
from make_vectors import synthetic_pairs

import distnorm

images, texts = synthetic_pairs()
X, Y = images[600:], texts[600:]  # row i of one matches row i of the other
matches = np.eye(len(X), dtype=bool)
print("synthetic vectors; threshold for 1 false alarm in 100 non-matching pairs")
for method in ("dot", "dn", "dn2"):
    norm = distnorm.make(method).fit(images=images[:200], texts=texts[:200])
    norm.calibrate(images=images[200:600], texts=texts[200:600])
    threshold = norm.threshold(false_alarm_rate=0.01)
    taken = norm.similarity(X, Y) > threshold
    print(
        f"{method:4} threshold {threshold.value:.3f} [{threshold.low:.3f}, {threshold.high:.3f}]: "
        f"{taken[~matches].mean():.2%} of other pairs taken, {taken[matches].mean():.0%} of matches"
    )

score = float(norm.paired_similarity(X[:1], Y[:1])[0])
rate = norm.false_alarm_rate(score)
print(f"a score of {score:.3f}: {rate.value:.2%} of pairs that do not match score as high")
for level in (1e-2, 1e-5):
    known = "known" if norm.threshold(level).reliable else "more rows are needed to know it"
    print(f"the threshold for {level:g}: {known}")

"""Which bet unlabelled images support: that classes come alike, as they came, or neither.

Of n images with weights w_j, W their sum and n_eff = W^2 / sum w^2, let c_j be the best of c
classes of image j, and q_k the share of the images whose best class is k. Then

    coverage = 1 / (c (sum_k q_k^2 - 1 / n_eff))

is about 1 where classes come alike, and .05 where 50 of 1,000 do. Hubs lower it as well, for which
no prior is to blame: so it is divided by that of planted even draws. There image j is moved from
its best class to a random one, r, by a step g that makes moved images score as high as the others,

    s_jk + g (y_r - y_c_j) . y_k
    g = mean_j (s_jc_j - mean_k s_jk) / mean_j (y_c_j . y_c_j - mean_k y_c_j . y_k)

Both count for all images, and for the half whose best class leads by most: hubs catch images that
nothing suits, and few of these. A coverage rests on K = n_eff^2 (sum q^2 - 1 / n_eff) / 2
collisions; 1 / sqrt(K) is its relative error, to which that of the planted draws adds.

    none      fewer than `FEWEST` images in effect, or images that come class by class: neighbours
              or stretches of the stream are more alike than shuffled ones (z above `IN_ORDER`)
    balance   both coverages, less their errors, above `EVEN`, and `FEWEST_CLASSES` or more
    shift     with their errors, that of the confident half below `NARROW`, of all below twice that,
              and `FEWEST_PRESENT` classes in effect: a stream may be in its first class

and none in all other cases. Thresholds were set on the development sets of
``benchmarks/class_priors.py``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from distnorm.arrays import Float32, Float64, Indices, Int64

__all__ = ["Evidence", "evidence_of", "order_z"]


EVEN, NARROW = 0.85, 0.3
IN_ORDER = 4.0
FEWEST, FEWEST_CLASSES, FEWEST_PRESENT = 100, 10, 4

_STRETCHES, _SHUFFLES, _PLANTED, _LARGEST = 8, 100, 2000, 99.0


@dataclass(frozen=True)
class Evidence:
    """What the gate looked at, and what it made of it; None where there is nothing to see."""

    kind: str
    why: str
    effective_images: float
    effective_classes: float | None = None
    coverage: float | None = None  # relative to planted even draws, as the confident one
    coverage_error: float | None = None  # relative standard error
    confident_coverage: float | None = None
    confident_coverage_error: float | None = None
    order: float | None = None  # the z of `order_z`

    def to_dict(self) -> dict[str, float | None]:
        """The figures, for JSON."""
        return {key: value for key, value in vars(self).items() if key not in ("kind", "why")}


def evidence_of(scores: Float32, classes: Float32, weights: Float64, places: Int64) -> Evidence:
    """What images support, from scores (n, c), class rows (c, d), weights and places, (n,)."""
    effective = float(weights.sum() ** 2 / (weights**2).sum())
    if effective < FEWEST or scores.shape[1] < 2:
        return Evidence("none", f"{effective:.0f} images in effect are too few", effective)
    best, margins = _best(scores)
    order = order_z(best, places)
    n, c = scores.shape
    planted = _planted(scores, classes, best)
    figures: list[tuple[float, float]] = []
    present = 0.0
    for mine, theirs in (
        (np.ones(n, dtype=bool), np.ones(len(planted[0]), dtype=bool)),
        (margins >= np.median(margins), planted[1] >= np.median(planted[1])),
    ):
        found, error, number = _coverage(best[mine], weights[mine], c)
        even, even_error, _ = _coverage(planted[0][theirs], np.ones(int(theirs.sum())), c)
        # Without a collision among the planted there is nothing to compare with.
        ratio = found / even if math.isfinite(even) else math.inf
        figures.append((min(ratio, _LARGEST), min(1.0, math.hypot(error, even_error))))
        present = present or number
    kind, why = _verdict(order, c, present, figures)
    one, two = figures
    return Evidence(kind, why, effective, present, *one, *two, order)


def order_z(labels: Indices, places: Int64) -> float:
    """How much more alike than in random order neighbours and stretches of a stream are, as z."""
    ordered = labels[np.argsort(places, kind="stable")]
    rng = np.random.default_rng(0)
    mine = _alike(ordered)
    shuffled = np.array([_alike(rng.permutation(ordered)) for _ in range(_SHUFFLES)])
    spread = shuffled.std(axis=0)
    z = np.divide(mine - shuffled.mean(axis=0), spread, out=np.zeros(2), where=spread > 0)
    return float(z.max())


def _verdict(
    order: float, c: int, present: float, figures: list[tuple[float, float]]
) -> tuple[str, str]:
    (every, error), (sure, sure_error) = figures
    words = f"{present:.0f} in effect, coverage {every:.2f}, of the confident half {sure:.2f}"
    if order > IN_ORDER:
        return "none", "images come class by class; shuffle them if only their file is sorted"
    if c >= FEWEST_CLASSES and min(every * (1 - error), sure * (1 - sure_error)) > EVEN:
        return "balance", f"classes come alike ({words})"
    narrow = every * (1 + error) < 2 * NARROW and sure * (1 + sure_error) < NARROW
    if narrow and present >= FEWEST_PRESENT:
        return "shift", f"some classes come more often ({words})"
    return "none", f"not clear how often classes come ({words})"


def _coverage(best: Indices, weights: Float64, c: int) -> tuple[float, float, float]:
    """Coverage, its relative error, and the classes in effect."""
    total = float(weights.sum())
    alike = float(((np.bincount(best, weights, minlength=c) / total) ** 2).sum())
    own = float((weights**2).sum()) / total**2
    above = alike - own
    collisions = above / own**2 / 2
    if collisions < 1:
        return math.inf, 1.0, 1 / alike
    return 1 / (c * above), min(1.0, 1 / math.sqrt(collisions)), 1 / above


def _planted(scores: Float32, classes: Float32, best: Indices) -> tuple[Indices, Float64]:
    """Best classes and margins of even draws."""
    n, c = scores.shape
    alike = classes @ classes.T
    lead = scores[np.arange(n), best].mean() - scores.mean()
    apart = alike[best, best].mean() - alike[best].mean()
    g = np.float32(lead / apart if apart > 1e-12 else 0.0)
    rng = np.random.default_rng(0)
    parts = []
    for _ in range(-(-_PLANTED // n)):
        moved = alike[rng.integers(0, c, n)]
        moved -= alike[best]
        moved *= g
        moved += scores
        parts.append(_best(moved))
    return np.concatenate([part[0] for part in parts]), np.concatenate([p[1] for p in parts])


def _best(scores: Float32) -> tuple[Indices, Float64]:
    """The best class of each image, and by how much it leads."""
    best = scores.argmax(axis=1)
    two = np.partition(scores, -2, axis=1)[:, -2:].astype(np.float64)
    return best, two[:, 1] - two[:, 0]


def _alike(labels: Indices) -> Float64:
    """Equal neighbours, and pairs of one label within each of some stretches."""
    parts = [np.bincount(part) for part in np.array_split(labels, _STRETCHES) if len(part)]
    pairs = sum(float((counts**2).sum()) for counts in parts)
    return np.array([float((labels[1:] == labels[:-1]).sum()), pairs])

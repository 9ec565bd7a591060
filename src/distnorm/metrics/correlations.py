"""Rank correlations between scores and human judgements.

With S = concordant minus discordant pairs of n, n_0 = n (n - 1) / 2, n_1 and n_2 the pairs tied in
the first and in the second variable, m the smaller number of distinct values:

    tau_b = S / sqrt((n_0 - n_1) (n_0 - n_2))        tau_c = 2 m S / (n^2 (m - 1))

(Kendall 1945, Stuart 1953). The two are never mixed: papers report one of them. Spearman's rho is
Pearson's correlation of mid-ranks. Each row's own share in S gives intervals without computing a
correlation for every resample: tau is twice the mean of the shares minus itself, to first order.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from distnorm.arrays import Float64, numbers_of
from distnorm.errors import DistnormError

__all__ = ["concordance", "kendall_tau", "spearman_rho", "tau_scale"]


_LEVELS = 64


def kendall_tau(scores: Any, human: Any, variant: str = "b") -> float:
    """Kendall's tau.

    Parameters
    ----------
    scores, human : array of numbers, shape (n,)
    variant : {"b", "c"}

    Returns
    -------
    float
        In [-1, 1]; NaN where one of the two is constant.

    Raises
    ------
    DistnormError
        For other shapes, NaN, or another variant.

    Examples
    --------
    >>> kendall_tau([0.1, 0.4, 0.3], [1, 3, 2])
    1.0
    """
    first, second = _checked(scores, human)
    scale = tau_scale(first, second, variant)
    return float(concordance(first, second).sum() / 2 * scale)


def spearman_rho(scores: Any, human: Any) -> float:
    """Spearman's rho, with mid-ranks for ties; NaN where one of the two is constant."""
    first, second = (_mid_ranks(x) for x in _checked(scores, human))
    first, second = first - first.mean(), second - second.mean()
    size = float(np.sqrt((first @ first) * (second @ second)))
    return float(first @ second) / size if size else float("nan")


def tau_scale(scores: Float64, human: Float64, variant: str) -> float:
    """What S is multiplied with to give tau_b or tau_c; NaN where there is nothing to order."""
    if variant not in ("b", "c"):
        raise DistnormError(f"Kendall's tau of variant {variant!r}", "'b' or 'c'", "pick one")
    n = len(scores)
    counts = [np.unique(x, return_counts=True)[1] for x in (scores, human)]
    least = min(len(count) for count in counts)
    if least < 2:
        return float("nan")
    if variant == "c":
        return 2 * least / (n**2 * (least - 1))
    ties = [float((count * (count - 1) / 2).sum()) for count in counts]
    pairs = n * (n - 1) / 2
    return float(1 / np.sqrt((pairs - ties[0]) * (pairs - ties[1])))


def concordance(scores: Float64, human: Float64) -> Float64:
    """Concordant minus discordant partners of each row, shape (n,); the sum is 2 S."""
    if len(np.unique(human)) > _LEVELS:
        if len(np.unique(scores)) <= _LEVELS:
            return concordance(human, scores)
        return _by_pairs(scores, human)
    order = np.argsort(human, kind="stable")
    levels, starts = np.unique(human[order], return_index=True)
    groups = [np.sort(part) for part in np.split(scores[order], starts[1:])]
    found = np.zeros(len(scores))
    for level, group in zip(levels, groups, strict=True):
        below = np.searchsorted(group, scores, side="left")
        above = len(group) - np.searchsorted(group, scores, side="right")
        # A row of a higher level should lie above the members of this group.
        found += np.sign(human - level) * (below - above)
    return found


def _by_pairs(scores: Float64, human: Float64) -> Float64:
    """The same for many levels: all pairs, a few rows at a time."""
    found = np.empty(len(scores))
    step = max(1, (1 << 22) // len(scores))
    for start in range(0, len(scores), step):
        rows = slice(start, start + step)
        signs = np.sign(scores[rows, None] - scores) * np.sign(human[rows, None] - human)
        found[rows] = signs.sum(axis=1)
    return found


def _mid_ranks(x: Float64) -> Float64:
    _, place, counts = np.unique(x, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    ranks: Float64 = (last - (counts - 1) / 2)[place.ravel()]
    return ranks


def _checked(scores: Any, human: Any) -> tuple[Float64, Float64]:
    first, second = numbers_of(scores, "scores"), numbers_of(human, "judgements")
    if first.ndim != 1 or first.shape != second.shape or len(first) < 2:
        raise DistnormError(
            f"scores of shape {first.shape} and judgements of shape {second.shape}",
            "two vectors of one length, at least 2",
            "give one judgement a score",
        )
    for name, x in (("scores", first), ("judgements", second)):
        if not np.isfinite(x).all():
            at = int(np.flatnonzero(~np.isfinite(x))[0])
            raise DistnormError(
                f"{name} with {x[at]} in row {at}", "finite numbers", "drop the row"
            )
    return first, second

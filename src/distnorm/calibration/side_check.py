"""Rows that look like the other side's, by the modality gap."""

from __future__ import annotations

import math

import numpy as np

from distnorm.arrays import CheckedRows, checked
from distnorm.calibration.scorer import Scorer
from distnorm.errors import DistnormError
from distnorm.moments import Moments

__all__ = ["check_not_swapped", "check_sides", "swapped_means", "towards_other"]

_MOST = 1000
_NEAR = 0.75


def towards_other(norm: Scorer, side: str, rows: CheckedRows) -> float | None:
    """How far from their side's mean to the other's rows lie, in modality gaps, if beyond errors.

    At most a thousand rows are looked at. None without a gap, without statistics of both sides, or
    for a single row.
    """
    rows = checked(rows, norm.names.plural(side))
    own, others = norm.moments(side), norm.moments(norm.names.other(side))
    n = rows.shape[0]
    if own is None or others is None or n < 2:
        return None
    if "sample" not in rows.memo:
        some = rows.take(np.arange(_MOST) * n // _MOST) if n > _MOST else rows
        rows.memo["sample"] = Moments(sketch=False).update(some)
    new: Moments = rows.memo["sample"]
    gap = float(np.linalg.norm(own.mean - others.mean))
    errors = [m.uncertainty().standard_error for m in (own, others, new)]
    if not all(math.isfinite(e) for e in errors) or gap <= 2 * sum(errors):
        return None
    return float((new.mean - own.mean) @ (others.mean - own.mean)) / max(gap, 1e-12) ** 2


def check_not_swapped(norm: Scorer, **rows: CheckedRows) -> None:
    """Raise if rows of both sides look like those of the other one: two inputs were swapped."""
    at = [towards_other(norm, side, x) for side, x in rows.items()]
    if len(at) == 2 and all(each is not None and each > _NEAR for each in at):
        one, two = map(norm.names.plural, rows)
        raise DistnormError(
            f"{one} that look like {two}, and {two} that look like {one}",
            "rows near the mean of their own side in the statistics",
            "swap the two inputs, or those that the statistics were fitted on",
        )


def swapped_means(first: Scorer, second: Scorer) -> bool:
    """Whether each side's mean in one lies far nearer to the other side's mean in the other."""
    if first.sides != second.sides:
        return False
    one, two = first.sides
    means = [norm.moments(side) for norm in (first, second) for side in (one, two)]
    if any(m is None or m.count < 2 for m in means):
        return False
    a, b, c, d = (np.asarray(m.mean) for m in means if m is not None)
    if not a.shape == b.shape == c.shape == d.shape:
        return False
    straight = max(np.linalg.norm(a - c), np.linalg.norm(b - d))
    crossed = max(np.linalg.norm(a - d), np.linalg.norm(b - c))
    return bool(crossed < straight / 4)


def check_sides(norm: Scorer, side: str, rows: CheckedRows) -> None:
    """Raise if ``rows``, given as ``side``, look like the other side's.

    Their mean then lies nearer to the other side's mean than to their own, by more than the
    standard errors. Without a modality gap nothing is refused.
    """
    other, at = norm.names.other(side), towards_other(norm, side, rows)
    if at is not None and at > _NEAR:
        raise DistnormError(
            f"{norm.names.plural(side)} that look like {norm.names.plural(other)}",
            f"rows near the {side} mean (these lie {at:.0%} of the modality gap away from it)",
            "swap the two inputs, or fit on rows like these",
        )

"""Rows that look like the other side's, by the modality gap."""

from __future__ import annotations

import math

import numpy as np

from distnorm.arrays import CheckedRows
from distnorm.calibration.scorer import Scorer
from distnorm.errors import DistnormError
from distnorm.moments import Moments

__all__ = ["check_sides"]


def check_sides(norm: Scorer, side: str, rows: CheckedRows) -> None:
    """Raise if ``rows``, given as ``side``, look like the other side's.

    Their mean then lies nearer to the other side's mean than to their own, by more than the
    standard errors. Without a modality gap nothing is refused.
    """
    other = norm.names.other(side)
    own, others = norm.moments(side), norm.moments(other)
    if own is None or others is None or rows.shape[0] < 2:
        return
    new = Moments().update(rows)
    gap = float(np.linalg.norm(own.mean - others.mean))
    errors = [m.uncertainty().standard_error for m in (own, others, new)]
    # Position along the gap: 0 at the own mean, 1 at the other's.
    at = float((new.mean - own.mean) @ (others.mean - own.mean)) / max(gap, 1e-12) ** 2
    if all(math.isfinite(e) for e in errors) and gap > 2 * sum(errors) and at > 0.75:
        raise DistnormError(
            f"{norm.names.plural(side)} that look like {norm.names.plural(other)}",
            f"rows near the {side} mean (these lie {at:.0%} of the modality gap away from it)",
            "swap the two inputs, or fit on rows like these",
        )

"""Rows added to moments in float64, whatever the size of a block.

`Moments.update` adds up more than `LARGEST_EXACT` numbers in float32 over blocks of 512 rows, whose
rounding depends on where they begin. Less than that goes through float64 alone: any partition of
the rows gives the same sums to 1e-12.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from distnorm.arrays import CheckedRows, blocks, check_form, check_rows
from distnorm.moments import LARGEST_EXACT, Moments

__all__ = ["add_rows"]

Float64 = npt.NDArray[np.float64]


def add_rows(
    moments: Moments,
    rows: npt.NDArray[Any],
    name: str,
    start: int = 0,
    *,
    weights: Float64 | None = None,
) -> None:
    """Add rows, (n, d), in float64; messages call the first one row ``start`` of ``name``."""
    rows = check_form(rows, name, moments.dimension)
    check_rows(rows, name, start)
    for part in blocks(len(rows), max(1, LARGEST_EXACT // rows.shape[1])):
        seen = CheckedRows(rows[part], name)
        if weights is None or weights[part].any():
            moments.update(seen, name, None if weights is None else weights[part])
        else:
            moments.include(_weightless(seen, moments))


def _weightless(rows: CheckedRows, like: Moments) -> Moments:
    """Rows that are counted and weigh nothing, which `Moments.update` takes beside others only."""
    kept = Moments(order=like.order, rank=like.rank).update(rows, rows.name)
    none = Moments(rows.shape[1], order=like.order, rank=like.rank)
    none.count, none.unit_length, none.sketch = kept.count, kept.unit_length, kept.sketch
    return none

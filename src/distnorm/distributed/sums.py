"""Rows added to moments in float64: any partition of the rows gives the same sums to 1e-12."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from distnorm.arrays import check_form, check_rows
from distnorm.errors import DistnormError
from distnorm.moments import Moments

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
    """Add rows, (n, d), in float64; messages call the first one row ``start`` of ``name``.

    Rows of weight 0 are as if absent; here these may be all.
    """
    rows = check_form(rows, name, moments.dimension)
    try:
        if weights is None or weights.any():
            moments.update(rows, name, weights, exact=True)
    except DistnormError:
        check_rows(rows, name, start)  # names the row by its number in the whole
        raise

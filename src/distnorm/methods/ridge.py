"""A linear function fitted to a bank's bias: nearest neighbours as a shift of the query.

With b(y) the mean of the k largest scores of the bank with y, over m items y of the gallery,

    w = argmin  sum_y (b(y) - w.y - c)^2 + lambda |w|^2       lambda = weight * mean_y |y - mean|^2

and b is replaced by w.y. That costs an item no float of its own: q - s w ranks an index of raw
vectors as q.y - s w.y does. Where DN takes w = mean of the queries, this takes the direction that
tells best which items are near to some queries. ``benchmarks/selection`` has what it keeps of
the gain.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from distnorm.arrays import Array, Float64, as_working, to_numpy
from distnorm.errors import DistnormError
from distnorm.methods.bank import OWN, default_k, nearest_in_force, nearest_neighbor_bias
from distnorm.methods.base import Method, Parameter, positive, positive_integer
from distnorm.methods.coverage import Bank, bank_of
from distnorm.methods.statistics import SideStatistics

__all__ = ["RIDGE", "linear_fit", "ridge_direction"]


_MOST_ITEMS = 5000


def ridge_direction(items: Array, bank: Array | Bank, k: int, weight: float) -> Float64:
    """The w of the module: shapes (m, d), (n, d) give (d,); at most 5,000 items, evenly spaced."""
    step = -(-items.shape[0] // _MOST_ITEMS)
    sample = items[::step, ...] if step > 1 else items
    biases = to_numpy(nearest_neighbor_bias(sample, bank, k), np.float64)
    return linear_fit(to_numpy(as_working(sample), np.float64), biases, weight)


def linear_fit(rows: Float64, values: Float64, weight: float) -> Float64:
    """Ridge regression of ``values``, (m,), on ``rows``, (m, d), with a free constant; (d,)."""
    centred, target = rows - rows.mean(axis=0), values - values.mean()
    m, d = centred.shape
    penalty = weight * float(np.sum(centred**2)) / m
    if penalty <= 0:
        return np.zeros(d)
    if m < d:
        solved = np.linalg.solve(centred @ centred.T + penalty * np.eye(m), target)
        return np.asarray(centred.T @ solved)
    gram = centred.T @ centred + penalty * np.eye(d)
    return np.asarray(np.linalg.solve(gram, centred.T @ target))


def _direction(queries: SideStatistics, items: SideStatistics, params: Any) -> Float64:
    if not items.bank:
        raise DistnormError(
            "'ridge' without rows of the items' side",
            "a fit with both sides: it is fitted over the items",
            "call fit with the gallery's rows as well, or use 'dn'",
        )
    k = params["k"] or default_k(queries.moments.worth)
    gallery = items.bank_rows()
    return ridge_direction(gallery, bank_of(queries, gallery, items, params), k, params["weight"])


RIDGE = Method(
    "ridge",
    "linear fit to nearest neighbor normalization: a query shift",
    "distnorm.methods.ridge; the bias it is fitted to: Chowdhury et al., EMNLP 2024",
    parameters={
        "k": Parameter(None, positive_integer),
        "weight": Parameter(0.1, positive),
        "own": OWN,
    },
    direction=_direction,
    in_force=nearest_in_force,
    needs_bank=True,
)

"""A linear function fitted to a bank's bias: nearest neighbours as a shift of the query.

With b(y) the mean of the k largest scores of the bank with y, over m items y of the gallery,

    w = argmin  sum_y (b(y) - w.y - c)^2 + lambda |w|^2       lambda = weight * mean_y |y - mean|^2

and b is replaced by w.y. That costs an item no float of its own: q - s w ranks an index of raw
vectors as q.y - s w.y does. Where DN takes w = mean of the queries, this takes the direction that
tells best which items are near to some queries. ``benchmarks/selection`` has what it keeps of
the gain.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from distnorm.arrays import Array, as_working, to_numpy
from distnorm.methods.bank import NearestNeighborBias, nearest_neighbor_bias
from distnorm.methods.linear import linear_bias

__all__ = ["RidgeBias", "linear_fit", "ridge_direction"]

Float64 = npt.NDArray[np.float64]

_MOST_ITEMS = 5000


def ridge_direction(items: Array, bank: Array, k: int, weight: float) -> Float64:
    """The w of the module: shapes (m, d), (n, d) give (d,); at most 5,000 items, evenly spaced.

    Examples
    --------
    >>> import numpy as np
    >>> items = np.array([[1.0, 0.0], [0.0, 1.0]])
    >>> ridge_direction(items, np.array([[1.0, 0.0]]), k=1, weight=1e-9).round(3) + 0.0
    array([ 0.5, -0.5])
    """
    step = -(-items.shape[0] // _MOST_ITEMS)
    some = items[::step, ...] if step > 1 else items
    biases = to_numpy(nearest_neighbor_bias(some, bank, k), np.float64)
    return linear_fit(to_numpy(as_working(some), np.float64), biases, weight)


def linear_fit(rows: Float64, values: Float64, weight: float) -> Float64:
    """Ridge regression of ``values``, (m,), on ``rows``, (m, d), with a free constant; (d,)."""
    centred, wanted = rows - rows.mean(axis=0), values - values.mean()
    m, d = centred.shape
    penalty = weight * float(np.sum(centred**2)) / m
    if penalty <= 0:
        return np.zeros(d)
    if m < d:
        solved = np.linalg.solve(centred @ centred.T + penalty * np.eye(m), wanted)
        fitted: Float64 = centred.T @ solved
        return fitted
    found: Float64 = np.linalg.solve(centred.T @ centred + penalty * np.eye(d), centred.T @ wanted)
    return found


class RidgeBias:
    """Linear fit to the nearest-neighbour bias of a bank; see the module.

    Parameters
    ----------
    k : int, optional
        As `NearestNeighborBias`.
    weight : float
        Of the penalty, > 0.
    """

    def __init__(self, k: int | None = None, weight: float = 0.1) -> None:
        self.k, self.weight = k, weight

    def fit(self, bank: Array, items: Array) -> RidgeBias:
        """Fit to the biases that ``bank``, (n, d), gives ``items``, (m, d)."""
        k = NearestNeighborBias.default_k(bank.shape[0]) if self.k is None else self.k
        self.direction = ridge_direction(items, bank, k, self.weight)
        return self

    def __call__(self, items: Array) -> Array:
        """Biases of ``items``, shape (n, d), as (n,)."""
        return linear_bias(items, self.direction)

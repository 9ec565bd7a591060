"""The k largest scores of each item over a bank that is read in blocks."""

from __future__ import annotations

import math

import array_api_compat as compat
import numpy as np

from distnorm.arrays import Array, Bools, Float64, NDArray, namespace

__all__ = ["k_largest", "weighted_mean_of_largest"]


def k_largest(scores: Array, k: int, best: Array | None = None) -> Array:
    """The k largest numbers of each row of ``scores``, (n, m), and of ``best``, (n, k), if given.

    Returns (n, k) in no particular order. For arrays on a device; see `distnorm.exact.KLargest`.
    """
    xp = namespace(scores)
    if best is not None:
        scores = xp.concat([best, scores], axis=1)
    if compat.is_torch_array(scores):
        return scores.topk(k, dim=1, sorted=False).values
    return xp.sort(scores, axis=1)[:, -k:]


def weighted_mean_of_largest(
    scores: NDArray, weights: Float64, k: float, left_out: Bools | None = None
) -> Float64:
    """Mean of each row's largest numbers, (n, m), taken until their weights, (m,), reach k; (n,).

    The last number counts with what is left of k. Numbers that are left out, (n, m), do not
    count; where those that do have less weight than k in all, they count all. NaN where none.
    """
    if left_out is not None:
        scores = np.where(left_out, -np.inf, scores)
    n, m = scores.shape
    result, open_rows = np.empty(n), np.arange(n)
    take = min(m, math.ceil(2 * k * m / weights.sum()))
    while True:
        some = scores[open_rows]
        order = np.argpartition(some, m - take, axis=1)[:, m - take :]
        values = np.take_along_axis(some, order, axis=1)
        ranked = np.argsort(-values, axis=1, kind="stable")
        values = np.take_along_axis(values, ranked, axis=1).astype(np.float64)
        each = np.where(np.isfinite(values), weights[np.take_along_axis(order, ranked, axis=1)], 0)
        values[~np.isfinite(values)] = 0
        reached = np.cumsum(each, axis=1)
        counted = np.clip(k - (reached - each), 0, each)
        done = (reached[:, -1] >= k) | (take == m)
        result[open_rows[done]] = (counted * values).sum(axis=1)[done]
        with np.errstate(invalid="ignore"):
            result[open_rows[done]] /= counted.sum(axis=1)[done]
        open_rows = open_rows[~done]
        if not len(open_rows):
            return result
        take = min(m, 4 * take)

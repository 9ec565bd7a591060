"""Weights of rows by how many others are like them: for samples in which the same comes often.

For rows x_1 .. x_n with mean m and g_ij the cosine of x_i - m and x_j - m,

    w_j = 1 / sum_i max(0, 2 g_ij - 1)

so that a row unlike all others counts 1, and t rows of one kind count 1 together. The sum of the
weights is the number of rows that the sample is worth, its *effective* rows. A query log, where
popular queries repeat, is the case in mind; an evenly drawn sample keeps weights near 1.

Equal rows are folded first, with their count. Time is quadratic in the distinct rows up to
20,000 of them; more are compared with a random sample of 20,000, which costs n x 20,000 products.
Memory is one block of cosines.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from distnorm.arrays import (
    Array,
    CheckedRows,
    Float32,
    Float64,
    Floats,
    Indices,
    Int64,
    as_working,
    blocks,
    numbers_of,
    rows_per_block,
    take_rows,
    to_numpy,
)
from distnorm.errors import DistnormError

__all__ = [
    "MOST_COMPARED",
    "check_weights",
    "counted_rows",
    "density_weights",
    "fold",
    "per_row",
    "weights_against",
]


MOST_COMPARED = 20_000
_LARGEST, _SMALLEST = 1e12, 1e-100
_LIKE = 0.5


def check_weights(weights: Any, n: int, name: str) -> Float64:
    """``weights`` of n rows as float64, (n,)."""
    if isinstance(weights, str):
        raise DistnormError(f"weights {weights!r}", "'density', 'even' or numbers", "pass one")
    values = numbers_of(weights, f"weights of {n} {name}")
    if values.shape != (n,):
        raise DistnormError(
            f"weights of shape {values.shape} for {n} {name}",
            f"one number per row, ({n},)",
            "pass weights in the order of the rows",
        )
    fits = (values >= 0) & (values <= _LARGEST)
    if not fits.all():
        number = int(np.argmax(~fits))
        raise DistnormError(
            f"weight {values[number]:g} for row {number} of {name}",
            f"numbers from 0 to {_LARGEST:g}",
            "give how many rows each stands for; 0 leaves a row out",
        )
    if not values.any():
        raise DistnormError(f"weights of {name} that are all 0", "some above 0", "mend them")
    if values.max() < _SMALLEST:
        raise DistnormError(
            f"weights of {name} of at most {values.max():g}",
            f"some from {_SMALLEST:g} on",
            "multiply them all: their scale does not matter",
        )
    return values


def counted_rows(rows: Array, weights: Float64, name: str) -> tuple[Array, Float64, str]:
    """Rows, (n, d), of a weight above 0, their weights, and what to call these in messages."""
    kept = np.flatnonzero(weights)
    if len(kept) == len(weights):
        return rows, weights, name
    return take_rows(rows, kept), weights[kept], f"{name} whose weight is not 0"


def per_row(weights: Float64) -> Float64:
    """Weights of any scale, (n,), as ones that are 1 on average, those of 0 left out."""
    return np.asarray(weights * (np.count_nonzero(weights) / weights.sum()))


def density_weights(
    rows: Array | CheckedRows, *, seed: int = 0, most: int = MOST_COMPARED
) -> Float64:
    """Weights of rows, shape (n, d), that count rows of one kind once together.

    Parameters
    ----------
    rows : array, shape (n, d), or `CheckedRows`
        Finite rows of any library and length.
    seed : int
        Of the sample that more than ``most`` distinct rows are compared with.
    most : int
        Distinct rows up to which all are compared with all.

    Returns
    -------
    ndarray, shape (n,), float64
        In (0, 1]; 1 / t for each of t equal rows that no other is like.

    Examples
    --------
    >>> import numpy as np
    >>> density_weights(np.array([[1.0, 0.0], [0.0, 1.0], [0.0, 1.0], [-1.0, 0.0]]))
    array([1. , 0.5, 0.5, 1. ])
    """
    if isinstance(rows, CheckedRows):
        key = ("density", seed, most)
        if key not in rows.memo:
            rows.memo[key] = density_weights(rows.rows, seed=seed, most=most)
        kept: Float64 = rows.memo[key]
        return kept
    host = to_numpy(as_working(rows), np.float32)
    distinct, place, counts = fold(host)
    mean = np.asarray(counts @ distinct.astype(np.float64)) / counts.sum()
    centred = _directions(distinct.astype(np.float32, copy=False), mean)
    n = len(centred)
    if n <= most:
        weights = 1 / (counts + _like_each_other(centred, counts))
        return np.asarray(weights[place])
    chosen = np.sort(np.random.default_rng(seed).choice(n, most, replace=False))
    others, of_others = centred[chosen], counts[chosen].astype(np.float32)
    inside = np.zeros(n, dtype=bool)
    inside[chosen] = True
    like = np.empty(n)
    for part in blocks(n, rows_per_block(most, itemsize=4)):
        ramp = _ramp(centred[part], others)
        numbers = np.flatnonzero(inside[part])
        ramp[numbers, np.searchsorted(chosen, numbers + part.start)] = 0
        like[part] = ramp @ of_others
    # Those not compared are taken to be like those that were.
    compared = of_others.sum(dtype=np.float64) - np.where(inside, counts, 0)
    share = (counts.sum() - counts) / np.maximum(compared, 1)
    weights = 1 / (counts + share * like)
    return np.asarray(weights[place])


def weights_against(
    rows: Floats, sample: Floats, n: int, numbers: Int64, of_sample: Int64
) -> Float64:
    """Weights (k,) in (0, 1] of some of n rows by a random sample of all, which must not be empty.

    ``rows`` are (k, d), ``sample`` (m, d); ``numbers`` (k,) and ``of_sample`` (m,), both rising,
    say which rows these are, so that none is compared with itself. Of rows equal to t - 1 others
    around 1 / t.
    """
    others = as_working(sample).astype(np.float32)
    mean = others.mean(axis=0, dtype=np.float64)
    others = _directions(others, mean)
    place = np.minimum(np.searchsorted(of_sample, numbers), len(of_sample) - 1)
    inside = of_sample[place] == numbers
    like = np.empty(len(rows))
    for part in blocks(len(rows), rows_per_block(len(others), itemsize=4)):
        ramp = _ramp(_directions(as_working(rows[part]).astype(np.float32), mean), others)
        own = np.flatnonzero(inside[part])
        ramp[own, place[part][own]] = 0
        like[part] = ramp.sum(axis=1, dtype=np.float64)
    share = (n - 1) / np.maximum(len(others) - inside, 1)
    return np.asarray(1 / (1 + share * like))


def _directions(rows: Float32, mean: Float64) -> Float32:
    """Rows less a mean, of such a length that their products less 1 are the ramp."""
    centred = (rows - mean).astype(np.float32)
    lengths = np.linalg.norm(centred, axis=1, keepdims=True)
    np.divide(centred, lengths, out=centred, where=lengths > 0)
    # 2 g - 1 where positive, so that a product of these rows less 1 is the ramp.
    centred *= math.sqrt(1 / (1 - _LIKE))
    return centred


def _ramp(rows: Float32, others: Float32) -> Float32:
    ramp: Float32 = rows @ others.T
    ramp -= _LIKE / (1 - _LIKE)
    np.maximum(ramp, 0, out=ramp)
    return ramp


def _like_each_other(centred: Float32, counts: Indices) -> Float64:
    """For each row how many of the others are like it; every pair is looked at once."""
    n = len(centred)
    like, each = np.zeros(n), counts.astype(np.float32)
    for part in blocks(n, rows_per_block(n, itemsize=4)):
        ramp = _ramp(centred[part], centred[part.start :])
        height = part.stop - part.start
        ramp[np.arange(height), np.arange(height)] = 0
        like[part] += ramp @ each[part.start :]
        like[part.stop :] += each[part] @ ramp[:, height:]
    return like


def fold(rows: Floats) -> tuple[Floats, Indices, Indices]:
    """Distinct rows in the order they first come, the one each row is, and how often each is."""
    plain = np.ascontiguousarray(rows) + 0.0  # -0 is 0
    keys = plain.view(np.dtype((np.void, plain.shape[1] * plain.itemsize))).ravel()
    _, first, inverse, counts = np.unique(
        keys, return_index=True, return_inverse=True, return_counts=True
    )
    order = np.argsort(first)
    rank = np.empty_like(order)
    rank[order] = np.arange(len(order))
    return plain[first[order]], rank[inverse.ravel()], counts[order]

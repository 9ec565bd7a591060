"""Biases from a bank of queries kept row by row, computed in blocks.

For the bank q_1 .. q_m, shape (m, d), and an item y:

    inverted softmax      b(y) = (1/beta) log mean_j exp(beta q_j . y)        Smith et al. 2017
    nearest neighbours    b(y) = mean of the k largest q_j . y                NNN, Chowdhury 2024

k = m gives the mean, so Distribution Normalization; k = 1 is the limit of large beta. CSLS
(Conneau et al. 2018) is 2 q.y - r_k(q) - r_k(y) with r_k the mean of the k nearest of the other
side, hence nearest neighbours at strength 1/2, doubled.

The mean m of the bank leaves the exponents first, b = m.y + (1/beta) log mean exp(beta (q_j-m).y):
the mean of the exponentials is then at least 1, so nothing underflows, and overflow needs beta
times the radius of the bank beyond 80, where a running maximum steps in.

Memory is one block of scores, a few tens of MB, whatever the sizes of bank and gallery.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from distnorm.arrays import (
    Array,
    CheckedRows,
    as_working,
    blocks,
    from_numpy,
    like_array,
    namespace,
    to_numpy,
)
from distnorm.errors import DistnormError
from distnorm.methods.base import Method, Parameter, positive, positive_integer
from distnorm.methods.linear import linear_bias
from distnorm.methods.neighbors import k_largest
from distnorm.methods.quadratic import query_spread, shrunk_covariance
from distnorm.methods.statistics import SideStatistics
from distnorm.moments import Moments

__all__ = [
    "CSLS",
    "INVERTED_SOFTMAX",
    "NNN",
    "default_k",
    "inverse_temperature",
    "inverted_softmax_bias",
    "mean_bias",
    "nearest_neighbor_bias",
]

_ITEM_ROWS = 1024
_BANK_ROWS = 4096
_SAFE_EXPONENT = 80.0


def inverted_softmax_bias(items: Array, bank: Array, beta: float, mean: Any = None) -> Array:
    """(1/beta) log mean_j exp(beta q_j . y): shapes (n, d), (m, d) give (n,).

    ``mean`` is that of the bank, computed if left out.
    """
    xp = namespace(items)
    mean = _mean(bank) if mean is None else mean
    parts: list[Any] = []
    radius = _radius(bank, mean)
    for rows in blocks(items.shape[0], _ITEM_ROWS):
        block = as_working(items[rows, ...])
        lengths = to_numpy(xp.sum(block * block, axis=1), np.float64) ** 0.5
        safe = beta * radius * float(lengths.max()) < _SAFE_EXPONENT
        log_mean = (_log_mean_exp if safe else _log_mean_exp_shifted)(block * beta, bank, mean)
        linear = xp.matmul(block, from_numpy(mean, block))
        parts.append(linear + from_numpy(log_mean / beta, block))
    return xp.concat(parts)


def _radius(bank: Array, mean: Any) -> float:
    largest = 0.0
    for rows in blocks(bank.shape[0], _BANK_ROWS):
        block = as_working(bank[rows, ...])
        centered = block - from_numpy(mean, block)
        squares = namespace(block).sum(centered * centered, axis=1)
        largest = max(largest, float(namespace(block).max(squares)))
    return math.sqrt(largest)


def _log_mean_exp(scaled: Array, bank: Array, mean: Any) -> Any:
    xp = namespace(scaled)
    total = np.zeros(scaled.shape[0])
    for rows in blocks(bank.shape[0], _BANK_ROWS):
        exponents = _centered_scores(scaled, bank[rows, ...], mean)
        total += to_numpy(xp.sum(_exp(exponents), axis=1), np.float64)
    return np.log(total / bank.shape[0])


def _log_mean_exp_shifted(scaled: Array, bank: Array, mean: Any) -> Any:
    xp = namespace(scaled)
    total = np.zeros(scaled.shape[0])
    peak = np.full(scaled.shape[0], -np.inf)
    for rows in blocks(bank.shape[0], _BANK_ROWS):
        exponents = _centered_scores(scaled, bank[rows, ...], mean)
        new_peak = np.maximum(peak, to_numpy(xp.max(exponents, axis=1), np.float64))
        shifted = exponents - from_numpy(new_peak, exponents)[:, None]
        total = total * np.exp(peak - new_peak)
        total += to_numpy(xp.sum(_exp(shifted), axis=1), np.float64)
        peak = new_peak
    return peak + np.log(total / bank.shape[0])


def _centered_scores(scaled: Array, bank_rows: Array, mean: Any) -> Array:
    queries = like_array(as_working(bank_rows), scaled)
    queries = queries - from_numpy(mean, queries)
    return namespace(scaled).matmul(scaled, queries.T)


def _exp(x: Array) -> Array:
    return np.exp(x, out=x) if isinstance(x, np.ndarray) else namespace(x).exp(x)


def nearest_neighbor_bias(items: Array, bank: Array, k: int) -> Array:
    """Mean of the k largest q_j . y: shapes (n, d), (m, d) give (n,); k is 1 to m."""
    if k > bank.shape[0]:
        raise DistnormError(
            f"a bank of {bank.shape[0]} rows",
            f"at least k = {k}",
            "add rows to the bank or lower k (it should scale with the bank)",
        )
    xp = namespace(items)
    if k == bank.shape[0]:
        return mean_bias(items, bank)
    parts: list[Any] = []
    bank_rows = max(_BANK_ROWS, 2 * k)
    for rows in blocks(items.shape[0], max(1, _ITEM_ROWS * _BANK_ROWS // bank_rows // 2)):
        block = as_working(items[rows, ...])
        best = None
        held = []
        for stretch in blocks(bank.shape[0], bank_rows):
            queries = like_array(as_working(bank[stretch, ...]), block)
            scores = xp.matmul(block, queries.T)
            if best is None and scores.shape[1] < k:
                held.append(scores)
                continue
            best = k_largest(scores, k, best)
        if best is None:
            best = k_largest(xp.concat(held, axis=1), k)
        parts.append(xp.mean(best, axis=1))
    return xp.concat(parts)


def mean_bias(items: Array, bank: Array) -> Array:
    """Mean of all q_j . y: nearest neighbours at k = m, a softmax at beta = 0."""
    return linear_bias(items, _mean(bank))


def _mean(bank: Array) -> npt.NDArray[np.float64]:
    """Mean of rows that were looked at when they were fitted."""
    return Moments().update(CheckedRows(bank, "bank")).mean


def default_k(rows: int) -> int:
    """Half the root of the bank's size: 8 for 250 rows, 190 for 145,000.

    NNN's paper uses 128 with banks of that second size, and k = 8 did well with 250.
    """
    return max(1, round(math.sqrt(rows) / 2))


def inverse_temperature(
    items: Array, queries: SideStatistics, others: Moments, params: Any
) -> float:
    """The beta that is set, or scale / sigma; 0 where all queries score an item alike.

    Sigma is taken over the items' side, so that a bias does not depend on its call; over
    ``items`` where nothing is known of that side.
    """
    if params["beta"] is not None:
        return float(params["beta"])
    covariance = shrunk_covariance(queries.moments, 0.0)
    spread = query_spread(covariance, others if others.count else items)
    return float(params["scale"] / spread) if spread > 0 else 0.0


def _softmax(items: Array, queries: SideStatistics, others: Moments, params: Any) -> Array:
    beta, bank = inverse_temperature(items, queries, others, params), queries.bank_rows()
    if not beta:
        return mean_bias(items, bank)
    return inverted_softmax_bias(items, bank, beta, queries.moments.mean)


def _nearest(items: Array, queries: SideStatistics, others: Moments, params: Any) -> Array:
    bank = queries.bank_rows()
    return nearest_neighbor_bias(items, bank, params["k"] or default_k(bank.shape[0]))


INVERTED_SOFTMAX = Method(
    "is",
    "inverted softmax over a bank",
    "Smith et al., ICLR 2017 (strength 1)",
    parameters={"beta": Parameter(None, positive), "scale": Parameter(1.5, positive)},
    bias=_softmax,
    needs_bank=True,
    order=2,
    scale_aware=True,
)
NNN = Method(
    "nnn",
    "nearest neighbor normalization",
    "Chowdhury et al., EMNLP 2024",
    parameters={"k": Parameter(None, positive_integer)},
    bias=_nearest,
    needs_bank=True,
)
CSLS = Method(
    "csls",
    "cross-domain similarity local scaling",
    "Conneau et al., ICLR 2018",
    parameters={"k": Parameter(10, positive_integer)},
    bias=_nearest,
    needs_bank=True,
    factor=2.0,
)

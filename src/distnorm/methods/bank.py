"""Biases from a bank of queries kept row by row, computed in blocks.

For the bank q_1 .. q_m, shape (m, d), and an item y:

    inverted softmax      b(y) = (1/beta) log mean_j exp(beta q_j . y)        Smith et al. 2017
    nearest neighbours    b(y) = mean of the k largest q_j . y                NNN, Chowdhury 2024

Where the bank's rows have weights w_j, summing to W, the means are weighted: log of
(1/W) sum_j w_j exp(beta q_j . y), and the nearest rows are taken until their weights reach k.

`distnorm.methods.coverage` says when a row is left out of the bias of its own best item.

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
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from distnorm.arrays import (
    Array,
    CheckedRows,
    Float64,
    as_working,
    blocks,
    from_numpy,
    like_array,
    namespace,
    rows_per_block,
    to_numpy,
)
from distnorm.device import banks
from distnorm.device.settings import on_device
from distnorm.errors import DistnormError
from distnorm.methods.bank_tiles import log_mean_exponential, mean_of_largest, on_host
from distnorm.methods.base import Method, Parameter, flag_or_none, positive, positive_integer
from distnorm.methods.coverage import Bank, bank_of, own_in_force
from distnorm.methods.linear import linear_bias
from distnorm.methods.neighbors import k_largest, weighted_mean_of_largest
from distnorm.methods.quadratic import plain_spread, query_spread, shrunk_covariance
from distnorm.methods.score_bank import beta_of_scores, log_mean_exp, nearest_of_scores
from distnorm.methods.statistics import SideStatistics
from distnorm.moments import Moments

__all__ = [
    "CSLS",
    "INVERTED_SOFTMAX",
    "NNN",
    "OWN",
    "default_k",
    "inverse_temperature",
    "inverted_softmax_bias",
    "mean_bias",
    "nearest_in_force",
    "nearest_neighbor_bias",
    "temperature_in_force",
]


_ITEM_ROWS = 1024
_BANK_ROWS = 4096
_DEVICE_ROWS = 1 << 16
_SAFE_EXPONENT = 80.0


def inverted_softmax_bias(items: Array, bank: Array | Bank, beta: float, mean: Any = None) -> Array:
    """(1/beta) log mean_j exp(beta q_j . y): (n, d), (m, d) give (n,); ``mean`` is the bank's."""
    xp = namespace(items)
    bank = bank if isinstance(bank, Bank) else Bank(bank)
    mean = _mean(bank) if mean is None else mean
    radius = _radius(bank.rows, mean)
    if on_host(items):
        linear = linear_bias(items, mean)
        sums = log_mean_exponential(items, bank, beta, mean, radius, to_numpy(linear, np.float64))
        return linear + from_numpy(sums / beta, linear)
    if on_device(items) and bank.own is None:
        there = _on_device(items, bank, beta, mean, radius)
        if there is not None:
            return there
    parts: list[Any] = []
    for rows in blocks(items.shape[0], _ITEM_ROWS):
        block = as_working(items[rows, ...])
        lengths = to_numpy(xp.sum(block * block, axis=1), np.float64) ** 0.5
        safe = beta * radius * float(lengths.max()) < _SAFE_EXPONENT
        linear = xp.matmul(block, from_numpy(mean, block))
        exponents = _Exponents(block, linear, bank, beta, mean)
        log_mean = exponents.log_mean_exp() if safe else exponents.log_mean_exp_shifted()
        parts.append(linear + from_numpy(log_mean / beta, block))
    return xp.concat(parts)


def _on_device(items: Array, bank: Bank, beta: float, mean: Any, radius: float) -> Array | None:
    """`inverted_softmax_bias` of a tensor where it is; None where float32 is needed."""
    rows = items.detach()
    linear = namespace(rows).concat(
        [linear_bias(rows[part], mean) for part in blocks(len(rows), _DEVICE_ROWS)]
    )
    weights = None if bank.weights is None else from_numpy(bank.weights, linear)
    sums = banks.log_mean_exponential(
        rows, banks.tensor_of(bank.rows, rows.device), beta, linear, radius, weights
    )
    return None if sums is None else linear + (sums / beta).to(linear.dtype)


def _radius(bank: Array, mean: Any) -> float:
    largest = 0.0
    for rows in blocks(bank.shape[0], _BANK_ROWS):
        block = as_working(bank[rows, ...])
        centered = block - from_numpy(mean, block)
        squares = namespace(block).vecdot(centered, centered)
        largest = max(largest, float(namespace(block).max(squares)))
    return math.sqrt(largest)


@dataclass(frozen=True)
class _Exponents:
    """beta (q_j - m) . y of a block of items and a bank, and the log of their mean exponential."""

    items: Array
    linear: Array
    bank: Bank
    beta: float
    mean: Any

    def log_mean_exp(self) -> Float64:
        total, counted = np.zeros(self.items.shape[0]), np.zeros(self.items.shape[0])
        for exponents, weights, weight in self._blocks():
            total += _weighted_sum(_exp(exponents), weights)
            counted += weight
        return _log_share(total, counted)

    def log_mean_exp_shifted(self) -> Float64:
        xp = namespace(self.items)
        total, counted = np.zeros(self.items.shape[0]), np.zeros(self.items.shape[0])
        peak = np.full(self.items.shape[0], np.finfo(np.float32).min / 4)
        for exponents, weights, weight in self._blocks():
            new_peak = np.maximum(peak, to_numpy(xp.max(exponents, axis=1), np.float64))
            shifted = exponents - from_numpy(new_peak, exponents)[:, None]
            total = total * np.exp(peak - new_peak) + _weighted_sum(_exp(shifted), weights)
            counted += weight
            peak = new_peak
        return np.where(total > 0, peak, 0) + _log_share(total, counted)

    def _blocks(self) -> Iterator[tuple[Array, Float64 | None, Any]]:
        """Exponents (n, rows of the bank), those rows' weights, and what counts of them, (n,)."""
        xp, bank, scaled = namespace(self.items), self.bank, self.items * self.beta
        for rows in blocks(bank.size, _BANK_ROWS):
            queries = like_array(as_working(bank.rows[rows, ...]), scaled)
            queries = queries - from_numpy(self.mean, queries)
            exponents = xp.matmul(scaled, queries.T)
            weights = None if bank.weights is None else bank.weights[rows]
            whole = rows.stop - rows.start if weights is None else weights.sum()
            if bank.own is None:
                yield exponents, weights, whole
                continue
            own = from_numpy(bank.own[rows], exponents)[None, :] - self.linear[:, None]
            left_out = exponents >= self.beta * own
            each = np.ones(rows.stop - rows.start) if weights is None else weights
            lost = to_numpy(left_out).astype(np.float64) @ each
            exponents = xp.where(left_out, xp.full_like(exponents, -math.inf), exponents)
            yield exponents, weights, whole - lost


def _log_share(total: Float64, counted: Float64) -> Float64:
    """log(total / counted); 0, as of a bank that is its mean, where no row counts."""
    some = total > 0
    return np.log(np.where(some, total, 1) / np.where(some, counted, 1))


def _weighted_sum(values: Array, weights: Float64 | None) -> Float64:
    """Sum over bank rows, each with its weight, (n, m) -> (n,)."""
    xp = namespace(values)
    if weights is None:
        return to_numpy(xp.sum(values, axis=1), np.float64)
    return to_numpy(xp.matmul(values, from_numpy(weights, values)), np.float64)


def _exp(x: Array) -> Array:
    return np.exp(x, out=x) if isinstance(x, np.ndarray) else namespace(x).exp(x)


def nearest_neighbor_bias(items: Array, bank: Array | Bank, k: int) -> Array:
    """Mean of the k largest q_j . y: shapes (n, d), (m, d) give (n,); k is 1 to m."""
    whole = bank if isinstance(bank, Bank) else Bank(bank)
    bank = whole.rows
    weight = whole.weight
    if k > weight * (1 + 1e-9):
        worth = "" if whole.weights is None else f", worth {weight:.3g} by their weights"
        raise DistnormError(
            f"a bank of {bank.shape[0]} rows{worth}",
            f"at least k = {k}",
            "add rows to the bank or lower k (it should scale with the bank)",
        )
    if whole.weights is not None or whole.own is not None:
        return _weighted_nearest(items, whole, k)
    xp = namespace(items)
    if k == bank.shape[0]:
        return mean_bias(items, bank)
    if on_host(items):
        return from_numpy(mean_of_largest(items, whole, k), items)
    if on_device(items):
        rows = items.detach()
        there = banks.mean_of_largest(rows, banks.tensor_of(bank, rows.device), k)
        if there is not None:
            return there.to(as_working(rows[:0]).dtype)
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


def _weighted_nearest(items: Array, bank: Bank, k: float) -> Array:
    """`nearest_neighbor_bias` with weights or rows left out; whole rows of scores, on the host."""
    parts = []
    weights = np.ones(bank.size) if bank.weights is None else bank.weights
    queries = np.ascontiguousarray(to_numpy(as_working(bank.rows)))
    for rows in blocks(items.shape[0], rows_per_block(bank.size)):
        scores = to_numpy(as_working(items[rows, ...])) @ queries.T
        own = None if bank.own is None else scores >= bank.own
        nearest = weighted_mean_of_largest(scores, weights, k, own)
        # An item that every row likes best: no other row tells of it, so it gets the mean's bias.
        parts.append(np.where(np.isnan(nearest), scores @ weights / weights.sum(), nearest))
    return from_numpy(np.concatenate(parts), items)


def mean_bias(items: Array, bank: Array | Bank) -> Array:
    """Mean of all q_j . y: nearest neighbours at k = m, a softmax at beta = 0."""
    return linear_bias(items, _mean(bank if isinstance(bank, Bank) else Bank(bank)))


def _mean(bank: Bank) -> Float64:
    """Mean of rows that were looked at when they were fitted."""
    return Moments().update(CheckedRows(bank.rows, "bank"), weights=bank.weights).mean


def default_k(rows: float) -> int:
    """Half the root of the bank's size: 8 for 250 rows, 190 for 145,000.

    NNN's paper uses 128 with banks of that second size, and k = 8 did well with 250.
    """
    return max(1, round(math.sqrt(rows) / 2))


def inverse_temperature(
    items: Array, queries: SideStatistics, others: SideStatistics, params: Any
) -> float:
    """The beta that is set, or scale / sigma; 0 where all queries score an item alike.

    Sigma is taken over the items' side, so that a bias does not depend on its call; over
    ``items`` where nothing is known of that side.
    """
    if params["beta"] is not None:
        return float(params["beta"])
    if others.moments.count:
        spread = plain_spread(queries.moments, others.moments)
    else:
        spread = query_spread(shrunk_covariance(queries.moments, 0.0), items)
    return float(params["scale"] / spread) if spread > 0 else 0.0


def temperature_in_force(queries: SideStatistics, others: SideStatistics, params: Any) -> Any:
    """`Method.in_force` of a bank with an inverse temperature."""
    known = params["beta"] is not None or others.moments.count
    rows = queries.bank_rows()
    return {"beta": inverse_temperature(rows, queries, others, params) if known else None}


def nearest_in_force(queries: SideStatistics, others: SideStatistics, params: Any) -> Any:
    """`Method.in_force` of a bank's nearest rows."""
    k = params["k"] or default_k(queries.moments.worth)
    return {"k": k, "own": own_in_force(queries, others, params)}


def _softmax_in_force(queries: SideStatistics, others: SideStatistics, params: Any) -> Any:
    found = temperature_in_force(queries, others, params)
    return {**found, "own": own_in_force(queries, others, params)}


def _softmax(items: Array, queries: SideStatistics, others: SideStatistics, params: Any) -> Array:
    beta = inverse_temperature(items, queries, others, params)
    if not beta:
        return mean_bias(items, Bank(queries.bank_rows(), queries.bank_weights()))
    bank = bank_of(queries, items, others, params)
    return inverted_softmax_bias(items, bank, beta, queries.moments.mean)


def _nearest(items: Array, queries: SideStatistics, others: SideStatistics, params: Any) -> Array:
    bank = bank_of(queries, items, others, params)
    return nearest_neighbor_bias(items, bank, params["k"] or default_k(queries.moments.worth))


def _softmax_of_scores(bank: Float64, params: Any) -> Float64:
    return log_mean_exp(bank, beta_of_scores(bank, params))


def _nearest_of_scores(bank: Float64, params: Any) -> Float64:
    k = params["k"] or default_k(len(bank))
    if k > len(bank):
        raise DistnormError(f"a bank of {len(bank)} queries", f"at least k = {k}", "lower k")
    return nearest_of_scores(bank, k)


OWN = Parameter(None, flag_or_none, quiet=True)
"""Whether own matches are left out: always, never, or where a weighted bank is narrow."""


INVERTED_SOFTMAX = Method(
    "is",
    "inverted softmax over a bank",
    "Smith et al., ICLR 2017 (strength 1)",
    parameters={"beta": Parameter(None, positive), "scale": Parameter(1.5, positive), "own": OWN},
    bias=_softmax,
    in_force=_softmax_in_force,
    of_scores=_softmax_of_scores,
    needs_bank=True,
    order=2,
    scale_aware=True,
)
NNN = Method(
    "nnn",
    "nearest neighbor normalization",
    "Chowdhury et al., EMNLP 2024",
    parameters={"k": Parameter(None, positive_integer), "own": OWN},
    bias=_nearest,
    in_force=nearest_in_force,
    of_scores=_nearest_of_scores,
    needs_bank=True,
)
CSLS = Method(
    "csls",
    "cross-domain similarity local scaling",
    "Conneau et al., ICLR 2018",
    parameters={"k": Parameter(10, positive_integer), "own": OWN},
    bias=_nearest,
    in_force=nearest_in_force,
    of_scores=_nearest_of_scores,
    needs_bank=True,
    factor=2.0,
)

"""Dual potentials of an entropic transport between a bank of queries and a gallery.

For bank q_1 .. q_m, gallery y_1 .. y_n, both with uniform weights, iterate

    g_i = (1/beta) log mean_j exp(beta (q_j . y_i - f_j))
    f_j = (1/beta) log mean_i exp(beta (q_j . y_i - g_i))

from f = 0; the item bias is g. Rows of a bank with weights w_j count w_j / sum_j w_j instead.
One iteration is the inverted softmax, so this is its fixed point: every item is some query's match
as often as any other. The bias of an item depends on the whole gallery, which therefore has to be
handed over at once. With the test queries as the bank the method is transductive (Cuturi 2013;
Wang et al., Dual Bank Sinkhorn, 2025).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from distnorm.arrays import (
    Array,
    Float64,
    as_working,
    blocks,
    from_numpy,
    like_array,
    namespace,
    rows_per_block,
    take_rows,
    to_numpy,
)
from distnorm.methods.bank import inverse_temperature, mean_bias, temperature_in_force
from distnorm.methods.base import Method, Parameter, positive, positive_integer
from distnorm.methods.coverage import Bank
from distnorm.methods.score_bank import beta_of_scores, potential_of_scores
from distnorm.methods.statistics import SideStatistics

__all__ = ["SINKHORN", "sinkhorn_bias"]


def sinkhorn_bias(
    items: Array,
    bank: Array,
    beta: float,
    *,
    iterations: int = 50,
    tolerance: float = 1e-5,
    weights: Float64 | None = None,
) -> Array:
    """Potentials g of the items: shapes (n, d), (m, d) give (n,).

    Stops when no g changes by more than ``tolerance`` (a score difference) in an iteration.
    Scores are computed again in each iteration, block by block, so memory stays flat.
    """
    f = np.zeros(bank.shape[0])
    g = np.zeros(items.shape[0])
    for _ in range(max(1, iterations)):
        previous, g = g, _potential(items, bank, f, beta, weights)
        if np.max(np.abs(g - previous)) <= tolerance:
            break
        f = _potential(bank, items, g, beta)
    return from_numpy(g, items)


def _potential(
    rows: Array, others: Array, potential: Float64, beta: float, weights: Float64 | None = None
) -> Float64:
    """(1/beta) log mean_j exp(beta (x_j . y - potential_j)) for every row y; weighted if so."""
    xp = namespace(rows)
    count = float(others.shape[0])
    if weights is not None:
        counted = np.flatnonzero(weights)
        others, weights, count = take_rows(others, counted), weights[counted], weights.sum()
        potential = potential[counted] - np.log(weights) / beta
    parts: list[Float64] = []
    for chunk in blocks(rows.shape[0], 1024):
        block = as_working(rows[chunk, ...])
        total = np.zeros(block.shape[0])
        peak = np.full(block.shape[0], -np.inf)
        for stretch in blocks(others.shape[0], rows_per_block(block.shape[0])):
            other = like_array(as_working(others[stretch, ...]), block)
            exponents: Any = xp.matmul(block, other.T)
            exponents = (exponents - from_numpy(potential[stretch], block)[None, :]) * beta
            new_peak = np.maximum(peak, to_numpy(xp.max(exponents, axis=1), np.float64))
            shifted = xp.exp(exponents - from_numpy(new_peak, block)[:, None])
            total = total * np.exp(peak - new_peak) + to_numpy(xp.sum(shifted, axis=1), np.float64)
            peak = new_peak
        parts.append((peak + np.log(total / count)) / beta)
    return np.concatenate(parts)


def _bias(items: Array, queries: SideStatistics, others: SideStatistics, params: Any) -> Array:
    beta = inverse_temperature(items, queries, others, params)
    if not beta:
        return mean_bias(items, Bank(queries.bank_rows(), queries.bank_weights()))
    return sinkhorn_bias(
        items,
        queries.bank_rows(),
        beta,
        iterations=params["iterations"],
        tolerance=params["tolerance"],
        weights=queries.bank_weights(),
    )


def _of_scores(bank: Float64, params: Any) -> Float64:
    beta = beta_of_scores(bank, params)
    return potential_of_scores(bank, beta, params["iterations"], params["tolerance"])


SINKHORN = Method(
    "sinkhorn",
    "dual potentials of an entropic transport",
    "Wang et al., Dual Bank Sinkhorn, 2025",
    strength=0.75,
    parameters={
        "beta": Parameter(None, positive),
        "scale": Parameter(1.5, positive),
        "iterations": Parameter(50, positive_integer),
        "tolerance": Parameter(1e-5, positive),
    },
    bias=_bias,
    in_force=temperature_in_force,
    of_scores=_of_scores,
    needs_bank=True,
    order=2,
    scale_aware=True,
    whole_gallery=True,
)

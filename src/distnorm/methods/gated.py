"""Inverted softmax for some queries only: QB-Norm (Bogolin et al., CVPR 2022).

The bias counts for a query whose best item by dot product is the best item of some query of the
bank; all other queries keep the dot product. So no single bias of an item gives the score.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from distnorm.arrays import Array, Bools, CheckedRows, Float64, to_numpy
from distnorm.exact import topk
from distnorm.methods.bank import inverted_softmax_bias
from distnorm.methods.base import Method, Parameter, positive
from distnorm.methods.coverage import Bank
from distnorm.methods.score_bank import log_mean_exp
from distnorm.methods.statistics import SideStatistics

__all__ = ["QBNORM", "popular_items"]


def popular_items(items: Array, bank: Array) -> Bools:
    """Which items, (n, d), are the best item of some bank row, the lowest of equal ones; (n,)."""
    chosen = np.zeros(items.shape[0], dtype=bool)
    best = topk(CheckedRows(bank, "bank"), CheckedRows(items, "items"), 1)[1]
    chosen[to_numpy(best)] = True
    return chosen


def _bias(items: Array, queries: SideStatistics, others: Any, params: Any) -> Array:
    bank = Bank(queries.bank_rows(), queries.bank_weights())
    return inverted_softmax_bias(items, bank, params["beta"], queries.moments.mean)


def _gate(items: Array, queries: SideStatistics) -> Bools:
    return popular_items(items, queries.bank_rows())


def _of_scores(bank: Float64, params: Any) -> Float64:
    return log_mean_exp(bank, params["beta"])


QBNORM = Method(
    "qbnorm",
    "dynamic inverted softmax (gated)",
    "Bogolin et al., CVPR 2022",
    strength=1.0,
    parameters={"beta": Parameter(20.0, positive)},
    bias=_bias,
    of_scores=_of_scores,
    gate=_gate,
    needs_bank=True,
)

"""Biases from the scores of a bank alone, where there are no vectors.

With S the scores of m bank queries with n items, shape (m, n), the bias of item i is

    inverted softmax      (1/beta) log mean_j exp(beta S_ji)
    nearest neighbours    mean of the k largest S_ji over j
    sinkhorn              g_i = (1/beta) log mean_j exp(beta (S_ji - f_j)), f from g likewise

the same formulas as of vectors (`distnorm.methods.bank`, `distnorm.methods.sinkhorn`), for scores
of any model. Without a set beta, it is scale / sigma with sigma^2 the mean over items of the
variance of their scores over the bank.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from distnorm.arrays import Float64

__all__ = ["beta_of_scores", "log_mean_exp", "nearest_of_scores", "potential_of_scores"]


def beta_of_scores(bank: Float64, params: Mapping[str, Any]) -> float:
    """The beta that is set, or scale / sigma; 0 where all queries score an item alike."""
    if params["beta"] is not None:
        return float(params["beta"])
    spread = float(np.sqrt(bank.var(axis=0).mean()))
    return float(params["scale"]) / spread if spread > 0 else 0.0


def log_mean_exp(scores: Float64, beta: float, axis: int = 0) -> Float64:
    """(1/beta) log mean exp(beta s) along an axis; the mean for beta = 0."""
    if not beta:
        return np.asarray(scores.mean(axis=axis))
    peak = scores.max(axis=axis, keepdims=True)
    total = np.exp(beta * (scores - peak)).mean(axis=axis)
    return np.asarray(np.squeeze(peak, axis=axis) + np.log(total) / beta)


def nearest_of_scores(bank: Float64, k: int) -> Float64:
    """Mean of the k largest of each column, shape (n,); k is 1 to m."""
    return np.asarray(np.partition(bank, len(bank) - k, axis=0)[len(bank) - k :].mean(axis=0))


def potential_of_scores(bank: Float64, beta: float, iterations: int, tolerance: float) -> Float64:
    """The items' potentials g, shape (n,); stops when none changes by more than ``tolerance``."""
    f, g = np.zeros(len(bank)), np.zeros(bank.shape[1])
    for _ in range(max(1, iterations)):
        previous, g = g, log_mean_exp(bank - f[:, None], beta)
        if np.max(np.abs(g - previous)) <= tolerance or not beta:
            break
        f = log_mean_exp(bank - g, beta, axis=1)
    return g

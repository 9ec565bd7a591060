"""Biases of all candidates from one matrix of scores that they share.

With P = Q Y', the scores of n samples with m items, every bias is a statistic of a column of P:

    dn     mean                        dn2   mean + beta/2 variance (shrunk)
    is     (1/beta) log mean exp       nnn   mean of the k largest
    ridge  linear fit to nnn over the rows that set the scale

A choice tries four methods at eight strengths in five folds; from P that takes milliseconds where
the biases themselves would need a product of matrices each. They are those of `distnorm.methods`
with default parameters; a test holds the two together.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from distnorm.methods.bank import default_k
from distnorm.methods.quadratic import oas_shrinkage
from distnorm.methods.registry import METHODS
from distnorm.methods.ridge import linear_fit

__all__ = ["CORRECTIONS", "SHIFTS", "Scored"]

Float64 = npt.NDArray[np.float64]

CORRECTIONS = ("nnn", "is", "dn2", "dn")
"""Methods to choose from beside the dot product; the first is the start."""

SHIFTS = ("ridge", "dn")
"""Those that need nothing but a change of the query vector."""


class Scored:
    """Samples of queries, the gallery, and rows of the items' side that set the scale."""

    def __init__(
        self,
        samples: Float64,
        gallery: Float64,
        scale: Float64,
        methods: Sequence[str] = CORRECTIONS,
    ) -> None:
        self.samples = samples
        self.methods = methods
        self._gallery, self._scale = gallery, scale
        self.scores = samples @ gallery.T
        self._scale_scores = self.scores if scale is gallery else samples @ scale.T
        self._lengths = np.einsum("ij,ij->i", gallery, gallery)
        self._scale_length = float(np.mean(np.einsum("ij,ij->i", scale, scale)))

    def biases(self, rows: npt.NDArray[np.bool_]) -> dict[str, Float64]:
        """Bias of every item from some of the samples: method -> (m,), strength not applied."""
        scores, n = self.scores[rows], int(rows.sum())
        mean, variance = scores.mean(axis=0), scores.var(axis=0)
        spread = float(np.mean(self._scale_scores[rows].var(axis=0)))
        weight, isotropic = self._shrinkage(self.samples[rows])
        shrunk = (1 - weight) * spread + weight * isotropic * self._scale_length
        biases = {"dn": mean, "dn2": mean, "is": mean}
        if shrunk > 0:
            along = (1 - weight) * variance + weight * isotropic * self._lengths
            biases["dn2"] = mean + _scale("dn2") / math.sqrt(shrunk) / 2 * along
        if spread > 0:
            biases["is"] = _log_mean_exp(scores, _scale("is") / math.sqrt(spread))
        k = default_k(n)
        biases["nnn"] = _nearest(scores, k)
        if "ridge" in self.methods:
            nearest = _nearest(self._scale_scores[rows], k)
            weight = float(METHODS["ridge"].params["weight"])
            biases["ridge"] = self._gallery @ linear_fit(self._scale, nearest, weight)
        return biases

    @staticmethod
    def _shrinkage(rows: Float64) -> tuple[float, float]:
        """Weight of the isotropic target, and its value tr(S)/d."""
        n, d = rows.shape
        centred = rows - rows.mean(axis=0)
        trace = float(np.sum(centred**2)) / n
        if n >= d:
            return 0.0, trace / d
        square = float(np.sum((centred @ centred.T) ** 2)) / n**2
        return oas_shrinkage(trace, square, n, d), trace / d


def _nearest(scores: Float64, k: int) -> Float64:
    n = len(scores)
    values: Float64 = np.partition(scores, n - k, axis=0)[n - k :].mean(axis=0)
    return values


def _scale(method: str) -> float:
    return float(METHODS[method].params["scale"])


def _log_mean_exp(scores: Float64, beta: float) -> Float64:
    exponents = beta * scores
    peak = exponents.max(axis=0)
    values: Float64 = (peak + np.log(np.exp(exponents - peak).mean(axis=0))) / beta
    return values

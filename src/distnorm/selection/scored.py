"""Biases of all candidates from one matrix of scores that they share.

With P = Q Y', the scores of n samples with m items, every bias is a statistic of a column of P, in
which sample j counts w_j:

    dn     mean                        dn2       mean + beta/2 variance (shrunk)
    is     (1/beta) log mean exp       nnn       mean of the largest, until their weights reach k
    ridge  linear fit to nnn over the rows that set the scale
    sinkhorn                           potential of the transport between samples and gallery

A choice tries several methods at ten strengths in five folds; from P that takes milliseconds where
the biases themselves would need a product of matrices each. They are those of `distnorm.methods`
with default parameters, weights and own matches left out included; a test holds the two together.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from distnorm.methods.bank import default_k
from distnorm.methods.coverage import Coverage, own_from, spread_over
from distnorm.methods.neighbors import weighted_mean_of_largest
from distnorm.methods.quadratic import oas_shrinkage
from distnorm.methods.registry import METHODS
from distnorm.methods.ridge import linear_fit
from distnorm.moments import density_weights

__all__ = ["CORRECTIONS", "OF_PAIRS", "OF_SAMPLES", "SHIFTS", "Scored", "Weighing"]

Float64 = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]

CORRECTIONS = ("is", "nnn", "dn2", "dn", "sinkhorn")
"""All methods whose biases are statistics of one matrix of scores."""

OF_SAMPLES = ("is", "nnn", "sinkhorn")
"""Those to choose from without labels, beside the dot product; the first is the start."""

OF_PAIRS = ("nnn", "is", "dn2", "dn", "sinkhorn")
"""The same in the order for labelled pairs, whose evidence needs no start that is careful."""

SHIFTS = ("ridge", "dn")
"""Those that need nothing but a change of the query vector."""


@dataclass(frozen=True)
class Weighing:
    """How samples count: each as often as ``times`` says, (n,), and like ones once together or not.

    ``gated`` says whether own matches are left out where the samples cover the items narrowly.
    """

    times: Float64 | None = None
    density: bool = False
    gated: bool = False

    def of(self, samples: Float64, rows: Mask) -> Float64 | None:
        """Weights of the chosen samples; None where all are 1."""
        times = None if self.times is None else self.times[rows]
        if not self.density:
            return times
        if times is None:
            return density_weights(samples[rows])
        copies = np.repeat(np.arange(len(times)), np.maximum(times.round().astype(np.intp), 1))
        weights = density_weights(samples[rows][copies])
        return np.bincount(copies, weights).astype(np.float64)


class Scored:
    """Samples of queries, the gallery, and rows of the items' side that set the scale.

    ``scale_weights``, (rows of ``scale``,), are how those count; None for all alike.
    """

    def __init__(
        self,
        samples: Float64,
        gallery: Float64,
        scale: Float64,
        methods: Sequence[str] = CORRECTIONS,
        weighing: Weighing | None = None,
        scale_weights: Float64 | None = None,
    ) -> None:
        self.samples = samples
        self.methods = methods
        self.weighing = weighing or Weighing()
        self._gallery, self._scale = gallery, scale
        self.scores = samples @ gallery.T
        self._scale_scores = self.scores if scale is gallery else samples @ scale.T
        self._lengths = np.einsum("ij,ij->i", gallery, gallery)
        self._of_scale = scale_weights
        self._scale_length = float(
            np.average(np.einsum("ij,ij->i", scale, scale), weights=scale_weights)
        )

    def biases(self, rows: Mask) -> dict[str, Float64]:
        """Bias of every item from some of the samples: method -> (m,), strength not applied."""
        scores = self.scores[rows]
        weights = self.weighing.of(self.samples, rows)
        worth = float(rows.sum()) if weights is None else float(weights.sum())
        mean = np.average(scores, axis=0, weights=weights)
        variance = _variance(scores, weights)
        on_scale = self._scale_scores[rows]
        spread = float(np.average(_variance(on_scale, weights), weights=self._of_scale))
        weight, isotropic = _shrinkage(self.samples[rows], weights, worth)
        shrunk = (1 - weight) * spread + weight * isotropic * self._scale_length
        biases = {"dn": mean, "dn2": mean, "is": mean, "sinkhorn": mean}
        if shrunk > 0:
            along = (1 - weight) * variance + weight * isotropic * self._lengths
            biases["dn2"] = mean + _scale("dn2") / math.sqrt(shrunk) / 2 * along
        coverage = self.coverage(rows, weights)
        own = own_from(coverage) if self.weighing.gated and coverage.narrow else None
        if spread > 0 and "is" in self.methods:
            biases["is"] = _log_mean_exp(scores, _scale("is") / math.sqrt(spread), weights, own)
        if spread > 0 and "sinkhorn" in self.methods:
            beta = _scale("sinkhorn") / math.sqrt(spread)
            biases["sinkhorn"] = _potential(scores, beta, weights)
        k = default_k(worth)
        biases["nnn"] = _nearest(scores, k, weights, own)
        if "ridge" in self.methods:
            nearest = _nearest(on_scale, k, weights, own)
            penalty = float(METHODS["ridge"].params["weight"])
            biases["ridge"] = self._gallery @ linear_fit(self._scale, nearest, penalty)
        return biases

    def coverage(self, rows: Mask, weights: Float64 | None = None) -> Coverage:
        """How some of the samples cover the rows that set the scale."""
        scores = self._scale_scores[rows]
        best = scores.argmax(axis=1)
        worth = None if self._of_scale is None else float(self._of_scale.sum())
        times = None if self.weighing.times is None else float(self.weighing.times[rows].sum())
        leading = scores[np.arange(len(best)), best]
        return spread_over(best, leading, scores.shape[1], weights, worth, times)


def _variance(scores: Float64, weights: Float64 | None) -> Float64:
    if weights is None:
        return np.asarray(scores.var(axis=0))
    centred = scores - np.average(scores, axis=0, weights=weights)
    return np.asarray(np.average(centred**2, axis=0, weights=weights))


def _shrinkage(rows: Float64, weights: Float64 | None, worth: float) -> tuple[float, float]:
    """Weight of the isotropic target, and its value tr(S)/d."""
    d = rows.shape[1]
    centred = rows - np.average(rows, axis=0, weights=weights)
    if weights is not None:
        centred = centred * np.sqrt(weights)[:, None]
    trace = float(np.sum(centred**2)) / worth
    if worth >= d:
        return 0.0, trace / d
    square = float(np.sum((centred @ centred.T) ** 2)) / worth**2
    return oas_shrinkage(trace, square, worth, d), trace / d


def _nearest(scores: Float64, k: int, weights: Float64 | None, own: Float64 | None) -> Float64:
    n = len(scores)
    if weights is None and own is None:
        return np.asarray(np.partition(scores, n - k, axis=0)[n - k :].mean(axis=0))
    each = np.ones(n) if weights is None else weights
    left_out = None if own is None else (scores >= own[:, None]).T
    nearest = weighted_mean_of_largest(scores.T, each, k, left_out)
    return np.where(np.isnan(nearest), np.average(scores, axis=0, weights=each), nearest)


def _scale(method: str) -> float:
    return float(METHODS[method].params["scale"])


def _log_mean_exp(
    scores: Float64, beta: float, weights: Float64 | None, own: Float64 | None
) -> Float64:
    mean = np.average(scores, axis=0, weights=weights)
    exponents = beta * (scores - mean)
    counts = np.ones(len(scores)) if weights is None else weights
    whole: Float64 | float = counts.sum()
    if own is not None:
        left_out = scores >= own[:, None]
        exponents[left_out] = -np.inf
        whole = whole - counts @ left_out
    peak = exponents.max(axis=0)
    some = np.isfinite(peak)
    peak = np.where(some, peak, 0)
    total = counts @ np.exp(exponents - peak)
    some &= total > 0
    share = np.where(some, total, 1) / np.where(some, whole, 1)
    return np.asarray(mean + (peak + np.log(share)) / beta)


def _potential(scores: Float64, beta: float, weights: Float64 | None) -> Float64:
    """As `distnorm.methods.sinkhorn`, from one matrix of exponentials where they fit float64."""
    params = METHODS["sinkhorn"].params
    n, m = scores.shape
    share = np.full(n, 1 / n) if weights is None else weights / weights.sum()
    top = scores.max(axis=1, keepdims=True)
    kernel = np.exp(beta * (scores - top))
    f, g = np.zeros(n), np.zeros(m)
    tiny = np.finfo(np.float64).tiny
    shift = top.ravel()
    for _ in range(params["iterations"]):
        # The largest term of each sum stays of order 1: f and top leave the exponent together.
        level = float((shift - f).max())
        total = (share * np.exp(beta * (shift - f - level))) @ kernel
        previous, g = g, level + np.log(np.maximum(total, tiny)) / beta
        if np.max(np.abs(g - previous)) <= params["tolerance"]:
            break
        low = float(g.min())
        f = shift - low + np.log(np.maximum(kernel @ np.exp(-beta * (g - low)) / m, tiny)) / beta
    return g

"""The far tail of a distribution: a generalised Pareto law on exceedances.

Above a high level u, with z = s - u, scale sigma and shape xi,

    P(S > u + z | S > u) = (1 + xi z / sigma)^(-1/xi),     exp(-z / sigma) at xi = 0

(Pickands 1975; Balkema, de Haan 1974). xi < 0 means a largest possible score, u - sigma / xi.
The parameters maximise the likelihood of the exceedances' counts in 40 bins on a grid of (xi,
sigma), with a normal penalty on xi that keeps few exceedances from running wild (the idea of
Martins, Stedinger 2000). Counts may be weighted, so that hundreds of bootstrap replicates are
one matrix product.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from distnorm.arrays import Float64

__all__ = ["ParetoTail", "fit_tails", "tail_bins"]


_SHAPES = np.round(np.linspace(-0.7, 0.7, 71), 4)
_SCALES = np.exp(np.linspace(-1.2, 1.8, 151))
_PENALTY = 0.2
_BINS = 40


@dataclass(frozen=True)
class ParetoTail:
    """P(S > s) = rate (1 + shape (s - above) / scale)^(-1 / shape) for s >= above."""

    above: float
    rate: float
    scale: float
    shape: float

    def survival(self, scores: npt.ArrayLike) -> Float64:
        """P(S > s), for scores from ``above`` on."""
        z = (np.asarray(scores, dtype=np.float64) - self.above) / self.scale
        return self.rate * _survival(z, np.float64(self.shape))

    def quantile(self, rates: npt.ArrayLike) -> Float64:
        """The score with P(S > s) = rate, for rates up to ``rate``."""
        share = np.log(np.asarray(rates, dtype=np.float64) / self.rate)
        xi = self.shape
        z = -share if xi == 0 else np.expm1(-xi * share) / xi
        score: Float64 = self.above + self.scale * z
        return score


def tail_bins(exceedances: Float64) -> Float64:
    """Edges of bins for `fit_tails`, from 0 on, by quantiles of z; the last bin is open."""
    inner = np.quantile(exceedances, np.linspace(0, 1, _BINS + 1)[1:-1])
    return np.unique(np.concatenate([[0.0], inner[inner > 0]]))


def fit_tails(counts: Float64, edges: Float64, mean: float) -> tuple[Float64, Float64]:
    """Scale and shape, (r,) each, from counts (r, b) in bins from ``edges`` on and their mean."""
    xi = _SHAPES[:, None, None]
    sigma = mean * _SCALES[None, :, None]
    above = _survival(edges[None, None, :] / sigma, xi)
    closed = np.concatenate([above, np.zeros((*above.shape[:2], 1))], axis=2)
    share = np.maximum(closed[..., :-1] - closed[..., 1:], 1e-300)
    logs = np.log(share).reshape(-1, len(edges))
    penalty = np.repeat(0.5 * (_SHAPES / _PENALTY) ** 2, len(_SCALES))
    best = (counts @ logs.T - penalty).argmax(axis=1)
    return mean * _SCALES[best % len(_SCALES)], _SHAPES[best // len(_SCALES)]


def _survival(z: Float64, xi: Float64) -> Float64:
    """(1 + xi z)^(-1/xi), 0 beyond the largest value, exp(-z) where xi is 0."""
    safe = np.where(xi == 0, 1.0, xi)
    base = 1 + safe * z
    with np.errstate(divide="ignore", over="ignore"):
        power = np.exp(-np.log(np.maximum(base, 0.0)) / safe)
    values: Float64 = np.where(xi == 0, np.exp(-z), np.where(base > 0, power, 0.0))
    return values

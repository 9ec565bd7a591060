"""Order 2: mean and covariance of the queries.

    b(y) = m . y + (beta / 2) y' S y        m, S: mean (d,) and covariance (d, d) of the queries

is the cumulant expansion of (1/beta) log E exp(beta q . y) to second order, exact for Gaussian
queries. The inverse temperature beta = 1/t is set from the data unless given,

    beta = scale / sigma,   sigma^2 = average over the other side's items y of y' S y,

because a beta that suits CLIP (sigma .04 to .07) ruins a model whose scores spread widely.

With fewer queries than dimensions S is shrunk towards (tr(S)/d) I by the oracle approximating
shrinkage of Chen, Wiesel, Eldar, Hero (IEEE TSP 2010):

    rho = min(1, ((1 - 2/d) tr(S^2) + tr(S)^2) / ((n + 1 - 2/d) (tr(S^2) - tr(S)^2 / d)))

The idea of second moments in this expansion is not ours: see "Inference Calibration", and
"InfoNCE induces Gaussian distribution", arXiv 2602.24012.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from distnorm.arrays import (
    Array,
    Float64,
    as_working,
    blocks,
    from_numpy,
    namespace,
    rows_per_block,
    to_numpy,
)
from distnorm.methods.base import Method, Parameter, positive, positive_integer, share
from distnorm.methods.statistics import SideStatistics
from distnorm.moments import Moments

__all__ = [
    "DN2",
    "Covariance",
    "oas_shrinkage",
    "plain_spread",
    "quadratic_bias",
    "query_spread",
    "shrunk_covariance",
]


@dataclass(frozen=True)
class Covariance:
    """S as a form to evaluate: a full matrix, or A'A - m m' + isotropic I with factor A."""

    full: Float64 | None
    factor: Float64 | None
    mean: Float64  # subtracted in the low-rank form only
    isotropic: float
    shrinkage: float  # the rho that was applied

    def along(self, items: Array) -> Array:
        """Y' S y for every row y of ``items``, shape (n, d) -> (n,), never negative."""
        working = as_working(items)
        xp = namespace(working)
        if self.full is not None:
            product = xp.matmul(working, from_numpy(self.full, working))
            values = xp.vecdot(product, working)
        else:
            projected = xp.matmul(working, from_numpy(np.asarray(self.factor).T, working))
            along_mean = xp.matmul(working, from_numpy(self.mean, working))
            lengths = xp.sum(working * working, axis=1)
            values = xp.sum(projected * projected, axis=1) - along_mean**2
            values = values + self.isotropic * lengths
        return xp.where(values > 0, values, xp.zeros_like(values))

    def average_along(self, moments: Moments) -> float:
        """E[y' S y] over the rows y that ``moments`` of order 2 were taken from."""
        if self.full is not None and moments.second is not None:
            return max(0.0, float(np.vdot(self.full, moments.second)) / moments.weight)
        if self.full is not None:
            return max(0.0, float(np.vdot(self.full, moments.second_moment())))
        if moments.factor is None:
            second, factor = moments.second_moment(), np.asarray(self.factor)
            whole = float(np.vdot(factor @ second, factor) - self.mean @ second @ self.mean)
            return max(0.0, whole + self.isotropic * float(np.trace(second)))
        rest = moments.residual / moments.weight / moments.factor.shape[1]
        leading = float(np.sum(self.along(moments.factor))) / moments.weight
        return float(leading + rest * self._trace())

    def _trace(self) -> float:
        factor = np.asarray(self.factor)
        return float(np.sum(factor**2) - self.mean @ self.mean + self.isotropic * len(self.mean))


def oas_shrinkage(trace: float, trace_of_square: float, n: float, d: int) -> float:
    """Weight of the isotropic target in [0, 1]; see the module's formula."""
    spread = trace_of_square - trace**2 / d
    if spread <= 0:
        return 1.0
    rho = ((1 - 2 / d) * trace_of_square + trace**2) / ((n + 1 - 2 / d) * spread)
    return float(min(1.0, max(0.0, rho)))


def shrunk_covariance(moments: Moments, shrinkage: float | None = None) -> Covariance:
    """Covariance of ``moments`` (order 2), shrunk towards (tr(S)/d) I by this weight.

    Left out, it is `oas_shrinkage` if there are fewer rows than dimensions, else 0.
    """
    n, m = moments.worth, moments.mean
    d = len(m)
    if moments.factor is None:
        full = moments.covariance()
        trace, square = float(np.trace(full)), float(np.vdot(full, full))
        rho = _weight(shrinkage, trace, square, n, d)
        full *= 1 - rho
        np.einsum("ii->i", full)[:] += rho * trace / d
        return Covariance(full, None, m, 0.0, rho)
    factor = moments.factor / math.sqrt(moments.weight)
    rest = moments.residual / moments.weight / d
    gram = factor @ factor.T
    low_trace = float(np.trace(gram) - m @ m)
    low_square = float(np.sum(gram**2) - 2 * np.sum((factor @ m) ** 2) + (m @ m) ** 2)
    trace = low_trace + rest * d
    square = low_square + 2 * rest * low_trace + rest**2 * d
    rho = _weight(shrinkage, trace, square, n, d)
    keep = math.sqrt(1 - rho)
    isotropic = (1 - rho) * rest + rho * trace / d
    return Covariance(None, keep * factor, keep * m, isotropic, rho)


def _weight(shrinkage: float | None, trace: float, square: float, n: float, d: int) -> float:
    if shrinkage is not None:
        return shrinkage
    return oas_shrinkage(trace, square, n, d) if n < d else 0.0


def query_spread(covariance: Covariance, items: Moments | Array) -> float:
    """Sigma: root of the average over items y of y' S y, the spread of scores over queries."""
    if isinstance(items, Moments):
        return math.sqrt(covariance.average_along(items))
    total = 0.0
    for rows in blocks(items.shape[0], rows_per_block(items.shape[1])):
        total += float(np.sum(to_numpy(covariance.along(items[rows, ...]), np.float64)))
    return math.sqrt(total / items.shape[0])


def plain_spread(queries: Moments, items: Moments) -> float:
    """`query_spread` of the covariance as it is, which is not built where both are in full."""
    if queries.second is None or items.second is None:
        return query_spread(shrunk_covariance(queries, 0.0), items)
    m = queries.mean
    whole = float(np.vdot(queries.second, items.second)) / queries.weight
    return math.sqrt(max(0.0, whole - float(m @ items.second @ m)) / items.weight)


def quadratic_bias(items: Array, mean: Float64, covariance: Covariance, beta: float) -> Array:
    """M . y + (beta / 2) y' S y: shapes (n, d), (d,) give (n,)."""
    parts: list[Any] = []
    for rows in blocks(items.shape[0], rows_per_block(items.shape[1])):
        block = as_working(items[rows, ...])
        linear = namespace(block).matmul(block, from_numpy(mean, block))
        parts.append(linear + beta / 2 * covariance.along(block))
    return namespace(parts[0]).concat(parts)


def _beta(covariance: Covariance, items: Moments | Array, params: Any) -> float:
    if params["beta"] is not None:
        return float(params["beta"])
    spread = query_spread(covariance, items)
    return float(params["scale"] / spread) if spread > 0 else 0.0


def _bias(items: Array, queries: SideStatistics, others: SideStatistics, params: Any) -> Array:
    """Without moments of the items' side the items of the call set the scale."""
    covariance = shrunk_covariance(queries.moments, params["shrinkage"])
    beta = _beta(covariance, others.moments if others.moments.count else items, params)
    return quadratic_bias(items, queries.moments.mean, covariance, beta)


def _in_force(queries: SideStatistics, others: SideStatistics, params: Any) -> Any:
    covariance = shrunk_covariance(queries.moments, params["shrinkage"])
    known = params["beta"] is not None or others.moments.count
    beta = _beta(covariance, others.moments, params) if known else None
    rank = params["rank"] or "full"
    return {"beta": beta, "shrinkage": covariance.shrinkage, "rank": rank}


DN2 = Method(
    "dn2",
    "second-order Distribution Normalization",
    "arXiv 2602.24012 and Inference Calibration for the idea",
    parameters={
        "beta": Parameter(None, positive),
        "scale": Parameter(1.5, positive),
        "shrinkage": Parameter(None, share),
        "rank": Parameter(None, positive_integer),
    },
    bias=_bias,
    in_force=_in_force,
    order=2,
    scale_aware=True,
)

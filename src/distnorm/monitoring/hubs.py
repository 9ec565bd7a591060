"""Hubs: how often items come up, and which single items come up implausibly often.

With N(x) the number of n queries that have item x among their first k, of m items,

    skewness         the third standardised moment of N; 0 where all items come up alike
    effective items  (sum N)^2 / sum N^2: so many items, each as often as the others, crowd the
                     lists as much; m where all come up alike, k where the same k always do

The null model of the audit: items differ, and no item is out of line with the others. N(x) is
Poisson given the item's own rate, and rates are log-normal over items: log rate ~ Normal(log
median, spread^2). Its two numbers are fitted by maximum likelihood to counts that are censored
above their 95 % quantile (of all items or of those that come up, the higher one), so that what is
out of line, up to one item in twenty, does not hide itself. An item is reported where

    m P(N >= N(x)) <= alert rate

so the alert rate is the expected number of reports, and a bound of the chance of any, in a
collection that follows the model. Most clean collections have shorter tails than it and raise
fewer; where a few items truly are hubs for what people ask, they are reported too, and looking at
them is the point. The tail of a Poisson law is exact up to 64 and by the cube root of Wilson and
Hilferty (1931) above.

References: Radovanovic, Nanopoulos, Ivanovic, Hubs in Space, JMLR 2010 (N, skewness); Aitchison,
Ho, The multivariate Poisson-log normal distribution, Biometrika 1989 (the law of counts).
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt

from distnorm.arrays import Float64, Int64
from distnorm.errors import DistnormError
from distnorm.metrics import skewness

__all__ = ["CountModel", "Occurrences", "audit", "fit_counts"]


_CENSORED = 0.95
_EXACT = 64  # Poisson tails are sums below, approximated above
_EDGES = 24  # cells of the likelihood
_STEPS, _ROUNDS = 9, 4
_LEAST = 20  # items that come up, for a fit


@dataclass(frozen=True)
class Occurrences:
    """How often the items of a collection come up under one ranking; see the module."""

    method: str  # what ranked; ``dot`` and 0 for the raw scores
    strength: float
    items_found: int  # items that come up at all
    largest: int  # queries that find the largest hub
    skewness: float
    effective_items: float

    @classmethod
    def of(cls, counts: Int64, method: str, strength: float) -> Occurrences:
        """Figures of counts, shape (n_items,), zeros included."""
        total, squares = float(counts.sum()), float(np.sum(counts.astype(np.float64) ** 2))
        return cls(
            method,
            float(strength),
            int(np.count_nonzero(counts)),
            int(counts.max(initial=0)),
            skewness(counts) if len(counts) else 0.0,
            total**2 / squares if squares else 0.0,
        )

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


@dataclass(frozen=True)
class CountModel:
    """Poisson counts whose rates are log-normal over items: the null model of `audit`."""

    median: float
    spread: float

    def survival(self, counts: npt.ArrayLike) -> Float64:
        """P(N >= c) for whole numbers c from 0 on."""
        least = np.asarray(counts, dtype=np.int64)
        found, inverse = np.unique(least, return_inverse=True)
        z, weight = _normal_grid(801)
        above = _poisson_above(found, self.median * np.exp(self.spread * z))
        return np.asarray((above @ weight)[inverse].reshape(least.shape))


def fit_counts(counts: Int64) -> CountModel | None:
    """The null model of counts (n_items,), whole from 0 on; None for fewer than 20 items found."""
    counts = np.asarray(counts)
    if counts.ndim != 1 or counts.dtype.kind not in "iu" or (len(counts) and counts.min() < 0):
        raise DistnormError(
            f"counts of shape {counts.shape} and dtype {counts.dtype}",
            "a vector of whole numbers from 0 on",
            "count the queries that find each item",
        )
    positive = counts[counts > 0]
    if len(positive) < _LEAST:
        return None
    limit = max(int(np.quantile(counts, _CENSORED)), int(np.quantile(positive, _CENSORED)))
    inside = counts[counts <= limit]
    # A cell ends with each edge; the last one is open: what lies there is censored.
    edges = np.unique(np.quantile(inside, np.linspace(0, 1, _EDGES)).astype(np.int64))
    cells = np.bincount(np.searchsorted(edges, counts), minlength=len(edges) + 1)
    z, weight = _normal_grid(81)
    middle, width = math.log(max(float(np.median(counts)), counts.mean() / 2, 1e-9)), 3.0
    spread, reach = 1.5, 1.5
    for _ in range(_ROUNDS):
        best = -np.inf
        start, scale = middle, spread
        for log_median in start + np.linspace(-width, width, _STEPS):
            for candidate in np.unique(np.clip(scale + np.linspace(-reach, reach, _STEPS), 0, 4)):
                below = 1 - _poisson_above(edges + 1, np.exp(log_median + candidate * z)) @ weight
                share = np.maximum(np.diff(below, prepend=0.0, append=1.0), 1e-12)
                likelihood = float(cells @ np.log(share))
                if likelihood > best:
                    best, middle, spread = likelihood, float(log_median), float(candidate)
        width, reach = width / 3, reach / 3
    return CountModel(math.exp(middle), spread)


def audit(counts: Int64, alert_rate: float = 0.01) -> Float64 | None:
    """How many items would come up as often by chance, for items that come up implausibly often.

    ``counts`` (n_items,) are the queries that find each item among their first k, zeros included;
    ``alert_rate`` in (0, 1) the expected number of reports in a collection that follows the null
    model of the module. The result is NaN for items that are not reported, and None where fewer
    than 20 items come up: too few to know. Raises `DistnormError` for counts that are none, or
    another rate.

    Examples
    --------
    >>> import numpy as np
    >>> counts = np.random.default_rng(0).poisson(5, 1000)
    >>> counts[7] = 90
    >>> np.flatnonzero(np.isfinite(audit(counts))).tolist()
    [7]
    """
    if not isinstance(alert_rate, (int, float, np.floating)) or not 0 < alert_rate < 1:
        raise DistnormError(f"alert rate {alert_rate!r}", "a number between 0 and 1", "try 0.01")
    model = fit_counts(counts)
    if model is None:
        return None
    expected = len(counts) * model.survival(counts)
    return np.where(expected <= alert_rate, expected, np.nan)


@cache
def _normal_grid(points: int) -> tuple[Float64, Float64]:
    """Even points from -8 to 8 and their weights under a standard normal law."""
    z = np.linspace(-8, 8, points)
    weight = np.exp(-(z**2) / 2)
    return z, weight / weight.sum()


@cache
def _normal_table() -> tuple[Float64, Float64]:
    """Points and P(Z <= z) at them."""
    z = np.linspace(-9, 9, 3601)
    return z, np.array([0.5 * math.erfc(-value / math.sqrt(2)) for value in z])


def _poisson_above(counts: Int64, rates: Float64) -> Float64:
    """P(N >= c) for each count and rate, (counts, rates)."""
    above = np.ones((len(counts), len(rates)))
    small = (counts > 0) & (counts < _EXACT)
    if small.any():
        n = np.arange(_EXACT)
        factorials = np.array([math.lgamma(value + 1) for value in n])
        logs = n[:, None] * np.log(rates) - rates - factorials[:, None]
        below = np.cumsum(np.exp(logs), axis=0)
        above[small] = np.maximum(1 - below[counts[small] - 1], 0)
    large = counts >= _EXACT
    if large.any():
        c = counts[large, None].astype(np.float64)
        value = ((rates / c) ** (1 / 3) - (1 - 1 / (9 * c))) * 3 * np.sqrt(c)
        above[large] = np.interp(value, *_normal_table())
    return above

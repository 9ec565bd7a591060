"""Whether statistics still fit: means compared in units of what sampling alone gives.

Sample means m_A and m_B of n_A and n_B rows of one distribution with covariance S differ by d
with E|d|^2 = tr V, V = S_A / n_A + S_B / n_B. |d|^2 is then a sum of chi-squares with the
eigenvalues of V as weights; with c_k = tr V^k it is matched in three moments (Buckley, Eagleson,
Australian Journal of Statistics 1988),

    nu = c_2^3 / c_3^2,     T = nu + sqrt(2 nu) (|d|^2 - c_1) / sqrt(2 c_2)  ~  chi-square(nu)

with the tail of chi-square by Wilson and Hilferty's cube root (1931). nu, the effective number of
dimensions, takes a covariance: of second-order statistics, of a bank, or of a probe. Where there
is none, 3 dimensions of equal weight are assumed (CLIP ViT-B/16 on COCO has 7), which makes the
test say "different" less readily; results say so.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from distnorm.arrays import Array, to_numpy
from distnorm.errors import DistnormError
from distnorm.metrics.correlations import kendall_tau
from distnorm.metrics.ranks import top_items
from distnorm.moments import Moments

__all__ = [
    "Difference",
    "MeanTest",
    "check_sides",
    "compare_means",
    "difference",
    "side_covariance",
]

ASSUMED_DIMENSIONS = 3

Float64 = npt.NDArray[np.float64]

_TAU_QUERIES = 100


@dataclass(frozen=True)
class MeanTest:
    """Two means compared.

    Attributes
    ----------
    counts : tuple of two int
    distance : float
        |m_A - m_B|.
    expected : float
        Root mean square distance of two such samples of one distribution, sqrt(tr V).
    dimensions : float
        nu.
    assumed : bool
        Whether ``dimensions`` was assumed for want of a covariance.
    p_value : float
        Probability of such a distance or more without a difference.
    """

    counts: tuple[int, int]
    distance: float
    expected: float
    dimensions: float
    assumed: bool
    p_value: float

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {**vars(self), "counts": list(self.counts)}


def compare_means(
    first: Moments,
    second: Moments,
    *,
    covariances: tuple[Float64 | None, Float64 | None] | None = None,
) -> MeanTest:
    """Test whether two sets of moments have one mean.

    Parameters
    ----------
    first, second : Moments
        Of at least 2 rows each, independent of each other.
    covariances : pair of arrays or None, optional
        Shape (d, d); those of second-order moments if left out. One serves both.

    Raises
    ------
    DistnormError
        For other dimensions or too few rows.
    """
    if first.dimension != second.dimension:
        raise DistnormError(
            f"means of {first.dimension} and {second.dimension} dimensions", "one model", "refit"
        )
    for found in (first, second):
        if found.count < 2:
            raise DistnormError(
                f"a mean of {found.count} rows", "at least 2", "a single row has no spread"
            )
    if covariances is None:
        covariances = (_own_covariance(first), _own_covariance(second))
    d = first.mean - second.mean
    square = float(d @ d)
    spreads = [_spread(found) / found.count for found in (first, second)]
    total = sum(spreads)
    known = [(c, s) for c, s in zip(covariances, spreads, strict=True) if c is not None]
    if total <= 0:
        return MeanTest(
            _counts(first, second), math.sqrt(square), 0.0, 0.0, True, float(square <= 0)
        )
    if known:
        weight = sum(s for _, s in known)
        v: Float64 = np.zeros_like(known[0][0])
        for covariance, share in known:
            v = v + covariance * (share / max(float(np.trace(covariance)), 1e-300))
        v = v * (total / max(weight, 1e-300))
        square_v = v @ v
        # Traces of powers: cheaper than eigenvalues.
        c1, c2, c3 = total, float(np.trace(square_v)), float(np.sum(square_v * v))
    else:
        c1, c2, c3 = (total**k / ASSUMED_DIMENSIONS ** (k - 1) for k in (1, 2, 3))
    nu = c2**3 / c3**2
    statistic = nu + math.sqrt(2 * nu) * (square - c1) / math.sqrt(2 * c2)
    return MeanTest(
        _counts(first, second),
        math.sqrt(square),
        math.sqrt(total),
        nu,
        not known,
        _chi_square_tail(statistic, nu),
    )


@dataclass(frozen=True)
class Difference:
    """Whether two normalizations are interchangeable, and why.

    Attributes
    ----------
    interchangeable : bool
    why : str
    settings : dict
        What differs of method, strength, params, sides, input, model, prompt: (A, B).
    means : dict from side to MeanTest
    ranking : dict or None
        Query side -> ``queries``, ``top1_changed``, ``overlap@10``, ``kendall_tau``.
    level, tolerance : float
    """

    interchangeable: bool
    why: str
    settings: dict[str, tuple[Any, Any]]
    means: dict[str, MeanTest]
    ranking: dict[str, dict[str, float]] | None
    level: float
    tolerance: float

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "interchangeable": self.interchangeable,
            "why": self.why,
            "settings": {key: list(pair) for key, pair in self.settings.items()},
            "means": {side: test.to_dict() for side, test in self.means.items()},
            "ranking": self.ranking,
            "level": self.level,
            "tolerance": self.tolerance,
        }


def difference(
    first: Any,
    second: Any,
    probe: Mapping[str, Array] | None = None,
    *,
    level: float = 0.01,
    tolerance: float = 0.01,
) -> Difference:
    """Compare two normalizations.

    With a probe they are interchangeable if at most a share ``tolerance`` of its queries gets
    another best item, in both directions. Without one, if method, strengths, parameters, model
    and prompt agree and no side's means differ by more than sampling gives: p >= ``level`` after
    doubling for two sides. Large samples make any difference significant: then a probe tells
    whether it matters.

    Parameters
    ----------
    first, second : ScoreNormalization, fitted
    probe : mapping from side to array, optional
        Rows of both sides to rank.
    level, tolerance : float

    Raises
    ------
    DistnormError
        For other sides or dimensions, or a probe of one side.
    """
    if first.sides != second.sides:
        raise DistnormError(
            f"sides {second.sides}", f"{first.sides} as the other", "compare like with like"
        )
    if None not in (first.dimension, second.dimension) and first.dimension != second.dimension:
        raise DistnormError(
            f"{second.dimension} dimensions",
            f"{first.dimension} as the other",
            "compare statistics of one model",
        )
    keys = ("method", "strength", "params", "input", "model", "prompt")
    settings = {
        key: (getattr(first, key), getattr(second, key))
        for key in keys
        if getattr(first, key) != getattr(second, key)
    }
    means = {}
    for side in first.sides:
        found = first.moments(side), second.moments(side)
        if found[0] is not None and found[1] is not None and min(f.count for f in found) >= 2:
            covariances = [side_covariance(norm, side) for norm in (first, second)]
            if all(c is None for c in covariances) and probe is not None and side in probe:
                covariances[0] = np.cov(to_numpy(probe[side], np.float64).T)
            means[side] = compare_means(*found, covariances=(covariances[0], covariances[1]))
    ranking = None if probe is None else _ranking(first, second, probe)
    if ranking is not None:
        worst = max(found["top1_changed"] for found in ranking.values())
        same = worst <= tolerance
        why = f"{worst:.1%} of the probe's queries get another best item ({tolerance:.1%} allowed)"
    elif settings:
        same, why = False, f"different {', '.join(settings)}"
    elif not means:
        same = all(first.moments(s) is None and second.moments(s) is None for s in first.sides)
        why = "no statistics on either side" if same else "statistics of different sides"
    else:
        side = min(means, key=lambda name: means[name].p_value)
        p = min(1.0, len(means) * means[side].p_value)
        same = p >= level
        word = "no more than" if same else "more than"
        why = (
            f"{side} means lie {means[side].distance:.4f} apart, {word} sampling explains "
            f"({means[side].expected:.4f} expected; p = {p:.2g}, level {level:g})"
        )
    return Difference(same, why, settings, means, ranking, level, tolerance)


def check_sides(norm: Any, side: str, rows: Array) -> None:
    """Raise if ``rows``, given as ``side``, look like the other side's.

    Told by the modality gap: their mean lies nearer to the other side's mean than to their
    own, by more than the standard errors. Without a gap nothing can be told.

    Raises
    ------
    DistnormError
        If so.
    """
    other = norm._names.other(side)
    own, others = norm.moments(side), norm.moments(other)
    if own is None or others is None or rows.shape[0] < 2:
        return
    found = Moments().update(rows)
    gap = float(np.linalg.norm(own.mean - others.mean))
    errors = [m.uncertainty().standard_error for m in (own, others, found)]
    # Position along the gap: 0 at the own mean, 1 at the other's.
    at = float((found.mean - own.mean) @ (others.mean - own.mean)) / max(gap, 1e-12) ** 2
    if all(math.isfinite(e) for e in errors) and gap > 2 * sum(errors) and at > 0.75:
        raise DistnormError(
            f"{norm._names.plural(side)} that look like {norm._names.plural(other)}",
            f"rows near the {side} mean (these lie {at:.0%} of the modality gap away from it)",
            "swap the two inputs, or fit on rows like these",
        )


def _ranking(first: Any, second: Any, probe: Mapping[str, Array]) -> dict[str, dict[str, float]]:
    for side in first.sides:
        if side not in probe:
            raise DistnormError(f"a probe without {side} rows", "both sides", "give both")
    result = {}
    for side in first.sides:
        queries, items = probe[side], probe[first._names.other(side)]
        rankings = [norm.ranking(queries, items, side) for norm in (first, second)]
        tops = [top_items(ranking, min(10, items.shape[0])) for ranking in rankings]
        overlap = [len(np.intersect1d(a, b)) / len(a) for a, b in zip(*tops, strict=True)]
        few = queries[:_TAU_QUERIES, ...]
        scores = [
            to_numpy(norm.ranking(few, items, side).scores(), np.float64)
            for norm in (first, second)
        ]
        taus = [kendall_tau(a, b) for a, b in zip(*scores, strict=True) if np.ptp(a) and np.ptp(b)]
        result[side] = {
            "queries": int(queries.shape[0]),
            "top1_changed": float(np.mean(tops[0][:, 0] != tops[1][:, 0])),
            f"overlap@{tops[0].shape[1]}": float(np.mean(overlap)),
            "kendall_tau": float(np.mean(taus)) if taus else 1.0,
        }
    return result


def side_covariance(norm: Any, side: str) -> Float64 | None:
    """Covariance of a side's rows, None where only their mean was kept."""
    statistics = norm._statistics[side]
    if statistics.bank:
        rows = to_numpy(statistics.bank_rows(), np.float64)
        return np.asarray(np.cov(rows.T), dtype=np.float64)
    return _own_covariance(statistics.moments)


def _own_covariance(moments: Moments) -> Float64 | None:
    return moments.covariance() if moments.order == 2 and moments.count >= 2 else None


def _spread(moments: Moments) -> float:
    """tr(S), unbiased."""
    mean = moments.mean
    n = moments.count
    return max(0.0, moments.squares / n - float(mean @ mean)) * n / (n - 1)


def _counts(first: Moments, second: Moments) -> tuple[int, int]:
    return first.count, second.count


def _chi_square_tail(x: float, nu: float) -> float:
    if x <= 0:
        return 1.0
    z = ((x / nu) ** (1 / 3) - (1 - 2 / (9 * nu))) / math.sqrt(2 / (9 * nu))
    return 0.5 * math.erfc(z / math.sqrt(2))

"""Whether two normalizations are interchangeable: their settings, their means, their rankings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from distnorm.arrays import Array, to_numpy
from distnorm.calibration.side_check import swapped_means
from distnorm.errors import DistnormError
from distnorm.metrics.correlations import kendall_tau
from distnorm.metrics.ranks import top_items
from distnorm.moments.mean_test import MeanTest, compare_means
from distnorm.normalization import ScoreNormalization
from distnorm.system.records import plain_fields

__all__ = ["Difference", "difference"]

_TAU_QUERIES = 100


@dataclass(frozen=True)
class Difference:
    """Whether two normalizations are interchangeable, and why."""

    interchangeable: bool
    why: str
    settings: dict[str, tuple[Any, Any]]  # what differs: (A, B)
    means: dict[str, MeanTest]  # by side
    # query side -> ``queries``, ``top1_changed``, ``overlap@10``, ``kendall_tau``
    ranking: dict[str, dict[str, float]] | None
    level: float
    tolerance: float | None

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return plain_fields(self)


def difference(
    first: ScoreNormalization,
    second: ScoreNormalization,
    probe: Mapping[str, Array] | None = None,
    *,
    level: float = 0.01,
    tolerance: float | None = None,
) -> Difference:
    """Compare two normalizations.

    They are interchangeable if method, strengths, parameters, model and prompt agree and no side's
    means differ by more than sampling gives: p >= ``level`` after doubling for two sides, so that
    two samples of one population agree with probability 1 - ``level``. A probe lends its
    covariance to statistics without one and shows what changes in its rankings. Large samples make
    any difference significant: with a ``tolerance`` one that gives at most this share of the
    probe's queries another best item, in both directions, does not count.

    Parameters
    ----------
    first, second : ScoreNormalization, fitted
    probe : mapping from side to array, optional
        Rows of both sides to rank.
    level : float
    tolerance : float, optional
        Takes a probe.

    Raises
    ------
    DistnormError
        For a tolerance without a probe, other sides or dimensions, or a probe of one side.
    """
    if not 0 < level < 1:
        raise DistnormError(f"level {level!r}", "between 0 and 1", "e.g. 0.01")
    if tolerance is not None and not 0 <= tolerance <= 1:
        raise DistnormError(f"tolerance {tolerance!r}", "a share from 0 to 1", "e.g. 0.1")
    if tolerance is not None and probe is None:
        raise DistnormError("a tolerance without a probe", "rows of both sides", "give a probe")
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
        one, two = first.moments(side), second.moments(side)
        if one is not None and two is not None and min(one.count, two.count) >= 2:
            covariances = [norm.statistics[side].covariance() for norm in (first, second)]
            if all(c is None for c in covariances) and probe is not None and side in probe:
                covariances[0] = np.cov(to_numpy(probe[side], np.float64).T)
            means[side] = compare_means(one, two, covariances=(covariances[0], covariances[1]))
    ranking = None if probe is None else _ranking(first, second, probe)
    same, why = _tested(first, second, settings, means, level)
    if swapped_means(first, second):
        why += "; each side looks like the other one's: are the sides swapped?"
    if ranking is not None:
        worst = max(figures["top1_changed"] for figures in ranking.values())
        why += f"; {worst:.1%} of the probe's queries get another best item"
        if tolerance is not None:
            same = same or worst <= tolerance
            why += f", {tolerance:.1%} allowed"
    return Difference(same, why, settings, means, ranking, level, tolerance)


def _tested(
    first: ScoreNormalization,
    second: ScoreNormalization,
    settings: Mapping[str, Any],
    means: Mapping[str, MeanTest],
    level: float,
) -> tuple[bool, str]:
    """Whether settings agree and means do at ``level``, and why."""
    if settings:
        return False, f"different {', '.join(settings)}"
    if not means:
        same = all(first.moments(s) is None and second.moments(s) is None for s in first.sides)
        return same, "no statistics on either side" if same else "statistics of different sides"
    side = min(means, key=lambda name: means[name].p_value)
    p = min(1.0, len(means) * means[side].p_value)
    word = "no more than" if p >= level else "more than"
    return p >= level, (
        f"{side} means lie {means[side].distance:.4f} apart, {word} sampling explains "
        f"({means[side].expected:.4f} expected; p = {p:.2g}, level {level:g})"
    )


def _ranking(
    first: ScoreNormalization, second: ScoreNormalization, probe: Mapping[str, Array]
) -> dict[str, dict[str, float]]:
    for side in first.sides:
        if side not in probe:
            raise DistnormError(f"a probe without {side} rows", "both sides", "give both")
    result = {}
    for side in first.sides:
        queries, items = probe[side], probe[first.names.other(side)]
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

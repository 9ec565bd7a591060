"""Search that may answer "nothing fits": results with false-alarm rates, none below a bar.

A ranking score compares the items of one query. Whether an item matches at all is read from the
two-sided score, which is comparable between queries and has thresholds (`distnorm.calibration`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from distnorm.arrays import Array, to_numpy
from distnorm.calibration.score_kinds import score_kind
from distnorm.errors import DistnormError
from distnorm.normalization import ScoreNormalization, make
from distnorm.search.indexes import Found
from distnorm.tasks.detection import chosen_threshold

__all__ = ["Limits", "judged", "kept_above"]

Results = list[dict[str, Any]]


@dataclass(frozen=True)
class Limits:
    """Above which two-sided score an item is a result, or at which rate of false alarms."""

    threshold: float | None = None
    false_alarm_rate: float | None = None

    def bar(self, norm: ScoreNormalization) -> float | None:
        """The score, None for no limit; raises for a method without two-sided scores."""
        found = chosen_threshold(norm, self.threshold, self.false_alarm_rate)
        if found is not None and not norm.spec.two_sided:
            raise DistnormError(
                f"a threshold and method {norm.method!r}, whose scores of queries do not compare",
                "a method of two-sided scores, such as dn",
                "search without a threshold, or fit another method",
            )
        return found


def kept_above(
    found: Found,
    norm: ScoreNormalization | None,
    two_sided: Callable[[ScoreNormalization, int], Array],
    limits: Limits,
) -> tuple[Found, dict[str, Any]]:
    """Lists of many queries without what is not above the bar, and a verdict.

    ``two_sided`` gives the scores of one query's results in their order.
    """
    norm = make("dot") if norm is None else norm
    bar = limits.bar(norm)
    if bar is None:
        return found, {}
    ids, scores, before = [], [], sum(map(len, found.ids))
    for query, (own, values) in enumerate(zip(found.ids, found.scores, strict=True)):
        keep = np.zeros(0, dtype=bool)
        if len(own):
            keep = to_numpy(two_sided(norm, query), np.float64).reshape(-1) > bar
        ids.append(tuple(item for item, kept in zip(own, keep, strict=True) if kept))
        scores.append(values[keep])
    verdict = {
        "threshold": bar,
        "judged_by": score_kind(norm).to_dict(),
        "rejected": before - sum(map(len, ids)),
        "nothing_fits": sum(not own for own in ids),
    }
    return replace(found, ids=tuple(ids), scores=tuple(scores)), verdict


def judged(
    results: Results,
    norm: ScoreNormalization | None,
    two_sided: Callable[[ScoreNormalization], Array],
    *,
    threshold: float | None = None,
    false_alarm_rate: float | None = None,
) -> tuple[Results, dict[str, Any]]:
    """Results with their two-sided scores and rates, none below the bar, and a verdict.

    ``two_sided`` gives the scores of all results in their order; it is called if needed.
    """
    norm = make("dot") if norm is None else norm
    bar = Limits(threshold, false_alarm_rate).bar(norm)
    calibrated = norm.notes.calibration is not None
    likely = norm.notes.probability is not None
    if not norm.spec.two_sided or not (calibrated or likely or bar is not None) or not results:
        return results, {}
    scores = to_numpy(two_sided(norm), np.float64).reshape(-1)
    columns = {"two_sided": scores}
    if calibrated:
        columns["false_alarm_rate"] = norm.false_alarm_rate(scores).value
    if likely:
        columns["probability"] = norm.probability(scores)
    results = [
        {**entry, **{name: float(column[at]) for name, column in columns.items()}}
        for at, entry in enumerate(results)
    ]
    if bar is None:
        return results, {}
    kept = [entry for entry in results if entry["two_sided"] > bar]
    verdict = {
        "threshold": bar,
        "judged_by": score_kind(norm).to_dict(),
        "rejected": len(results) - len(kept),
        "nothing_fits": not kept,
    }
    return kept, verdict

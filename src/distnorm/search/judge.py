"""Search that may answer "nothing fits": results with false-alarm rates, none below a bar.

A ranking score compares the items of one query. Whether an item matches at all is read from the
two-sided score, which is comparable between queries and has thresholds (`distnorm.calibration`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from distnorm.arrays import Array, to_numpy
from distnorm.calibration.score_kinds import score_kind
from distnorm.normalization import ScoreNormalization, make
from distnorm.tasks.detection import chosen_threshold

__all__ = ["judged"]

Results = list[dict[str, Any]]


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
    bar = chosen_threshold(norm, threshold, false_alarm_rate)
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

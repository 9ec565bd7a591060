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
from distnorm.normalization import ScoreNormalization
from distnorm.tasks.detection import chosen_threshold

__all__ = ["judged"]


def judged(
    found: dict[str, Any],
    norm: Any,
    two_sided: Callable[[ScoreNormalization], Array],
    *,
    threshold: float | None = None,
    false_alarm_rate: float | None = None,
) -> dict[str, Any]:
    """A search's answer with each result judged, and without those below the threshold.

    Parameters
    ----------
    found : dict
        With ``results``.
    norm : ScoreNormalization or None
        None is the dot product; a false-alarm rate takes a calibrated one.
    two_sided : callable
        Gives the two-sided scores of the results, k numbers in their order; called if needed.
    threshold, false_alarm_rate : float, optional
        At most one of them.

    Returns
    -------
    dict
        ``found`` with ``two_sided`` and, where calibrated, ``false_alarm_rate`` and
        ``probability`` in each result;
        with a threshold also ``threshold``, ``judged_by`` (what kind of score), ``rejected``
        (how many results fell below it) and ``nothing_fits``.

    Raises
    ------
    DistnormError
        For both a threshold and a rate, or a rate without a calibration.
    """
    from distnorm.normalization.factories import make

    norm = make("dot") if norm is None else norm
    bar = chosen_threshold(norm, threshold, false_alarm_rate)
    calibrated = "calibration" in norm.notes
    likely = "probability" in norm.notes
    results = found["results"]
    if norm.method == "qbnorm" or not (calibrated or likely or bar is not None) or not len(results):
        return found
    scores = to_numpy(two_sided(norm), np.float64).reshape(-1)
    rates = norm.false_alarm_rate(scores).value if calibrated else None
    chances = norm.probability(scores) if likely else None
    for at, entry in enumerate(results):
        entry["two_sided"] = float(scores[at])
        if rates is not None:
            entry["false_alarm_rate"] = float(rates[at])
        if chances is not None:
            entry["probability"] = float(chances[at])
    if bar is None:
        return found
    kept = [entry for entry in results if entry["two_sided"] > bar]
    return {
        **found,
        "threshold": bar,
        "judged_by": score_kind(norm).to_dict(),
        "rejected": len(results) - len(kept),
        "nothing_fits": not kept,
        "results": kept,
    }

"""Methods x draws: the same statistics for every method, paired intervals, failures by reason."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from distnorm.comparison import MethodResult
from distnorm.comparison.protocol import method_norms
from distnorm.comparison.tally import Outcome, Tally
from distnorm.errors import DistnormError
from distnorm.methods.registry import parse_method
from distnorm.normalization import ScoreNormalization
from distnorm.paper.protocols import Protocol

__all__ = ["Outcome", "Results", "labelled_norms", "run_methods"]

Rows = npt.NDArray[np.intp]
Results = tuple[dict[str, MethodResult], dict[str, str]]


def labelled_norms(methods: Sequence[str]) -> dict[str, ScoreNormalization]:
    """Unfitted normalizations by the words that asked for them, the dot product first.

    Raises
    ------
    DistnormError
        For an unknown method or one that is there twice.
    """
    words = [text.strip() for text in methods]
    others = [text for text in words if parse_method(text) != ("dot", None, {})]
    return dict(zip(["dot", *others], method_norms(words), strict=True))


def run_methods(
    norms: Mapping[str, ScoreNormalization],
    n_draws: int,
    evaluate: Callable[[str, int], Outcome],
    owners: Mapping[str, Rows | None],
    n_images: int,
    protocol: Protocol,
    progress: Callable[[int, int], None] | None = None,
) -> Results:
    """Evaluate every method under every draw.

    Parameters
    ----------
    norms : mapping from label to ScoreNormalization
        Unfitted, the dot product first.
    n_draws : int
    evaluate : callable
        (label, number of the draw) to `Outcome`.
    owners, n_images
        As `Tally`.
    protocol : Protocol
    progress : callable, optional
        Called with (evaluations done, in all).

    Returns
    -------
    results, failures : dict
        By label; a failure is its reason.

    Raises
    ------
    DistnormError
        If the dot product fails, with which everything is compared.
    """
    found: dict[str, list[Outcome]] = {}
    failures: dict[str, str] = {}
    for place, label in enumerate(norms):
        outcomes = []
        try:
            for number in range(n_draws):
                outcomes.append(_finite(evaluate(label, number)))
                if progress is not None:
                    progress(place * n_draws + number + 1, len(norms) * n_draws)
        except DistnormError as error:
            if label == "dot":
                raise
            failures[label] = str(error)
            continue
        found[label] = outcomes
    tally = Tally([norms[label] for label in found], owners, n_images)
    for index, outcomes in enumerate(found.values()):
        for outcome in outcomes:
            tally.record(index, outcome)
    results = tally.results(n_draws, protocol.seed)
    return dict(zip(found, results, strict=True)), failures


def _finite(outcome: Outcome) -> Outcome:
    """Refuse a metric that is no number, such as a correlation of equal scores."""
    wrong = next(
        (name for name, value in outcome.metrics.items() if not math.isfinite(value)), None
    )
    if wrong is not None:
        raise DistnormError(
            f"{wrong} of scores or judgements that are all equal",
            "some that differ",
            "use more data",
        )
    return outcome

"""One data set under one augmentation: methods x draws, paired intervals, failures by reason."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from distnorm.comparison import MethodResult
from distnorm.comparison.protocol import method_norms
from distnorm.comparison.tally import Outcome, Tally
from distnorm.errors import DistnormError
from distnorm.methods.registry import parse_method
from distnorm.normalization import ScoreNormalization
from distnorm.paper.protocols import Protocol
from distnorm.paper.rows import RowCache, step_progress
from distnorm.paper.sources import Source
from distnorm.system.progress import StepProgress

__all__ = ["Evaluation", "Outcome", "Results", "labelled_norms"]

Rows = npt.NDArray[np.intp]
Results = tuple[dict[str, MethodResult], dict[str, str]]
"""Results, and reasons of failures, by label."""


@dataclass(frozen=True)
class Evaluation:
    """What the evaluation of every task reads.

    ``norms`` are unfitted, by their labels, the dot product first.
    """

    cache: RowCache
    protocol: Protocol
    source: Source
    data: Any
    norms: Mapping[str, ScoreNormalization]
    augment: str = "none"
    progress: StepProgress | None = None

    def images(self, paths: Sequence[Path], *, raw: bool = False) -> npt.NDArray[Any]:
        """Unit or raw rows of pictures under the augmentation."""
        return self.cache.images(self.source.stored, paths, augment=self.augment, raw=raw)

    def texts(self, texts: Sequence[str], *, raw: bool = False) -> npt.NDArray[Any]:
        """Unit or raw rows of texts."""
        return self.cache.texts(self.source.stored, texts, raw=raw)

    def run(
        self,
        evaluate: Callable[[str, int], Outcome],
        n_draws: int,
        owners: Mapping[str, Rows | None],
        n_images: int,
        step: str | None = "evaluating",
    ) -> Results:
        """Evaluate (label, number of the draw) for every method; owners as `Tally` takes them.

        A method that fails is left out with its reason; only the dot product must not fail.
        """
        progress = step_progress(self.progress if step else None, f"{self.source.name}: {step}")
        outcomes: dict[str, list[Outcome]] = {}
        failures: dict[str, str] = {}
        for place, label in enumerate(self.norms):
            draws = []
            try:
                for number in range(n_draws):
                    draws.append(_finite(evaluate(label, number)))
                    if progress is not None:
                        progress(place * n_draws + number + 1, len(self.norms) * n_draws)
            except DistnormError as error:
                if label == "dot":
                    raise
                failures[label] = str(error)
                continue
            outcomes[label] = draws
        tally = Tally([self.norms[label] for label in outcomes], owners, n_images)
        for index, draws in enumerate(outcomes.values()):
            for outcome in draws:
                tally.record(index, outcome)
        results = tally.results(n_draws, self.protocol.seed)
        return dict(zip(outcomes, results, strict=True)), failures


def labelled_norms(methods: Sequence[str]) -> dict[str, ScoreNormalization]:
    """Unfitted normalizations by the words that asked for them, the dot product first."""
    words = [text.strip() for text in methods]
    others = [text for text in words if parse_method(text) != ("dot", None, {})]
    return dict(zip(["dot", *others], method_norms(words), strict=True))


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

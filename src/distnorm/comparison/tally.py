"""Sums over splits, and what becomes of them: means, spreads, paired intervals.

Each metric is the mean of one value per evaluated row: a hit of a query,
or a row's share in a rank correlation. All methods see the same splits, so differences of averages
are averages of differences, and only sums are kept: memory does not grow with repeats.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from distnorm.calibration.score_kinds import score_kind
from distnorm.comparison.results import MethodResult, MetricSummary
from distnorm.metrics.bootstrap import paired_intervals
from distnorm.moments import Overlap
from distnorm.normalization import ScoreNormalization
from distnorm.selection.results import SAMPLE_FIGURES
from distnorm.tasks.shared_rows import SharedRows

__all__ = ["Outcome", "Tally"]

Float64 = npt.NDArray[np.float64]
Rows = npt.NDArray[np.intp]


@dataclass(frozen=True)
class Outcome:
    """One fitted method under one split.

    ``values`` maps a metric to (kind of row, rows, value of each row) whose mean is the metric;
    a metric without an entry has no interval. ``shared_rows`` are evaluated rows that were fitted.
    """

    norm: ScoreNormalization
    metrics: Mapping[str, float]
    values: Mapping[str, tuple[str, Rows, Any]] = field(repr=False)
    transductive: bool = False
    shared_rows: SharedRows = field(default_factory=dict)


@dataclass
class Tally:
    """What the methods of one comparison, the dot product first, have scored so far.

    ``owners`` maps a kind of row to the image of each row (None where rows are images), which
    are drawn with replacement.
    """

    norms: Sequence[ScoreNormalization]
    owners: Mapping[str, Rows | None]
    n_images: int
    _sums: list[dict[str, Float64]] = field(init=False)
    _plain: list[dict[str, list[float]]] = field(init=False)
    _seen: dict[str, Float64] = field(init=False)
    _kinds: dict[str, str] = field(init=False, default_factory=dict)
    _counts: list[dict[str, int]] = field(init=False)
    _chosen: list[dict[str, dict[str, list[float]]]] = field(init=False)
    _samples: list[dict[str, dict[str, list[float]]]] = field(init=False)
    _priors: list[Counter[str]] = field(init=False)
    _flags: list[bool] = field(init=False)
    _shared: list[dict[str, Overlap]] = field(init=False)

    def __post_init__(self) -> None:
        """Begin at nothing."""
        self._sums = [{} for _ in self.norms]
        self._plain = [{} for _ in self.norms]
        self._counts = [{} for _ in self.norms]
        self._chosen = [{} for _ in self.norms]
        self._samples = [{} for _ in self.norms]
        self._priors = [Counter() for _ in self.norms]
        self._flags = [False] * len(self.norms)
        self._shared = [{} for _ in self.norms]
        self._seen = {
            kind: np.zeros(self.n_images if owner is None else len(owner))
            for kind, owner in self.owners.items()
        }

    def record(self, index: int, outcome: Outcome) -> None:
        """One method under the present split; the dot product says what the split evaluates."""
        norm = outcome.norm
        self._counts[index] = norm.counts
        self._flags[index] |= outcome.transductive
        for side, shared in outcome.shared_rows.items():
            before = self._shared[index].get(side)
            if shared is not None and (before is None or shared.share > before.share):
                self._shared[index][side] = shared
        if norm.selection is not None:
            for side in norm.sides:
                correction = norm.correction(side)
                by_method = self._chosen[index].setdefault(side, {})
                by_method.setdefault(correction.method.name, []).append(correction.strength)
                for name in SAMPLE_FIGURES:
                    value = getattr(norm.selection[side], name)
                    if value is not None:
                        figures = self._samples[index].setdefault(side, {})
                        figures.setdefault(name, []).append(value)
        if norm.notes.class_prior is not None:
            self._priors[index][norm.notes.class_prior["kind"]] += 1
        for name, value in outcome.metrics.items():
            self._plain[index].setdefault(name, []).append(value)
        if index == 0:
            for kind, rows in {kind: rows for kind, rows, _ in outcome.values.values()}.items():
                self._seen[kind][rows] += 1
        for name, (kind, rows, values) in outcome.values.items():
            self._kinds[name] = kind
            total = self._sums[index].setdefault(name, np.zeros(len(self._seen[kind])))
            total[rows] += values

    def results(
        self, repeats: int, seed: int, *, rule: str | None = None
    ) -> tuple[MethodResult, ...]:
        """Every method's summaries; scores rank, unless ``rule`` makes caption scores of them."""
        child = np.random.SeedSequence(seed).spawn(repeats + 1)[-1]
        table = [{name: self._average(name, s) for name, s in each.items()} for each in self._sums]
        owners = {name: self.owners[kind] for name, kind in self._kinds.items()}
        intervals = paired_intervals(table, owners, self.n_images, np.random.default_rng(child))
        found = []
        for index, norm in enumerate(self.norms):
            summaries = {}
            for name, values in self._plain[index].items():
                array, base = np.array(values), np.array(self._plain[0][name])
                summaries[name] = MetricSummary(
                    float(array.mean()),
                    float(array.std(ddof=1)) if len(array) > 1 else 0.0,
                    float((array - base).mean()),
                    intervals[index].get(name),
                )
            found.append(
                MethodResult(
                    norm.method,
                    norm.strength,
                    self._params(index),
                    self._counts[index],
                    self._flags[index],
                    summaries,
                    score_kind(norm, query=None if rule else norm.sides[0], rule=rule).label,
                    self._shared[index],
                )
            )
        return tuple(found)

    def _params(self, index: int) -> dict[str, Any]:
        """A method's parameters, and under ``auto`` what it chose over the splits."""
        chosen = {
            side: {
                name: {"splits": len(values), "strength": float(np.mean(values))}
                for name, values in sorted(found.items(), key=lambda entry: -len(entry[1]))
            }
            for side, found in self._chosen[index].items()
        }
        params = self.norms[index].settings
        samples = {
            side: {name: float(np.mean(values)) for name, values in found.items()}
            for side, found in self._samples[index].items()
        }
        params = {**params, "samples": samples} if samples else params
        if self._priors[index]:
            params = {**params, "class_priors": dict(self._priors[index])}
        return {**params, "chosen": chosen} if chosen else params

    def _average(self, name: str, total: Float64) -> Float64:
        """Each row's mean over the splits that evaluated it; NaN where none did."""
        count = self._seen[self._kinds[name]]
        mean: Float64 = np.divide(total, count, out=np.full(len(count), np.nan), where=count > 0)
        return mean

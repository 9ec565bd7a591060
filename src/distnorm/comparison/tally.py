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

from distnorm.arrays import Float64, Indices
from distnorm.calibration.score_kinds import score_kind
from distnorm.comparison.results import MethodResult, MetricSummary
from distnorm.metrics.bootstrap import paired_intervals
from distnorm.moments import Overlap
from distnorm.normalization import ScoreNormalization
from distnorm.selection.results import SAMPLE_FIGURES
from distnorm.tasks.shared_rows import SharedRows

__all__ = ["Outcome", "Tally"]


@dataclass(frozen=True)
class Outcome:
    """One fitted method under one split."""

    norm: ScoreNormalization
    metrics: Mapping[str, float]
    # metric: kind of row, rows, values
    values: Mapping[str, tuple[str, Indices, Any]] = field(repr=False)
    transductive: bool = False
    shared_rows: SharedRows = field(default_factory=dict)


@dataclass
class _Scored:
    """What one method has scored, chosen and been fitted on so far."""

    sums: dict[str, Float64] = field(default_factory=dict)
    metrics: dict[str, list[float]] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)
    chosen: dict[str, dict[str, list[float]]] = field(default_factory=dict)
    samples: dict[str, dict[str, list[float]]] = field(default_factory=dict)
    priors: Counter[str] = field(default_factory=Counter)
    transductive: bool = False
    shared: dict[str, Overlap] = field(default_factory=dict)

    def params(self, settings: dict[str, Any]) -> dict[str, Any]:
        """A method's parameters, and under ``auto`` what it chose over the splits."""
        chosen = {
            side: {
                name: {"splits": len(values), "strength": float(np.mean(values))}
                for name, values in sorted(found.items(), key=lambda entry: -len(entry[1]))
            }
            for side, found in self.chosen.items()
        }
        samples = {
            side: {name: float(np.mean(values)) for name, values in found.items()}
            for side, found in self.samples.items()
        }
        more = {"samples": samples, "class_priors": dict(self.priors), "chosen": chosen}
        return {**settings, **{name: found for name, found in more.items() if found}}


@dataclass
class Tally:
    """What the methods of one comparison, the dot product first, have scored so far.

    ``owners`` maps a kind of row to the image of each row (None where rows are images), which
    are drawn with replacement.
    """

    norms: Sequence[ScoreNormalization]
    owners: Mapping[str, Indices | None]
    n_images: int
    _seen: dict[str, Float64] = field(init=False)
    _kinds: dict[str, str] = field(init=False, default_factory=dict)
    _scored: list[_Scored] = field(init=False)

    def __post_init__(self) -> None:
        """Begin at nothing."""
        self._scored = [_Scored() for _ in self.norms]
        self._seen = {
            kind: np.zeros(self.n_images if owner is None else len(owner))
            for kind, owner in self.owners.items()
        }

    def record(self, index: int, outcome: Outcome) -> None:
        """One method under the present split; the dot product says what the split evaluates."""
        norm, mine = outcome.norm, self._scored[index]
        mine.counts = norm.counts
        mine.transductive |= outcome.transductive
        for side, shared in outcome.shared_rows.items():
            before = mine.shared.get(side)
            if shared is not None and (before is None or shared.share > before.share):
                mine.shared[side] = shared
        if norm.selection is not None:
            for side in norm.sides:
                correction = norm.correction(side)
                by_method = mine.chosen.setdefault(side, {})
                by_method.setdefault(correction.method.name, []).append(correction.strength)
                for name in SAMPLE_FIGURES:
                    value = getattr(norm.selection[side], name)
                    if value is not None:
                        mine.samples.setdefault(side, {}).setdefault(name, []).append(value)
        if norm.notes.class_prior is not None:
            mine.priors[norm.notes.class_prior["kind"]] += 1
        for name, value in outcome.metrics.items():
            mine.metrics.setdefault(name, []).append(value)
        if index == 0:
            for kind, rows in {kind: rows for kind, rows, _ in outcome.values.values()}.items():
                self._seen[kind][rows] += 1
        for name, (kind, rows, values) in outcome.values.items():
            self._kinds[name] = kind
            total = mine.sums.setdefault(name, np.zeros(len(self._seen[kind])))
            total[rows] += values

    def results(
        self, repeats: int, seed: int, *, rule: str | None = None
    ) -> tuple[MethodResult, ...]:
        """Every method's summaries; scores rank, unless ``rule`` makes caption scores of them."""
        child = np.random.SeedSequence(seed).spawn(repeats + 1)[-1]
        table = [{n: self._average(n, s) for n, s in each.sums.items()} for each in self._scored]
        owners = {name: self.owners[kind] for name, kind in self._kinds.items()}
        intervals = paired_intervals(table, owners, self.n_images, np.random.default_rng(child))
        found = []
        for norm, mine, bounds in zip(self.norms, self._scored, intervals, strict=True):
            summaries = {}
            for name, values in mine.metrics.items():
                array, base = np.array(values), np.array(self._scored[0].metrics[name])
                summaries[name] = MetricSummary(
                    float(array.mean()),
                    float(array.std(ddof=1)) if len(array) > 1 else 0.0,
                    float((array - base).mean()),
                    bounds.get(name),
                )
            found.append(
                MethodResult(
                    norm.method,
                    norm.strength,
                    mine.params(norm.settings),
                    mine.counts,
                    mine.transductive,
                    summaries,
                    score_kind(norm, query=None if rule else norm.sides[0], rule=rule).label,
                    mine.shared,
                )
            )
        return tuple(found)

    def _average(self, name: str, total: Float64) -> Float64:
        """Each row's mean over the splits that evaluated it; NaN where none did."""
        count = self._seen[self._kinds[name]]
        mean: Float64 = np.divide(total, count, out=np.full(len(count), np.nan), where=count > 0)
        return mean

"""A look at a few items: are the scores that a system reports those of the rows it gives back.

A unit query q and a shorter one q' are searched, the rows x of what comes back are read, and the
reported values are compared with what each unit would report (relative to the size of its terms):

    ip  q.x      cos  q.x / (|q| |x|)      l2  |q - x|

The lengths of q and q' differ, so that a cosine is never taken for an inner product. The declared
unit stands if it agrees, else the one that does. Where none does, the order may still be that of
q.x: lists are right then, numbers are not. What is offered follows from that, in this one place.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from distnorm.arrays import Float32, Float64, NDArray
from distnorm.search.indexes.recovery import UNITS, reported

__all__ = ["Probe", "Trial", "judge", "trial_queries"]

# Relative differences: of float32 arithmetic, and of compressed rows.
_FINE, _ROUGH = 2e-5, 0.05
_ORDERLY = 0.9
_LENGTH = 0.6


class Trial(NamedTuple):
    """One query, the values that a system reported, and the rows of the items they belong to."""

    query: Float64
    values: Float64
    rows: Float64


@dataclass(frozen=True)
class Probe:
    """What a system's scores are worth, and the unit that it answers in.

    ``difference`` is the largest relative one between a reported score and that of the row read
    back; None where there was nothing to compare. ``raw``, ``shift`` and ``scores`` say whether the
    order of a raw query and of a shifted one, and the numbers, are what they should be.
    """

    unit: str
    difference: float | None = None
    raw: bool = True
    shift: bool = True
    scores: bool = True

    @property
    def biases(self) -> bool:
        """Whether a bias can be subtracted: the numbers must be right."""
        return self.scores

    @property
    def certifies(self) -> bool:
        """Whether rows are stored as exactly as they are compared."""
        return self.scores and (self.difference is None or self.difference <= _FINE)


def trial_queries(rows: NDArray) -> Float32:
    """A unit query and one of length 0.6 near some of these rows (n, d), shape (2, d)."""
    rows = rows.astype(np.float64)
    rows = rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-30)
    away = np.random.default_rng(0).standard_normal((2, rows.shape[1]))
    away /= np.linalg.norm(away, axis=1, keepdims=True)
    queries = rows[[0, len(rows) // 2]] + 0.7 * away
    queries[1] -= 0.5 * rows.mean(axis=0)
    lengths = np.maximum(np.linalg.norm(queries, axis=1, keepdims=True), 1e-30)
    queries *= np.array([[1.0], [_LENGTH]]) / lengths
    return queries.astype(np.float32)


def judge(unit: str, trials: Sequence[Trial]) -> Probe:
    """What trials of a unit query and a shorter one show, where a system declares ``unit``."""
    trials = [trial for trial in trials if len(trial.values)]
    if not trials:
        return Probe(unit)
    differences = {each: _difference(each, trials) for each in UNITS}
    nearest = min(differences, key=lambda each: differences[each])
    best = unit if differences[unit] <= max(_FINE, 2 * differences[nearest]) else nearest
    if differences[best] <= _ROUGH:
        return Probe(best, differences[best])
    ordered = [_ordered(unit, trial) for trial in trials]
    return Probe(unit, differences[best], ordered[0], all(ordered), False)


def _difference(unit: str, trials: Sequence[Trial]) -> float:
    """The largest, NaN counting as infinite."""
    largest = 0.0
    for query, values, rows in trials:
        wanted, size = reported(unit, query, rows)
        apart = np.abs(values - wanted) / size
        largest = max(largest, float(np.where(np.isfinite(apart), apart, np.inf).max()))
    return largest


def _ordered(unit: str, trial: Trial) -> bool:
    """Whether values rise with q.x, as far as some items tell."""
    products = trial.rows @ trial.query
    values = trial.values if UNITS[unit].rising else -trial.values
    if len(values) < 4 or not np.isfinite(values).all():
        return False
    spreads = values.std() * products.std()
    if not spreads:
        return False
    return bool(
        np.mean((values - values.mean()) * (products - products.mean())) / spreads > _ORDERLY
    )

"""Statistics from the queries that pass: the paper's own setting, live, behind two gates.

Rows of queries (never their words) fill a bank of at most N rows. A full bank loses a row at random
for each new one, so that what was asked t queries ago is still there with probability
exp(-t / N): bounded memory that forgets (Aggarwal, VLDB 2006). A row that is nearly one of the
bank's takes that one's place: who asks the same again and again drives out nothing else. Rows count
by `density_weights`, and together they are worth

    n = sum of the weights           effective queries

Every fifth row is held out of the bank, in a ring of the last ones. Statistics of the bank, with
those of the file that was there at the start as ``PRIOR`` rows more, are used only if

1. n >= ``GATE``: a hundred different queries, the paper's number of samples, and
2. the held-out queries do not agree less with the items than before: under two-sided scores, a
   query and its best item agree if that item's best query is this one, of the bank's too. With g
   queries that agree now and did not, and l the other way, l - g <= 2 sqrt(l + g).

A narrow or strange stream fails at the first gate, statistics that do harm at the second.
"""

from __future__ import annotations

import copy
import math
from collections import deque
from dataclasses import dataclass
from typing import Any

import numpy as np

from distnorm.arrays import Bools, Float32, Float64, NDArray, to_numpy
from distnorm.moments import density_weights
from distnorm.normalization import ScoreNormalization, make

__all__ = ["GATE", "Learner", "Proposal"]


GATE, PRIOR = 100.0, 100.0
_SAME = 0.999  # cosine from which a query is one that is there
_HELD, _EVERY = 200, 5
_RIVALS = 1000


@dataclass(frozen=True)
class Proposal:
    """Statistics that were learned, and whether both gates let them through."""

    norm: ScoreNormalization | None  # None before there is anything to fit
    accepted: bool
    reason: str  # why not; empty if accepted
    effective: float  # what the queries of the bank are worth
    agreement: float | None = None  # share of held-out queries that agree with their best item
    agreement_before: float | None = None  # the same with the statistics of the start
    # mean share of a held-out query's first ten items that it found before
    overlap: float | None = None


class Learner:
    """A bank of queries of ``side``, and the statistics that it proposes.

    ``items`` (m, d) are rows of some of the items: their own side's statistics, and what the second
    gate looks at; without them there is none. ``start`` is in force at the start; from nothing, dn
    at its default strength is learned. ``window`` is N, the rows of the bank at most; ``seed``
    chooses those that make room.
    """

    def __init__(
        self,
        items: Float32 | None,
        side: str,
        start: ScoreNormalization | None = None,
        *,
        sides: tuple[str, str] = ("image", "text"),
        model: str | None = None,
        prompt: str | None = None,
        window: int = 2000,
        seed: int = 0,
    ) -> None:
        self.items, self.side, self.start, self.window = items, side, start, window
        self._about: dict[str, Any] = {"sides": sides, "model": model, "prompt": prompt}
        self._dice = np.random.default_rng(seed)
        self._bank: Float32 | None = None
        self._filled = self.seen = self.repeated = 0
        self._held: deque[Float32] = deque(maxlen=_HELD)

    @property
    def rows(self) -> Float32:
        """The bank."""
        return np.empty((0, 0), np.float32) if self._bank is None else self._bank[: self._filled]

    @property
    def held_out(self) -> Float32:
        """The last queries that are not in the bank."""
        return np.stack(list(self._held)) if self._held else np.empty((0, 0), np.float32)

    def add(self, rows: Float32) -> None:
        """Take queries in, shape (n, d), unit rows."""
        for row in rows:
            self.seen += 1
            if self._bank is None:
                self._bank = np.empty((self.window, len(row)), dtype=np.float32)
            if self.seen % _EVERY == 0:
                self._held.append(row)
                continue
            near = self.rows @ row
            if self._filled and near.max() >= _SAME * float(row @ row):
                self.repeated += 1
                place = int(near.argmax())
            elif self._filled < self.window:
                place, self._filled = self._filled, self._filled + 1
            else:
                place = int(self._dice.integers(self.window))
            self._bank[place] = row

    def propose(self) -> Proposal:
        """Statistics of what is in the bank now, and what the gates say of them."""
        rows = self.rows
        if len(rows) < 2:
            return Proposal(None, False, "no queries yet", float(len(rows)))
        weights = density_weights(rows)
        effective = float(weights.sum())
        norm = self._fitted(rows, weights)
        if effective < GATE:
            reason = f"{effective:.0f} effective queries; used from {GATE:.0f} on"
            return Proposal(norm, False, reason, effective)
        held = self.held_out
        if self.items is None or not norm.spec.two_sided:
            return Proposal(norm, True, "", effective)
        # The bank's queries compete for the items, or nearly all would agree.
        asked = np.concatenate([held, rows[:_RIVALS]])
        now, lists = self._agreeing(norm, asked, len(held))
        before, old = self._agreeing(self.start, asked, len(held))
        lost, gained = int((before & ~now).sum()), int((now & ~before).sum())
        overlap = np.mean([len(set(a) & set(b)) / len(a) for a, b in zip(lists, old, strict=True)])
        figures = (float(now.mean()), float(before.mean()), float(overlap))
        if lost - gained > 2 * math.sqrt(lost + gained):
            reason = f"{lost} of {len(held)} held-out queries agree no more, {gained} do now"
            return Proposal(norm, False, reason, effective, *figures)
        return Proposal(norm, True, "", effective, *figures)

    def _fitted(self, bank: Float32, weights: Float64) -> ScoreNormalization:
        """The start's method on the bank, with what the start knows as some rows more."""
        if self.start is None:
            norm = make("dn", **self._about)
        else:
            norm = copy.copy(self.start)
            known = norm.statistics[self.side].moments
            if known.worth > PRIOR:
                norm.forget(PRIOR / known.worth)
            if known.count:
                # Numbers that its rows were given may be of any scale.
                weights = weights * (known.weight / known.worth)
        norm.partial_fit(weights={self.side: weights}, **{self.side: bank})
        other = norm.names.other(self.side)
        if norm.moments(other) is None and self.items is not None:
            norm.partial_fit(**{other: self.items})
        calibrated = self.start is not None and self.start.notes.calibration is not None
        if calibrated and self.items is not None and len(self._held) >= _HELD:
            rows: dict[str, Any] = {other: self.items, self.side: self.held_out}
            norm.calibrate(**rows)
        return norm

    def _agreeing(
        self, norm: ScoreNormalization | None, queries: Float32, held: int
    ) -> tuple[Bools, NDArray]:
        """Of the first queries, which are their best item's best one, and the first ten items."""
        assert self.items is not None
        if (
            norm is None
            or not norm.spec.corrects
            or norm.moments(norm.names.other(self.side)) is None
        ):
            scores = queries.astype(np.float64) @ self.items.astype(np.float64).T
        elif self.side == norm.sides[0]:
            scores = to_numpy(norm.similarity(queries, self.items), np.float64)
        else:
            scores = to_numpy(norm.similarity(self.items, queries), np.float64).T
        best = scores.argmax(axis=1)
        agree = (scores.argmax(axis=0)[best] == np.arange(len(queries)))[:held]
        first = np.argsort(-scores[:held], axis=1, kind="stable")[:, :10]
        return agree, first

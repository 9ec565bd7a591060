"""`Candidates`: the items that may still belong to the k best of some queries."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from distnorm.exact.largest import larger_of

__all__ = ["Candidates"]

_Float32 = npt.NDArray[np.float32]
_Float64 = npt.NDArray[np.float64]
_Places = npt.NDArray[np.intp]
# Row, column and score: of one tile, or all that is kept.
_Found = tuple[_Places, _Places, _Float32]


class Candidates:
    """What may belong to the k best of some queries (``rows`` of all), as far as seen."""

    def __init__(self, rows: slice, k: int) -> None:
        self.rows, self._k = rows, k
        h = rows.stop - rows.start
        self.crowded = np.zeros(h, dtype=bool)
        self._cap = 8 * k + 128
        # The k best scores s' and what follows of them: at least k items truly score the floor.
        self.best = np.full((h, k), -np.inf, dtype=np.float32)
        self.floor = np.full(h, -np.inf)
        # |s' - s| is at most this, and ``rounding`` |s'|.
        self.error, self.rounding = np.zeros(h), 0.0
        # Those already counted in the floor, tile by tile, and the others.
        self.kept: list[_Found] = []
        self._new: list[_Found] = []
        self._pending = np.zeros(h, dtype=np.intp)
        self._seen = self._merged_at = self._thinned_at = 0

    def see(self, engine: Any, scores: Any, rows: slice, start: int, w: int, error: Any) -> None:
        """Look at one tile: scores of these queries (``rows`` of it) with items from ``start``."""
        part = engine.part(scores, rows)
        np.maximum(self.error, error, out=self.error)
        self.rounding = engine.rounding
        if not self._seen:
            self._raise_to(engine.kth(part, self._k))
        threshold = self._threshold()
        found = engine.above(part, threshold)
        if len(found[0]) > self._cap and (np.bincount(found[0]) > self._cap).any():
            # Far more than wanted, as in a gallery sorted from worst to best.
            self._raise_to(engine.kth(part, self._k))
            threshold = self._threshold()
            row, place = engine.above(part, threshold)
            self._give_up(np.bincount(row, minlength=len(self.floor)) > self._cap)
            keep = ~self.crowded[row]
            found = row[keep], place[keep]
        if len(found[0]):
            row, column, value = engine.values(part, *found, threshold)
            self._new.append((row, column + start, value))
            self._pending += np.bincount(row, minlength=len(self.floor))
        self._seen += w
        if self._seen >= 2 * self._merged_at or self._pending.max() > self._cap:
            self.merge()

    def absorb(self, other: Candidates) -> None:
        """Take what another has found for the same queries among other items."""
        self.merge()
        other.merge()
        np.maximum(self.error, other.error, out=self.error)
        self.rounding = max(self.rounding, other.rounding)
        both = np.concatenate([self.best, other.best], axis=1)
        both.partition(self._k, axis=1)
        self.best = both[:, self._k :].copy()
        np.maximum(self.floor, other.floor, out=self.floor)
        self._raise_to(self.best.min(axis=1).astype(np.float64))
        self.kept += other.kept
        self._give_up(self.crowded | other.crowded)

    def finish(self) -> tuple[_Places, _Places, _Float64, _Float64]:
        """Row, column, lower and upper bound of all that may belong to the k best, by row."""
        self.merge()
        self._thin()
        row, column, score = _joined(self.kept)
        # By row; columns rise in each tile, and from tile to tile. 16 bits sort in linear time.
        small = row.astype(np.uint16) if len(self.floor) <= 1 << 16 else row
        order = np.argsort(small, kind="stable")
        row, column, value = row[order], column[order], score[order].astype(np.float64)
        off = self.rounding * np.abs(value) + self.error[row]
        return row, column, value - off, value + off

    def _threshold(self) -> _Float64:
        """The s' from which s' + e reaches the floor."""
        reach = self.floor - self.error
        widened = np.where(reach > 0, 1 + self.rounding, 1 - self.rounding)
        lowered: _Float64 = reach / widened
        return lowered

    def _raise_to(self, best: _Float64) -> None:
        """Raise the floor to what k items score that seem to score ``best`` or more."""
        off = self.rounding * np.abs(np.where(np.isfinite(best), best, 0)) + self.error
        np.maximum(self.floor, best - off, out=self.floor)

    def merge(self) -> None:
        """Count what came since the last time in the floor."""
        self._merged_at = self._seen
        if not self._new:
            return
        new = [(row, score) for row, _, score in self._new]
        self.best = larger_of(self.best, new, self._pending)
        self._raise_to(self.best.min(axis=1).astype(np.float64))
        self.kept += self._new
        self._new = []
        self._pending[:] = 0
        if sum(len(row) for row, _, _ in self.kept) >= 2 * self._thinned_at:
            self._thin()

    def _thin(self) -> None:
        """Forget what is below the floor; leave queries with very many others to others."""
        row, column, score = _joined(self.kept)
        keep = np.flatnonzero(score >= self._threshold()[row])
        row, column, score = np.take(row, keep), np.take(column, keep), np.take(score, keep)
        self.kept, self._thinned_at = [(row, column, score)], len(row)
        self._give_up(np.bincount(row, minlength=len(self.floor)) > self._cap)

    def _give_up(self, crowded: npt.NDArray[np.bool_]) -> None:
        """Leave queries to a higher precision."""
        if not crowded.any():
            return
        self.crowded |= crowded
        self.floor[self.crowded] = np.inf
        for found in (self.kept, self._new):
            for at, (row, column, score) in enumerate(found):
                keep = ~self.crowded[row]
                found[at] = row[keep], column[keep], score[keep]


def _joined(parts: list[_Found]) -> _Found:
    if len(parts) == 1:
        return parts[0]
    if not parts:
        none = np.zeros(0, dtype=np.intp)
        return none, none, np.zeros(0, dtype=np.float32)
    row, column, score = (np.concatenate(column) for column in zip(*parts, strict=True))
    return row, column, score

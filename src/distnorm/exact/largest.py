"""`KLargest`: the k largest scores of some queries, as far as tiles were seen, without places."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from distnorm.exact.engines import NumpyEngine

__all__ = ["KLargest", "larger_of"]

_Numbers = npt.NDArray[Any]
_Places = npt.NDArray[np.intp]


class KLargest:
    """The k largest scores of some queries (``rows`` of all) as they were multiplied.

    The k-th largest so far is the least that counts; it is raised after 1, 2, 4, 8 ... tiles, as
    in `distnorm.exact.scan`, and of equal scores none is preferred.
    """

    def __init__(self, k: int, rows: slice) -> None:
        self.rows, self._k = rows, k
        h = rows.stop - rows.start
        self._best: _Numbers = np.full((h, k), -np.inf, dtype=np.float32)
        self._floor = np.full(h, -np.inf)
        self._new: list[tuple[_Places, _Numbers]] = []
        self._pending = np.zeros(h, dtype=np.intp)
        self._seen = self._merged_at = 0

    def see(self, engine: Any, scores: Any, rows: slice, start: int, w: int, error: Any) -> None:
        """As `distnorm.exact.tiles.Part.see`; there is no bias."""
        del start, error
        tile = scores[0][rows]
        if not self._seen:
            self._best = self._best.astype(tile.dtype, copy=False)
            self._floor = NumpyEngine.kth(tile, self._k)
        row, column = engine.above(tile, self._floor)
        if len(row) > tile.size // 8:
            # No place for them is smaller than the tile's.
            self._best = _k_largest(np.concatenate([self._best, tile], axis=1), self._k)
            self._floor = self._best.min(axis=1).astype(np.float64)
        elif len(row):
            self._new.append((row, np.take(tile, row * w + column)))
            self._pending += np.bincount(row, minlength=len(self._floor))
        self._seen += w
        if self._seen >= 2 * self._merged_at or self._pending.max() > 8 * self._k + 128:
            self._merge()

    def absorb(self, other: KLargest) -> None:
        """Take what another has found for the same queries among other items."""
        self._best = _k_largest(np.concatenate([self.values(), other.values()], axis=1), self._k)

    def values(self) -> _Numbers:
        """The k largest in no order, (h, k); -inf where there are fewer."""
        self._merge()
        return self._best

    def _merge(self) -> None:
        self._merged_at = self._seen
        if self._new:
            self._best = larger_of(self._best, self._new, self._pending)
            np.maximum(self._floor, self._best.min(axis=1), out=self._floor)
            self._new = []
            self._pending[:] = 0


def larger_of(best: _Numbers, new: list[tuple[_Places, _Numbers]], pending: _Places) -> _Numbers:
    """The k largest of ``best``, (h, k), and of new scores, each with its row in rising order.

    ``pending`` is how many are new in each row, (h,).
    """
    # The new scores of each query in a line of their own, beside its best.
    h, k = best.shape
    both = np.full((h, k + int(pending.max())), -np.inf, dtype=best.dtype)
    both[:, :k] = best
    free = np.arange(h) * both.shape[1] + k
    for row, score in new:
        counts = np.bincount(row, minlength=h)
        # Rows are in rising order: a tile's scores of one query follow each other.
        free -= np.cumsum(counts) - counts
        both.reshape(-1)[np.arange(len(row)) + free[row]] = score
        free += np.cumsum(counts)
    return _k_largest(both, k)


def _k_largest(scores: _Numbers, k: int) -> _Numbers:
    """The k largest of each row, in no order; what was given is reordered."""
    scores.partition(scores.shape[1] - k, axis=1)
    largest: _Numbers = scores[:, scores.shape[1] - k :].copy()
    return largest

"""One pass over all items that keeps every one that could still belong to a query's k best.

An engine (`distnorm.search.engines`) gives scores s' with |s' - s| <= e. Of the items seen so far
let f be the k-th largest lower bound s' - e: at least k items truly score f or more. An item whose
upper bound s' + e is below f is none of the k best, now or ever; all others are kept. At the end
their scores are computed in float64, and the k best of these *are* the k best of all: nothing is
left to chance, only the number of those kept depends on the engine's precision.

To find the few that reach f, the maximum of groups of 16 items is compared first; only groups that
reach it are looked into. f is raised after 1, 2, 4, 8 ... blocks of items: as many new items reach
it in between as are wanted, so that work beyond the products grows with the logarithm of the
gallery. A query with far more candidates than k (near-equal scores within the engine's precision)
is given up here, and left to an engine of higher precision.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import numpy.typing as npt

from distnorm.arrays import blocks
from distnorm.search.engines import GROUP, threads
from distnorm.search.gallery import Gallery

__all__ = ["Candidates", "scan"]

_Float64 = npt.NDArray[np.float64]
_LARGEST = 1e37
# Queries below which blocks are larger, and the fewest that are worth a thread.
_FEW, _ROWS = 64, 16


class Candidates:
    """What may belong to the k best of some queries (``rows`` of all), as far as seen."""

    def __init__(self, rows: slice, k: int) -> None:
        self.rows, self._k = rows, k
        h = rows.stop - rows.start
        self.crowded = np.zeros(h, dtype=bool)
        self._cap = 8 * k + 128
        self._best = np.full((h, k), -np.inf)
        self._floor = np.full(h, -np.inf)
        # Row, column, lower and upper bound: those already counted in the floor, and the others.
        self._kept: list[tuple[npt.NDArray[Any], ...]] = []
        self._new: list[tuple[npt.NDArray[Any], ...]] = []
        self._pending = self._seen = self._merged_at = 0

    def see(self, engine: Any, scores: Any, rows: slice, start: int, w: int, error: Any) -> None:
        """Look at one tile: scores of these queries (``rows`` of it) with items from ``start``."""
        part, maxima = engine.maxima(scores, rows)
        if not self._seen:
            self._raise_by(engine, part, maxima, error)
        row, group = engine.above(maxima, self._threshold(engine, error))
        if len(row) > self._cap and (np.bincount(row) > self._cap).any():
            # Far more than wanted, as in a gallery sorted from worst to best.
            self._raise_by(engine, part, maxima, error)
            row, group = engine.above(maxima, self._threshold(engine, error))
            self._give_up(np.bincount(row, minlength=len(self._floor)) > self._cap)
            keep = ~self.crowded[row]
            row, group = row[keep], group[keep]
        if len(row):
            self._keep(engine, part, row, group, start, w, error)
        self._seen += w
        if self._seen >= 2 * self._merged_at or self._pending > 8 * self._k * len(self._floor):
            self._merge()

    def finish(self) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp], _Float64, _Float64]:
        """Row, column, lower and upper bound of all that may belong to the k best, by row."""
        self._merge()
        row, column, lower, upper = _joined(self._kept)
        # One key sorts several times as fast as two.
        order = np.argsort((row << 44) + column)
        return row[order], column[order], lower[order], upper[order]

    def _threshold(self, engine: Any, error: _Float64) -> _Float64:
        """The s' from which s' + e reaches the floor."""
        reach = self._floor - error
        widened = np.where(reach > 0, 1 + engine.rounding, 1 - engine.rounding)
        lowered: _Float64 = reach / widened
        return lowered

    def _raise_by(self, engine: Any, part: Any, maxima: Any, error: _Float64) -> None:
        """Raise the floor to the k-th best of one tile."""
        wide = maxima if self._k <= maxima.shape[1] else part
        best = engine.kth(wide, self._k)
        off = engine.rounding * np.abs(np.where(np.isfinite(best), best, 0)) + error
        self._floor = np.maximum(self._floor, best - off)

    def _keep(
        self,
        engine: Any,
        part: Any,
        row: npt.NDArray[np.intp],
        group: npt.NDArray[np.intp],
        start: int,
        w: int,
        error: _Float64,
    ) -> None:
        values = engine.members(part, row, group)
        columns = -(-w // GROUP)
        threshold = self._threshold(engine, error)[row]
        found = np.flatnonzero(values >= threshold[:, None])
        pair, member = found // GROUP, found % GROUP
        value = values.ravel()[found].astype(np.float64)
        row, column = row[pair], start + member * columns + group[pair]
        inside = column < start + w
        if not inside.all():
            row, column, value = row[inside], column[inside], value[inside]
        off = engine.rounding * np.abs(value) + error[row]
        self._new.append((row, column, value - off, value + off))
        self._pending += len(row)

    def _merge(self) -> None:
        """Count what came since the last time in the floor; forget what is below it."""
        self._merged_at = self._seen
        if not self._new:
            return
        row, column, lower, upper = _joined(self._new)
        # Numbers of 16 bits are sorted in linear time.
        small = row.astype(np.uint16) if len(self._floor) <= 1 << 16 else row
        order = np.argsort(small, kind="stable")
        row, column, lower, upper = row[order], column[order], lower[order], upper[order]
        h = len(self._floor)
        counts = np.bincount(row, minlength=h)
        starts = np.cumsum(counts) - counts
        # A few crowded rows would make all others wide: rows of like counts are taken together.
        for low, high in _ranges(int(counts.max())):
            some = np.flatnonzero((counts > low) & (counts <= high))
            if not len(some):
                continue
            padded = np.full((len(some), high), -np.inf)
            inside = np.arange(high) < counts[some, None]
            padded[inside] = lower[(starts[some, None] + np.arange(high))[inside]]
            both = np.concatenate([self._best[some], padded], axis=1)
            both.partition(high, axis=1)
            self._best[some] = both[:, high:]
        np.maximum(self._floor, self._best.min(axis=1), out=self._floor)
        parts = [*self._kept, (row, column, lower, upper)]
        self._kept = [tuple(x[p[3] >= self._floor[p[0]]] for x in p) for p in parts]
        self._new, self._pending = [], 0
        total = np.zeros(h, dtype=np.intp)
        for kept in self._kept:
            total += np.bincount(kept[0], minlength=h)
        self._give_up(total > self._cap)

    def _give_up(self, crowded: npt.NDArray[np.bool_]) -> None:
        """Leave queries to a higher precision."""
        if not crowded.any():
            return
        self.crowded |= crowded
        self._floor[self.crowded] = np.inf
        self._kept = [tuple(x[~self.crowded[p[0]]] for x in p) for p in self._kept]
        self._new = [tuple(x[~self.crowded[p[0]]] for x in p) for p in self._new]


def scan(
    engine: Any,
    n: int,
    items: Gallery,
    k: int,
    bias: _Float64 | None,
    progress: Callable[[int], None],
) -> list[Candidates] | None:
    """Candidates of all n queries of ``engine`` among all items.

    Returns
    -------
    list of Candidates, or None
        None if the scores may leave the range of float32.
    """
    workers = threads() if engine.parallel else 1
    step = max(_ROWS, -(-min(n, engine.tile_rows) // workers))
    tiles = [
        [Candidates(slice(r.start, min(r.stop, n)), k) for r in _within(tile, step)]
        for tile in blocks(n, engine.tile_rows)
    ]
    largest = float(engine.sizes.max())
    # With few queries the steps of a block cost more than its products.
    step = engine.tile_columns * (1 if n >= _FEW else 4)
    with ThreadPoolExecutor(workers) as pool:
        for columns in blocks(len(items), step):
            block = items.block(columns, engine)
            longest = items.longest(block, columns, engine, pool)
            some = None if bias is None else bias[columns]
            if not largest * longest + (0 if some is None else np.abs(some).max()) < _LARGEST:
                return None
            ready, error = engine.block(block, longest, some)
            for tile in tiles:
                first = tile[0].rows.start
                scores = engine.scores(slice(first, tile[-1].rows.stop), ready)

                def see(
                    one: Candidates,
                    first: int = first,
                    scores: Any = scores,
                    columns: slice = columns,
                    error: _Float64 = error,
                ) -> None:
                    local = slice(one.rows.start - first, one.rows.stop - first)
                    w = columns.stop - columns.start
                    one.see(engine, scores, local, columns.start, w, error[one.rows])

                if len(tile) == 1:
                    see(tile[0])
                else:
                    list(pool.map(see, tile))
            progress(columns.stop)
    return [one for tile in tiles for one in tile]


def _within(outer: slice, step: int) -> list[slice]:
    return [
        slice(outer.start + part.start, outer.start + part.stop)
        for part in blocks(outer.stop - outer.start, step)
    ]


def _ranges(largest: int) -> list[tuple[int, int]]:
    """(0, 32], (32, 64], (64, 128] ... up to the largest."""
    edges = [0, 32]
    while edges[-1] < largest:
        edges.append(2 * edges[-1])
    edges[-1] = max(1, min(edges[-1], largest))
    return list(itertools.pairwise(edges))


def _joined(parts: list[tuple[npt.NDArray[Any], ...]]) -> tuple[npt.NDArray[Any], ...]:
    if len(parts) == 1:
        return parts[0]
    if not parts:
        none = np.zeros(0, dtype=np.intp)
        return none, none, np.zeros(0), np.zeros(0)
    return tuple(np.concatenate(column) for column in zip(*parts, strict=True))

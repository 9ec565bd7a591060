"""Ranks of single items, counted tile by tile: nothing is sorted, no full matrix is kept.

    rank(q, p) = 1 + #{y: s(q, y) > s(q, p)} + #{y < p: s(q, y) = s(q, p)}

with the scores and the order of `exact.decision`. Items are counted by approximate products; those
whose score is nearer to s(q, p) than the engine's bound can tell are scored again in float64.

Rankings whose queries and items are the same and whose biases differ share their products
(`KeptProducts`).
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from distnorm.arrays import CheckedRows, blocks
from distnorm.exact.decision import PairScores
from distnorm.exact.device_ranks import DevicePairs, count_on_device
from distnorm.exact.engines import NumpyEngine, heaviest
from distnorm.exact.gallery import Gallery
from distnorm.exact.tiles import Shares, Source, work_through

__all__ = [
    "DevicePairs",
    "KeptEngine",
    "KeptProducts",
    "PairScores",
    "RankCount",
    "count_ranks",
    "places",
]

_Places = npt.NDArray[np.intp]
# Numbers of a tile that is kept, at most.
_MOST = 1 << 20
# One score in so many may be looked at by itself: each takes as long as thirty others.
_FEW = 64


@dataclass(eq=False)
class KeptProducts:
    """Of these queries, (n, d), with these items, (m, d): one tile, and the products of pairs."""

    queries: Any
    items: Any
    tiles: dict[str, npt.NDArray[Any]] = field(default_factory=dict)
    _pairs: tuple[_Places, _Places, npt.NDArray[np.float64]] | None = None

    @classmethod
    def of(cls, queries: CheckedRows, items: CheckedRows) -> KeptProducts | None:
        """What was kept of them before, or nothing yet; None where they are not small."""
        if queries.shape[0] * items.shape[0] > _MOST:
            return None
        kept: KeptProducts | None = queries.memo.get("products")
        if kept is None or kept.items is not items.rows:
            kept = queries.memo["products"] = cls(queries.rows, items.rows)
        return kept

    def is_of(self, queries: Any, items: Any) -> bool:
        """Whether it is of these very arrays."""
        return self.queries is queries and self.items is items

    def of_pairs(self, pairs: PairScores, row: _Places, column: _Places) -> Any:
        """Float64 products of pairs, which are sorted by row."""
        if self._pairs is None or not all(map(np.array_equal, self._pairs[:2], (row, column))):
            self._pairs = row, column, pairs.unbiased().of(row, column)
        return self._pairs[2]


class KeptEngine(NumpyEngine):
    """Multiplies queries and items that fit one tile, unless that was done before."""

    def __init__(self, queries: npt.NDArray[Any], kept: KeptProducts) -> None:
        super().__init__(queries)
        self._tiles = kept.tiles

    def product(self, left: npt.NDArray[Any], right: npt.NDArray[Any], out: Any) -> None:
        """As `NumpyEngine.product`."""
        tile = self._tiles.get(str(self.dtype))
        if tile is None:
            super().product(left, right, out)
            self._tiles[str(self.dtype)] = out.copy()
        else:
            np.copyto(out, tile)


_Float64 = npt.NDArray[np.float64]


class RankCount:
    """Ranks of the items of some pairs, sorted by query, as far as tiles were seen.

    ``own`` are their scores. ``counted`` says which items have a rank at all; the others are
    passed over.
    """

    def __init__(
        self,
        pairs: PairScores,
        row: _Places,
        column: _Places,
        *,
        own: _Float64 | None = None,
        counted: npt.NDArray[np.bool_] | None = None,
    ) -> None:
        self.pairs, self._row, self._column, self._counted = pairs, row, column, counted
        self._own = pairs.of(row, column) if own is None else own
        self._one_each = len(row) == len(pairs) and bool((np.diff(row) == 1).all())
        self._lock = threading.Lock()
        self.ranks = np.ones(len(row), dtype=np.int64)

    @property
    def asked(self) -> tuple[_Places, _Places, _Float64]:
        """Query, item and own score of each pair."""
        return self._row, self._column, self._own

    def see(
        self,
        engine: Any,
        scores: npt.NDArray[Any],
        queries: slice,
        items: slice,
        error: _Float64,
        axis: int,
    ) -> None:
        """Count in a tile of an engine's scores, whose items lie along ``axis``."""
        if self._counted is not None:
            scores[:, ~self._counted[items]] = -np.inf
        first, last = np.searchsorted(self._row, (queries.start, queries.stop))
        step = scores.shape[1 - axis]
        for part in blocks(int(last - first), step):
            pairs = slice(int(first) + part.start, int(first) + part.stop)
            local = self._row[pairs] - queries.start
            lines = scores
            if not self._one_each:
                lines = scores[local] if axis == 1 else scores[:, local]
            self._count(engine.flags(lines.shape), lines, pairs, items, error[local], axis)

    def _count(
        self,
        reached: npt.NDArray[np.bool_],
        lines: npt.NDArray[Any],
        pairs: slice,
        items: slice,
        error: _Float64,
        axis: int,
    ) -> None:
        own = self._own[pairs]
        lower, upper = (x.astype(lines.dtype) for x in (own - error, own + error))
        at: Any = (slice(None), None) if axis == 1 else slice(None)
        np.greater_equal(lines, lower[at], out=reached)
        few = np.count_nonzero(reached) < lines.size // _FEW
        if few:
            # Those that reach it are looked at one by one.
            left = np.flatnonzero(reached)
        else:
            above = lines > upper[at]
            left = np.flatnonzero(np.not_equal(above, reached, out=reached))
        row = left // lines.shape[1]
        column = left - row * lines.shape[1]
        which, other = (row, column) if axis == 1 else (column, row)
        if few:
            clear = np.take(lines, left) > upper[which]
            ahead = np.bincount(which[clear], minlength=len(own))
            which, other = which[~clear], other[~clear]
        else:
            ahead = _sums(above, axis)
        if axis == 0:
            order = np.argsort(which, kind="stable")
            which, other = which[order], other[order]
        self._decide(which + pairs.start, other + items.start, ahead, pairs.start)
        with self._lock:
            self.ranks[pairs] += ahead

    def _decide(
        self, pair: _Places, item: _Places, ahead: npt.NDArray[np.int64], first: int
    ) -> None:
        """Add what comes before the pair's item, by float64 scores."""
        keep = item != self._column[pair]
        pair, item = pair[keep], item[keep]
        for part in blocks(len(pair), 1 << 16):
            one, other = pair[part], item[part]
            scores, own = self.pairs.of(self._row[one], other), self._own[one]
            before = (scores > own) | ((scores == own) & (other < self._column[one]))
            np.add.at(ahead, one[before] - first, 1)


class _Band:
    """Some queries of a product, counted in one or both directions."""

    def __init__(self, rows: slice, forth: RankCount, back: _Back | None) -> None:
        self.rows, self._forth, self._back = rows, forth, back

    def see(self, engine: Any, scores: Any, rows: slice, start: int, w: int, error: Any) -> None:
        """As `Part.see`."""
        columns = slice(start, start + w)
        if self._back is not None:
            self._back.see(engine, scores[0], self.rows, columns)
        gate = self._forth.pairs.gate
        if gate is None:
            tile = engine.part(scores, rows)
        else:
            tile, bias = scores[0][rows], scores[1]
            if bias is not None:
                tile -= np.multiply.outer(gate[self.rows].astype(tile.dtype), bias)
        self._forth.see(engine, tile, self.rows, columns, error, 1)


class _Back:
    """The other direction of a product: its items are the queries."""

    def __init__(self, count: RankCount, dtype: Any, sizes: _Float64) -> None:
        self._count, self._sizes = count, sizes
        self._engine = NumpyEngine(count.pairs.queries.astype(dtype, copy=False))

    def see(self, engine: Any, tile: npt.NDArray[Any], rows: slice, columns: slice) -> None:
        """Count in a tile of bare products, which stays as it is."""
        bias, gate = self._count.pairs.bias, self._count.pairs.gate
        if bias is not None:
            bias = bias[rows]
            column = bias.astype(tile.dtype)[:, None]
            tile = tile - (column if gate is None else column * gate[columns].astype(tile.dtype))
        error = self._engine.error(float(self._sizes[rows].max()), bias, columns)
        self._count.see(engine, tile, columns, rows, error, 0)


def count_ranks(
    forth: RankCount,
    back: RankCount | None = None,
    *,
    rows: int | None = None,
    progress: Callable[[int, int], Any] | None = None,
) -> None:
    """Let counts see all scores of ``forth``; ``back`` is of the same product, turned round.

    ``rows`` is the most queries of a tile. Progress: called with (scores done, scores in all).
    """
    if _counted_on_device(forth, back, rows, progress):
        return
    items = forth.pairs.items
    n, m = len(forth.pairs.queries), len(items)
    shares = Shares.of(n, m, rows)

    def report(done: int) -> None:
        if progress is not None:
            progress(done, n * m)

    wide = items.is_wide or forth.pairs.queries.dtype == np.float64
    if back is not None and heaviest(back.pairs.bias) > 1e37:
        wide = True
    for dtype in (np.float64,) if wide else (np.float32, np.float64):
        engine = _engine(forth.pairs, dtype, shares)
        other = None if back is None else _Back(back, dtype, engine.sizes)
        parts: list[list[Any]] = [[_Band(part, forth, other) for part in shares.bands]]
        parts *= len(shares.stripes)
        source = Source(engine, items, forth.pairs.bias)
        if work_through(source, parts, shares.stripes, shares.workers, report, shares.columns):
            return
        for count in (forth, back):
            if count is not None:
                count.ranks[:] = 1


def _engine(pairs: PairScores, dtype: Any, shares: Shares) -> NumpyEngine:
    queries = pairs.queries.astype(dtype, copy=False)
    one_tile = len(shares.bands) == 1 and len(pairs.items) <= shares.columns
    if pairs.kept is None or not one_tile:
        return NumpyEngine(queries)
    return KeptEngine(queries, pairs.kept)


def _counted_on_device(
    forth: RankCount, back: RankCount | None, rows: int | None, progress: Any
) -> bool:
    """Whether these are ranks of tensors, which are counted where they are."""
    if not isinstance(forth.pairs, DevicePairs):
        return False
    other = None
    if back is not None:
        assert isinstance(back.pairs, DevicePairs)
        other = back.pairs, back.asked
    found = count_on_device((forth.pairs, forth.asked), other, rows, progress)
    forth.ranks += found[0]
    if back is not None:
        back.ranks += found[1]
    return True


def places(
    query: npt.NDArray[Any], items: Any, rows: _Places, counted: npt.NDArray[np.bool_] | None = None
) -> _Places:
    """The rank of each of ``rows``, from 1 on, in a list of items (m, d) for one query (d,).

    It is by q . x; ``counted``, (m,), says which items have a rank at all: others are passed over.
    """
    gallery = items if isinstance(items, Gallery) else Gallery(items, len(query))
    pairs = PairScores(np.asarray(query)[None], gallery, None)
    count = RankCount(pairs, np.zeros(len(rows), dtype=np.intp), np.asarray(rows), counted=counted)
    count_ranks(count)
    return count.ranks.astype(np.intp)


def _sums(mask: npt.NDArray[np.bool_], axis: int) -> npt.NDArray[np.int64]:
    """How many are true along an axis: bytes added eight at a time, or row on row."""
    if axis == 0:
        parts = (
            np.add.reduce(mask[rows].view(np.uint8), axis=0, dtype=np.uint8)
            for rows in blocks(len(mask), 255)
        )
        return sum(parts, np.zeros(mask.shape[1], dtype=np.int64))
    if mask.shape[1] % 8 or mask.shape[1] > 8 * 255:
        return np.asarray(np.count_nonzero(mask, axis=1), dtype=np.int64)
    lanes = mask.view(np.uint64).sum(axis=1)
    sums: npt.NDArray[np.int64] = lanes.view(np.uint8).reshape(-1, 8).sum(axis=1, dtype=np.int64)
    return sums

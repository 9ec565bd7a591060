"""Ranks of relevant items, in blocks, without sorting and without a full matrix.

The rank of item p for query q is

    rank(q, p) = 1 + #{y: s(q, y) > s(q, p)} + #{y < p: s(q, y) = s(q, p)}

so ties go to the lowest index first. Scores are those of a `Ranking`. Items
are counted with float32 products; those whose score is closer to the positive's than rounding
can tell (8 sqrt(d) 2^-24 times the lengths) are compared again in float64, from the input
itself. Ranks therefore do not depend on block sizes, on the order of rows or on the BLAS.
Where two rankings are the two directions of one product, it is computed once for both.
"""

from __future__ import annotations

import copy
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from distnorm.arrays import as_working, blocks, rows_per_block, to_numpy
from distnorm.metrics.positives import Positives
from distnorm.metrics.ranking import Ranking
from distnorm.system.threads import run_in_threads, threads

__all__ = ["best_ranks", "best_ranks_both_ways", "pair_ranks", "top_items"]

Ranks = npt.NDArray[np.int64]
Progress = Callable[[int, int], None]

# Tiles of about 4 MB; eight bytes of a mask are added at a time, so at most 8 x 255 columns.
_TILE_ROWS, _TILE_COLUMNS = 510, 2040
# Scores from which another thread is worth starting.
_WORTH = 1 << 18


class _Scorer:
    """Scores of one ranking: blocks in working precision, single pairs in float64."""

    def __init__(self, ranking: Ranking) -> None:
        self.queries = np.asarray(as_working(to_numpy(ranking.queries)))
        self.items = np.asarray(as_working(to_numpy(ranking.items)))
        if self.queries.dtype != self.items.dtype:
            self.queries = self.queries.astype(np.float64)
            self.items = self.items.astype(np.float64)
        self.gate = ranking.gate
        self.bias: npt.NDArray[np.float64] | None = None
        if ranking.bias is not None:
            self.bias = to_numpy(ranking.bias, np.float64)
            self._working_bias = self.bias.astype(self.items.dtype)
        d = self.items.shape[1]
        squares = [np.einsum("ij,ij->i", x, x).max() for x in (self.queries, self.items)]
        size = float(np.sqrt(squares[0] * squares[1]))
        if self.bias is not None:
            size += float(np.abs(self.bias).max())
        unit = np.finfo(self.items.dtype).eps / 2
        self.tolerance = 8 * float(np.sqrt(d)) * float(unit) * size

    def block(self, rows: slice) -> tuple[npt.NDArray[Any], npt.NDArray[np.bool_] | None]:
        """Scores of some queries with all items, and where the bias counts (None: everywhere)."""
        scores = self.queries[rows] @ self.items.T
        if self.bias is None:
            return scores, None
        if self.gate is None:
            scores -= self._working_bias
            return scores, None
        counts = self.gate[scores.argmax(axis=1)]
        scores[counts] -= self._working_bias
        return scores, counts

    def bias_of(self, items: slice, axis: int) -> npt.NDArray[Any]:
        """Working bias of some items, to subtract where they lie along ``axis``."""
        bias = self._working_bias[items]
        return bias if axis == 1 else bias[:, None]

    def exact(
        self,
        rows: npt.NDArray[np.intp],
        columns: npt.NDArray[np.intp],
        counts: npt.NDArray[np.bool_] | None,
    ) -> npt.NDArray[np.float64]:
        """Float64 scores of pairs; ``counts`` says for each pair whether the bias does."""
        scores = np.empty(len(columns))
        # Few rows at a time: their float64 copies stay in the processor's cache.
        for part in blocks(len(columns), 128):
            left = self.queries[rows[part]].astype(np.float64)
            right = self.items[columns[part]].astype(np.float64)
            np.einsum("ij,ij->i", left, right, out=scores[part])
        if self.bias is None:
            return scores
        bias = self.bias[columns]
        return scores - (bias if counts is None else np.where(counts, bias, 0.0))


def pair_ranks(
    ranking: Ranking,
    positives: Positives,
    *,
    progress: Progress | None = None,
    block_bytes: int = 1 << 25,
) -> Ranks:
    """Rank of every positive among all items, shape (pairs,), in the order of ``positives``."""
    scorer = _Scorer(ranking)
    ranks = np.empty(len(positives.indices), dtype=np.int64)
    n = positives.n_queries
    for rows in blocks(n, rows_per_block(positives.n_items, budget=block_bytes)):
        pairs = slice(positives.indptr[rows.start], positives.indptr[rows.stop])
        local = np.repeat(np.arange(rows.stop - rows.start), positives.counts[rows])
        ranks[pairs] = _ranks_in_block(scorer, rows, local, positives.indices[pairs])
        if progress is not None:
            progress(rows.stop, n)
    return ranks


def best_ranks(
    ranking: Ranking,
    positives: Positives,
    *,
    progress: Progress | None = None,
    block_bytes: int = 1 << 25,
) -> Ranks:
    """Rank of each query's best positive, shape (n_queries,); 1 is the top."""
    if ranking.gate is not None:
        every = pair_ranks(ranking, positives, progress=progress, block_bytes=block_bytes)
        best: Ranks = np.minimum.reduceat(every, positives.indptr[:-1])
        return best
    scorer = _Scorer(ranking)
    counter = _Counter(scorer, positives, axis=1)
    n = positives.n_queries
    _count_tiles(scorer, [counter], block_bytes, lambda now: progress and progress(now, n))
    return counter.ranks


def best_ranks_both_ways(
    forth: Ranking,
    back: Ranking,
    positives: tuple[Positives, Positives],
    *,
    progress: Progress | None = None,
    block_bytes: int = 1 << 25,
) -> tuple[Ranks, Ranks]:
    """`best_ranks` of two rankings; one product serves both where it is the same.

    Parameters
    ----------
    forth, back : Ranking
        Of items for queries, and of the same queries for the same items.
    positives : tuple of Positives
        Of either ranking.
    progress : callable, optional
        Called with (queries done, queries of both rankings).
    block_bytes : int
    """
    total = positives[0].n_queries + positives[1].n_queries
    if not _one_product(forth, back):
        found, done = [], 0
        for ranking, truth in zip((forth, back), positives, strict=True):

            def report(now: int, _: int, before: int = done) -> None:
                if progress is not None:
                    progress(before + now, total)

            found.append(best_ranks(ranking, truth, progress=report, block_bytes=block_bytes))
            done += truth.n_queries
        return found[0], found[1]
    scorer = _Scorer(forth)
    counters = [
        _Counter(scorer, positives[0], axis=1),
        _Counter(_Scorer(back), positives[1], axis=0),
    ]
    n = positives[0].n_queries
    _count_tiles(
        scorer,
        counters,
        block_bytes,
        lambda now: progress and progress(total * now // n, total),
    )
    return counters[0].ranks, counters[1].ranks


def _one_product(forth: Ranking, back: Ranking) -> bool:
    return (
        forth.gate is None
        and back.gate is None
        and forth.queries is back.items
        and forth.items is back.queries
    )


def _count_tiles(
    scorer: _Scorer, counters: list[_Counter], budget: int, report: Callable[[int], Any]
) -> None:
    """Have counters, along rows and along columns, see all tiles of ``queries @ items.T``."""
    n, m = len(scorer.queries), len(scorer.items)
    width = min(_TILE_COLUMNS, m)
    workers = min(threads(), -(-n * m // _WORTH))
    height = min(_TILE_ROWS, -(-n // workers), rows_per_block(width, budget=budget))
    run_in_threads(_Bands(scorer, counters, height, width), workers, report)


class _Bands:
    """Rows of tiles. A thread takes a band, multiplies tile after tile, and counts at once."""

    def __init__(self, scorer: _Scorer, counters: list[_Counter], height: int, width: int) -> None:
        self._scorer, self._counters = scorer, counters
        self._height, self._width = height, width
        self._bands = blocks(len(scorer.queries), height)
        self._lock = threading.Lock()
        self._done = 0
        self._stopped = False

    def stop(self) -> None:
        """Have every thread end after its tile."""
        self._stopped = True

    def run(self, report: Callable[[int], Any]) -> None:
        """Take bands until there are none."""
        queries, items = self._scorer.queries, self._scorer.items
        # Counts along columns are of all bands: each thread has its own, added at the end.
        counters = [counter.another() for counter in self._counters]
        room = np.empty(self._height * self._width, dtype=queries.dtype)
        while not self._stopped:
            with self._lock:
                rows = next(self._bands, None)
            if rows is None:
                break
            left = queries[rows]
            for columns in blocks(len(items), self._width):
                if self._stopped:
                    return
                right = items[columns]
                tile = room[: len(left) * len(right)].reshape(len(left), len(right))
                np.matmul(left, right.T, out=tile)
                for counter in counters:
                    counter.see(tile, rows, columns)
            with self._lock:
                self._done += len(left)
                report(self._done)
        with self._lock:
            for whole, own in zip(self._counters, counters, strict=True):
                whole.ranks += own.ranks


class _Counter:
    """Counts, tile after tile, the items above each query's best positive.

    ``axis`` is the one along which the items of a tile lie.
    """

    def __init__(self, scorer: _Scorer, positives: Positives, axis: int) -> None:
        self._scorer, self._axis = scorer, axis
        self._own, self._columns = _best_positives(scorer, positives)
        dtype = scorer.items.dtype
        self._lower = (self._own - scorer.tolerance).astype(dtype)
        self._upper = (self._own + scorer.tolerance).astype(dtype)
        self.ranks: Ranks = np.ones(positives.n_queries, dtype=np.int64)

    def another(self) -> _Counter:
        """One that counts the same from nought."""
        twin = copy.copy(self)
        twin.ranks = np.zeros_like(self.ranks)
        return twin

    def see(self, raw: npt.NDArray[Any], rows: slice, columns: slice) -> None:
        """Count in one tile of raw products."""
        axis = self._axis
        queries, items = (rows, columns) if axis == 1 else (columns, rows)
        scores = raw if self._scorer.bias is None else raw - self._scorer.bias_of(items, axis)
        above = _count(scores > self._along_queries(self._upper[queries]), axis)
        reach = _count(scores >= self._along_queries(self._lower[queries]), axis)
        self.ranks[queries] += above
        best = self._columns[queries]
        own = (best >= items.start) & (best < items.stop)
        # In parts: where very many items score alike, their pairs would not fit into memory.
        unclear = np.flatnonzero(reach - above > own)
        for part in blocks(len(unclear), 64):
            at = unclear[part]
            lines = scores[at] if axis == 1 else scores[:, at].T
            near = (lines >= self._lower[queries][at, None]) & (
                lines <= self._upper[queries][at, None]
            )
            which, close = np.nonzero(near)
            self._decide(queries.start + at[which], close + items.start)

    def _decide(self, queries: npt.NDArray[np.intp], items: npt.NDArray[np.intp]) -> None:
        """Add the pairs' items that come before their query's positive, by float64 scores."""
        for part in blocks(len(queries), 4096):
            query, item = queries[part], items[part]
            values = self._scorer.exact(query, item, None)
            own, column = self._own[query], self._columns[query]
            ahead = (values > own) | ((values == own) & (item < column))
            np.add.at(self.ranks, query[ahead & (item != column)], 1)

    def _along_queries(self, values: npt.NDArray[Any]) -> npt.NDArray[Any]:
        return values[:, None] if self._axis == 1 else values


def _best_positives(
    scorer: _Scorer, positives: Positives
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.intp]]:
    """Score and column of each query's best positive; the lowest column of equal ones."""
    own = np.empty(positives.n_queries)
    best = np.empty(positives.n_queries, dtype=np.intp)
    all_owners = positives.rows
    for rows in blocks(positives.n_queries, 1024):
        pairs = slice(positives.indptr[rows.start], positives.indptr[rows.stop])
        owners, columns = all_owners[pairs], positives.indices[pairs]
        scores = scorer.exact(owners, columns, None)
        order = np.lexsort((columns, -scores, owners))
        first = order[positives.indptr[rows] - positives.indptr[rows.start]]
        own[rows], best[rows] = scores[first], columns[first]
    return own, best


def _count(mask: npt.NDArray[np.bool_], axis: int) -> npt.NDArray[np.int64]:
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
    counts: npt.NDArray[np.int64] = lanes.view(np.uint8).reshape(-1, 8).sum(axis=1, dtype=np.int64)
    return counts


def _ranks_in_block(
    scorer: _Scorer, rows: slice, local: npt.NDArray[np.intp], columns: npt.NDArray[np.intp]
) -> Ranks:
    scores, counts = scorer.block(rows)
    own = scorer.exact(local + rows.start, columns, None if counts is None else counts[local])
    lower = (own - scorer.tolerance).astype(scores.dtype)
    upper = (own + scorer.tolerance).astype(scores.dtype)
    ranks = np.empty(len(columns), dtype=np.int64)
    for pair, (row, column) in enumerate(zip(local, columns, strict=True)):
        line = scores[row]
        above = np.count_nonzero(line > upper[pair])
        ranks[pair] = 1 + above
        if np.count_nonzero(line >= lower[pair]) - above > 1:
            near = np.flatnonzero((line >= lower[pair]) & (line <= upper[pair]))
            gated = None if counts is None else bool(counts[row])
            query = int(row) + rows.start
            ranks[pair] += _ahead(scorer, query, int(column), own[pair], near, gated)
    return ranks


def _ahead(
    scorer: _Scorer,
    query: int,
    column: int,
    own: np.float64,
    near: npt.NDArray[np.intp],
    gated: bool | None,
) -> int:
    """How many of the items too near to tell come before the positive, in float64."""
    near = near[near != column]
    ahead = 0
    for part in blocks(len(near), 4096):
        some = near[part]
        counts = None if gated is None else np.full(len(some), gated)
        values = scorer.exact(np.full(len(some), query), some, counts)
        ahead += int(np.count_nonzero((values > own) | ((values == own) & (some < column))))
    return ahead


def top_items(ranking: Ranking, k: int, *, block_bytes: int = 1 << 25) -> npt.NDArray[np.intp]:
    """The k best items of each query, best first, shape (n_queries, k).

    Ties in working precision go to the lowest index; k larger than the gallery gives all.
    """
    scorer = _Scorer(ranking)
    n, m = len(scorer.queries), len(scorer.items)
    k = min(k, m)
    found = np.empty((n, k), dtype=np.intp)
    for rows in blocks(n, rows_per_block(m, budget=block_bytes)):
        scores, _ = scorer.block(rows)
        if k == 1:
            found[rows] = scores.argmax(axis=1)[:, None]
            continue
        floor = np.partition(scores, m - k, axis=1)[:, m - k]
        for row, line in enumerate(scores):
            candidates = np.flatnonzero(line >= floor[row])
            order = np.lexsort((candidates, -line[candidates]))[:k]
            found[rows.start + row] = candidates[order]
    return found

"""Ranks of relevant items, in blocks, without sorting and without a full matrix.

The rank of item p for query q is

    rank(q, p) = 1 + #{y: s(q, y) > s(q, p)} + #{y < p: s(q, y) = s(q, p)}

so ties go to the lowest index first. Scores are those of a `distnorm.ranking.Ranking`. Items
are counted with float32 products; those whose score is closer to the positive's than rounding
can tell (8 sqrt(d) 2^-24 times the lengths) are compared again in float64, from the input
itself. Ranks therefore do not depend on block sizes, on the order of rows or on the BLAS.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from distnorm.arrays import as_working, blocks, rows_per_block, to_numpy
from distnorm.positives import Positives
from distnorm.ranking import Ranking

__all__ = ["best_ranks", "pair_ranks", "top_items"]

Ranks = npt.NDArray[np.int64]
Progress = Callable[[int, int], None]


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

    def exact(
        self, rows: Any, columns: npt.NDArray[np.intp], counts: npt.NDArray[np.bool_] | None
    ) -> npt.NDArray[np.float64]:
        """Float64 scores of pairs; ``counts`` says for each pair whether the bias does."""
        queries = self.queries[rows].astype(np.float64)
        scores: npt.NDArray[np.float64] = np.einsum(
            "ij,ij->i", queries, self.items[columns].astype(np.float64)
        )
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
    scorer = _Scorer(ranking)
    n = positives.n_queries
    ranks = np.empty(n, dtype=np.int64)
    for rows in blocks(n, rows_per_block(positives.n_items, budget=block_bytes)):
        pairs = slice(positives.indptr[rows.start], positives.indptr[rows.stop])
        columns = positives.indices[pairs]
        starts = positives.indptr[rows] - positives.indptr[rows.start]
        if (positives.counts[rows] > 1).any():
            # Among a query's positives only the best can decide a hit; the lowest index of
            # equal ones, since argmax over ascending indices keeps the first.
            owners = positives.rows[pairs]
            unbiased = scorer.gate is not None
            scores = scorer.exact(owners, columns, None)
            if unbiased:
                local = owners - rows.start
                all_ranks = _ranks_in_block(scorer, rows, local, columns)
                ranks[rows] = np.minimum.reduceat(all_ranks, starts)
                continue
            order = np.lexsort((columns, -scores, owners))
            columns = columns[order][starts]
        ranks[rows] = _ranks_in_block(scorer, rows, np.arange(rows.stop - rows.start), columns)
        if progress is not None:
            progress(rows.stop, n)
    return ranks


def _ranks_in_block(
    scorer: _Scorer, rows: slice, local: npt.NDArray[np.intp], columns: npt.NDArray[np.intp]
) -> Ranks:
    scores, counts = scorer.block(rows)
    pair_counts = None if counts is None else counts[local]
    own = scorer.exact(local + rows.start, columns, pair_counts)
    lower = (own - scorer.tolerance).astype(scores.dtype)
    upper = (own + scorer.tolerance).astype(scores.dtype)
    ranks = np.empty(len(columns), dtype=np.int64)
    for pair, (row, column) in enumerate(zip(local, columns, strict=True)):
        line = scores[row]
        above = np.count_nonzero(line > upper[pair])
        ranks[pair] = 1 + above
        if np.count_nonzero(line >= lower[pair]) - above > 1:
            near = np.flatnonzero((line >= lower[pair]) & (line <= upper[pair]))
            near = near[near != column]
            query = np.full(len(near), row + rows.start)
            gated = None if counts is None else np.full(len(near), counts[row])
            values = scorer.exact(query, near, gated)
            ties = (values == own[pair]) & (near < column)
            ranks[pair] += int(np.count_nonzero((values > own[pair]) | ties))
    return ranks


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

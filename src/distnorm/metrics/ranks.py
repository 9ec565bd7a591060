"""Ranks of relevant items, without sorting and without a full matrix.

The rank of item p for query q is

    rank(q, p) = 1 + #{y: s(q, y) > s(q, p)} + #{y < p: s(q, y) = s(q, p)}

so ties go to the lowest index first. Scores are those of a `Ranking`; float64 sums of the input as
it is decide (`distnorm.exact`), so ranks depend neither on block sizes, the order of rows nor the
BLAS. Where two rankings are the two directions of one product, it is computed once for both.
"""

from __future__ import annotations

import numpy as np

from distnorm.arrays import (
    CheckedRows,
    Float64,
    Indices,
    Int64,
    rows_per_block,
    take_rows,
    to_numpy,
)
from distnorm.device.settings import on_device
from distnorm.exact import Gallery, topk
from distnorm.exact.counting import DevicePairs, PairScores, RankCount, count_ranks
from distnorm.metrics.positives import Positives
from distnorm.metrics.ranking import Ranking
from distnorm.system.progress import Progress

__all__ = ["best_ranks", "best_ranks_both_ways", "pair_ranks", "top_items"]


def pair_ranks(
    ranking: Ranking,
    positives: Positives,
    *,
    progress: Progress | None = None,
    block_bytes: int = 1 << 25,
) -> Int64:
    """Rank of every positive among all items, shape (pairs,), in the order of ``positives``.

    ``progress`` is called with (queries done, queries); a block of scores has ``block_bytes`` at
    most.
    """
    pairs = _pairs(ranking)
    count = RankCount(pairs, positives.rows, positives.indices)
    report = _report(progress, 0, positives.n_queries, positives.n_queries)
    count_ranks(count, rows=_rows(positives, block_bytes), progress=report)
    return count.ranks


def best_ranks(
    ranking: Ranking,
    positives: Positives,
    *,
    progress: Progress | None = None,
    block_bytes: int = 1 << 25,
) -> Int64:
    """Rank of each query's best positive, shape (n_queries,), 1 is the top; as `pair_ranks`."""
    count = _best_count(_pairs(ranking), positives)
    report = _report(progress, 0, positives.n_queries, positives.n_queries)
    count_ranks(count, rows=_rows(positives, block_bytes), progress=report)
    return count.ranks


def best_ranks_both_ways(
    forth: Ranking,
    back: Ranking,
    positives: tuple[Positives, Positives],
    *,
    progress: Progress | None = None,
) -> tuple[Int64, Int64]:
    """`best_ranks` of two rankings; one product serves both where it is the same.

    ``forth`` and ``back`` rank items for queries, and the same queries for the same items;
    ``progress`` counts the queries of both.
    """
    sizes = [truth.n_queries for truth in positives]
    one_product = forth.queries is back.items and forth.items is back.queries
    pairs = (_pairs(forth), _pairs(back)) if one_product else None
    if pairs is None or type(pairs[0]) is not type(pairs[1]):
        ranks = [
            best_ranks(ranking, truth, progress=_shifted(progress, before, sum(sizes)))
            for ranking, truth, before in zip((forth, back), positives, (0, sizes[0]), strict=True)
        ]
        return ranks[0], ranks[1]
    forward, backward = pairs
    owners, columns = positives[0].rows, positives[0].indices
    kept = forward.kept
    if kept is None:
        bare = forward.unbiased().of(owners, columns)
    else:
        bare = kept.of_pairs(forward, owners, columns)
    order = np.lexsort((owners, columns))
    other = bare[order]
    turned = (positives[1].rows, positives[1].indices)
    if not all(map(np.array_equal, (columns[order], owners[order]), turned)):
        other = backward.unbiased().of(*turned)
    counts = [_best_count(forward, positives[0], bare), _best_count(backward, positives[1], other)]
    count_ranks(counts[0], counts[1], progress=_report(progress, 0, sum(sizes), sum(sizes)))
    return counts[0].ranks, counts[1].ranks


def top_items(ranking: Ranking, k: int) -> Indices:
    """The k best items of each query, best first, shape (n_queries, k).

    Ties in float64 go to the lowest index; k larger than the gallery gives all.
    """
    pairs = _pairs(ranking)
    queries = pairs.tensor if isinstance(pairs, DevicePairs) else pairs.queries
    top = np.empty((len(queries), min(k, len(pairs.items))), dtype=np.intp)
    gate = np.ones(len(top), dtype=bool) if pairs.gate is None else pairs.gate
    for counts, bias in ((gate, pairs.bias), (~gate, None)):
        some = np.flatnonzero(counts)
        if len(some):
            rows = queries if len(some) == len(top) else take_rows(queries, some)
            found = topk(CheckedRows(rows, "queries"), pairs.items, k, bias)
            top[some] = to_numpy(found[1])
    return top


def _pairs(ranking: Ranking) -> PairScores:
    bias = None if ranking.bias is None else to_numpy(ranking.bias, np.float64)
    if on_device(ranking.queries) and on_device(ranking.items):
        pairs = DevicePairs(ranking.queries, ranking.items, bias, ranking.counts())
        if pairs.fits():
            return pairs
    queries, items = (to_numpy(x) for x in (ranking.queries, ranking.items))
    gallery = Gallery(CheckedRows(items, "items"))
    kept = ranking.kept
    if kept is not None and not kept.is_of(ranking.queries, ranking.items):
        kept = None
    return PairScores(queries, gallery, bias, ranking.counts(), kept)


def _best_count(pairs: PairScores, positives: Positives, bare: Float64 | None = None) -> RankCount:
    """Of each query's best positive, the lowest column of equal ones; ``bare`` are its products."""
    owners, columns = positives.rows, positives.indices
    own = pairs.of(owners, columns) if bare is None else pairs.biased(bare, owners, columns)
    if len(columns) > positives.n_queries:
        own = pairs.settled(owners, columns, own)
        first = np.lexsort((columns, -own, owners))[positives.indptr[:-1]]
        columns, own = columns[first], own[first]
    return RankCount(pairs, np.arange(positives.n_queries), columns, own=own)


def _rows(positives: Positives, budget: int) -> int:
    return rows_per_block(positives.n_items, budget=budget)


def _report(progress: Progress | None, before: int, n: int, total: int) -> Progress | None:
    """Progress in queries, from that in scores."""
    if progress is None:
        return None
    return lambda done, scores: progress(before + n * done // scores, total)


def _shifted(progress: Progress | None, before: int, total: int) -> Progress | None:
    return None if progress is None else lambda done, _: progress(before + done, total)

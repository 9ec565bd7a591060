"""Ranks of a gated ranking: one product counts queries with and without the items' bias."""

from __future__ import annotations

import numpy as np
import pytest

from distnorm.metrics.positives import Positives
from distnorm.metrics.ranking import Ranking
from distnorm.metrics.ranks import best_ranks, best_ranks_both_ways, pair_ranks, top_items


def oracle(ranking):
    """Scores in float64, the bias of the gated queries only."""
    raw = ranking.queries.astype(np.float64) @ ranking.items.T.astype(np.float64)
    gated = ranking.gate[raw.argmax(axis=1)]
    return raw - np.where(gated[:, None], ranking.bias.astype(np.float64), 0)


def ranks_by(scores, rows, columns):
    """Rank of each pair, from 1 on; ties to the lowest index."""
    order = np.argsort(-scores, axis=1, kind="stable")
    return np.argsort(order, axis=1)[rows, columns] + 1


def case(dtype, n=70, m=530, seed=3):
    """Two rankings of one product, each with a bias and a gate of its own; copies among items."""
    rng = np.random.default_rng(seed)
    # Few values, so that products are the same in any order of sums, and often equal.
    left = rng.integers(-2, 3, (n, 6)).astype(dtype)
    right = rng.integers(-2, 3, (m, 6)).astype(dtype)
    left[~left.any(axis=1), 0] = right[~right.any(axis=1), 0] = 1
    sides = []
    for queries, items in ((left, right), (right, left)):
        bias = rng.integers(-4, 5, len(items)).astype(np.float64)
        sides.append(Ranking(queries, items, bias, rng.random(len(items)) < 0.5))
    truth = Positives.of(rng.integers(0, n, m), m, n)
    return sides, (truth.transposed(), truth)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_both_directions_in_one_product(dtype):
    rankings, truths = case(dtype)
    both = best_ranks_both_ways(*rankings, truths)
    for ranking, truth, ranks in zip(rankings, truths, both, strict=True):
        gated = ranking.counts()
        assert 0 < gated.sum() < len(gated)
        every = ranks_by(oracle(ranking), truth.rows, truth.indices)
        np.testing.assert_array_equal(pair_ranks(ranking, truth), every)
        best = np.minimum.reduceat(every, truth.indptr[:-1])
        np.testing.assert_array_equal(ranks, best)
        np.testing.assert_array_equal(best_ranks(ranking, truth), best)


def test_it_is_one_product(monkeypatch):
    rankings, truths = case(np.float32)
    counted = []
    monkeypatch.setattr(
        "distnorm.metrics.ranks.count_ranks", lambda *counts, **_: counted.append(len(counts))
    )
    best_ranks_both_ways(*rankings, truths)
    assert counted == [2]


def test_lists_of_gated_and_other_queries():
    (ranking, _), _ = case(np.float32)
    best = np.argsort(-oracle(ranking), axis=1, kind="stable")[:, :7]
    np.testing.assert_array_equal(top_items(ranking, 7), best)

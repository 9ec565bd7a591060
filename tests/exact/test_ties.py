"""One rule for every entry: the higher float64 score first, of equal ones the lowest index.

The items' scores for (1, 1/8) are all 1 in float32. In float64 two are higher, and one is lower.
"""

from __future__ import annotations

import numpy as np
import pytest

import distnorm
from distnorm import Ranking
from distnorm.comparison.diagnostics import hubness, occurrence_counts
from distnorm.exact import Gallery, KBest, places, topk
from distnorm.methods.gated import popular_items
from distnorm.metrics.positives import Positives
from distnorm.metrics.ranks import best_ranks, best_ranks_both_ways, pair_ranks, top_items

STEP = 2.0**-27
ITEMS = np.array([[1, 0], [1, 8 * STEP], [1, 0], [1, -8 * STEP], [1, 8 * STEP], [0, 8]])
# Three are equal, in three places.
ORDER = [1, 4, 0, 2, 5, 3]
RANK = [3, 1, 4, 6, 2, 5]
QUERY = np.array([[1, 0.125]])
DTYPES = ["float16", "float32", "float64"]


def rows(dtype, copies=1):
    return QUERY.repeat(3, axis=0).astype(dtype), np.tile(ITEMS, (copies, 1)).astype(dtype)


def order_of(copies):
    """The same for several copies of the items, one after the other."""
    scores = np.tile(ITEMS @ QUERY[0], copies)
    return np.argsort(-scores, kind="stable")


@pytest.mark.parametrize("dtype", DTYPES)
def test_topk(library, dtype):
    if library.name == "array_api_strict" and dtype == "float16":
        pytest.skip("array_api_strict has no float16")
    queries, items = (library.asarray(x) for x in rows(dtype))
    for k in (1, 3, 6):
        scores, found = topk(queries, items, k)
        assert library.to_numpy(found).tolist() == [ORDER[:k]] * 3
        values = library.to_numpy(scores)
        assert values.dtype == ("float64" if dtype == "float64" else "float32")
        if dtype != "float64":
            assert (values == 1).all()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("precision", ["float32", "half"])
@pytest.mark.parametrize("k", [1, 7, 700])
def test_topk_of_more_copies_than_a_first_pass_can_keep(dtype, precision, k):
    if precision == "half":
        pytest.importorskip("torch", reason="the pass in half precision is torch's")
    queries, items = rows(dtype, copies=1500)
    found = topk(queries, items, k, precision=precision)[1]
    assert (found == order_of(1500)[:k]).all()


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_bias_that_float32_cannot_tell(dtype):
    queries, items = rows(dtype)
    bias = np.zeros(6)
    bias[1], bias[5] = 2 * STEP, -2 * STEP
    assert topk(queries, items, 6, bias)[1][0].tolist() == [5, 4, 0, 2, 1, 3]
    ranking = Ranking(queries, items, bias)
    assert top_items(ranking, 6)[0].tolist() == [5, 4, 0, 2, 1, 3]
    truth = Positives.of([[0, 1, 2, 3, 4, 5]] * 3, 3, 6)
    assert pair_ranks(ranking, truth).tolist() == [3, 5, 4, 6, 2, 1] * 3


@pytest.mark.parametrize("dtype", DTYPES)
def test_ranks(library, dtype):
    if library.name == "array_api_strict" and dtype == "float16":
        pytest.skip("array_api_strict has no float16")
    queries, items = (library.asarray(x) for x in rows(dtype))
    ranking, back = Ranking(queries, items), Ranking(items, queries)
    every = Positives.of([[0, 1, 2, 3, 4, 5]] * 3, 3, 6)
    assert pair_ranks(ranking, every).tolist() == RANK * 3
    for pick in range(6):
        truth = Positives.of([pick] * 3, 3, 6)
        assert best_ranks(ranking, truth).tolist() == [RANK[pick]] * 3
        # All three queries are the same for each item.
        other = Positives.of([2] * 6, 6, 3)
        both = best_ranks_both_ways(ranking, back, (truth, other))
        assert both[0].tolist() == [RANK[pick]] * 3
        assert both[1].tolist() == [3] * 6
    assert best_ranks(ranking, Positives.of([[0, 3], [2, 5], [1, 4]], 3, 6)).tolist() == [3, 4, 1]
    assert top_items(ranking, 4).tolist() == [ORDER[:4]] * 3


@pytest.mark.parametrize("dtype", DTYPES)
def test_the_place_of_an_item(dtype):
    queries, items = rows(dtype)
    for gallery in (items, Gallery(items)):
        assert places(queries[0], gallery, np.arange(6)).tolist() == RANK
    counted = np.array([False, True, True, True, False, True])
    assert places(queries[0], items, np.array([1, 2, 5, 3]), counted).tolist() == [1, 2, 3, 4]


@pytest.mark.parametrize("dtype", DTYPES)
def test_hubs_of_the_diagnostics(dtype):
    """The best item is the second, whatever float32 makes of it."""
    queries, items = rows(dtype, copies=4)
    norm = distnorm.make("dot", input="any")
    found = hubness(norm, queries, items, "text")
    assert found["occupancy"] == 1 / 24
    wanted = np.zeros(24, dtype=int)
    wanted[order_of(4)[:10]] = 3
    assert occurrence_counts(norm, queries, items, "text").tolist() == wanted.tolist()


@pytest.mark.parametrize("dtype", DTYPES)
def test_the_item_that_opens_a_gate(dtype):
    queries, items = rows(dtype)
    gate = np.arange(6) == 1
    assert (popular_items(items, queries) == gate).all()
    bias = np.array([0.0, 1, 1, 1, 1, 1])
    assert top_items(Ranking(queries, items, bias, gate), 1).tolist() == [[0]] * 3
    assert top_items(Ranking(queries, items, bias, ~gate), 1).tolist() == [[1]] * 3
    truth = Positives.of([[1, 0]] * 3, 3, 6)
    assert pair_ranks(Ranking(queries, items, bias, gate), truth).tolist() == [1, 2] * 3
    assert pair_ranks(Ranking(queries, items, bias, ~gate), truth).tolist() == [3, 1] * 3
    assert best_ranks(Ranking(queries, items, bias, ~gate), truth).tolist() == [1] * 3


def test_the_k_best_so_far():
    best = KBest(3)
    assert best.least == -np.inf
    best.add(np.array([1.0, 2.0]), np.array([0, 1]))
    best.add(np.array([2.0, 1.0, 1 + STEP]), np.array([2, 3, 4]))
    assert best.places.tolist() == [1, 2, 4]
    assert best.least == 1 + STEP

"""Metrics against brute force, and what they refuse."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from distnorm import DistnormError, Ranking, recall_at_k
from distnorm.exact import tiles
from distnorm.metrics import (
    average_precision_at_r,
    k_occurrence,
    occupancy,
    r_precision,
    skewness,
)
from distnorm.metrics.positives import Positives
from distnorm.metrics.ranks import best_ranks, best_ranks_both_ways, pair_ranks, top_items


def brute_ranks(scores: np.ndarray, truth: Positives) -> np.ndarray:
    """Ranks by a stable sort: ties keep the lowest index first."""
    order = np.argsort(-scores, axis=1, kind="stable")
    place = np.argsort(order, axis=1) + 1
    return place[truth.rows, truth.indices]


@st.composite
def problems(draw):
    """Rows on a coarse grid, so that exact ties between items are frequent."""
    n, m, d = draw(st.integers(1, 8)), draw(st.integers(2, 12)), draw(st.integers(1, 4))
    rng = np.random.default_rng(draw(st.integers(0, 10_000)))
    queries, items = (rng.integers(-2, 3, (k, d)).astype(np.float32) for k in (n, m))
    bias = rng.integers(-1, 2, m).astype(np.float32) if draw(st.booleans()) else None
    positives = [rng.choice(m, rng.integers(1, m), replace=False) for _ in range(n)]
    gate = rng.random(m) < 0.5 if bias is not None and draw(st.booleans()) else None
    return Ranking(queries, items, bias, gate), Positives.of(positives, n, m)


@given(problems(), st.sampled_from([1, 100, 1 << 25]))
def test_ranks_are_those_of_a_stable_sort_whatever_the_block(problem, block_bytes):
    ranking, truth = problem
    wanted = brute_ranks(ranking.scores(), truth)
    np.testing.assert_array_equal(pair_ranks(ranking, truth, block_bytes=block_bytes), wanted)
    np.testing.assert_array_equal(
        best_ranks(ranking, truth, block_bytes=block_bytes),
        np.minimum.reduceat(wanted, truth.indptr[:-1]),
    )


@given(problems(), st.sampled_from([(1, 1), (3, 8), (510, 2040)]), st.booleans())
def test_both_directions_at_once_rank_like_one_after_the_other(problem, tile, shared):
    forth, truth = problem
    queries, items = forth.queries, forth.items
    back = Ranking(items, queries if shared else queries.copy(), queries[:, 0])
    back_truth = Positives.of(np.arange(len(items)) % len(queries), len(items), len(queries))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tiles, "TILE", tile)
        found = best_ranks_both_ways(forth, back, (truth, back_truth))
    for ranking, positives, got in ((forth, truth, found[0]), (back, back_truth, found[1])):
        every = brute_ranks(ranking.scores(), positives)
        np.testing.assert_array_equal(got, np.minimum.reduceat(every, positives.indptr[:-1]))


@pytest.mark.parametrize("noise", [0.05, 5.0], ids=["few are before", "many are before"])
def test_large_tiles_count_what_a_sort_counts(rng, noise):
    items = rng.normal(0, 1, (4500, 12)).astype(np.float32)
    own, back_own = rng.integers(0, 4500, 1100), rng.integers(0, 1100, 4500)
    queries = items[own] + rng.normal(0, noise, (1100, 12)).astype(np.float32)
    items[:50] = items[50:100]
    truth, back_truth = Positives.of(own, 1100, 4500), Positives.of(back_own, 4500, 1100)
    forth = Ranking(queries, items, items[:, 0])
    back = Ranking(items, queries, queries[:, 1])
    found = best_ranks_both_ways(forth, back, (truth, back_truth))
    for ranking, positives, got in ((forth, truth, found[0]), (back, back_truth, found[1])):
        scores = ranking.queries.astype(np.float64) @ ranking.items.T.astype(np.float64)
        scores -= ranking.bias.astype(np.float64)
        np.testing.assert_array_equal(got, brute_ranks(scores, positives))


@given(problems())
def test_top_items_are_those_of_a_stable_sort(problem):
    ranking, truth = problem
    order = np.argsort(-ranking.scores(), axis=1, kind="stable")
    for k in (1, 3, truth.n_items + 5):
        np.testing.assert_array_equal(top_items(ranking, k), order[:, :k])


def test_equal_items_tie_by_index_however_the_product_rounds(rng):
    item = rng.normal(0, 1, 511).astype(np.float32)
    items = np.tile(item, (37, 1))
    queries = rng.normal(0, 1, (5, 511)).astype(np.float32)
    truth = Positives.of(np.array([0, 9, 18, 27, 36]), 5, 37)
    np.testing.assert_array_equal(best_ranks(Ranking(queries, items), truth), [1, 10, 19, 28, 37])


@given(st.integers(0, 1000))
def test_recall_of_a_matrix_with_negative_scores(seed):
    rng = np.random.default_rng(seed)
    scores = rng.integers(-4, 0, (6, 9)).astype(float)
    truth = Positives.of([rng.choice(9, 2, replace=False) for _ in range(6)], 6, 9)
    best = np.minimum.reduceat(brute_ranks(scores, truth), truth.indptr[:-1])
    wanted = {k: float(np.mean(best <= k)) for k in (1, 5, 100)}
    assert recall_at_k(scores, truth, k=(1, 5, 100)) == wanted
    assert recall_at_k(scores + 7.0, truth, k=(1, 5, 100)) == wanted


def test_positives_outside_of_the_gallery_stay_in_r():
    positives = Positives.of([[0, 1]], 1, 5)
    ranks, three = np.array([1, 3]), np.array([3])
    assert r_precision(ranks, positives, three)[0] == pytest.approx(2 / 3)
    assert r_precision(ranks, positives)[0] == pytest.approx(1 / 2)
    assert average_precision_at_r(ranks, positives, three)[0] == pytest.approx((1 + 2 / 3) / 3)


def test_r_precision_and_map_at_r_by_hand():
    truth = Positives.of([[0, 1, 2], [3]], 2, 5)
    ranks = np.array([1, 3, 5, 2])
    np.testing.assert_allclose(r_precision(ranks, truth), [2 / 3, 0])
    np.testing.assert_allclose(average_precision_at_r(ranks, truth), [(1 + 2 / 3) / 3, 0])


def test_positives_in_their_three_forms():
    wanted = Positives.of([[1], [0, 2]], 2, 3)
    matrix = np.array([[False, True, False], [True, False, True]])
    for given_form in (matrix, [np.array([1]), [2, 0, 0]], wanted):
        found = Positives.of(given_form, 2, 3)
        np.testing.assert_array_equal(found.indptr, wanted.indptr)
        np.testing.assert_array_equal(found.indices, wanted.indices)
    np.testing.assert_array_equal(wanted.transposed().indices, [1, 0, 1])


def test_eccv_caption_is_a_ground_truth_of_many_images_a_caption(real_data):
    table = json.loads((real_data / "eccv-caption" / "eccv_caption_to_image.json").read_text())
    images = sorted({image for row in table.values() for image in row})
    place = {image: i for i, image in enumerate(images)}
    positives = [[place[image] for image in row] for row in table.values()]
    truth = Positives.of(positives, len(table), len(images))
    assert truth.counts.max() > 5
    rng = np.random.default_rng(0)
    ranking = Ranking(rng.normal(0, 1, (len(table), 8)), rng.normal(0, 1, (len(images), 8)))
    ranks = pair_ranks(ranking, truth)
    precision = r_precision(ranks, truth)
    assert np.all(average_precision_at_r(ranks, truth) <= precision + 1e-12)
    assert precision.mean() < 0.1


def test_hub_figures_by_hand():
    top = np.array([[0, 1], [0, 2], [0, 1]])
    np.testing.assert_array_equal(k_occurrence(top, 4), [3, 2, 1, 0])
    assert occupancy(top[:, 0], 4) == 0.25
    assert skewness(np.array([1, 1, 1])) == 0
    assert skewness(np.array([9, 0, 0, 0, 0])) == pytest.approx(1.5)


@pytest.mark.parametrize(
    ("positives", "words"),
    [
        ([[0]], "relevant items of 2 queries"),
        ([[0], [9]], "item 9 in the pair of query 1"),
        ([[0], []], "query 1 without a positive"),
        ([[0], [0.5]], "of query 1; expected item indices"),
        (np.ones((3, 3), dtype=bool), "boolean matrix"),
        (7, "positives of int"),
    ],
)
def test_positives_that_do_not_fit(positives, words):
    with pytest.raises(DistnormError, match=words):
        recall_at_k(np.zeros((2, 3)), positives)


@pytest.mark.parametrize("k", [0, -1, True, 1.5, ()])
def test_k_that_is_no_positive_integer(k):
    with pytest.raises(DistnormError, match="k"):
        recall_at_k(np.zeros((1, 2)), [0], k=k)


def test_scores_that_are_no_matrix_of_numbers():
    with pytest.raises(DistnormError, match="floating matrix"):
        recall_at_k(np.zeros(3), [0])
    with pytest.raises(DistnormError, match="row 1"):
        recall_at_k(np.array([[0.0, 1.0], [np.nan, 1.0]]), [0, 1])


@pytest.mark.parametrize(
    "array", [np.array([2, 0, 2]), np.array([[2, 1], [0, 0], [1, 2]]), np.array([2.0, 0.0, 2.0])]
)
def test_an_array_says_what_its_list_says(array):
    one, other = (Positives.of(x, 3, 3) for x in (array, array.tolist()))
    np.testing.assert_array_equal(one.indptr, other.indptr)
    np.testing.assert_array_equal(one.indices, other.indices)

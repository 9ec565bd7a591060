"""Weights by density against the formula in plain float64, and what they are for."""

from __future__ import annotations

import numpy as np
import pytest

from distnorm import DistnormError, Moments, normalize
from distnorm.moments import density_weights
from distnorm.moments.weights import fold


def spread_rows(n: int, d: int = 24, seed: int = 0) -> np.ndarray:
    """Unit rows of ten kinds, unlike in how often they come."""
    rng = np.random.default_rng(seed)
    kinds = rng.standard_normal((10, d))
    share = 1 / np.arange(1, 11)
    rows = kinds[rng.choice(10, n, p=share / share.sum())] + 0.6 * rng.standard_normal((n, d))
    return normalize((rows + 1).astype(np.float32))


def plain_weights(rows: np.ndarray) -> np.ndarray:
    centred = rows.astype(np.float64) - rows.astype(np.float64).mean(axis=0)
    centred /= np.linalg.norm(centred, axis=1, keepdims=True)
    like = np.clip((centred @ centred.T - 0.5) / 0.5, 0, 1)
    np.fill_diagonal(like, 1)
    return 1 / like.sum(axis=0)


def test_weights_are_those_of_the_formula():
    rows = spread_rows(300)
    np.testing.assert_allclose(density_weights(rows), plain_weights(rows), rtol=1e-5)


def test_repeated_rows_share_one_weight_exactly():
    rows = spread_rows(50)
    times = np.random.default_rng(1).integers(1, 6, 50)
    repeated = np.repeat(rows, times, axis=0)
    weights = density_weights(repeated)
    np.testing.assert_allclose(weights, plain_weights(repeated), rtol=1e-5)
    assert len(np.unique(weights)) <= 50


def test_one_row_repeated_is_worth_one():
    np.testing.assert_allclose(density_weights(np.ones((7, 3))), 1 / 7)


def test_far_apart_rows_count_one_each():
    np.testing.assert_allclose(density_weights(np.vstack([np.eye(8), -np.eye(8)])), 1)


def test_a_sample_of_rows_to_compare_with_estimates_the_same():
    rows = spread_rows(1500)
    exact, sampled = density_weights(rows), density_weights(rows, most=500)
    assert sampled.sum() == pytest.approx(exact.sum(), rel=0.15)
    assert np.corrcoef(np.log(exact), np.log(sampled))[0, 1] > 0.9
    np.testing.assert_array_equal(sampled, density_weights(rows, most=500))


def test_torch_and_half_rows_get_the_same_weights():
    torch = pytest.importorskip("torch")
    rows = spread_rows(60)
    want = density_weights(rows)
    np.testing.assert_allclose(density_weights(torch.from_numpy(rows)), want, rtol=1e-6)
    np.testing.assert_allclose(density_weights(rows.astype(np.float16)), want, rtol=0.02)


def test_fold_keeps_the_order_rows_first_come_in():
    rows = np.array([[2.0, 1], [0, 1], [2, 1], [-0.0, 1]], dtype=np.float32)
    distinct, place, counts = fold(rows)
    np.testing.assert_array_equal(distinct, [[2, 1], [0, 1]])
    np.testing.assert_array_equal(place, [0, 1, 0, 1])
    np.testing.assert_array_equal(counts, [2, 2])


@pytest.mark.parametrize("kind", [{}, {"order": 2}, {"order": 2, "rank": 4}])
def test_a_weight_is_a_number_of_copies(kind):
    rows = spread_rows(40).astype(np.float64)
    times = np.random.default_rng(2).integers(0, 4, 40)
    times[0] = 2
    weighted = Moments(**kind).update(rows, weights=times.astype(float))
    repeated = Moments(**kind).update(np.repeat(rows, times, axis=0))
    assert weighted.count == np.count_nonzero(times)
    assert weighted.weight == times.sum() == repeated.weight
    np.testing.assert_allclose(weighted.mean, repeated.mean, atol=1e-13)
    errors = [m.uncertainty().standard_error for m in (weighted, repeated)]
    # Copies tell nothing more of the mean.
    assert errors[0] * np.sqrt(weighted.count - 1) == pytest.approx(
        errors[1] * np.sqrt(repeated.count - 1)
    )
    scaled = Moments(**kind).update(rows, weights=1e-6 * times)
    assert scaled.uncertainty().standard_error == pytest.approx(errors[0])
    if kind == {"order": 2}:
        np.testing.assert_allclose(weighted.covariance(), repeated.covariance(), atol=1e-13)
    if "rank" in kind:
        traces = [np.trace(m.covariance()) for m in (weighted, repeated)]
        assert traces[0] == pytest.approx(traces[1])


def test_weighted_shards_add_up_and_come_off_again():
    rows, weights = spread_rows(90).astype(np.float64), np.linspace(0.1, 3, 90)
    whole = Moments(order=2).update(rows, weights=weights)
    first = Moments(order=2).update(rows[:30], weights=weights[:30])
    second = Moments(order=2).update(rows[30:], weights=weights[30:])
    np.testing.assert_allclose(second.merge(first).covariance(), whole.covariance(), atol=1e-13)
    left = first.merge(second).remove(first)
    assert left.weight == pytest.approx(second.weight)
    np.testing.assert_allclose(left.mean, second.mean, atol=1e-12)


def test_weights_and_their_counts_survive_arrays():
    moments = Moments().update(spread_rows(5), weights=np.arange(5.0))
    assert moments.count == 4  # one has no weight
    again = Moments.from_arrays(moments.to_arrays(), count=4, unit_length=True, rank=None)
    assert (again.count, again.weight) == (4, 10.0)
    np.testing.assert_array_equal(again.mean, moments.mean)


@pytest.mark.parametrize(
    ("weights", "said"),
    [
        (np.ones(4), r"weights of shape \(4,\) for 3 queries"),
        (np.ones((3, 1)), r"one number per row, \(3,\)"),
        ([1, np.nan, 1], "weight nan for row 1 of queries"),
        ([1, 2, -1], "weight -1 for row 2 of queries"),
        ([0, 0, 0], "weights of queries that are all 0"),
        ("dense", "'density', 'even' or numbers"),
        (["a", "b", "c"], "weights of 3 queries of type list; expected numbers"),
        (2.0, r"weights of shape \(\) for 3 queries"),
        (np.ones(3) + 0j, "weights of 3 queries of type ndarray; expected numbers"),
        ({1: 2}, "weights of 3 queries of type dict"),
        (np.ma.masked_less([1, 2, 3], 2), "masked array, first masked in row 0"),
        ([1e-320] * 3, "weights of queries of at most .* some from 1e-100 on; multiply"),
        ([1, 1e300, 1], r"weight 1e\+300 for row 1 of queries; expected numbers from 0 to 1e\+12"),
    ],
)
def test_weights_that_are_none(weights, said):
    moments = Moments()
    with pytest.raises(DistnormError, match=said):
        moments.update(spread_rows(3), "queries", weights)
    assert moments.count == 0


def test_a_column_of_a_table_is_weights_in_its_order():
    pandas = pytest.importorskip("pandas")
    rows, times = spread_rows(4), [3, 1, 0, 2]
    want = Moments().update(rows, weights=times).mean
    for column in (pandas.Series(times, index=[9, 3, 0, 1]), pandas.Series(times, dtype="Int64")):
        np.testing.assert_array_equal(Moments().update(rows, weights=column).mean, want)


def test_rows_of_weight_0_may_hold_anything():
    rows = spread_rows(4)
    rows[1] = np.nan
    found = Moments().update(rows, "queries", weights=[1, 0, 1, 1])
    np.testing.assert_array_equal(found.mean, Moments().update(rows[[0, 2, 3]]).mean)
    with pytest.raises(DistnormError, match="NaN in queries whose weight is not 0, first in row 0"):
        Moments().update(rows, "queries", weights=[0, 1, 1, 1])

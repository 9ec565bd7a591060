"""Moments against plain float64 NumPy, and the laws of adding them up."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from distnorm import DistnormError, Moments
from distnorm.moments.sums import sum_rows


def rows(n: int, d: int = 16, seed: int = 0) -> np.ndarray:
    x = np.random.default_rng(seed).normal(0.3, 1, (n, d))
    return x / np.linalg.norm(x, axis=1, keepdims=True)


@given(st.lists(st.integers(1, 40), min_size=1, max_size=6), st.sampled_from([1, 2]))
def test_any_chunking_equals_one_batch(sizes, order):
    x = rows(sum(sizes))
    whole, parts = Moments(order=order).update(x), Moments(order=order)
    for part in np.split(x, np.cumsum(sizes)[:-1]):
        parts.update(part)
    assert parts.count == whole.count
    np.testing.assert_allclose(parts.mean, whole.mean, atol=1e-13)
    if order == 2:
        np.testing.assert_allclose(parts.covariance(), whole.covariance(), atol=1e-12)


@given(st.integers(1, 30), st.integers(1, 30), st.integers(1, 30))
def test_merge_is_associative_and_commutative(a, b, c):
    shards = [Moments(order=2).update(rows(n, seed=i)) for i, n in enumerate((a, b, c))]
    left = shards[0].merge(shards[1]).merge(shards[2])
    right = shards[2].merge(shards[1].merge(shards[0]))
    assert left.count == right.count == a + b + c
    np.testing.assert_allclose(left.mean, right.mean, atol=1e-13)
    np.testing.assert_allclose(left.covariance(), right.covariance(), atol=1e-12)


@given(st.integers(2, 60), st.integers(1, 40))
def test_remove_takes_out_what_update_put_in(kept, gone):
    keep, drop = rows(kept), rows(gone, seed=1)
    moments = Moments(order=2).update(keep).update(drop).remove(drop)
    np.testing.assert_allclose(moments.mean, keep.mean(axis=0), atol=1e-12)
    np.testing.assert_allclose(moments.covariance(), np.cov(keep.T, bias=True), atol=1e-11)


def test_remove_refuses_what_leaves_nothing_and_low_rank():
    x = rows(5)
    with pytest.raises(DistnormError, match="5 rows to remove from 5"):
        Moments().update(x).remove(x)
    with pytest.raises(DistnormError, match="rank 3"):
        Moments(order=2, rank=3).update(x).remove(x[:2])


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_large_narrow_input_takes_the_fast_path_within_its_bound(dtype):
    x = rows(20_000, 256).astype(dtype)
    assert x.size > 1 << 22
    sums = sum_rows(x, "x", second=True)
    wide = x.astype(np.float64)
    np.testing.assert_allclose(sums.sum / len(x), wide.mean(axis=0), atol=1e-7)
    np.testing.assert_allclose(sums.second / len(x), wide.T @ wide / len(x), atol=1e-6)
    assert sums.squares == pytest.approx(np.sum(wide**2), rel=1e-5)


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
@pytest.mark.parametrize(
    ("value", "words"), [(np.nan, "NaN"), (np.inf, "infinity"), (0.0, "all-zero")]
)
def test_fast_path_names_the_first_bad_row(dtype, value, words):
    x = rows(20_000, 256).astype(dtype)
    x[17_123] = value
    with pytest.raises(DistnormError, match=rf"{words}.*row 17123"):
        Moments().update(x)


def test_fast_path_goes_slowly_over_numbers_too_large_for_float32_sums():
    x = (rows(20_000, 256) * 1e30).astype(np.float32)
    np.testing.assert_allclose(
        Moments().update(x).mean, x.astype(np.float64).mean(axis=0), rtol=1e-6
    )


def test_sparse_rows_are_no_zero_rows():
    x = np.zeros((40_000, 128), dtype=np.float32)
    x[np.arange(40_000), np.arange(40_000) % 128] = 1
    assert Moments().update(x).mean == pytest.approx(np.full(128, 1 / 128), abs=1e-4)


def test_memory_mapped_rows(tmp_path):
    x = rows(300).astype(np.float16)
    np.save(tmp_path / "x.npy", x)
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
    np.testing.assert_allclose(Moments().update(mapped).mean, x.astype(float).mean(axis=0))


def test_every_library_gives_numpys_statistics(library):
    x = rows(100).astype(np.float32)
    moments = Moments(order=2).update(library.asarray(x))
    np.testing.assert_allclose(moments.mean, x.astype(float).mean(axis=0), atol=1e-6)
    np.testing.assert_allclose(moments.covariance(), np.cov(x.T, bias=True), atol=1e-6)


def test_bfloat16_and_half_tensors():
    torch = pytest.importorskip("torch")
    x = torch.from_numpy(rows(64))
    for dtype in (torch.float16, torch.bfloat16, torch.float32, torch.float64):
        narrow = x.to(dtype)
        np.testing.assert_allclose(
            Moments().update(narrow).mean, narrow.double().numpy().mean(axis=0), atol=1e-6
        )


def test_low_rank_keeps_traces_and_leading_directions(rng):
    x = rng.normal(0, 1, (400, 3)) @ rng.normal(0, 1, (3, 24)) + 0.01 * rng.normal(0, 1, (400, 24))
    full, low = Moments(order=2).update(x), Moments(order=2, rank=6)
    for part in np.split(x, 8):
        low.update(part)
    assert np.trace(low.covariance()) == pytest.approx(np.trace(full.covariance()), rel=1e-9)
    np.testing.assert_allclose(low.covariance(), full.covariance(), atol=2e-3)
    np.testing.assert_allclose(low.mean, x.mean(axis=0), atol=1e-12)


def test_standard_error_is_that_of_repeated_samples(rng):
    population = rows(20_000)
    errors, claimed = [], []
    for _ in range(200):
        moments = Moments().update(population[rng.choice(20_000, 50)])
        errors.append(np.sum((moments.mean - population.mean(axis=0)) ** 2))
        claimed.append(moments.uncertainty().standard_error ** 2)
    assert np.mean(claimed) == pytest.approx(np.mean(errors), rel=0.1)


def test_uncertainty_of_one_row_is_infinite_and_json_safe():
    sure = Moments().update(rows(1)).uncertainty()
    assert sure.standard_error == float("inf")
    assert sure.to_dict()["standard_error"] is None
    assert sure.samples_for(0.1) is None
    assert Moments().update(rows(50)).uncertainty().samples_for(0.01) > 50


def test_refuses_what_cannot_be_added_up():
    unit = Moments().update(rows(4))
    with pytest.raises(DistnormError, match="un-normalised"):
        unit.merge(Moments().update(5 * rows(4)))
    with pytest.raises(DistnormError, match="dimensions"):
        unit.merge(Moments().update(rows(4, 8)))
    with pytest.raises(DistnormError, match="order"):
        unit.merge(Moments(order=2).update(rows(4)))
    with pytest.raises(DistnormError, match="no rows"):
        _ = Moments().mean
    with pytest.raises(DistnormError, match="order 2"):
        unit.covariance()


def test_a_bad_update_adds_nothing():
    moments = Moments().update(rows(4))
    bad = rows(4)
    bad[2, 1] = np.nan
    before = moments.mean.copy()
    with pytest.raises(DistnormError):
        moments.update(bad)
    assert moments.count == 4
    np.testing.assert_array_equal(moments.mean, before)

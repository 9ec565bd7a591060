"""The sketch of row hashes against sets of rows."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from distnorm.moments import Moments, RowSketch
from distnorm.moments.sketch import SIZE, row_hashes


def unit(rng: np.random.Generator, n: int, d: int) -> np.ndarray:
    x = rng.normal(size=(n, d)) + 0.3
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def same(a: RowSketch, b: RowSketch) -> bool:
    pairs = ((a.hashes, b.hashes), (a.counts, b.counts), (a.limit, b.limit), (a.points, b.points))
    return all(np.array_equal(x, y) for x, y in pairs)


@given(st.integers(0, 2**20), st.integers(1, 5), st.sampled_from([3, 20, 64, 512]))
def test_any_chunks_and_order_give_one_sketch_and_removal_takes_back(seed, parts, d):
    rng = np.random.default_rng(seed)
    x = unit(rng, 60, d)
    x = x[rng.integers(0, 60, 90)]
    whole = RowSketch.of(x)
    pieces = [RowSketch.of(part) for part in np.array_split(x[rng.permutation(90)], parts)]
    total = RowSketch.empty()
    for piece in pieces:
        total = piece.add(total)
    assert same(total, whole)
    assert same(total.add(RowSketch.of(x[:30]), -1), RowSketch.of(x[30:]))


@pytest.mark.parametrize("d", [40, 512])
def test_large_banks_keep_the_lowest_hashes_whatever_the_shards(d):
    rng = np.random.default_rng(1)
    x = unit(rng, 3 * SIZE + 100, d).astype(np.float32)
    whole = RowSketch.of(x)
    assert len(whole.hashes) == SIZE
    assert not whole.to_dict()["exact"]
    shards = [RowSketch.of(part) for part in np.array_split(x, 7)]
    merged = shards[3]
    for shard in shards[:3] + shards[4:]:
        merged = merged.add(shard)
    assert same(merged, whole)
    assert np.array_equal(whole.hashes, np.sort(np.unique(row_hashes(x)))[:SIZE])
    # What is taken out is no longer recognised; what stays still is.
    left = whole.add(RowSketch.of(x[: 2 * SIZE]), -1)
    assert left.overlap(x[: 2 * SIZE]).fitted == 0
    stayed = left.overlap(x[2 * SIZE :])
    assert stayed.fitted == stayed.rows
    assert not stayed.exact


def test_an_estimate_says_about():
    x = unit(np.random.default_rng(2), 20_000, 256).astype(np.float32)
    found = RowSketch.of(x).overlap(np.concatenate([x[:1500], -x[:1500]]))
    assert str(found).startswith("fitted on about ")
    assert "of the 3000 evaluated rows" in str(found)
    assert abs(found.fitted - 1500) < 300


def test_repeats_do_not_fill_the_sketch():
    rng = np.random.default_rng(3)
    x = unit(rng, 500, 512).astype(np.float32)[rng.integers(0, 500, 3 * SIZE)]
    sketch = RowSketch.of(x)
    assert sketch.to_dict() == {"rows": len(np.unique(x, axis=0)), "exact": True}
    assert sketch.counts.sum() == 3 * SIZE


def test_copies_agree_in_every_precision_and_length_from_128_dimensions_on(library):
    x = unit(np.random.default_rng(4), 300, 512)
    hashes = row_hashes(x)
    for dtype in (np.float16, np.float32, np.float64):
        assert np.array_equal(row_hashes((7 * x).astype(dtype)), hashes)
    given = library.asarray(x.astype(np.float32))
    assert np.array_equal(row_hashes(given), hashes)
    if library.name == "torch":
        assert np.array_equal(row_hashes(given.bfloat16()), hashes)
        assert np.array_equal(row_hashes(given.half()), hashes)


@pytest.mark.parametrize("rows", [np.eye(300), np.abs(unit(np.random.default_rng(5), 300, 256))])
def test_rows_of_one_sign_are_told_apart_by_their_values(rows):
    hashes = row_hashes(rows)
    assert len(np.unique(hashes)) == 300
    assert np.mean(row_hashes(5 * rows.astype(np.float32)) == hashes) > 0.97


def test_moments_sum_large_half_precision_to_the_same_sketch():
    x = unit(np.random.default_rng(6), 9000, 512).astype(np.float16)
    assert same(Moments().update(x).sketch, RowSketch.of(x))
    again = Moments(order=2).update(x[:4000]).merge(Moments(order=2).update(x[4000:]))
    assert same(again.sketch, RowSketch.of(x))


def test_unrelated_rows_share_nothing():
    rng = np.random.default_rng(7)
    assert RowSketch.of(unit(rng, 2000, 128)).overlap(unit(rng, 2000, 128)).fitted == 0


def test_statistics_of_an_older_file_make_what_is_merged_unknown():
    x = unit(np.random.default_rng(8), 20, 16)
    arrays = Moments().update(x).to_arrays()
    del arrays["sketch"], arrays["sketch_counts"]
    old = Moments.from_arrays(arrays, count=20, unit_length=True, rank=None)
    assert old.sketch is None
    assert old.merge(Moments().update(x)).sketch is None


def test_points_keep_the_inner_products_of_rows():
    rng = np.random.default_rng(9)
    x = unit(rng, 100, 512) * np.sqrt(np.arange(1, 513))
    sketch = RowSketch.of(x)
    rows = x[np.argsort(row_hashes(x))]
    exact, kept = rows @ rows.T, sketch.points.astype(np.float64) @ sketch.points.T
    assert sketch.points.shape == (100, 128)
    assert np.corrcoef(exact.ravel(), kept.ravel())[0, 1] > 0.7
    assert kept.mean() == pytest.approx(exact.mean(), rel=0.1)

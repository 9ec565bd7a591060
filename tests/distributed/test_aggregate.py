"""Moments as an aggregation of Ray Data: one fit's to 1e-12, however rows are shared out."""

import itertools
import pickle

import numpy as np
import pytest

from distnorm.moments import Moments

pa = pytest.importorskip("pyarrow")
pytest.importorskip("ray", reason="needs the extra 'ray'")
from vector_sets import SIZES, lists, parts

from distnorm.distributed import MomentsAggregate, moments_of
from distnorm.distributed.clusters import plain_ray_errors
from distnorm.distributed.sums import add_rows
from distnorm.errors import DistnormError


def assert_same(found, expected):
    assert (found.count, found.unit_length) == (expected.count, expected.unit_length)
    for name, values in expected.to_arrays().items():
        if values.dtype.kind == "f" and name not in ("points", "sketch_points"):
            np.testing.assert_allclose(found.to_arrays()[name], values, rtol=1e-12, atol=1e-12)
    assert found.sketch.hashes.tolist() == expected.sketch.hashes.tolist()


def tables(rows, **columns):
    starts = np.cumsum([0, *SIZES])
    return [
        pa.table({"v": lists(part), **{k: v[s : s + len(part)] for k, v in columns.items()}})
        for part, s in zip(parts(rows), starts, strict=False)
    ]


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_of_skewed_blocks_with_an_empty_one(rows, dtype):
    rows = rows.astype(dtype)
    made = tables(rows)
    aggregate, total = MomentsAggregate("v", order=2), b""
    for table in [*made[:2], made[0].slice(0, 0), *made[2:]]:
        total = aggregate.combine(total, aggregate.aggregate_block(table))
    assert_same(aggregate.finalize(total), Moments(order=2).update(rows))


def test_of_a_data_set_in_half_precision(session, rows):
    import ray

    rows = rows.astype(np.float16)
    made = tables(rows)
    dataset = ray.data.from_arrow([*made[:2], made[0].slice(0, 0), *made[2:]])
    found = dataset.aggregate(MomentsAggregate(on="v", order=2))["moments(v)"]
    assert_same(found, Moments(order=2).update(rows))


def test_weights_and_groups(session, rows):
    import ray

    weights = np.random.default_rng(0).random(len(rows))
    weights[: SIZES[0]] = 0  # a whole block
    languages = np.array(["de", "en", "fr"])[np.arange(len(rows)) % 3]
    dataset = ray.data.from_arrow(tables(rows, w=weights, language=languages))
    groups = (
        dataset.groupby("language", num_partitions=2)
        .aggregate(MomentsAggregate("v", "w", name="all"))
        .take_all()
    )
    assert len(groups) == 3
    for group in groups:
        own = languages == group["language"]
        assert_same(group["all"], Moments().update(rows[own], weights=weights[own]))


def test_any_order_of_merges(rows):
    aggregate = MomentsAggregate("v", order=2)
    made = [aggregate.aggregate_block(table) for table in tables(rows)]
    expected = Moments(order=2).update(rows)
    for order in itertools.permutations(range(len(made))):
        total = b""
        for number in order:
            total = aggregate.combine(total, made[number])
        assert_same(aggregate.finalize(total), expected)
    left = aggregate.combine(made[0], made[1])
    right = aggregate.combine(made[2], made[3])
    assert_same(aggregate.finalize(aggregate.combine(left, right)), expected)
    assert pickle.loads(aggregate.aggregate_block(tables(rows)[0].slice(0, 0))).count == 0


def test_large_blocks_are_added_up_in_float64_too(monkeypatch):
    monkeypatch.setattr("distnorm.moments.sums.LARGEST_EXACT", 640)
    rows = np.random.default_rng(0).normal(1, 1, (500, 64)).astype(np.float32)
    found, plain, total = Moments(), Moments().update(rows), rows.astype(np.float64).sum(axis=0)
    add_rows(found, rows, "rows")
    np.testing.assert_allclose(found.sum, total, rtol=1e-13)
    assert abs(plain.sum - total).max() > 1e-6  # float32 within 512 rows
    assert found.sketch.hashes.tolist() == plain.sketch.hashes.tolist()
    rows[321] = np.nan
    with pytest.raises(DistnormError, match="NaN in rows, first in row 1321"):
        add_rows(Moments(), rows, "rows", 1000)


def test_what_is_wrong_is_one_line(session, rows):
    import ray

    bad = rows.copy()
    bad[5, 0] = np.nan
    dataset = ray.data.from_arrow(pa.table({"v": lists(bad)}))
    with (
        pytest.raises(DistnormError, match="NaN in column 'v', first in row 5"),
        plain_ray_errors(),
    ):
        dataset.aggregate(MomentsAggregate("v"))
    words = "without the column 'w'; expected one of 'v'"
    with pytest.raises(DistnormError, match=words), plain_ray_errors():
        dataset.aggregate(MomentsAggregate("w"))
    weighted = MomentsAggregate("v", "w")
    for table, words in (
        (pa.table({"v": pa.array([[1.0], None]), "w": [1, 1]}), "1 empty cells"),
        (pa.table({"v": lists(rows)}), "without the column 'w'"),
        (pa.table({"v": lists(rows[:1]), "w": pa.array([None], pa.float32())}), "1 empty cells"),
        (pa.table({"v": lists(rows[:1]), "w": [-1.0]}), "weight -1 for row 0"),
        (pa.table({"v": lists(rows[:1]), "w": [0.0]}), "weights in column 'w' that are all 0"),
    ):
        with pytest.raises(DistnormError, match=words):
            weighted.finalize(weighted.accumulate_block(b"", table))
    with pytest.raises(DistnormError, match="order 3"):
        MomentsAggregate("v", order=3)


def test_one_pass_that_keeps_nothing(session, rows):
    import ray

    made = tables(rows, w=np.arange(len(rows), dtype=np.float64))
    dataset = ray.data.from_arrow([*made[:2], made[0].slice(0, 0), *made[2:]])
    assert_same(moments_of(dataset, "v", order=2), Moments(order=2).update(rows))
    weighted = Moments().update(rows, weights=np.arange(len(rows), dtype=np.float64))
    assert_same(moments_of(dataset, "v", "w"), weighted)
    with pytest.raises(DistnormError, match="without the column 'x'"):
        moments_of(dataset, "x")

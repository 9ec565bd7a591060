"""Banks drawn from fragments: the same for a seed whatever the partitions."""

import itertools

import numpy as np
import pytest

import distnorm
from distnorm.distributed import banks, sources
from distnorm.distributed.banks import Reservoir, hashed, row_keys
from distnorm.errors import DistnormError
from distnorm.moments.weights import density_weights, weights_against


def test_keys_are_a_function_of_seed_and_row_alone():
    numbers = np.arange(100_000)
    keys = row_keys(numbers, 3)
    assert np.array_equal(keys[500:600], row_keys(numbers[500:600], 3))
    assert np.array_equal(keys, row_keys(numbers, 3, np.ones(len(numbers))))
    u = np.exp(-keys)
    assert abs(u.mean() - 0.5) < 0.005
    assert abs(np.corrcoef(u[1:], u[:-1])[0, 1]) < 0.01
    assert abs(np.corrcoef(u, np.exp(-row_keys(numbers, 4)))[0, 1]) < 0.01
    assert np.isinf(row_keys(numbers[:2], 3, np.array([0.0, 1.0]))).tolist() == [True, False]


def test_a_weighted_row_is_first_as_often_as_its_weight_says():
    weights = np.array([1.0, 2.0, 5.0])
    first = [int(np.argmin(row_keys(np.arange(3), seed, weights))) for seed in range(4000)]
    shares = np.bincount(first, minlength=3) / len(first)
    np.testing.assert_allclose(shares, weights / weights.sum(), atol=0.03)


def test_any_partition_and_order_of_merges():
    rng = np.random.default_rng(0)
    rows, weights = rng.normal(size=(400, 3)), rng.random(400)
    weights[:50] = 0
    keys = row_keys(np.arange(400), 1, weights)
    expected = np.sort(np.argsort(keys)[:20])
    made = []
    for part in np.split(np.arange(400), [300, 301, 301]):
        made.append(Reservoir.empty(20).add(keys[part], part, rows[part]))
    made.append(made[0])  # a fragment that was done twice
    for order in itertools.permutations(range(len(made)), 5):
        total = Reservoir.empty(20)
        for number in order:
            total = total.merge(made[number])
        numbers, found = total.in_order()
        assert np.array_equal(numbers, expected)
        assert np.array_equal(found, rows[expected])
    with pytest.raises(DistnormError, match="no rows to draw from"):
        Reservoir.empty(20).add(np.full(2, np.inf), np.arange(2), rows[:2]).in_order()


def test_weights_against_a_sample_are_near_those_of_all():
    rng = np.random.default_rng(0)
    kinds = distnorm.normalize(rng.normal(size=(200, 32)))
    rows = kinds[np.concatenate([np.zeros(400, int), np.arange(200)])]
    numbers = np.arange(len(rows))
    exact = density_weights(rows)
    every = weights_against(rows, rows, len(rows), numbers, numbers)
    np.testing.assert_allclose(every, exact, rtol=0.02)
    some = np.sort(rng.permutation(len(rows))[:300])
    near = weights_against(rows, rows[some], len(rows), numbers, some)
    assert np.median(near[:400]) == pytest.approx(exact[0], rel=0.15)
    assert np.median(near[401:]) > 50 * near[0]


def test_names_become_numbers():
    assert hashed(["a", 7]).tolist() == hashed(["a", "7"]).tolist()
    assert (hashed(list("abc")) >= 0).all()


@pytest.fixture
def files(tmp_path, rows, monkeypatch):
    """The same rows in one file and in skewed shards of short stretches."""
    pytest.importorskip("ray", reason="needs the extra 'ray'")
    pytest.importorskip("pyarrow")
    from vector_sets import npy_folder

    np.save(tmp_path / "one.npy", rows)
    one = sources.open_vectors(tmp_path / "one.npy")
    monkeypatch.setattr(sources, "FRAGMENT_BYTES", 90 * rows.shape[1] * 4)
    return one, sources.open_vectors(npy_folder(tmp_path / "shards", rows))


@pytest.mark.parametrize("weights", ["even", "density"])
def test_the_same_bank_whatever_the_partitions(session, mortal, files, rows, weights):
    one, many = files
    numbers, bank = banks.draw(session, one, 60, seed=5, weights=weights, compared=100)
    assert len(numbers) == 60
    assert np.array_equal(bank, rows[numbers])
    again, found = banks.draw(mortal, many, 60, seed=5, weights=weights, compared=100)
    assert mortal.marker.exists()
    assert np.array_equal(again, numbers)
    assert np.array_equal(found, bank)
    assert not np.array_equal(row_keys(numbers, 5), row_keys(numbers, 6))


def test_by_density_a_crowd_is_drawn_as_often_as_one(session, tmp_path):
    rng = np.random.default_rng(0)
    kinds = distnorm.normalize(rng.normal(size=(100, 32))).astype(np.float32)
    rows = kinds[np.concatenate([np.zeros(900, int), np.arange(100)])]
    np.save(tmp_path / "log.npy", rows)
    log = sources.open_vectors(tmp_path / "log.npy")
    evenly, _ = banks.draw(session, log, 50, seed=1)
    drawn, _ = banks.draw(session, log, 50, seed=1, weights="density")
    assert (evenly < 901).sum() > 35
    assert (drawn < 901).sum() < 5
    with pytest.raises(DistnormError, match="'even' or 'density'"):
        banks.draw(session, log, 50, weights="odd")


def test_as_an_aggregation_of_groups(session, rows):
    import ray

    pa = pytest.importorskip("pyarrow")
    from vector_sets import lists

    from distnorm.distributed import BankAggregate

    weights = np.random.default_rng(0).random(len(rows))
    ids = [f"item {number}" for number in range(len(rows))]
    language = np.array(["de", "en"])[np.arange(len(rows)) % 2]
    table = pa.table({"id": ids, "v": lists(rows), "w": weights, "language": language})
    expected = {}
    for name in "de", "en":
        own = np.flatnonzero(language == name)
        keys = row_keys(hashed(ids)[own], 3, weights[own])
        expected[name] = {bytes(row) for row in rows[own[np.argsort(keys)[:9]]]}
    aggregate = BankAggregate("v", size=9, weights="w", seed=3)
    for cuts in [700], [1, 650, 700]:
        made = [table.slice(a, b - a) for a, b in zip([0, *cuts[:-1]], cuts, strict=True)]
        grouped = ray.data.from_arrow(made).groupby("language", num_partitions=2)
        groups = grouped.aggregate(aggregate).take_all()
        found = {group["language"]: group["bank(v)"].in_order()[1] for group in groups}
        assert {name: set(map(bytes, drawn)) for name, drawn in found.items()} == expected

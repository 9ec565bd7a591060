"""Do two sets of statistics differ, do new rows still fit: levels by simulation, power, errors."""

from __future__ import annotations

import numpy as np
import pytest

import distnorm
from distnorm import DistnormError, Moments, Watch, make
from distnorm.calibration.side_check import check_sides
from distnorm.moments.mean_test import compare_means
from distnorm.monitoring.drift import difference
from distnorm.normalization.notes import Notes

D = 32
SCALE = np.arange(1, D + 1) ** -0.5


def draw(n: int, seed: int, shift: float = 0.0, side: int = 0) -> np.ndarray:
    """Unit rows of a skew spectrum around a mean; ``shift`` moves it along the first axis."""
    rng = np.random.default_rng(seed)
    center = 0.5 * np.random.default_rng(77 + side).normal(size=D)
    center[0] += shift
    return distnorm.normalize(rng.normal(size=(n, D)) * SCALE + center)


def fitted(method: str = "dn", n: int = 200, seed: int = 0):
    return make(method).fit(images=draw(n, seed), texts=draw(n, seed + 1, side=1))


def test_p_values_are_uniform_without_a_difference():
    found = []
    for seed in range(600):
        parts = [Moments(order=2).update(draw(n, 1000 * k + seed)) for n, k in ((80, 1), (50, 2))]
        found.append(compare_means(*parts).p_value)
    for level in (0.5, 0.1, 0.05):
        share = np.mean(np.array(found) < level)
        # Three standard errors of a share of 600, and a sixth for the approximation.
        assert abs(share - level) < 3 * np.sqrt(level / 600) + level / 6


def test_moment_match_against_simulation():
    weights = np.array([3.0, 1.0, 0.5, 0.2])
    rows = np.random.default_rng(0).normal(size=(200_000, 4)) ** 2 @ weights
    first, second = (Moments(4, order=2) for _ in range(2))
    for part in (first, second):
        part.count, part.weight, part.worth = 10**6, 1e6, 1e6
        part.second = np.diag(weights) * 10**6
        part.squares, part.unit_length = float(weights.sum()) * 10**6, False
    for q in (0.9, 0.99, 0.999):
        second.sum = np.zeros(4)
        second.sum[0] = np.sqrt(np.quantile(rows, q) * 2e-6) * 10**6
        found = compare_means(first, second, covariances=(np.diag(weights), np.diag(weights)))
        assert found.p_value == pytest.approx(1 - q, rel=0.25)


def test_without_a_covariance_it_assumes_and_says_so():
    known = [Moments(order=2).update(draw(100, seed, shift)) for seed, shift in ((1, 0), (2, 1.2))]
    plain = [Moments().update(draw(100, seed, shift)) for seed, shift in ((1, 0), (2, 1.2))]
    for part in plain:
        part.sketch = None  # of an older file
    with_it, without = compare_means(*known), compare_means(*plain)
    assert (with_it.assumed, without.assumed) == (False, True)
    assert with_it.distance == pytest.approx(without.distance)
    assert with_it.p_value < without.p_value < 0.01


@pytest.mark.parametrize("method", ["dn", "dn2", "nnn"])
def test_difference_of_alike_and_unlike(method):
    first = fitted(method)
    same = difference(first, fitted(method, seed=10))
    assert same.interchangeable
    assert "no more than sampling explains" in same.why
    other = make(method).fit(images=draw(200, 3, 0.8), texts=draw(200, 4, side=1))
    found = difference(first, other)
    assert not found.interchangeable
    assert found.why.startswith("image means")
    assert found.to_dict()["means"]["image"]["counts"] == [200, 200]
    assert difference(first, first).interchangeable


def test_difference_of_settings_and_what_a_probe_says():
    probe = {"image": draw(150, 20), "text": draw(150, 21, side=1)}
    first, weaker = fitted(), make("dn", strength=0.25)
    weaker.fit(images=draw(200, 0), texts=draw(200, 1, side=1))
    assert difference(first, weaker).why == "different strength"
    found = difference(first, weaker, probe)
    assert set(found.ranking["text"]) == {"queries", "top1_changed", "overlap@10", "kendall_tau"}
    assert 0 < found.ranking["text"]["top1_changed"] < 1
    assert found.ranking["text"]["kendall_tau"] < 1
    assert not found.interchangeable
    assert difference(first, weaker, probe, tolerance=1.0).interchangeable
    assert difference(first, first, probe).ranking["image"]["top1_changed"] == 0
    with pytest.raises(DistnormError, match="without text rows"):
        difference(first, weaker, {"image": probe["image"]})


def test_difference_refuses_what_cannot_be_compared():
    with pytest.raises(DistnormError, match="4 dimensions"):
        difference(fitted(), make("dn").fit(images=np.eye(4)))
    with pytest.raises(DistnormError, match="sides"):
        difference(fitted(), make("dn", sides=("a", "b")).fit(a=draw(9, 1)))
    with pytest.raises(DistnormError, match="a mean of 1 rows"):
        compare_means(Moments().update(np.eye(4)[:1]), Moments().update(np.eye(4)))


def test_swapped_sides_are_noticed_where_there_is_a_gap():
    norm = fitted()
    images, texts = draw(30, 5), draw(30, 6, side=1)
    check_sides(norm, "image", images)
    with pytest.raises(DistnormError, match="images that look like texts"):
        check_sides(norm, "image", texts)
    with pytest.raises(DistnormError, match="look like"):
        norm.calibrate(images=texts, texts=images)
    with pytest.raises(DistnormError, match="look like"):
        Watch(norm).update(texts=images)
    gapless = make("dn").fit(images=draw(50, 1), texts=draw(50, 2))
    check_sides(gapless, "image", draw(30, 3))


def test_watch_rarely_alarms_without_a_change():
    """At most the stated share of streams, however long: 150 streams of 2,000 rows at 20 %."""
    alarms = 0
    for seed in range(150):
        norm = make("dn").fit(images=draw(100, 5000 + seed))
        watch = Watch(norm, false_alarm_rate=0.2, window=200)
        alarms += watch.update(images=draw(2000, 9000 + seed)).alarm is not None
    assert alarms / 150 < 0.2 + 0.05


def test_watch_finds_a_change_and_refreshing_ends_it():
    norm = fitted(n=300)
    found = []
    for seed in range(20):
        watch = Watch(norm, window=300)
        watch.update(images=draw(600, 100 + seed))
        assert watch.alarm is None
        watch.update(images=draw(900, 200 + seed, shift=0.6))
        found.append(watch.alarm.rows - 600)
    assert np.median(found) <= 300
    before = watch.norm.moments("image").mean
    fresh = watch.refreshed(keep=0.1)
    assert fresh.counts == {"image": 30 + 300, "text": 30}
    np.testing.assert_array_equal(before, watch.norm.moments("image").mean)
    assert Watch(fresh, window=300).update(images=draw(900, 400, shift=0.6)).alarm is None


def test_chunks_and_saved_states_do_not_matter(tmp_path):
    norm = fitted()
    rows = draw(700, 31, 0.8)
    whole = Watch(norm, window=100).update(images=rows)
    parts = Watch(norm, window=100)
    state = tmp_path / "state.safetensors"
    for start in range(0, 700, 37):
        parts.update(images=rows[start : start + 37])
        parts.save(state)
        parts = Watch.load(state, norm)
    assert parts.seen == whole.seen
    assert parts.alarm == whole.alarm is not None
    assert parts.to_dict() == whole.to_dict()
    counts = [look.rows for look in whole.looks]
    assert counts[:6] == [64, 100, 150, 200, 250, 300]
    levels = sum(look.level for look in whole.looks)
    assert levels < 0.01 / 2


def test_watch_says_what_it_cannot_do(tmp_path):
    norm = make("dn").fit(images=draw(50, 1))
    with pytest.raises(DistnormError, match="no statistics of the text side"):
        Watch(norm).update(texts=draw(5, 2))
    with pytest.raises(DistnormError, match="window"):
        Watch(norm, window=3)
    with pytest.raises(DistnormError, match="false-alarm rate"):
        Watch(norm, false_alarm_rate=1.0)
    state = tmp_path / "state.safetensors"
    Watch(norm).update(images=draw(20, 3)).save(state)
    with pytest.raises(DistnormError, match="another normalization"):
        Watch.load(state, fitted())
    norm.save(tmp_path / "n.safetensors")
    with pytest.raises(DistnormError, match="no state of a watch"):
        Watch.load(tmp_path / "n.safetensors", norm)
    with pytest.raises(DistnormError, match="no file"):
        Watch.load(tmp_path / "none", norm)


def bursts(n: int, seed: int, length: int = 4) -> np.ndarray:
    """Rows in runs of ``length`` around a common one each."""
    center, rng = draw(n // length, seed), np.random.default_rng([seed, 1])
    rows = np.repeat(center, length, axis=0) + 0.1 * rng.normal(size=(n, D))
    return distnorm.normalize(rows)


def test_bursts_rarely_alarm_and_a_change_among_them_still_does():
    alarms = {"quiet": 0, "rows alone": 0, "changed": 0}
    for seed in range(60):
        norm = make("dn").fit(images=bursts(4 * 150, 300 + seed)[::4])
        stream = bursts(1200, 7000 + seed)
        quiet = Watch(norm, false_alarm_rate=0.05, window=300).update(images=stream)
        alone = Watch(norm, false_alarm_rate=0.05, window=300, block=1).update(images=stream)
        alarms["quiet"] += quiet.alarm is not None
        alarms["rows alone"] += alone.alarm is not None
        stream[600:] = distnorm.normalize(stream[600:] + 0.6 * np.eye(D)[0])
        changed = Watch(norm, false_alarm_rate=0.05, window=300).update(images=stream)
        alarms["changed"] += changed.alarm is not None
    assert alarms["quiet"] <= 60 * 0.05 + 3
    assert alarms["rows alone"] > 20
    assert alarms["changed"] > 57


def test_an_image_once_per_caption_is_one_image():
    once, many = Moments().update(draw(50, 1)), Moments().update(np.repeat(draw(50, 1), 5, axis=0))
    other = Moments().update(draw(60, 2))
    found = [compare_means(each, other) for each in (once, many)]
    assert found[0].p_value == pytest.approx(found[1].p_value, rel=0.2)


@pytest.mark.parametrize("method", ["dn", "dn2"])
@pytest.mark.parametrize("probed", [False, True])
def test_two_samples_of_one_population_agree_and_a_mixture_is_found(method, probed):
    probe = {"image": draw(40, 1), "text": draw(30, 2, side=1)} if probed else None
    agree, found, trials = 0, 0, 10 if probed else 40
    for seed in range(trials):
        first, second = (fitted(method, 150, seed=1000 * k + 2 * seed) for k in (1, 2))
        agree += difference(first, second, probe).interchangeable
        rows = draw(150, 9000 + seed)
        rows[:45] = draw(45, 9500 + seed, shift=2.5)
        mixed = make(method).fit(images=rows, texts=draw(150, 9900 + seed, side=1))
        found += not difference(first, mixed, probe).interchangeable
    assert agree >= trials - 2
    assert found == trials


def test_a_tolerance_takes_a_probe():
    with pytest.raises(DistnormError, match="without a probe"):
        difference(fitted(), fitted(), tolerance=0.1)
    for tolerance in (np.nan, -0.1, 2):
        with pytest.raises(DistnormError, match=r"tolerance .*; expected a share"):
            difference(fitted(), fitted(), tolerance=tolerance)


@pytest.mark.parametrize("options", [{}, {"order": 2}, {"order": 2, "rank": 8}])
def test_decay_keeps_mean_and_covariance(options):
    full = Moments(**options).update(draw(200, 1))
    half = full.decay(0.25)
    assert (half.count, full.count) == (50, 200)
    np.testing.assert_allclose(half.mean, full.mean)
    if options:
        np.testing.assert_allclose(half.covariance(), full.covariance(), atol=1e-12)
    new = Moments(**options).update(draw(50, 2))
    np.testing.assert_allclose(half.merge(new).mean, (full.mean + new.mean) / 2)
    assert full.decay(1e-9).count == 1
    for factor in (0, 1.5, -1, True, "half"):
        with pytest.raises(DistnormError, match="factor"):
            full.decay(factor)


def test_a_bank_forgets_its_oldest_rows():
    rows = draw(40, 1)
    norm = make("nnn").fit(images=rows[:20]).partial_fit(images=rows[20:])
    norm.notes = Notes(calibration={})
    norm.forget(0.25)
    assert norm.notes == Notes()
    np.testing.assert_array_equal(norm.statistics["image"].bank_rows(), rows[30:])
    np.testing.assert_allclose(norm.moments("image").mean, rows[30:].mean(axis=0))
    np.testing.assert_allclose(
        norm.item_bias(rows, modality="text"),
        make("nnn").fit(images=rows[30:]).item_bias(rows, modality="text"),
    )

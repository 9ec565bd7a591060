"""One object in service: threads that score while others fit, copies, pickles."""

from __future__ import annotations

import copy
import pickle
import threading

import numpy as np
import pytest

import distnorm
from distnorm import DistnormError, make
from distnorm.normalization.notes import Notes

METHODS = ("dn", "dn2", "nnn", "is", "centered", "auto", "ridge")


def in_threads(work, number=4):
    """Run ``work(i)`` in threads that begin together; the first error is raised here."""
    errors, together = [], threading.Barrier(number)

    def run(i):
        together.wait()
        try:
            work(i)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=run, args=(i,)) for i in range(number)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]


def test_scores_come_from_one_fit_or_the_other(gap_pair):
    X, Y = gap_pair
    rows = ({"images": X[:100], "texts": Y[:100]}, {"images": -X[100:], "texts": -Y[100:]})
    right = [make("dn").fit(**each).similarity(X[:3], Y[:3]) for each in rows]
    norm = make("dn").fit(**rows[0])
    seen = set()

    def work(i):
        for turn in range(60):
            if i == 0:
                norm.fit(**rows[turn % 2])
                continue
            scores = norm.similarity(X[:3], Y[:3])
            match = [np.allclose(scores, each, atol=1e-12) for each in right]
            assert any(match), "one side of each"
            seen.add(match.index(True))
            bias = norm.item_bias(images=X[:3])
            assert any(np.allclose(bias, each) for each in biases)

    biases = [make("dn").fit(**each).item_bias(images=X[:3]) for each in rows]
    in_threads(work)
    assert seen


class Slowed(dict):
    """Keywords that are read slowly, so that writers meet if nothing keeps them apart."""

    def items(self):
        found = list(super().items())
        threading.Event().wait(0.002)
        return iter(found)


def test_rows_added_by_threads_are_all_there(gap_pair):
    X, _ = gap_pair
    norm = make("nnn").fit(images=X[:2])

    def work(i):
        for at in range(2 + 40 * i, 42 + 40 * i, 4):
            rows = Slowed(images=X[at : at + 4])
            norm.current.change(lambda state, rows=rows: state.with_rows(rows))

    in_threads(work)
    assert norm.counts["image"] == 162
    held = np.sort(norm.statistics["image"].bank_rows(), axis=0)
    np.testing.assert_array_equal(held, np.sort(X[:162], axis=0))


def test_what_was_learned_of_other_statistics_is_not_kept(gap_pair, monkeypatch):
    X, Y = gap_pair
    norm = make("dn").fit(images=X, texts=Y)

    def meanwhile(scorer, *rows, **options):
        norm.partial_fit(images=X[:5])
        return {}

    monkeypatch.setattr("distnorm.normalization.normalization.calibrate", meanwhile)
    with pytest.raises(DistnormError, match="changed meanwhile"):
        norm.calibrate(images=X, texts=Y)
    assert norm.notes == Notes()


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("how", [copy.copy, copy.deepcopy, lambda n: pickle.loads(pickle.dumps(n))])
def test_a_copy_is_its_own_object(method, how, gap_pair):
    X, Y = gap_pair
    norm = make(method, model="m").fit(images=X[:80], texts=Y[:80])
    before = norm.similarity(X[:5], Y[:5])
    other = how(norm)
    assert type(other) is type(norm)
    np.testing.assert_array_equal(other.similarity(X[:5], Y[:5]), before)
    other.partial_fit(images=X[80:], texts=Y[80:])
    other.model = "n"
    assert norm.counts == {"image": 80, "text": 80}
    assert norm.model == "m"
    np.testing.assert_array_equal(norm.similarity(X[:5], Y[:5]), before)
    assert other.counts == {"image": 200, "text": 200}
    norm.partial_fit(images=X[80:], texts=Y[80:])
    np.testing.assert_allclose(
        norm.similarity(X[:5], Y[:5]), other.similarity(X[:5], Y[:5]), atol=1e-9
    )


def test_results_and_moments_travel(gap_pair):
    X, Y = gap_pair
    norm = distnorm.DistributionNormalization().fit(images=X[:100], texts=Y[:100])
    norm.calibrate(images=X[100:], texts=Y[100:])
    found = [
        norm.moments("image"),
        norm.threshold(0.01),
        norm.ranking(Y[:4], X),
        distnorm.Watch(norm),
        distnorm.compare_retrieval(X, Y, methods=["dot", "dn"], repeats=2),
        distnorm.evaluate_retrieval(norm, X, Y),
        make("auto").fit(images=X, texts=Y).selection,
        distnorm.ZeroShotClassifier(norm).fit(Y[:5]),
    ]
    for each in found:
        for other in (pickle.loads(pickle.dumps(each)), copy.deepcopy(each)):
            assert type(other) is type(each)
            told = [e.to_dict() if hasattr(e, "to_dict") else repr(e) for e in (each, other)]
            assert told[0] == told[1]


def test_notes_say_what_new_statistics_made_void(gap_pair, tmp_path):
    X, Y = gap_pair
    norm = make("dn").fit(images=X[:100], texts=Y[:100]).calibrate(images=X[100:], texts=Y[100:])
    merged = norm.merge(make("dn").fit(images=X[100:]))
    assert merged.notes.dropped == ("calibration",)
    with pytest.raises(DistnormError, match="without calibration, which new statistics made void"):
        merged.threshold(0.01)
    assert norm.notes.dropped == ()
    merged.save(tmp_path / "m.safetensors")
    assert distnorm.load(tmp_path / "m.safetensors").notes.dropped == ()
    with pytest.raises(DistnormError, match="a normalization without calibration;"):
        make("dn").fit(images=X).threshold(0.01)


def test_a_watch_takes_rows_of_threads_and_all_or_none(gap_pair):
    X, Y = gap_pair
    watch = distnorm.Watch(make("dn").fit(images=X, texts=Y), window=np.int64(100))
    parts = np.array_split(X, 40)
    in_threads(lambda i: [watch.update(images=part) for part in parts[i::4]])
    assert watch.seen == {"image": len(X), "text": 0}
    before = watch.to_dict()
    with pytest.raises(DistnormError, match="NaN in texts"):
        watch.update(images=X[:5], texts=np.full_like(Y[:5], np.nan))
    assert watch.to_dict() == before
    for how in (copy.copy, copy.deepcopy, lambda one: pickle.loads(pickle.dumps(one))):
        twin = how(watch)
        twin.update(images=X[:50], texts=Y[:50])
        assert watch.to_dict() == before
        assert twin.seen["text"] == 50
    for rate in ("0.1", np.nan, None):
        with pytest.raises(DistnormError, match="false-alarm rate"):
            distnorm.Watch(watch.norm, false_alarm_rate=rate)


@pytest.mark.parametrize("prior", ["none", "shift"])
def test_a_classifier_takes_images_of_threads_and_its_copies_go_their_own_ways(prior, gap_pair):
    X, Y = gap_pair
    classifier = distnorm.ZeroShotClassifier("dn", prior=prior).fit(Y[:5])
    parts = np.array_split(X, 40)
    in_threads(lambda i: [classifier.partial_fit(part) for part in parts[i::4]])
    assert classifier.norm_.counts["image"] == len(X)
    expected = classifier.decision_function(X)
    for how in (copy.copy, copy.deepcopy, lambda one: pickle.loads(pickle.dumps(one))):
        how(classifier).partial_fit(X[:9])
        np.testing.assert_array_equal(classifier.decision_function(X), expected)


def test_numbers_of_numpy_are_numbers(gap_pair):
    X, _ = gap_pair
    moments = distnorm.Moments(order=2, rank=np.int64(4)).update(X)
    assert moments.decay(np.float32(0.5)).count == len(X) // 2

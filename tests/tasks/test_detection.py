"""Saying "none of these" and "nothing fits"; what each score is called."""

from __future__ import annotations

import numpy as np
import pytest

import distnorm
from distnorm import DistnormError, ZeroShotClassifier, make
from distnorm.calibration.score_kinds import KINDS, score_kind
from distnorm.metrics.positives import Positives
from distnorm.tasks.detection import evaluate_detection, evaluate_rejection


@pytest.fixture(scope="module")
def classes_world():
    """60 classes, of which the first 30 are known, and images of all."""
    rng = np.random.default_rng(3)
    centers = distnorm.normalize(rng.normal(size=(60, 40)) + 0.5)
    labels = rng.integers(0, 60, 1500)
    images = distnorm.normalize(centers[labels] + rng.normal(0, 0.12, (1500, 40)))
    return centers, images, labels


@pytest.mark.parametrize("method", ["dot", "dn", "is"])
def test_images_of_no_class_are_rejected_at_the_wanted_rate(method, classes_world):
    centers, images, labels = classes_world
    known = images[labels < 30]
    # Text statistics of other texts: a bank of the classes themselves knows each image's own.
    others = distnorm.normalize(np.random.default_rng(9).normal(size=(200, 40)) + 0.5)
    norm = make(method).fit(images=known[:150], texts=others)
    classifier = ZeroShotClassifier(norm, false_alarm_rate=0.1).fit(centers[:30])
    classifier.calibrate(known[150:400])
    rejected = classifier.predict(images[labels >= 30]) == -1
    assert rejected.mean() > 1 - 0.15
    own = classifier.predict(known[400:])
    assert (own == labels[labels < 30][400:])[own != -1].mean() > 0.95
    assert (own != -1).mean() > 0.8
    assert norm.notes.calibration is None


def test_what_rejected_is_called(classes_world):
    centers, images, _ = classes_world
    names = [f"class {i}" for i in range(60)]
    always = {"threshold": 9.0}
    assert set(ZeroShotClassifier("dot", **always).fit(centers).predict(images)) == {-1}
    named = ZeroShotClassifier("dot", **always).fit(centers, names).predict(images)
    assert set(named) == {"none of these"}
    found = ZeroShotClassifier("dot", rejected=None, threshold=0.0).fit(centers, names)
    assert set(found.predict(images)) <= set(names)
    other = ZeroShotClassifier("dot", rejected=99, **always).fit(centers, names).predict(images)
    assert set(other) == {99}
    assert other.dtype == object


def test_a_rate_needs_a_calibration(classes_world):
    centers, images, _ = classes_world
    plain = ZeroShotClassifier("dot", false_alarm_rate=0.1).fit(centers)
    with pytest.raises(DistnormError, match="without calibration"):
        plain.predict(images)
    with pytest.raises(DistnormError, match="one of them"):
        plain.set_params(threshold=0.1).predict(images)
    for bar in (np.nan, np.inf):
        with pytest.raises(DistnormError, match=r"threshold .*; expected a finite score"):
            ZeroShotClassifier("dot", threshold=bar).fit(centers).predict(images)
    with pytest.raises(DistnormError, match="4 texts to calibrate with"):
        ZeroShotClassifier("dot").fit(centers[:4]).calibrate(images)


def test_calibrating_takes_text_statistics_from_the_classes(classes_world):
    centers, images, _ = classes_world
    classifier = ZeroShotClassifier("dn").fit(centers).partial_fit(images[:200])
    classifier.calibrate(images[200:400])
    assert classifier.norm_.counts["text"] == 60
    assert classifier.norm_.notes.calibration["pairs"] == "best"


def test_it_stays_a_scikit_learn_estimator(classes_world):
    base = pytest.importorskip("sklearn.base", reason="clones with scikit-learn")
    classifier = ZeroShotClassifier("dot", threshold=0.5, rejected="other")
    again = base.clone(classifier)
    assert again.get_params() == classifier.get_params()
    assert again.fit(classes_world[0]).predict(classes_world[1][:3]).shape == (3,)


@pytest.mark.parametrize("method", ["dot", "dn2"])
def test_detection_against_the_full_matrix(method, gap_pair):
    images, texts = gap_pair[0][:40], np.repeat(gap_pair[1][:40], 2, axis=0)
    norm = make(method).fit(images=gap_pair[0][100:], texts=gap_pair[1][100:])
    owner = np.repeat(np.arange(40), 2)
    scores = norm.similarity(images, texts)
    t = float(np.quantile(scores, 0.9))
    true = owner[None, :] == np.arange(40)[:, None]
    found = evaluate_detection(norm, images, texts, Positives.of(owner, 80, 40), t)
    above = scores > t
    assert found.metrics["recall"] == pytest.approx(above[true].mean())
    assert found.metrics["false_alarm_rate"] == pytest.approx(above[~true].mean())
    assert found.metrics["precision"] == pytest.approx(true[above].mean())
    rates = (above & ~true).sum(axis=1) / 78
    assert found.metrics["image_false_alarm_variation"] == pytest.approx(rates.std() / rates.mean())
    assert found.expected_false_alarm_rate is None
    assert "recall=" in repr(found)


def test_a_gallery_of_one(gap_pair):
    images, texts = gap_pair[0][:1], gap_pair[1][:1]
    norm = make("dn").fit(images=gap_pair[0][100:], texts=gap_pair[1][100:])
    found = evaluate_detection(norm, images, texts, Positives.of(np.zeros(1, int), 1, 1), -9.0)
    assert found.metrics["recall"] == 1
    assert found.metrics["false_alarm_rate"] is None
    assert "false_alarm_rate=unknown" in repr(found)


def test_rejection_against_the_full_matrix(classes_world):
    centers, images, labels = classes_world
    found = evaluate_rejection(make("dot"), images, centers, labels, 0.8)
    scores = images @ centers.T
    above = scores.max(axis=1) > 0.8
    assert found["accepted"] == pytest.approx(above.mean())
    right = scores.argmax(axis=1) == labels
    assert found["accepted_acc1"] == pytest.approx(right[above].mean())
    assert evaluate_rejection(make("dot"), images, centers, labels, 9.0)["accepted_acc1"] is None


def test_a_corrected_score_is_never_called_a_cosine():
    for method in distnorm.METHODS:
        for query in (None, "image", "text"):
            found = score_kind(make(method), query=query)
            assert found.kind in KINDS
            assert found.to_dict()["is_cosine"] == (method == "dot")
            assert (method in found.label) == (method != "dot")
    one_way = make("dn", strength={"image": 0.0, "text": 0.5})
    assert score_kind(one_way, query="image").label == "cosine"
    assert score_kind(one_way).label == "dn two-sided score"
    assert score_kind(make("dot", input="any").fit(images=np.eye(3) * 2)).kind == "dot product"
    assert str(score_kind(None)) == "cosine"
    assert score_kind(make("dot"), rule="clipscore").label == "dot clipscore caption score"
    assert not score_kind(make("dot"), rule="clipscore").to_dict()["is_cosine"]


def test_comparisons_name_their_scores(gap_pair):
    compared = distnorm.compare_retrieval(*gap_pair, methods=["dot", "dn"], repeats=2)
    assert [entry["score"] for entry in compared.to_dict()["results"]] == [
        "cosine",
        "dn ranking score",
    ]
    judged_captions = distnorm.compare_captions(
        *gap_pair, np.arange(200), methods=["dot", "dn"], repeats=2
    )
    assert judged_captions["dn"].score == "dn two-sided score"

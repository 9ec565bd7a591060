"""The classifier in scikit-learn's manners."""

from __future__ import annotations

import pickle

import numpy as np
import pytest

import distnorm
from distnorm import DistnormError, ZeroShotClassifier, make


class Letters:
    """An encoder whose rows count letters."""

    def encode_texts(self, texts):
        rows = np.array([[t.count(c) + 0.05 for c in "abcdefg"] for t in texts], np.float32)
        return distnorm.normalize(rows)


@pytest.fixture
def problem(rng):
    classes = distnorm.normalize(rng.normal(0.2, 1, (5, 9)).astype(np.float32))
    labels = rng.integers(0, 5, 80)
    images = classes[labels] + rng.normal(0, 0.4, (80, 9))
    return distnorm.normalize(images.astype(np.float32)), classes, labels


@pytest.mark.parametrize("method", ["dot", "dn", "is", "nnn", "centered"])
def test_predictions_are_the_best_of_the_ranking(problem, method):
    images, classes, labels = problem
    norm = make(method).fit(images=images, texts=classes)
    classifier = ZeroShotClassifier(norm).fit(classes)
    scores = np.asarray(norm.ranking(images, classes, "image").scores(), dtype=float)
    np.testing.assert_allclose(classifier.decision_function(images), scores, atol=1e-6)
    np.testing.assert_array_equal(classifier.predict(images), scores.argmax(axis=1))
    result = distnorm.evaluate_classification(norm, images, classes, labels)
    assert classifier.score(images, labels) == pytest.approx(result.metrics["acc1"])


def test_probabilities_follow_the_temperature(problem):
    images, classes, _ = problem
    classifier = ZeroShotClassifier("dot", temperature=0.1).fit(classes)
    found = classifier.predict_proba(images)
    np.testing.assert_allclose(found.sum(axis=1), 1)
    logits = classifier.decision_function(images) / 0.1
    np.testing.assert_allclose(
        found, np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True), rtol=1e-6
    )
    with pytest.raises(DistnormError, match="above 0"):
        classifier.set_params(temperature=0).predict_proba(images)


def test_images_may_have_weights(problem):
    images, classes, _ = problem
    times = np.arange(len(images)) % 3
    weighed = ZeroShotClassifier("nnn").fit(classes).partial_fit(images, weights=times)
    often = ZeroShotClassifier(make("nnn").fit(images=images, weights=times)).fit(classes)
    np.testing.assert_array_equal(
        weighed.decision_function(images), often.decision_function(images)
    )
    with pytest.raises(DistnormError, match="weights of images under prior 'auto'"):
        ZeroShotClassifier("dn", prior="auto").fit(classes).partial_fit(images, weights=times)


def test_partial_fit_is_one_fit_and_leaves_the_given_norm_alone(problem):
    images, classes, _ = problem
    given = make("dn").fit(images=images[:10])
    classifier = ZeroShotClassifier(given).fit(classes)
    classifier.partial_fit(images[10:40]).partial_fit(images[40:])
    assert given.counts["image"] == 10
    assert classifier.norm_.counts["image"] == 80
    whole = ZeroShotClassifier(make("dn").fit(images=images)).fit(classes)
    np.testing.assert_allclose(
        classifier.decision_function(images), whole.decision_function(images), atol=1e-6
    )


def test_texts_and_prompts_need_an_encoder():
    named = ZeroShotClassifier("dot", encoder=Letters(), templates=["a {c}", "{c} e"])
    named.fit(["bad", "fed"])
    assert named.predict(Letters().encode_texts(["bad bad", "fed fed"])).tolist() == ["bad", "fed"]
    by_prompt = ZeroShotClassifier("dot", encoder=Letters()).fit({"x": ["bad"], "y": ["fed"]})
    assert by_prompt.classes_.tolist() == ["x", "y"]
    with pytest.raises(DistnormError, match="without an encoder"):
        ZeroShotClassifier().fit(["bad"])
    with pytest.raises(DistnormError, match="wrap it in a list"):
        ZeroShotClassifier(encoder=Letters()).fit("bad")


def test_what_it_says_when_something_is_missing(problem):
    images, classes, _ = problem
    with pytest.raises(DistnormError, match="call fit"):
        ZeroShotClassifier().predict(images)
    with pytest.raises(DistnormError, match="no statistics of the image side"):
        ZeroShotClassifier("dn").fit(classes).predict(images)
    with pytest.raises(DistnormError, match="4 names of 5 classes"):
        ZeroShotClassifier().fit(classes, ["a"] * 4)
    with pytest.raises(DistnormError, match="'colour'"):
        ZeroShotClassifier().set_params(colour=1)
    with pytest.warns(UserWarning, match="'crane'"):
        found = ZeroShotClassifier().fit(classes, ["crane", "a", "b", "crane", "c"])
    assert found.repeated_ == ["crane"]


def test_parameters_are_the_constructor_s():
    classifier = ZeroShotClassifier("is", temperature=0.02)
    again = ZeroShotClassifier(**classifier.get_params())
    assert again.get_params() == classifier.get_params()


def test_scikit_learn_clones_it(problem):
    base = pytest.importorskip("sklearn.base", reason="clones with scikit-learn")
    images, classes, labels = problem
    classifier = ZeroShotClassifier("dn", temperature=0.5)
    copied = base.clone(classifier)
    assert copied is not classifier
    assert copied.temperature == 0.5
    assert copied.fit(classes).partial_fit(images).score(images, labels) > 0.5


def test_each_class_may_have_templates_of_its_own():
    templates = {"bad": ["a {}", "{c} egg"], "fed": ["{c}"]}
    named = ZeroShotClassifier("dot", encoder=Letters(), templates=templates).fit(["bad", "fed"])
    each = Letters().encode_texts(["a bad", "bad egg"])
    mean = distnorm.normalize(each.mean(axis=0, keepdims=True))[0]
    np.testing.assert_allclose(named.class_rows_[0], mean, atol=1e-6)
    np.testing.assert_allclose(named.class_rows_[1], Letters().encode_texts(["fed"])[0], atol=1e-6)
    for wrong, part in (
        ({"bad": ["{c}"]}, "no templates of 'fed'"),
        ({"bad": ["{c}"], "fed": "{c}"}, "wrap it in a list"),
        ({"bad": ["{c}"], "fed": []}, "'{c}' in it"),
    ):
        with pytest.raises(DistnormError, match=part):
            named.set_params(templates=wrong).fit(["bad", "fed"])


def test_scikit_learn_s_checks_that_apply():
    checks = pytest.importorskip(
        "sklearn.utils.estimator_checks", reason="scikit-learn checks its manners"
    )
    exceptions = pytest.importorskip("sklearn.exceptions", reason="part of scikit-learn")
    base = pytest.importorskip("sklearn.base", reason="part of scikit-learn")
    validation = pytest.importorskip("sklearn.utils.validation", reason="part of scikit-learn")
    # The others fit on samples (X, y): this one is fitted on classes, as its tags say.
    for name in (
        "check_do_not_raise_errors_in_init_or_set_params",
        "check_estimator_cloneable",
        "check_estimator_repr",
        "check_get_params_invariance",
        "check_mixin_order",
        "check_no_attributes_set_in_init",
        "check_parameters_default_constructible",
        "check_set_params",
    ):
        check = getattr(checks, name, None)
        if check is not None:
            check("ZeroShotClassifier", ZeroShotClassifier("dot"))
    classifier = ZeroShotClassifier("dot", encoder=Letters())
    assert base.is_classifier(classifier)
    with pytest.raises(exceptions.NotFittedError, match="call fit") as raised:
        classifier.predict(np.eye(7))
    assert isinstance(raised.value, DistnormError)
    assert isinstance(pickle.loads(pickle.dumps(raised.value)), DistnormError)
    with pytest.raises(exceptions.NotFittedError):
        validation.check_is_fitted(classifier)
    classifier.fit(["bad", "fed"])
    validation.check_is_fitted(classifier)
    again = pickle.loads(pickle.dumps(classifier))
    images = Letters().encode_texts(["bad bad", "fed"])
    assert again.predict(images).tolist() == ["bad", "fed"]
    metrics = pytest.importorskip("sklearn.metrics", reason="part of scikit-learn")
    scorer = metrics.make_scorer(metrics.accuracy_score)
    assert scorer(classifier, images, ["bad", "bad"]) == 0.5


def test_both_published_variants_of_dn():
    class Long(Letters):
        """Raw rows are ten times as long."""

        def encode_texts(self, texts, normalize=True):
            rows = np.array([[t.count(c) + 0.05 for c in "abcdefg"] for t in texts], np.float32)
            return distnorm.normalize(rows) if normalize else 10 * rows

    encoder = Long()
    words = ["bad", "bad bad", "fed", "fed fed", "gab", "cafe"]
    raw, unit = encoder.encode_texts(words, normalize=False), encoder.encode_texts(words)
    names = ["bad", "fed", "cab"]
    classes, unit_classes = (encoder.encode_texts(names, normalize=n) for n in (False, True))
    renormalised = ZeroShotClassifier("dn-renorm", encoder=encoder).fit(names).partial_fit(raw)
    shifted = distnorm.normalize(raw - raw.mean(axis=0) / 2)
    moved = distnorm.normalize(classes - classes.mean(axis=0) / 2)
    np.testing.assert_allclose(renormalised.decision_function(raw), shifted @ moved.T, atol=1e-5)
    plain = ZeroShotClassifier("dn", encoder=encoder).fit(names).partial_fit(unit)
    scores = (unit - unit.mean(axis=0) / 2) @ unit_classes.T
    found = plain.decision_function(unit)
    np.testing.assert_allclose(found - found[:, :1], scores - scores[:, :1], atol=1e-5)
    with pytest.raises(DistnormError, match="raw, un-normalised"):
        renormalised.decision_function(unit)


def test_a_classifier_with_its_encoder_travels():
    pytest.importorskip("onnxruntime", reason="the built-in model takes onnxruntime")
    import copy
    import pickle

    encoder = distnorm.load_encoder("builtin", threads=1)
    classifier = distnorm.ZeroShotClassifier("dot", encoder=encoder).fit(["a red star", "a cube"])
    rows = encoder.encode_texts(["a red star on a table", "a green cube"])
    for other in (pickle.loads(pickle.dumps(classifier)), copy.deepcopy(classifier)):
        assert other.predict(rows).tolist() == classifier.predict(rows).tolist()
        again = other.fit(["a cube", "a red star"])
        np.testing.assert_array_equal(again.class_rows_[1], classifier.class_rows_[0])


def test_classes_that_tie_go_to_the_first():
    # Equal in float64; the float32 products of some differ in the last bit.
    rng = np.random.default_rng(5)
    row = distnorm.normalize(rng.normal(size=(1, 33)).astype(np.float32))
    classes = np.concatenate([row[:, ::-1], row, row, row])
    images = distnorm.normalize(row + rng.normal(0, 0.05, (50, 33)).astype(np.float32))
    classifier = distnorm.ZeroShotClassifier("dot").fit(classes)
    assert set(classifier.predict(images)) == {1}


def test_names_as_objects_and_names_that_are_none():
    class Encoder:
        def encode_texts(self, texts, normalize=True):
            return np.eye(4, dtype=np.float32)[: len(texts)]

    names = np.array(["cat", "owl"], dtype=object)
    found = ZeroShotClassifier("dot", encoder=Encoder()).fit(names)
    assert found.classes_.tolist() == ["cat", "owl"]
    for wrong in (["cat", None], ["cat", 3]):
        with pytest.raises(DistnormError, match="among the classes"):
            ZeroShotClassifier("dot", encoder=Encoder()).fit(wrong)

"""Zero-shot classification against brute force, and on real features."""

from __future__ import annotations

import numpy as np
import pytest

from distnorm import (
    DistnormError,
    compare_classification,
    evaluate_classification,
    make,
    normalize,
)
from distnorm.tasks.classification import (
    check_labels,
    class_rows,
    class_weights,
    repeated_names,
)


class Spelled:
    """An encoder whose rows are made of letters."""

    def encode_texts(self, texts):
        rows = np.array([[t.count(c) + 0.1 for c in "abcdefgh"] for t in texts], dtype=np.float32)
        return rows / np.linalg.norm(rows, axis=1, keepdims=True)


@pytest.fixture
def problem(rng):
    classes = normalize(rng.normal(0.3, 1, (7, 16)).astype(np.float32))
    labels = rng.integers(0, 7, 200)
    images = normalize((classes[labels] + rng.normal(0, 0.5, (200, 16)) + 0.4).astype(np.float32))
    return images, classes, labels


@pytest.mark.parametrize("method", ["dot", "dn", "dn2", "is", "nnn", "centered"])
def test_metrics_are_those_of_the_full_matrix(problem, method):
    images, classes, labels = problem
    norm = make(method).fit(images=images[:100], texts=classes)
    result = evaluate_classification(norm, images[100:], classes, labels[100:])
    scores = np.asarray(norm.ranking(images[100:], classes, "image").scores())
    order = np.argsort(-scores, axis=1, kind="stable")
    right = order[:, 0] == labels[100:]
    per_class = [right[labels[100:] == c].mean() for c in np.unique(labels[100:])]
    assert result.metrics["acc1"] == pytest.approx(right.mean())
    assert result.metrics["acc5"] == pytest.approx(
        (order[:, :5] == labels[100:, None]).any(axis=1).mean()
    )
    assert result.metrics["mean_per_class_recall"] == pytest.approx(np.mean(per_class))


def test_five_best_of_fewer_classes_are_no_metric(problem):
    images, classes, labels = problem
    few = labels < 4
    norm = make("dn").fit(images=images, texts=classes)
    result = evaluate_classification(norm, images[few], classes[:4], labels[few])
    assert list(result.metrics) == ["acc1", "mean_per_class_recall"]
    compared = compare_classification(
        images[few], classes[:4], labels[few], methods="dn", repeats=2
    )
    assert set(compared.results[1].metrics) == {"acc1", "mean_per_class_recall"}


def test_class_weights_make_a_mean_over_classes():
    labels = np.array([0, 0, 0, 2])
    assert (class_weights(labels) * np.array([1, 0, 0, 1])).mean() == pytest.approx((1 / 3 + 1) / 2)


def test_prompts_are_averaged_and_made_unit():
    encoder = Spelled()
    rows = class_rows(encoder, ["bad", "cab"], ["a {c}", "{c} egg"])
    each = encoder.encode_texts(["a bad", "bad egg"])
    mean = each.mean(axis=0)
    np.testing.assert_allclose(rows[0], mean / np.linalg.norm(mean), atol=1e-6)
    by_name = class_rows(encoder, {"x": ["a bad", "bad egg"], "y": ["a cab"]})
    np.testing.assert_allclose(by_name[0], rows[0], atol=1e-6)
    assert repeated_names(["crane", "tank", "crane"]) == ["crane"]


@pytest.mark.parametrize(
    ("classes", "templates", "part"),
    [([], ["{c}"], "classes"), (["a"], ["photo"], "'{c}' in it"), ({"a": []}, ["{c}"], "prompt")],
)
def test_what_makes_no_class_rows_is_said(classes, templates, part):
    with pytest.raises(DistnormError, match=part):
        class_rows(Spelled(), classes, templates)


@pytest.mark.parametrize(
    "change",
    [
        lambda labels: labels.astype(np.float32),
        lambda labels: labels.astype(np.uint8),
        lambda labels: labels[:, None],
        lambda labels: labels.tolist(),
        lambda labels: np.eye(7)[labels],
        lambda labels: np.eye(7, dtype=bool)[labels],
        lambda labels: labels.astype(object),
    ],
    ids=["float", "uint8", "column", "list", "one-hot", "masks", "objects"],
)
def test_labels_of_any_form_are_the_same(problem, change):
    images, classes, labels = problem
    plain = evaluate_classification(None, images, classes, labels)
    assert evaluate_classification(None, images, classes, change(labels)).metrics == plain.metrics


def test_labels_of_torch(problem):
    torch = pytest.importorskip("torch")
    np.testing.assert_array_equal(check_labels(torch.tensor([2.0, 0.0]), 2, 3), [2, 0])


def test_labels_as_names():
    found = check_labels(np.array(["owl", "cat"]), 2, 3, ["cat", "dog", "owl"])
    np.testing.assert_array_equal(found, [2, 0])


@pytest.mark.parametrize(
    ("labels", "names", "words"),
    [
        ([1, 3, 2], None, "subtract 1"),
        ([0, -1, 2], None, "leave images without a class out"),
        ([0.5, 1, 2], None, "no whole numbers"),
        ([0, 1], None, "of shape (2,)"),
        (np.full((3, 3), 0.3), None, "argmax(axis=1)"),
        (np.array([[1, 1, 0], [1, 0, 0], [0, 0, 1]]), None, "2 classes for image 0"),
        ([[0, 1], [2], [0]], None, "ragged"),
        (["a", "b", "c"], None, "--class-names"),
        (["a", "b", "x"], ["a", "b", "c"], "no class's name"),
        (["a", "b", "b"], ["a", "b", "b"], "several classes are called"),
    ],
)
def test_labels_that_are_none(labels, names, words):
    with pytest.raises(DistnormError) as caught:
        check_labels(labels, 3, 3, names)
    assert words in str(caught.value)


def test_transposed_weights_are_named(problem):
    images, classes, labels = problem
    with pytest.raises(DistnormError, match="transposed"):
        evaluate_classification(None, images, classes.T, labels)


def test_templates_may_be_functions_and_a_class_may_bring_sentences():
    encoder = Spelled()
    plain = class_rows(encoder, ["bad", "cab"], ["a {c}", "{c} egg"])
    functions = (lambda c: f"a {c}", "{} egg")
    np.testing.assert_array_equal(class_rows(encoder, ["bad", "cab"], functions), plain)
    own = {"bad": ["a bad", "bad egg"], "cab": [lambda c: f"a {c}", "{c} egg"]}
    np.testing.assert_array_equal(class_rows(encoder, ["bad", "cab"], own), plain)


@pytest.mark.parametrize(
    ("classes", "templates", "part"),
    [
        (["a"], [lambda c: None], "a template that makes NoneType of 'a'"),
        (["a"], lambda c: c, "wrap it in a list"),
        (["a"], [3], "a function of the class"),
        (["a"], ["whole words"], "a mapping from the class to its sentences"),
        ({"a": "a photo"}, ["{c}"], "the prompt 'a photo' of 'a'"),
    ],
)
def test_what_is_no_template_is_said(classes, templates, part):
    with pytest.raises(DistnormError, match=part):
        class_rows(Spelled(), classes, templates)

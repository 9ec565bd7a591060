"""How often classes come: estimates, the sample of a stream, the gate, files and the classifier."""

from __future__ import annotations

import json

import numpy as np
import pytest

import distnorm
from distnorm import DistnormError, ZeroShotClassifier, fit_class_prior, make, storage
from distnorm.tasks.class_prior import class_ranking, sample_of
from distnorm.tasks.image_sample import SIZE, ImageSample
from distnorm.tasks.prior_estimates import (
    PSEUDO,
    RIDGE,
    ROUNDS,
    balance_bias,
    posteriors,
    shift_bias,
    temperature_of,
)
from distnorm.tasks.prior_evidence import order_z

C, D = 24, 32
KEPT = "notes/class_images."


def draw(rng, labels, classes, noise=0.22):
    """Pictures of classes, away from their texts by a gap."""
    rows = classes[labels] + noise * rng.normal(size=(len(labels), D)) + 0.3
    return distnorm.normalize(rows.astype(np.float32))


@pytest.fixture
def classes():
    rng = np.random.default_rng(5)
    return distnorm.normalize(rng.normal(0.1, 1, (C, D)).astype(np.float32))


@pytest.fixture
def even(rng, classes):
    return draw(rng, rng.permutation(np.repeat(np.arange(C), 30)), classes)


def test_balance_solves_its_equation(rng):
    found = posteriors(rng.normal(size=(60, 5)).astype(np.float32), 0.7)
    weights = rng.integers(1, 4, 60).astype(np.float64)
    v = balance_bias(found, weights)
    each = found * np.exp(-v)
    mean = (weights[:, None] * each / each.sum(axis=1, keepdims=True)).sum(axis=0)
    np.testing.assert_allclose(mean - weights.sum() / 5, RIDGE * v, atol=0.1)
    # Without the ridge this would be exact; with it, it is nearly so.
    np.testing.assert_allclose(mean / weights.sum(), 0.2, atol=0.02)


def test_shift_is_em_that_stops(rng):
    found = posteriors(3 * rng.normal(size=(80, 6)).astype(np.float32), 0.5)
    weights = rng.integers(1, 4, 80).astype(np.float64)
    total = weights.sum()
    share = np.full(6, 1 / 6)
    for _ in range(ROUNDS):
        each = share * found
        each /= each.sum(axis=1, keepdims=True)
        share = ((weights[:, None] * each).sum(axis=0) + PSEUDO) / (total + 6 * PSEUDO)
    np.testing.assert_allclose(shift_bias(found, weights), -np.log(6 * share), atol=1e-4)


def test_repeats_count_as_often_as_they_come(rng):
    scores = rng.normal(size=(30, 4)).astype(np.float32)
    times = rng.integers(1, 5, 30)
    once, repeated = posteriors(scores, 1.0), posteriors(np.repeat(scores, times, axis=0), 1.0)
    for estimate in (balance_bias, shift_bias):
        np.testing.assert_allclose(
            estimate(once, times.astype(float)),
            estimate(repeated, np.ones(times.sum())),
            rtol=1e-3,
            atol=1e-3,
        )


def test_the_temperature_follows_the_scale_of_the_scores(rng):
    scores = rng.normal(size=(9, 7))
    assert temperature_of(10 * scores) == pytest.approx(10 * temperature_of(scores))
    assert temperature_of(np.ones((3, 4))) == 1.0


def test_any_chunks_give_the_same_sample(rng):
    rows = distnorm.normalize(rng.normal(size=(3 * SIZE // 2, 8)).astype(np.float32))
    rows = rows[rng.integers(0, len(rows), 2 * SIZE)]
    whole = ImageSample.empty().add(rows).to_arrays()
    for size in (700, 4999):
        parts = ImageSample.empty()
        for start in range(0, len(rows), size):
            parts = parts.add(rows[start : start + size])
        for name, values in parts.to_arrays().items():
            np.testing.assert_array_equal(values, whole[name], err_msg=name)
    assert len(whole["keys"]) == SIZE
    again = ImageSample.from_arrays(whole)
    assert again.overlap(rows[:50]).fitted == 50
    first = [int(np.flatnonzero((rows == row).all(axis=1))[0]) for row in whole["rows"][:20]]
    assert whole["places"][:20].tolist() == first


def test_order_shows(rng):
    labels = np.repeat(np.arange(20), 6)
    places = np.arange(120)
    assert order_z(labels, places) > 8
    assert order_z(rng.permutation(labels), places) < 4
    assert order_z(np.arange(120), places) == 0


def test_even_draws_gain_by_balance_and_few_classes_by_shift(rng, classes, even):
    hub = classes.copy()
    hub[0] = distnorm.normalize((hub[0] + 0.35)[None])[0]
    few = rng.permutation(np.repeat(np.arange(1, 7), 50))
    for images, labels, rows, better, worse in (
        (even, np.tile(np.arange(C), 20), hub, "balance", "shift"),
        (draw(rng, few, classes), np.tile(np.arange(1, 7), 60), classes, "shift", "balance"),
    ):
        asked = draw(rng, labels, classes, 0.3)
        right = {}
        for prior in ("none", "balance", "shift"):
            norm = make("dot")
            if prior != "none":
                norm = fit_class_prior(norm, images, rows, prior=prior)
            best = np.asarray(class_ranking(norm, asked, rows).scores()).argmax(axis=1)
            right[prior] = float((best == labels).mean())
        assert right[better] > right["none"] > right[worse] - 0.02, right


def test_bits_of_a_file_come_back_and_stream_on(tmp_path, rng, classes, even):
    path = tmp_path / "norm.safetensors"
    one = ZeroShotClassifier("dn", prior="auto").fit(classes).partial_fit(even[:400])
    one.save(path)
    norm = distnorm.load(path)
    assert norm.prior == "auto"
    two = ZeroShotClassifier(norm).fit(classes)
    np.testing.assert_allclose(two.decision_function(even), one.decision_function(even), atol=1e-6)
    for each in (one, two):
        each.partial_fit(even[400:])
    np.testing.assert_allclose(two.decision_function(even), one.decision_function(even), atol=1e-6)
    whole = ZeroShotClassifier("dn", prior="auto").fit(classes).partial_fit(even)
    np.testing.assert_allclose(
        two.decision_function(even), whole.decision_function(even), atol=1e-6
    )
    assert two.norm_.notes.class_prior["figures"] == whole.norm_.notes.class_prior["figures"]


@pytest.mark.parametrize(
    ("change", "part"),
    [
        (lambda s, t: s["notes"].pop("class_prior"), "half of a class prior"),
        (lambda s, t: [t.pop(key) for key in list(t) if "class_images" in key], "half of a class"),
        (lambda s, t: t.update({KEPT + "keys": t[KEPT + "keys"][::-1].copy()}), "contradict"),
        (lambda s, t: t.update({KEPT + "rows": t[KEPT + "rows"][:, :3].copy()}), "(rows)"),
        (lambda s, t: t[KEPT + "rows"].fill(np.nan), "contradict"),
        (lambda s, t: t[KEPT + "counts"].fill(0), "contradict"),
        (lambda s, t: t.pop(KEPT + "totals"), "(totals)"),
        (lambda s, t: s["notes"]["class_prior"].update(kind="odd"), "kind"),
        (lambda s, t: s["notes"]["class_prior"].update(bias=["a"]), "bias"),
        (lambda s, t: s.update(prior="odd"), "prior"),
    ],
)
def test_a_file_that_contradicts_itself_is_refused(tmp_path, classes, even, change, part):
    path = tmp_path / "norm.safetensors"
    fit_class_prior(make("dn").fit(images=even), even, classes, prior="auto").save(path)
    settings, tensors, _ = storage.read(path)
    tensors = {key: values.copy() for key, values in tensors.items()}
    change(settings, tensors)
    del settings["format_version"]
    storage.write(path, settings, tensors)
    with pytest.raises(DistnormError) as raised:
        distnorm.load(path)
    assert part in str(raised.value)


def test_other_classes_have_a_prior_from_the_kept_images(classes, even):
    norm = fit_class_prior(make("dot"), even, classes, prior="balance")
    fewer = class_ranking(norm, even[:5], classes[:6]).bias
    want = fit_class_prior(make("dot"), even, classes[:6], prior="balance").notes.class_prior
    np.testing.assert_allclose(np.asarray(fewer), want["bias"], atol=1e-6)


def test_new_statistics_make_it_void_and_say_so(classes, even):
    norm = fit_class_prior(make("dn").fit(images=even), even, classes, prior="shift")
    assert norm.notes.class_prior["kind"] == "shift"
    norm.partial_fit(images=even[:5])
    assert norm.notes.dropped == ("class_prior",)
    with pytest.raises(DistnormError, match=r"without images.*fit_class_prior"):
        distnorm.evaluate_classification(norm, even, classes, np.zeros(len(even), int))


def test_evaluated_images_that_told_the_prior_are_counted(classes, even):
    labels = np.zeros(len(even), int)
    norm = fit_class_prior(make("dot"), even[:300], classes, prior="balance")
    result = distnorm.evaluate_classification(norm, even, classes, labels)
    assert result.transductive
    assert result.shared_rows["image"].fitted == 300
    apart = distnorm.evaluate_classification(norm, even[300:], classes, labels[300:])
    assert not apart.transductive


@pytest.mark.parametrize(
    ("call", "part"),
    [
        (lambda x, c: fit_class_prior(make("dot"), x, c), "prior 'none'"),
        (
            lambda x, c: fit_class_prior(make("dot"), x, c, prior="odd"),
            "none, balance, shift, auto",
        ),
        (lambda x, c: make("dn", prior=1), "prior 1"),
        (
            lambda x, c: fit_class_prior(make("qbnorm").fit(images=x), x, c, prior="auto"),
            "class prior with 'qbnorm'",
        ),
        (lambda x, c: fit_class_prior(make("dot"), x[:0], c, prior="auto"), "images"),
        (lambda x, c: fit_class_prior(make("dot"), x * np.nan, c, prior="auto"), "images"),
        (
            lambda x, c: ZeroShotClassifier("dot", prior="auto").fit(c).predict(x),
            "before any image",
        ),
        (
            lambda x, c: distnorm.compare_retrieval(x[:C], c, methods=["dn:prior=auto"], repeats=1),
            "class prior for retrieval",
        ),
    ],
)
def test_what_it_refuses(classes, even, call, part):
    with pytest.raises(DistnormError) as raised:
        call(even, classes)
    assert part in str(raised.value)


@pytest.mark.parametrize("method", ["dot", "dn", "is", "nnn", "centered", "dn2"])
@pytest.mark.parametrize("images", [1, 2])
def test_a_few_images_of_any_method_decide_nothing(classes, even, method, images):
    norm = make(method).fit(images=even, texts=classes)
    found = fit_class_prior(norm, even[:images], classes, prior="auto")
    assert found.notes.class_prior["kind"] == "none"
    scores = class_ranking(found, even, classes).scores()
    np.testing.assert_array_equal(scores, norm.ranking(even, classes, "image").scores())


@pytest.mark.parametrize(
    "log", [lambda x: np.repeat(x[:1], 500, axis=0), lambda x: np.tile(x[:3], (200, 1))]
)
def test_a_log_of_one_picture_or_of_three_decides_nothing(classes, even, log):
    found = fit_class_prior(make("dot"), log(even), classes, prior="auto").notes.class_prior
    assert found["kind"] == "none"
    assert found["images"] >= 500
    json.dumps(found, allow_nan=False)


def test_half_precision_and_tensors_are_the_same_images(library, classes, even):
    want = fit_class_prior(make("dot"), even, classes, prior="balance").notes.class_prior
    norm = fit_class_prior(
        make("dot"), library.asarray(even), library.asarray(classes), prior="balance"
    )
    np.testing.assert_allclose(norm.notes.class_prior["bias"], want["bias"], atol=1e-5)
    assert sample_of(norm).seen == len(even)
    ranking = class_ranking(norm, library.asarray(even[:4]), library.asarray(classes))
    assert type(ranking.bias) is type(library.asarray(classes))

"""CALIP against its formula written out in loops."""

from __future__ import annotations

import numpy as np
import pytest

from distnorm import DistnormError, make

torch = pytest.importorskip("torch", reason="places come from torch modules")
pytest.importorskip("PIL.Image", reason="pictures are PIL images")

from tiny_clips import KINDS, pictures, tiny_clip

from distnorm.augmentation import augmented_image_rows, class_scores
from distnorm.augmentation.calip import BETAS
from distnorm.augmentation.clip_parts import clip_parts
from distnorm.tasks.classification import class_rows

CLASSES = ["cat", "three-toed sloth", "dog", "fire engine", "a very small house by the sea"]
TEMPLATES = ("a photo of a {c}.", "itap of a {c}.")


def unit(x):
    return x / np.linalg.norm(x, axis=-1, keepdims=True)


def softmax(x):
    weights = np.exp(x - x.max())
    return weights / weights.sum()


def by_the_book(v, places, texts, beta_2, beta_3, alpha_t=0.5, alpha_s=0.5):
    """Scores, w and the patch term of one picture; Guo et al. with every product written out."""
    agreement = np.array([[f @ t for t in texts] for f in places])
    told = np.array([softmax(row / alpha_t) @ texts for row in agreement])
    v_a = told.mean(axis=0) + told.max(axis=0)
    t_a = np.array([softmax(column / alpha_s) @ places for column in agreement.T])
    first = np.array([v @ t for t in texts])
    second = np.array([v @ t for t in t_a])
    third = np.array([v_a @ t for t in texts])
    return first + beta_2 * second + beta_3 * third, v + beta_3 * v_a, beta_2 * second


@pytest.fixture(params=KINDS)
def encoder(request):
    return tiny_clip(request.param, double=True)


def opened(encoder, images):
    parts = clip_parts(encoder)
    with torch.no_grad():
        whole, places = parts.image_rows(parts.pixels(images))
    return unit(whole.numpy()), unit(places.numpy())


@pytest.mark.parametrize(
    "options",
    [{}, {"beta_2": 5.0, "beta_3": 0.18, "alpha_t": 0.1, "alpha_s": 0.02, "batch_size": 2}],
)
def test_scores_are_those_of_the_paper(encoder, options):
    images = pictures(5)
    found = class_scores("calip", encoder, images, CLASSES, templates=TEMPLATES, **options)
    wholes, places = opened(encoder, images)
    texts = class_rows(encoder, CLASSES, TEMPLATES)
    settings = {"beta_2": 1.12, "beta_3": 0.02} | options
    settings.pop("batch_size", None)
    expected = [by_the_book(v, f, texts, **settings) for v, f in zip(wholes, places, strict=True)]
    np.testing.assert_allclose(found.scores["dot"], [e[0] for e in expected], atol=1e-5)
    np.testing.assert_allclose(
        found.image_rows, unit(np.array([e[1] for e in expected])), atol=1e-6
    )
    np.testing.assert_allclose(found.class_rows, texts, atol=1e-6)


def test_normalizations_shift_what_meets_the_class_texts(encoder):
    images = pictures(4)
    options = {"beta_3": 0.5}
    known = augmented_image_rows("calip", encoder, pictures(20, seed=1), CLASSES, **options)
    texts = class_rows(encoder, CLASSES, ("a photo of a {c}.",))
    norms = {name: make(name).fit(images=known, texts=texts) for name in ("dn", "is", "nnn")}
    found = class_scores("calip", encoder, images, CLASSES, norms=norms, **options)
    wholes, places = opened(encoder, images)
    for at, (v, f) in enumerate(zip(wholes, places, strict=True)):
        _, w, patches = by_the_book(v, f, texts, 1.12, 0.5)
        length = np.linalg.norm(w)
        shifted = (w - 0.5 * length * known.mean(axis=0)) @ texts.T + patches
        np.testing.assert_allclose(found.scores["dn"][at], shifted, atol=1e-5)
        for name in ("is", "nnn"):
            ranking = norms[name].ranking((w / length)[None].astype(np.float32), texts, "image")
            expected = length * ranking.scores()[0] + patches
            np.testing.assert_allclose(found.scores[name][at], expected, atol=1e-5)


def test_rows_for_statistics_are_the_rows_that_are_scored(encoder):
    images = pictures(3)
    rows = augmented_image_rows("calip", encoder, images, CLASSES, beta_3=0.3)
    found = class_scores("calip", encoder, images, CLASSES, beta_3=0.3)
    np.testing.assert_allclose(rows, found.image_rows, atol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1, atol=1e-6)


def test_without_attention_it_is_the_dot_product(encoder):
    images = pictures(3)
    plain = class_scores("none", encoder, images, CLASSES)
    found = class_scores("calip", encoder, images, CLASSES, beta_2=0, beta_3=0)
    np.testing.assert_allclose(found.scores["dot"], plain.scores["dot"], atol=1e-5)
    np.testing.assert_allclose(found.image_rows, plain.image_rows, atol=1e-5)


def test_half_precision_attends_too(encoder):
    images = pictures(3)
    exact = class_scores("calip", encoder, images, CLASSES).scores["dot"]
    encoder.model.to(torch.bfloat16)
    found = class_scores("calip", encoder, images, CLASSES).scores["dot"]
    np.testing.assert_allclose(found, exact, atol=0.05)


def test_defaults_are_imagenets():
    assert BETAS["imagenet1k"] == (1.12, 0.02)
    encoder = tiny_clip("open_clip-vit")
    found = class_scores("calip", encoder, pictures(1), CLASSES)
    assert (found.settings["beta_2"], found.settings["beta_3"]) == BETAS["imagenet1k"]


def test_what_it_cannot_do_is_said():
    encoder = tiny_clip("open_clip-vit")
    with pytest.raises(DistnormError, match=r"alphas 0, 0\.5"):
        class_scores("calip", encoder, pictures(1), CLASSES, alpha_t=0)
    with pytest.raises(DistnormError, match="'calip' without classes"):
        augmented_image_rows("calip", encoder, pictures(1))

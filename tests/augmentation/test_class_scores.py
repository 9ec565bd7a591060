"""One call for every augmentation and normalization."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest

from distnorm import DistnormError, make
from distnorm.augmentation import (
    AUGMENTATIONS,
    augmentation_cost,
    augmented_image_rows,
    augmented_rows,
    class_scores,
)

Image = pytest.importorskip("PIL.Image", reason="pictures are PIL images")

from distnorm.encoders import load_encoder
from distnorm.scenes import CLASS_NAMES, generate
from distnorm.tasks.classification import class_rows, evaluate_classification

TEMPLATES = ("{c}", "a drawing of a {c}")


@pytest.fixture(scope="module")
def builtin():
    pytest.importorskip("onnxruntime", reason="the built-in model runs in it")
    return load_encoder("builtin", threads=1)


@pytest.fixture(scope="module")
def drawn():
    return generate(40, seed=5)


@pytest.mark.parametrize("name", ["none", "tta"])
def test_scores_are_those_of_rows_and_normalization(builtin, drawn, name):
    images, classes = [scene.image() for scene in drawn], list(CLASS_NAMES)
    known = augmented_image_rows(name, builtin, [scene.image() for scene in generate(60, seed=6)])
    norms = {
        "plain": None,
        "dn": make("dn").fit(images=known),
        "nnn": make("nnn").fit(images=known),
    }
    seen = []
    found = class_scores(
        name, builtin, images, classes, templates=TEMPLATES, norms=norms,
        progress=lambda done, total: seen.append((done, total)),
    )  # fmt: skip
    kinds = AUGMENTATIONS["tta"]["kinds"] if name == "tta" else ("identity",)
    rows, texts = augmented_rows(builtin, images, kinds), class_rows(builtin, classes, TEMPLATES)
    np.testing.assert_allclose(found.image_rows, rows, atol=1e-6)
    np.testing.assert_array_equal(found.class_rows, texts)
    np.testing.assert_allclose(found.scores["plain"], rows @ texts.T, atol=1e-6)
    shifted = (rows - known.mean(axis=0) / 2) @ texts.T
    np.testing.assert_allclose(found.scores["dn"], shifted, atol=1e-6)
    labels = np.arange(40) % len(classes)
    for key, norm in norms.items():
        direct = evaluate_classification(norm, rows, texts, labels)
        order = np.argsort(-found.scores[key], axis=1, kind="stable")
        assert np.mean(order[:, 0] == labels) == pytest.approx(direct.metrics["acc1"])
    assert seen[-1] == (40, 40)


def test_costs_are_what_is_encoded(builtin):
    images = [scene.image() for scene in generate(3, seed=7)]
    counts = {"images": 0, "texts": 0}

    class Counted:
        def encode_images(self, given, **more):
            counts["images"] += len(given)
            return builtin.encode_images(given, **more)

        def encode_texts(self, given, **more):
            counts["texts"] += len(given)
            return builtin.encode_texts(given, **more)

    found = class_scores(
        "tta", Counted(), images, ["cat", "dog"], templates=TEMPLATES,
        kinds=("identity", "scales:3", "random:5"), crop=0.8, seed=1,
    )  # fmt: skip
    assert found.cost == augmentation_cost(
        "tta", templates=TEMPLATES, kinds=("identity", "scales:3", "random:5")
    )
    assert found.cost["encodings_per_image"] * 3 == counts["images"] == 27
    assert found.cost["encodings_per_class"] * 2 == counts["texts"] == 4
    assert found.cost["encodings_per_class_and_image"] == 0
    assert repr(found) == (
        "ClassScores('tta', 3 images, 2 classes, dot; 9 encodings per image, 2 per class, "
        "0 per class and image, 0 gradient steps per image)"
    )
    plain = json.loads(json.dumps(found.to_dict()))
    assert plain["settings"]["kinds"] == ["identity", "scales:3", "random:5"]
    assert plain["settings"]["seed"] == 1
    assert (plain["augmentation"], plain["n_images"], plain["n_classes"]) == ("tta", 3, 2)


def test_tuning_costs_what_the_paper_says():
    assert augmentation_cost("tpt") == {
        "encodings_per_image": 64,
        "encodings_per_class": 1,
        "encodings_per_class_and_image": 2,
        "gradient_steps_per_image": 1,
    }
    assert augmentation_cost("calip", templates=TEMPLATES) == {
        "encodings_per_image": 1,
        "encodings_per_class": 2,
        "encodings_per_class_and_image": 0,
        "gradient_steps_per_image": 0,
    }


def test_rows_of_random_views_do_not_depend_on_the_company(builtin):
    images = [scene.image() for scene in generate(70, seed=8)]
    options = {"kinds": ("random:6",), "seed": 2}
    together = augmented_image_rows("tta", builtin, images, **options)
    alone = augmented_image_rows("tta", builtin, images[50:51], **options)
    np.testing.assert_allclose(together[50:51], alone, atol=1e-6)
    other = augmented_image_rows("tta", builtin, images[50:51], kinds=("random:6",), seed=3)
    assert np.abs(other - alone).max() > 1e-3


def test_rows_for_prompt_tuning_are_the_pictures_own(builtin):
    images = [scene.image() for scene in generate(3, seed=9)]
    rows = augmented_image_rows("tpt", builtin, images)
    np.testing.assert_array_equal(rows, builtin.encode_images(images))


@pytest.mark.parametrize(
    ("name", "options", "words"),
    [
        ("rotate", {}, r"augmentation 'rotate'.*none, tta, tpt, calip"),
        ("none", {"kinds": ("flip",)}, r"option 'kinds' of 'none'.*none"),
        ("tta", {"views": 3}, r"option 'views' of 'tta'.*kinds, crop"),
        ("tta", {"kinds": ("scales:0",)}, r"'scales:N' with N above 0"),
        ("tta", {"kinds": ("flip:2",)}, "views 'flip:2'"),
    ],
)
def test_what_is_no_augmentation_is_said(builtin, name, options, words):
    image = generate(1, seed=0)[0].image()
    with pytest.raises(DistnormError, match=words):
        class_scores(name, builtin, [image], ["cat"], **options)
    with pytest.raises(DistnormError, match=words):
        augmented_image_rows(name, builtin, [image], ["cat"], **options)


def test_unusable_normalizations_are_said_before_pictures_are_encoded(builtin):
    class Untouched(list):
        def __getitem__(self, at):
            raise AssertionError("a picture was read")

    images = Untouched([0])
    for name in ("none", "tta"):
        with pytest.raises(DistnormError, match="no statistics of the image side"):
            class_scores(name, builtin, images, ["cat"], norms={"dn": make("dn")})
        other = make("dn").fit(images=np.eye(7))
        with pytest.raises(DistnormError, match="7"):
            class_scores(name, builtin, images, ["cat"], norms={"dn": other})
        with pytest.raises(DistnormError, match="no picture"):
            class_scores(name, builtin, [], ["cat"])
        with pytest.raises(DistnormError, match="no picture"):
            augmented_image_rows(name, builtin, [])


@pytest.mark.parametrize("name", ["tpt", "calip"])
def test_what_needs_a_clip_says_so(builtin, name):
    pytest.importorskip("torch", reason="asked for before the model")
    image = generate(1, seed=0)[0].image()
    with pytest.raises(DistnormError, match="a CLIP of open_clip"):
        class_scores(name, builtin, [image], ["cat", "dog"])


def test_views_and_averages_need_no_torch():
    code = (
        "import sys; import distnorm.augmentation as a; from distnorm.augmentation import views;"
        "a.augmentation_cost('tpt');"
        "print([m for m in ('torch', 'open_clip', 'transformers', 'PIL') if m in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"

"""Comparisons on classification."""

from __future__ import annotations

import numpy as np
import pytest

from distnorm import (
    DistnormError,
    compare_classification,
    normalize,
)


@pytest.fixture
def problem(rng):
    classes = normalize(rng.normal(0.3, 1, (7, 16)).astype(np.float32))
    labels = rng.integers(0, 7, 200)
    images = normalize((classes[labels] + rng.normal(0, 0.5, (200, 16)) + 0.4).astype(np.float32))
    return images, classes, labels


def test_comparison_is_paired_held_out_and_labelled(problem):
    images, classes, labels = problem
    found = compare_classification(images, classes, labels, repeats=4)
    again = compare_classification(images, classes, labels, repeats=4)
    assert found.to_dict() == again.to_dict()
    assert found.sizes == {"n_images": 200, "n_classes": 7}
    assert found["dn"].n_fit["image"] == 100
    assert found["dot"].metrics["acc1"].delta == 0
    low, high = found["dn"].metrics["acc1"].delta_ci95
    assert low <= found["dn"].metrics["acc1"].delta <= high
    within = compare_classification(images, classes, labels, protocol="transductive")
    assert within["dn"].transductive


@pytest.mark.parametrize(
    ("change", "part"),
    [
        ({"labels": np.zeros(3, int)}, "labels of shape"),
        ({"labels": np.full(200, 7)}, "label 7 of image 0"),
        ({"labels": np.full(200, 0.5)}, "no whole numbers"),
        ({"protocol": "reference"}, "no reference images"),
        ({"protocol": "paper", "samples": 199}, "would give statistics"),
        ({"classes": np.ones((2, 3), np.float32)}, "dimension"),
    ],
)
def test_what_cannot_be_compared_is_said(problem, change, part):
    images, classes, labels = problem
    arguments = {"classes": classes, "labels": labels, **change}
    with pytest.raises(DistnormError, match=part):
        compare_classification(images, arguments.pop("classes"), **arguments)


def test_imagenet_agrees_with_what_was_measured(real_data):
    folder = real_data / "imagenet4shot-clip-vit-b32"
    images, classes = (
        normalize(np.load(folder / name).astype(np.float32))
        for name in ("image.npy", "class_text_raw.npy")
    )
    found = compare_classification(
        images,
        classes,
        np.load(folder / "label.npy"),
        methods=["dot", "dn@0.25", "is:beta=50", "nnn"],
        repeats=3,
    )
    acc = [result.metrics["acc1"].mean for result in found.results]
    assert acc[0] == pytest.approx(0.60, abs=0.02)
    assert acc[1] - acc[0] == pytest.approx(0.003, abs=0.006)
    assert acc[2] - acc[0] == pytest.approx(0.016, abs=0.008)
    assert found["nnn"].metrics["acc1"].significant

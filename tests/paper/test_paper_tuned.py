"""Prompt tuning and CALIP in the paper's tables, end to end on CLIPs of random weights."""

from __future__ import annotations

import importlib

import numpy as np
import pytest

pytest.importorskip("PIL.Image", reason="photos need Pillow")
pytest.importorskip("pyarrow.parquet", reason="stores need pyarrow")
pytest.importorskip("torch", reason="prompts are tuned with torch")

import miniature

tiny_clips = pytest.importorskip("tiny_clips", reason="CLIPs of random weights are built there")

from distnorm import augmentation
from distnorm.datasets import class_folders
from distnorm.embedding.pictures import open_picture
from distnorm.paper import Protocol, run_benchmark

classification = importlib.import_module("distnorm.paper.classification")


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    root = tmp_path_factory.mktemp("data")
    miniature.class_folders(root / "mine", each=1)
    return root


@pytest.fixture(scope="module")
def encoder():
    return tiny_clips.tiny_clip("open_clip-vit")


@pytest.mark.parametrize("augment", ["tpt", "calip"])
@pytest.mark.parametrize("protocol", ["authors", "clean"])
def test_tuned_cells_are_the_augmentation_s_scores(data, encoder, tmp_path, augment, protocol):
    settings = Protocol(protocol, samples=3, seeds=2, templates=("a photo of a {c}.",))
    found = run_benchmark(
        encoder,
        "tiny",
        data,
        tmp_path,
        tasks=["folder:mine"],
        methods=["dot", "dn"],
        augments=[augment],
        protocol=settings,
    )
    assert not found.missing
    plain, shifted = found.cells
    assert (plain.method, shifted.method) == ("dot", "dn")
    assert shifted.settings["normalization"] == ("dn-renorm" if settings.authors else "dn")
    test = class_folders(data / "mine")
    scores = augmentation.class_scores(
        augment,
        encoder,
        [open_picture(data / "mine" / name)[0] for name in test.images],
        list(test.classes),
        templates=settings.templates,
        seed=settings.seed,
    ).scores["dot"]
    right = scores.argmax(axis=1) == test.labels
    accuracies = [right[draw.images].mean() for draw in classification.held_out(settings, 12)]
    assert len(test.images) == 12
    assert plain.metrics["acc1"].mean == pytest.approx(np.mean(accuracies))


def test_parts_that_are_done_are_kept(data, encoder, tmp_path, monkeypatch):
    monkeypatch.setattr(classification, "_PART", 5)
    calls = []
    original = augmentation.class_scores

    def counted(name, encoder, images, *rest, **options):
        calls.append(len(images))
        if len(calls) == 2:
            raise KeyboardInterrupt
        return original(name, encoder, images, *rest, **options)

    monkeypatch.setattr(augmentation, "class_scores", counted)
    options = {
        "tasks": ["folder:mine"],
        "augments": ["calip"],
        "protocol": Protocol("clean", samples=3, seeds=2, templates=("a {c}",)),
    }
    with pytest.raises(KeyboardInterrupt):
        run_benchmark(encoder, "tiny", data, tmp_path / "broken", **options)
    found = run_benchmark(encoder, "tiny", data, tmp_path / "broken", **options)
    # 12 pictures in parts of 5: the first was kept, the second done again.
    assert calls == [5, 5, 5, 2]
    monkeypatch.setattr(augmentation, "class_scores", original)
    whole = run_benchmark(encoder, "tiny", data, tmp_path / "whole", **options)
    assert found.to_dict() == whole.to_dict()


def test_a_model_that_cannot_be_opened_is_said(data, tmp_path):
    encoder = pytest.importorskip("distnorm.encoders.builtin").load()
    found = run_benchmark(
        encoder,
        "builtin",
        data,
        tmp_path,
        tasks=["folder:mine"],
        augments=["none", "tpt"],
        protocol=Protocol(samples=3, seeds=1),
    )
    assert {c.augment for c in found.cells} == {"none"}
    assert [m.augment for m in found.missing] == ["tpt"]

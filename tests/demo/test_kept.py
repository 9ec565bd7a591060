"""What the demo keeps is what it computes; and is not taken for anything else."""

from __future__ import annotations

import pytest

for package in ("onnxruntime", "PIL", "jinja2", "matplotlib"):
    pytest.importorskip(package, reason="the demo needs the extra 'demo'")

from distnorm.demo import experiment, kept
from distnorm.encoders import load_encoder
from distnorm.scenes import WORLDS, generate

# Recalls of 500 pictures: float32 of another processor may move a picture or two.
NEAR = 0.005


@pytest.fixture(scope="module")
def found():
    return kept.Kept.of("faded", 1000, 0, 500)


def agree(stored, computed):
    plain, wanted = stored.to_dict(), computed.to_dict()
    for result, expected in zip(plain["results"], wanted["results"], strict=True):
        for name, summary in expected.pop("metrics").items():
            if "median" not in name:
                for figure in ("mean", "delta"):
                    got = result["metrics"][name][figure]
                    assert got == pytest.approx(summary[figure], abs=NEAR), (name, figure)
        result.pop("metrics")
        result.pop("params")
        expected.pop("params")
    for side in (plain, wanted):
        side.pop("verdict")
    assert plain == wanted


@pytest.mark.parametrize("world", ["red", "matched"])
def test_the_kept_world_is_the_computed_one(found, world):
    agree(found.worlds[world], experiment._other_world(load_encoder("builtin"), world, 500, 0))


def test_kept_augmentation_is_the_computed_one(found):
    encoder = load_encoder("builtin")
    drawn = experiment._single_objects("faded", 1000, 0)
    computed = experiment._classification(encoder, drawn, experiment._augmented, 0)
    agree(found.augmented["classification_tta"], computed)
    scenes, pool = (
        generate(1000, world="faded", seed=0),
        generate(1000, world="faded", seed=1000003),
    )
    rows = experiment._embed(encoder, scenes[:1], pool)
    rows = rows._replace(
        texts=encoder.encode_texts([scene.captions(1)[0] for scene in scenes]),
        images=experiment._augmented(encoder, scenes),
        fit_images=experiment._augmented(encoder, pool[:500]),
    )
    agree(found.augmented["retrieval_tta"], experiment._retrieval(rows, 0))


def test_every_other_world_is_kept(found):
    assert set(found.worlds) == set(WORLDS) - {"faded"}


@pytest.mark.parametrize(
    ("world", "size", "seed", "other_size", "worlds", "augmented"),
    [
        ("night", 1000, 0, 500, len(WORLDS) - 2, 0),
        ("faded", 800, 0, 500, len(WORLDS) - 1, 0),
        ("faded", 60, 0, 60, 0, 0),
        ("faded", 1000, 1, 500, 0, 0),
    ],
)
def test_other_demos_take_what_is_theirs(world, size, seed, other_size, worlds, augmented):
    found = kept.Kept.of(world, size, seed, other_size)
    assert (len(found.worlds), len(found.augmented)) == (worlds, augmented)


def test_another_model_takes_nothing(monkeypatch):
    monkeypatch.setattr(kept, "card", lambda: {"sha256": {"image.onnx": "0"}})
    assert kept.Kept.of("faded", 1000, 0, 500) == kept.Kept({}, {})


def test_what_is_kept_comes_out_of_a_demo():
    stored = {"worlds": {"faded": {}, "red": {"n_images": 5}}, "world": "faded", "more": 1}
    stored |= {"size": 9, "seed": 0, "retrieval_tta": {}, "classification_tta": {}}
    assert kept.contents(stored)["worlds"] == {"red": {"n_images": 5}}
    assert "more" not in kept.contents(stored)

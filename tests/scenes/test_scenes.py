"""Scenes: the same bytes everywhere, and captions that tell the truth, or exactly not."""

from __future__ import annotations

import hashlib
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from distnorm import DistnormError
from distnorm.scenes import (
    BACKGROUNDS,
    CLASS_NAMES,
    COLOURS,
    SHAPES,
    SIZES,
    TEXTURES,
    WORLDS,
    generate,
    save_scenes,
    vocabulary,
)
from distnorm.scenes.sampling import TRAINING, draw_scene
from distnorm.scenes.vocabulary import SYNONYMS

# sha256 of the first three pictures and their captions, seed 0; a change here is a new generator,
# and the built-in model's card then no longer holds.
GOLDEN = {
    "matched": "0a5c44c4fb985774",
    "night": "4e703a5100e40df7",
    "red": "2c209d5db835172c",
    "stars": "09766f13260b981a",
    "products": "63713a2cf0ac0df0",
    "faded": "b0cd7d83b68e312e",
    "dim": "f71117fa27950dd6",
}

scenes = st.builds(
    lambda world, seed: generate(1, world=world, seed=seed)[0],
    st.sampled_from(sorted(WORLDS)),
    st.integers(0, 100_000),
)


def meanings(kind: tuple[str, ...]) -> dict[str, str]:
    """Word or phrase -> value, for every way to say a value."""
    return {word: value for value in kind for word in (value, *SYNONYMS.get(value, ()))}


def details(text: str) -> list[dict[str, str]]:
    """Read mentions back: adjectives up to a shape word belong to that shape."""
    tables = {
        "colour": meanings(COLOURS),
        "shape": meanings(SHAPES),
        "size": meanings(tuple(SIZES)),
        "texture": meanings(TEXTURES),
    }
    # Backgrounds and the frame hold words such as "green" or "white" of their own.
    for phrases in SYNONYMS.values():
        for phrase in phrases:
            if " " in phrase:
                text = text.replace(phrase, "|")
    found, present = [], {}
    for word in re.findall(r"[a-z-]+|\|", text):
        kind = next((k for k, table in tables.items() if word in table), None)
        if kind is None:
            present = {} if word in ("a", "an", "|", "and") else present
        else:
            present[kind] = tables[kind][word]
            if kind == "shape":
                found.append(present)
                present = {}
    return found


@pytest.mark.parametrize("world", sorted(WORLDS))
def test_pictures_and_captions_are_the_same_bytes_everywhere(world):
    digest = hashlib.sha256()
    for scene in generate(3, world=world):
        digest.update(scene.render().tobytes())
        digest.update("\n".join(scene.captions()).encode())
        digest.update(scene.damaged_caption(4).encode())
    assert digest.hexdigest()[:16] == GOLDEN[world]


def test_a_longer_series_begins_with_a_shorter_one():
    assert generate(5, world="red", seed=9)[:2] == generate(2, world="red", seed=9)
    scene = generate(1)[0]
    assert scene.captions(7)[:3] == scene.captions(3)


def test_training_scenes_are_out_of_reach():
    trained = draw_scene(WORLDS["matched"], (TRAINING, 0, 0))
    assert trained.key not in {scene.key for scene in generate(50)}
    assert generate(1)[0].key[0] != TRAINING


@given(scenes)
def test_every_mention_is_true_of_one_object(scene):
    known = set(vocabulary())
    for caption in scene.caption_details(8):
        assert all(claim.holds(scene) for claim in caption.claims)
        assert set(re.findall(r"[a-z-]+", caption.text)) <= known
        for mention in details(caption.text):
            assert any(
                all(getattr(thing, kind) == value for kind, value in mention.items())
                for thing in scene.things
            ), (caption.text, scene.things)


@given(scenes, st.integers(0, 20))
def test_damage_makes_exactly_so_many_details_false(scene, number):
    from distnorm.scenes.captions import damaged

    base = damaged(scene, 0, number)
    assert all(claim.holds(scene) for claim in base.claims)
    for level in range(5):
        caption = damaged(scene, level, number)
        assert sum(not claim.holds(scene) for claim in caption.claims) == level
        assert len(caption.claims) == len(base.claims)
        assert (caption.text != base.text) == (level > 0)


@given(scenes)
def test_pictures_are_pictures(scene):
    pixels = scene.render()
    assert pixels.shape == (64, 64, 3)
    assert pixels.dtype == np.uint8
    assert len(np.unique(pixels)) > 30
    assert scene.label in CLASS_NAMES


def test_worlds_hold_what_they_promise():
    n = 1500

    def share(world, count):
        return np.mean([value for scene in generate(n, world=world) for value in count(scene)])

    night = share("night", lambda s: [s.background == "night"])
    red = share("red", lambda s: [t.colour == "red" for t in s.things])
    stars = share("stars", lambda s: [t.shape == "star" for t in s.things])
    alone = share("products", lambda s: [len(s.things) == 1])
    plain = share("matched", lambda s: [s.background == "night"])
    assert (night, red, stars, alone) == pytest.approx((0.7, 0.6, 0.6, 0.8), abs=0.04)
    assert plain == pytest.approx(1 / len(BACKGROUNDS), abs=0.03)


def test_looks_change_pixels_and_nothing_else():
    clear, faded = (generate(20, world=world, seed=4) for world in ("matched", "faded"))
    ranges = [np.mean([np.ptp(s.render().astype(int)) for s in part]) for part in (clear, faded)]
    assert ranges[1] < ranges[0]


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        ({"n": 1, "world": "nigth"}, "did you mean 'night'"),
        ({"n": 0}, "n = 0"),
        ({"n": -3}, "n = -3"),
        ({"n": 1, "seed": -1}, "seed = -1"),
        ({"n": 1, "objects": 5}, "objects = 5"),
        ({"n": 2.5}, "n = 2.5"),
    ],
)
def test_what_cannot_be_drawn_is_said(arguments, part):
    with pytest.raises(DistnormError, match=part):
        generate(**arguments)


def test_scenes_in_a_folder(tmp_path):
    image = pytest.importorskip("PIL.Image")
    folder = tmp_path / "scenes"
    save_scenes(folder, 3, world="red", seed=2)
    lines = (folder / "captions.tsv").read_text().splitlines()
    assert len(lines) == 1 + 3 * 5
    name, caption = lines[1].split("\t")
    scene = generate(1, world="red", seed=2)[0]
    assert caption == scene.captions()[0]
    np.testing.assert_array_equal(np.asarray(image.open(folder / name)), scene.render())
    with pytest.raises(DistnormError, match="which exists"):
        save_scenes(folder, 3)

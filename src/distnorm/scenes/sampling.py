"""Scenes drawn from worlds, one by one or as a folder of pictures and captions.

Scene i of a world depends on (world, seed, i) alone, so a longer series begins with a shorter one.
"""

from __future__ import annotations

import difflib
import numbers
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from distnorm.errors import DistnormError, require
from distnorm.scenes.captions import Caption, captions, damaged
from distnorm.scenes.drawing import render
from distnorm.scenes.scene import WORLDS, Dice, Layout, Thing, World
from distnorm.scenes.vocabulary import PLACES, SIZES, TEXTURES
from distnorm.system.files import write_text

__all__ = ["TRAINING", "Scene", "draw_scene", "generate", "save_scenes"]

TRAINING = 1
"""First word of a training scene's seed; `generate` uses 0 and cannot reach those scenes."""


@dataclass(frozen=True)
class Scene(Layout):
    """A picture before it is drawn, and what can be said of it; `Layout` has its fields."""

    def render(self) -> npt.NDArray[np.uint8]:
        """The picture, uint8, shape (64, 64, 3)."""
        return render(self)

    def image(self) -> Any:
        """The picture as a PIL image (needs Pillow)."""
        return require("PIL.Image", "demo").fromarray(self.render())

    def caption_details(self, n: int = 5) -> tuple[Caption, ...]:
        """So many captions with what they claim."""
        return captions(self, n)

    def captions(self, n: int = 5) -> tuple[str, ...]:
        """So many captions, each true of the scene; a longer list begins with a shorter one."""
        return tuple(caption.text for caption in self.caption_details(n))

    def damaged_caption(self, level: int, number: int = 0) -> str:
        """A caption with ``level`` (0 to 4) of its details false; ``number`` picks which."""
        return damaged(self, level, number).text

    @property
    def label(self) -> str:
        """Colour and shape of the largest object, one of `CLASS_NAMES`."""
        return f"{self.things[0].colour} {self.things[0].shape}"


def generate(
    n: int, *, world: str = "matched", seed: int = 0, objects: int | None = None
) -> list[Scene]:
    """Scenes 0 to n - 1 of a world of `WORLDS`.

    ``objects`` are so many in every scene (1 to 4) instead of the world's mix. Raises
    `DistnormError` for an unknown world, or numbers out of range.

    Examples
    --------
    >>> from distnorm.scenes import generate
    >>> generate(1, seed=3)[0].captions(1) == generate(2, seed=3)[0].captions(1)
    True
    """
    if world not in WORLDS:
        near = difflib.get_close_matches(str(world), WORLDS, n=1)
        raise DistnormError(
            f"world {world!r}",
            f"one of {', '.join(WORLDS)}",
            f"did you mean {near[0]!r}?" if near else "pick one of these",
        )
    for name, value, low, high in (
        ("n", n, 1, None),
        ("seed", seed, 0, None),
        ("objects", 1 if objects is None else objects, 1, 4),
    ):
        whole = isinstance(value, numbers.Integral) and not isinstance(value, bool)
        if not whole or value < low or (high is not None and value > high):
            expected = f"an integer from {low} on" if high is None else f"{low} to {high}"
            raise DistnormError(f"{name} = {value!r}", expected, f"give another {name}")
    return [draw_scene(WORLDS[world], (0, int(seed), i), objects) for i in range(int(n))]


def draw_scene(world: World, key: tuple[int, ...], objects: int | None = None) -> Scene:
    """The scene of a key; `generate` uses keys (0, seed, i)."""
    key = (*key, world.number, 0 if objects is None else objects)
    dice = Dice(*key, 0)
    count = int(dice.weighted(world.counts)) if objects is None else objects
    places = dice.shuffled(range(len(PLACES)))[:count]
    things = [_thing(world, dice, place) for place in places]
    things.sort(key=lambda thing: -SIZES[thing.size])
    return Scene(
        world=world.name,
        key=key,
        background=dice.weighted(world.backgrounds),
        horizon=28 + dice.below(17),
        things=tuple(things),
        noise=4 + dice.below(21),
        light=dice.below(41) - 20,
    )


def _thing(world: World, dice: Dice, place: int) -> Thing:
    row, column = divmod(place, 3)
    return Thing(
        shape=dice.weighted(world.shapes),
        colour=dice.weighted(world.colours),
        size=dice.pick(tuple(SIZES)),
        texture=dice.pick(TEXTURES),
        place=PLACES[place],
        centre=(11 + 21 * row + dice.below(7) - 3, 11 + 21 * column + dice.below(7) - 3),
        tint=(dice.below(31) - 15, dice.below(31) - 15, dice.below(31) - 15),
    )


def save_scenes(folder: Path, n: int, *, world: str = "matched", seed: int = 0) -> None:
    """Write ``n`` PNG pictures and ``captions.tsv`` (path, caption) into a new or empty folder."""
    scenes = generate(n, world=world, seed=seed)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise DistnormError(f"{folder}, which exists", "a new folder", "choose another name")
    folder.mkdir(parents=True, exist_ok=True)
    lines = ["path\tcaption"]
    for number, scene in enumerate(scenes):
        name = f"{world}-{number:06d}.png"
        scene.image().save(folder / name)
        lines += [f"{name}\t{caption}" for caption in scene.captions()]
    write_text(folder / "captions.tsv", "\n".join(lines) + "\n")

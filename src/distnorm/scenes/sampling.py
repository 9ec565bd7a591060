"""Worlds and the scenes drawn from them.

Scene i of a world depends on (world, seed, i) alone, so a longer series begins with a shorter
one. Randomness is PCG64's raw 64-bit output, which NumPy keeps stable across versions and
platforms, made into integers here.
"""

from __future__ import annotations

import difflib
import numbers
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from distnorm.errors import DistnormError
from distnorm.scenes.vocabulary import BACKGROUNDS, COLOURS, PLACES, SHAPES, SIZES, TEXTURES

if TYPE_CHECKING:
    from distnorm.scenes.captions import Caption

__all__ = ["TRAINING", "WORLDS", "Dice", "Scene", "Thing", "World", "draw_scene", "generate"]

TRAINING = 1
"""First word of a training scene's seed; `generate` uses 0 and cannot reach those scenes."""


class Dice:
    """Integers from the raw bits of a PCG64 stream named by a few integers."""

    def __init__(self, *name: int) -> None:
        self._bits = np.random.PCG64(np.random.SeedSequence(list(name)))

    def below(self, n: int) -> int:
        """An integer from 0 to n - 1."""
        return ((int(self._bits.random_raw()) >> 32) * n) >> 32

    def pick(self, options: Any) -> Any:
        """One of a sequence."""
        return options[self.below(len(options))]

    def weighted(self, weights: Mapping[str, int]) -> str:
        """A key, as often as its weight says."""
        left = self.below(sum(weights.values()))
        for key, weight in weights.items():
            left -= weight
            if left < 0:
                return key
        raise AssertionError("weights sum to more than was drawn")

    def shuffled(self, options: Any) -> list[Any]:
        """All of a sequence in random order."""
        rest = list(options)
        return [rest.pop(self.below(len(rest))) for _ in range(len(rest))]

    def bytes(self, n: int) -> npt.NDArray[np.uint8]:
        """So many random bytes."""
        raw = np.asarray(self._bits.random_raw(-(-n // 8)), dtype="<u8")
        return raw.view(np.uint8)[:n]


@dataclass(frozen=True)
class World:
    """What a gallery is like: integer weights of everything that a scene draws.

    Attributes
    ----------
    name, description : str
    number : int
        Part of every scene's seed; never reused.
    counts, backgrounds, colours, shapes : mapping from what to weight
    look : {"clear", "faded", "dim"}
        How the pictures were taken; training pictures are clear.
    """

    name: str
    description: str
    number: int
    counts: Mapping[str, int]
    backgrounds: Mapping[str, int]
    colours: Mapping[str, int]
    shapes: Mapping[str, int]
    look: str = "clear"


@dataclass(frozen=True)
class Thing:
    """One object: what it is, where it stands (a cell of 3 x 3) and its centre in pixels."""

    shape: str
    colour: str
    size: str
    texture: str
    place: str
    centre: tuple[int, int]
    tint: tuple[int, int, int]


@dataclass(frozen=True)
class Scene:
    """A picture before it is drawn.

    Attributes
    ----------
    world : str
    key : tuple of int
        Names the scene's random streams.
    background : str
    horizon : int
        Row of the horizon.
    things : tuple of Thing
        Largest first; of one size in drawing order.
    noise, light : int
        Amplitude of the noise and shift of brightness, in steps of 256.
    """

    world: str
    key: tuple[int, ...]
    background: str
    horizon: int
    things: tuple[Thing, ...]
    noise: int
    light: int

    def render(self) -> npt.NDArray[np.uint8]:
        """The picture, uint8, shape (64, 64, 3)."""
        from distnorm.scenes.drawing import render

        return render(self)

    def image(self) -> Any:
        """The picture as a PIL image (needs Pillow)."""
        from distnorm.errors import require

        return require("PIL.Image", "demo").fromarray(self.render())

    def caption_details(self, n: int = 5) -> tuple[Caption, ...]:
        """So many captions with what they claim."""
        from distnorm.scenes.captions import captions

        return captions(self, n)

    def captions(self, n: int = 5) -> tuple[str, ...]:
        """So many captions, each true of the scene; a longer list begins with a shorter one."""
        return tuple(caption.text for caption in self.caption_details(n))

    def damaged_caption(self, level: int, number: int = 0) -> str:
        """A caption with ``level`` (0 to 4) of its details false; ``number`` picks which."""
        from distnorm.scenes.captions import damaged

        return damaged(self, level, number).text

    @property
    def label(self) -> str:
        """Colour and shape of the largest object, one of `CLASS_NAMES`."""
        return f"{self.things[0].colour} {self.things[0].shape}"


def _even(names: Any) -> dict[str, int]:
    return dict.fromkeys(names, 1)


def _mostly(names: Any, favourite: str, percent: int) -> dict[str, int]:
    """The favourite so often, the others alike for the rest."""
    names = tuple(names)
    weights = dict.fromkeys(names, 100 - percent)
    weights[favourite] = percent * (len(names) - 1)
    return weights


_COUNTS = {"1": 2, "2": 3, "3": 3, "4": 2}


def _world(
    name: str, number: int, description: str, look: str = "clear", **changed: Mapping[str, int]
) -> World:
    parts: dict[str, Mapping[str, int]] = {
        "counts": _COUNTS,
        "backgrounds": _even(BACKGROUNDS),
        "colours": _even(COLOURS),
        "shapes": _even(SHAPES),
    }
    return World(name, description, number, look=look, **{**parts, **changed})


WORLDS: dict[str, World] = {
    world.name: world
    for world in (
        _world("matched", 0, "drawn like the training pictures: everything equally often"),
        _world(
            "night",
            1,
            "70 % of the pictures are taken at night",
            backgrounds=_mostly(BACKGROUNDS, "night", 70),
        ),
        _world("red", 2, "60 % of the objects are red", colours=_mostly(COLOURS, "red", 60)),
        _world("stars", 3, "60 % of the objects are stars", shapes=_mostly(SHAPES, "star", 60)),
        _world(
            "products",
            4,
            "70 % before a studio wall, and 80 % show a single object",
            backgrounds=_mostly(BACKGROUNDS, "studio", 70),
            counts=_mostly(_COUNTS, "1", 80),
        ),
        _world("faded", 5, "old prints: less contrast and a warm cast", "faded"),
        _world("dim", 6, "too little light: darker and grainy", "dim"),
    )
}


def generate(
    n: int, *, world: str = "matched", seed: int = 0, objects: int | None = None
) -> list[Scene]:
    """Scenes 0 to n - 1 of a world.

    Parameters
    ----------
    n : int
    world : str
        A key of `WORLDS`.
    seed : int
    objects : int, optional
        That many objects in every scene (1 to 4) instead of the world's mix.

    Raises
    ------
    DistnormError
        For an unknown world, or numbers out of range.

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

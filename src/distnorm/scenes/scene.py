"""Worlds, and what a scene drawn from one holds.

Randomness is PCG64's raw 64-bit output, which NumPy keeps stable across versions and platforms,
made into integers here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from distnorm.scenes.vocabulary import BACKGROUNDS, COLOURS, SHAPES

__all__ = ["WORLDS", "Dice", "Layout", "Thing", "World"]


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
    """What a gallery is like: integer weights of everything that a scene draws."""

    name: str
    description: str
    number: int  # part of every scene's seed; never reused
    counts: Mapping[str, int]
    backgrounds: Mapping[str, int]
    colours: Mapping[str, int]
    shapes: Mapping[str, int]
    look: str = "clear"  # how pictures were taken; training pictures are clear


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
class Layout:
    """What is in a picture: all that drawing and captions read."""

    world: str
    key: tuple[int, ...]  # names the scene's random streams
    background: str
    horizon: int  # row of it
    things: tuple[Thing, ...]  # largest first; of one size in drawing order
    noise: int  # amplitude, in steps of 256
    light: int  # shift of brightness, likewise


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

"""Sentences about scenes: each mentions a part of what is there, and says what it claims.

    caption   = mention of one to three objects, in one of several frames, often with the background
    mention   = article [size] [texture] [colour] shape [place]
    relation  = mention (left of | right of | above | below) mention

A damaged caption keeps its frame; so many of its details are replaced by ones that hold for
nothing in the scene.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from distnorm.errors import DistnormError
from distnorm.scenes.scene import Dice, Layout, Thing
from distnorm.scenes.vocabulary import (
    BACKGROUNDS,
    COLOURS,
    PLACES,
    SHAPES,
    SIZES,
    SYNONYMS,
    TEXTURES,
    TOGETHER,
)

__all__ = ["LEVELS", "Caption", "Claim", "captions", "damaged", "vocabulary"]

LEVELS = 5
"""Captions are damaged in 0 to 4 details."""

_NUMBERS = ("one", "two", "three", "four")
_VALUES: dict[str, tuple[str, ...]] = {
    "colour": COLOURS,
    "shape": SHAPES,
    "size": tuple(SIZES),
    "texture": TEXTURES,
    "place": PLACES,
    "background": tuple(BACKGROUNDS),
}


@dataclass(frozen=True)
class Claim:
    """One detail: its kind, its value, and of which object (-1: of the whole scene)."""

    kind: str
    value: str
    thing: int = -1

    def holds(self, scene: Layout) -> bool:
        """Whether it is true of that object, or of the scene."""
        if self.kind == "background":
            return scene.background == self.value
        if self.kind == "count":
            return len(scene.things) == int(self.value)
        if self.kind in ("left of", "right of", "above", "below"):
            first, second = scene.things[self.thing], scene.things[int(self.value)]
            return self.kind in _relations(first, second)
        return bool(getattr(scene.things[self.thing], self.kind) == self.value)


@dataclass(frozen=True)
class Caption:
    """A sentence and its claims."""

    text: str
    claims: tuple[Claim, ...]


def captions(scene: Layout, n: int) -> tuple[Caption, ...]:
    """The first ``n`` captions of a scene, all true."""
    return tuple(_caption(scene, Dice(*scene.key, 2, number)) for number in range(n))


def damaged(scene: Layout, level: int, number: int = 0) -> Caption:
    """A caption with ``level`` false details, 0 to 4; false ones are among its claims.

    ``number`` says which of many: the frame and its words depend on it, not on the level.
    """
    if level not in range(LEVELS):
        raise DistnormError(f"damage of {level!r} details", "0 to 4", "pick a level")
    dice = Dice(*scene.key, 3, number)
    claims = [Claim(kind, getattr(scene.things[0], kind), 0) for kind in _VALUES if kind[0] != "b"]
    if len(scene.things) > 1:
        claims += [Claim(kind, getattr(scene.things[1], kind), 1) for kind in ("colour", "shape")]
    claims.append(Claim("background", scene.background))
    frame = dice.below(2)
    order = dice.shuffled(range(len(claims)))
    falsified = 0
    for at in order:
        wrong = _absent(scene, claims[at].kind)
        if falsified < level and wrong:
            claims[at] = replace(claims[at], value=dice.pick(wrong))
            falsified += 1
    words = Dice(*scene.key, 4, number)
    mentions = [
        _mention([claim for claim in claims if claim.thing == thing], words)
        for thing in range(min(len(scene.things), 2))
    ]
    behind = _word(claims[-1].value, words)
    text = " and ".join(mentions)
    text = f"{text} {behind}" if frame == 0 else f"{behind} there is {text}"
    return Caption(text, tuple(claims))


def vocabulary() -> tuple[str, ...]:
    """Every word that captions and class names can hold, sorted."""
    words = {*TOGETHER, *_NUMBERS}
    for values in _VALUES.values():
        for value in values:
            for phrase in (value, *SYNONYMS.get(value, ())):
                words.update(phrase.split())
    return tuple(sorted(words))


def _absent(scene: Layout, kind: str) -> list[str]:
    """Values that hold for nothing in the scene."""
    if kind == "background":
        present = {scene.background}
    else:
        present = {getattr(thing, kind) for thing in scene.things}
    return [value for value in _VALUES[kind] if value not in present]


def _caption(scene: Layout, dice: Dice) -> Caption:
    order = dice.shuffled(range(len(scene.things)))
    frame = dice.below(6)
    claims: list[Claim] = []
    behind = ""
    if dice.below(100) < 75:
        claims.append(Claim("background", scene.background))
        behind = _word(scene.background, dice)
    if frame == 0 and len(order) > 1:
        relations = _relations(scene.things[order[0]], scene.things[order[1]])
        if relations:
            relation = dice.pick(relations)
            first, second = (_details(scene, thing, dice) for thing in order[:2])
            claims += [*first, *second, Claim(relation, str(order[1]), order[0])]
            joint = {"left of": "to the left of", "right of": "to the right of"}
            text = f"{_mention(first, dice)} {joint.get(relation, relation)}"
            return _finished(f"{text} {_mention(second, dice)}", behind, frame, claims)
    shown = order[: 1 + dice.below(min(len(order), 3))]
    mentions = []
    for thing in shown:
        details = _details(scene, thing, dice)
        claims += details
        mentions.append(_mention(details, dice))
    text = _joined(mentions)
    if frame == 1:
        text = f"{dice.pick(('a picture', 'an image', 'a photo', 'a drawing'))} of {text}"
    elif frame == 2:
        text = f"there {'is' if len(shown) == 1 else 'are'} {text}"
    elif frame == 3:
        text = f"you can see {text}"
    elif frame == 4:
        claims.append(Claim("count", str(len(scene.things))))
        many = _NUMBERS[len(scene.things) - 1]
        noun = dice.pick(("object", "thing", "shape")) + ("" if many == "one" else "s")
        text = f"{many} {noun} with {text}"
    return _finished(text, behind, frame, claims)


def _finished(text: str, behind: str, frame: int, claims: Sequence[Claim]) -> Caption:
    if behind:
        text = f"{behind} {text}" if frame == 5 else f"{text} {behind}"
    return Caption(text, tuple(claims))


def _details(scene: Layout, thing: int, dice: Dice) -> list[Claim]:
    """The shape always, other details by chance."""
    details = [
        Claim(kind, getattr(scene.things[thing], kind), thing)
        for kind, percent in (("size", 50), ("texture", 50), ("colour", 90), ("place", 50))
        if dice.below(100) < percent
    ]
    return [*details, Claim("shape", scene.things[thing].shape, thing)]


def _mention(claims: Sequence[Claim], dice: Dice) -> str:
    by_kind = {claim.kind: _word(claim.value, dice) for claim in claims}
    words = [by_kind[kind] for kind in ("size", "texture", "colour", "shape") if kind in by_kind]
    article = "an" if words[0][0] in "aeiou" else "a"
    place = [by_kind["place"]] if "place" in by_kind else []
    return " ".join([article, *words, *place])


def _word(value: str, dice: Dice) -> str:
    return str(dice.pick(SYNONYMS.get(value, (value,))))


def _joined(mentions: Sequence[str]) -> str:
    if len(mentions) < 3:
        return " and ".join(mentions)
    return f"{', '.join(mentions[:-1])} and {mentions[-1]}"


def _relations(first: Thing, second: Thing) -> list[str]:
    """Those that hold by their cells of the 3 x 3 grid."""
    places = [divmod(PLACES.index(thing.place), 3) for thing in (first, second)]
    (row, column), (other_row, other_column) = places
    relations = []
    if column != other_column:
        relations.append("left of" if column < other_column else "right of")
    if row != other_row:
        relations.append("above" if row < other_row else "below")
    return relations

"""Two protocols: the authors' code to the letter, and a clean one.

|                       | authors                             | clean                            |
|-----------------------|-------------------------------------|----------------------------------|
| captions, retrieval   | "A photo depicts " before each text | nothing                          |
| captions, scoring     | the same                            | the same (CLIPScore defines it)  |
| class prompts         | "A photo depicts a photo of a {c}." | the templates alone              |
| DN, classification    | raw rows, shifted, made unit        | unit rows, shifted               |
| statistics, retrieval | 100 validation images and 100 texts | the same                         |
| and classification    | of others; 5 seeds                  |                                  |
| statistics, scoring   | the judged images; the text mean of | 100 images and 100 captions that |
|                       | the test references, or of the      | are not judged; no reference is  |
|                       | captions where references are read  | read by a reference-free score   |

Where a data set has no other split, both hold 100 images out of the evaluated ones.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from distnorm.comparison.draws import Split, draw_splits
from distnorm.encoders.prompts import check_templates
from distnorm.errors import DistnormError

__all__ = ["AUTHORS_PREFIX", "PROTOCOLS", "Protocol", "draw_pool", "held_out"]

AUTHORS_PREFIX = "A photo depicts "
PROTOCOLS = ("authors", "clean")

Rows = npt.NDArray[np.intp]


@dataclass(frozen=True)
class Protocol:
    """How texts are worded and where statistics come from.

    Attributes
    ----------
    name : {"authors", "clean"}
    samples : int
        Unlabelled images, and as many texts.
    seeds : int
        Draws of them.
    seed : int
        From which the draws' seeds come.
    prefix : str or None
        Before captions instead of the protocol's own.
    templates : tuple of str
        Of class prompts instead of the protocol's own; empty for those.
    """

    name: str = "authors"
    samples: int = 100
    seeds: int = 5
    seed: int = 0
    prefix: str | None = None
    templates: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Known name, sensible numbers."""
        if self.name not in PROTOCOLS:
            raise DistnormError(
                f"protocol {self.name!r}", f"one of {', '.join(PROTOCOLS)}", "pick one"
            )
        for what, value, least in (
            ("samples", self.samples, 1),
            ("seeds", self.seeds, 1),
            ("seed", self.seed, 0),
        ):
            if value < least:
                raise DistnormError(f"{what} = {value}", f"{least} or more", "raise it")
        check_templates(self.templates)

    @property
    def authors(self) -> bool:
        """Whether the authors' code is followed to the letter."""
        return self.name == "authors"

    def text_prefix(self, task: str) -> str:
        """What stands before each caption."""
        if self.prefix is not None:
            return self.prefix
        return AUTHORS_PREFIX if self.authors or task == "captions" else ""

    def class_templates(self, own: str, recommended: tuple[str, ...]) -> tuple[str, ...]:
        """Templates of class prompts, from those of the authors' script and of the model."""
        if self.templates:
            return self.templates
        return (AUTHORS_PREFIX + own,) if self.authors else recommended

    def children(self) -> list[np.random.SeedSequence]:
        """One seed per draw."""
        return np.random.SeedSequence(self.seed).spawn(self.seeds)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "name": self.name,
            "samples": self.samples,
            "seeds": self.seeds,
            "seed": self.seed,
            "prefix": self.prefix,
            "templates": list(self.templates),
        }


def draw_pool(
    protocol: Protocol, n_images: int, owner: Rows | None = None
) -> Iterator[tuple[Rows, Rows]]:
    """Images of a pool, and one text each of as many other images, once per seed.

    ``owner`` is the image of each of the pool's texts; no texts are drawn without it.
    """
    needed = protocol.samples * (1 if owner is None else 2)
    if n_images < needed:
        raise DistnormError(
            f"{n_images} images of another split",
            f"{needed}, as {protocol.samples} images"
            + ("" if owner is None else " and as many texts of others")
            + " give the statistics",
            "lower --samples",
        )
    for child in protocol.children():
        rng = np.random.default_rng(child)
        order = rng.permutation(n_images)
        images = np.sort(order[: protocol.samples])
        if owner is None:
            yield images, np.zeros(0, dtype=np.intp)
            continue
        texts = [
            rng.choice(np.flatnonzero(owner == image)) for image in order[protocol.samples : needed]
        ]
        yield images, np.sort(np.array(texts, dtype=np.intp))


def held_out(protocol: Protocol, n_images: int, owner: Rows | None = None) -> Iterator[Split]:
    """Draws out of the evaluated data itself, for data without another split."""
    if owner is None and n_images < protocol.samples + 2:
        raise DistnormError(
            f"{n_images} images, {protocol.samples} of which would give statistics",
            "2 left to evaluate",
            "lower --samples",
        )
    return draw_splits(
        owner, n_images, repeats=protocol.seeds, seed=protocol.seed, samples=protocol.samples
    )

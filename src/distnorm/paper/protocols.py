"""Four protocols: the paper's, two versions of its authors' scripts, and a clean one.

|                       | authors, authors-first, authors-later | clean                            |
|-----------------------|---------------------------------------|----------------------------------|
| captions, retrieval   | "A photo depicts " before each text   | nothing                          |
| captions, scoring     | the same                              | the same (CLIPScore defines it)  |
| class prompts         | "A photo depicts a photo of a {c}."   | the templates alone              |
| DN, classification    | raw rows, shifted, made unit          | unit rows, shifted               |
| statistics, retrieval | 100 validation images and 100 texts   | the same                         |
| and classification    | of others; 5 seeds                    |                                  |
| statistics, scoring   | the judged images; the text mean of   | 100 images and 100 captions that |
|                       | the test references, or of the        | are not judged; no reference is  |
|                       | captions where references are read    | read by a reference-free score   |

``authors`` is the protocol that the paper states, in the wording of its authors' scripts. These
have two versions of their own, which differ from it in

|                       | authors-first (January 2023)          | authors-later (January 2024)     |
|-----------------------|---------------------------------------|----------------------------------|
| strength of DN        | 1/4; captions: see `score_captions`   | 1/4                              |
| statistics, retrieval | the evaluated rows, once              | 100 validation images and 100    |
| and classification    |                                       | texts, drawn apart; 5 seeds      |
| pool of Flickr30K     | none                                  | every image not in the test split|
| caption scores        | the sum of two exponentials           | the plain score                  |
| with references       | + the best reference's cosine         | + 1/4 of it; Pascal-50S: + it    |

Where a data set has no other split, images are held out of the evaluated ones, but under
``authors-first``.
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

__all__ = ["AUTHORS_PREFIX", "PROTOCOLS", "Protocol", "draw_pool", "evaluated_rows", "held_out"]

AUTHORS_PREFIX = "A photo depicts "
PROTOCOLS = {
    "authors": "the paper's protocol, texts worded as in its authors' scripts",
    "authors-first": "the authors' scripts of January 2023",
    "authors-later": "the authors' scripts of January 2024",
    "clean": "distnorm's own",
}
"""Names of the protocols, and which version each follows."""

Rows = npt.NDArray[np.intp]


@dataclass(frozen=True)
class Protocol:
    """How texts are worded and where statistics come from.

    Attributes
    ----------
    name : {"authors", "authors-first", "authors-later", "clean"}
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
    def version(self) -> str:
        """Which version is followed, in words."""
        return PROTOCOLS[self.name]

    @property
    def authors(self) -> bool:
        """Whether texts are worded, and caption statistics taken, as in the authors' scripts."""
        return self.name != "clean"

    @property
    def own_rows(self) -> bool:
        """Whether statistics are those of the evaluated rows."""
        return self.name == "authors-first"

    @property
    def later(self) -> bool:
        """Whether images and texts are drawn apart, from every image outside the test split."""
        return self.name == "authors-later"

    @property
    def caption_rules(self) -> tuple[str, str]:
        """Rules of `score_captions`: without references, and with them."""
        return ("exponential", "exponential-additive") if self.own_rows else ("plain", "additive")

    def reference_weight(self, *, pairs: bool = False) -> float:
        """What the best reference's cosine counts; ``pairs`` of captions are Pascal-50S."""
        return 1.0 if self.own_rows or (self.later and pairs) else 0.25

    def script_method(self, task: str) -> str | None:
        """The method here that is the scripts' DN; None where the paper's two are meant."""
        if self.own_rows and task == "captions":
            return "dn"
        return "dn*" if self.own_rows or self.later else None

    @property
    def sample_text(self) -> str:
        """How many rows give statistics and how often, in words."""
        if self.own_rows:
            return "statistics of the evaluated rows"
        return f"{self.samples} unlabelled samples, {self.seeds} seeds from {self.seed}"

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
            "version": self.version,
            "statistics": self.sample_text,
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

    ``owner`` is the image of each of the pool's texts; no texts are drawn without it. Under
    ``authors-later`` texts are drawn whatever images they belong to.
    """
    needed = protocol.samples * (1 if owner is None or protocol.later else 2)
    if n_images < needed:
        raise DistnormError(
            f"{n_images} images of another split",
            f"{needed}, as {protocol.samples} images"
            + ("" if needed == protocol.samples else " and as many texts of others")
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
        if protocol.later:
            yield images, np.sort(rng.permutation(len(owner))[: protocol.samples])
            continue
        texts = [
            rng.choice(np.flatnonzero(owner == image)) for image in order[protocol.samples : needed]
        ]
        yield images, np.sort(np.array(texts, dtype=np.intp))


def evaluated_rows(n_images: int, owner: Rows | None = None) -> Split:
    """The draw whose statistics come from all that is evaluated."""
    images = np.arange(n_images)
    texts = np.zeros(0, dtype=np.intp) if owner is None else np.arange(len(owner))
    return Split(images, texts, images, texts, texts if owner is None else owner)


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

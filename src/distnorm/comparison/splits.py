"""Which images give statistics and which are evaluated.

A group is one image with all its texts: splits never part them, since a text whose siblings
are in the reference half is no longer unseen.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from distnorm.errors import DistnormError

__all__ = ["Split", "draw_splits"]

Indices = npt.NDArray[np.intp]


@dataclass(frozen=True)
class Split:
    """Rows that statistics come from and rows that are evaluated; disjoint."""

    fit_images: Indices
    fit_texts: Indices
    images: Indices
    texts: Indices
    image_of_text: Indices


def draw_splits(
    image_of_text: Indices,
    n_images: int,
    *,
    repeats: int,
    seed: int,
    fit_fraction: float | None = None,
    samples: int | None = None,
) -> Iterator[Split]:
    """Random disjoint splits by image, the same for the same seed.

    With ``fit_fraction``, that share of the images and all their texts give the statistics.
    With ``samples``, so many images give the image statistics, one text of each of as many
    *other* images the text statistics (unpaired), and everything else is evaluated.

    Raises
    ------
    DistnormError
        If too few images are there to split.
    """
    share = 0.5 if fit_fraction is None else fit_fraction
    reserved = round(n_images * share) if samples is None else 2 * samples
    if not 1 <= reserved <= n_images - 2:
        raise DistnormError(
            f"{n_images} images of which {reserved} would give statistics",
            "at least 1 for the statistics and 2 to evaluate",
            "use more data, another fit fraction or fewer samples",
        )
    for child in np.random.SeedSequence(seed).spawn(repeats):
        rng = np.random.default_rng(child)
        order = rng.permutation(n_images)
        kept = np.zeros(n_images, dtype=bool)
        kept[order[reserved:]] = True
        images = np.flatnonzero(kept)
        texts = np.flatnonzero(kept[image_of_text])
        row = np.full(n_images, -1)
        row[images] = np.arange(len(images))
        if samples is None:
            fit_images = np.flatnonzero(~kept)
            fit_texts = np.flatnonzero(~kept[image_of_text])
        else:
            fit_images = np.sort(order[:samples])
            fit_texts = _one_text_each(image_of_text, order[samples:reserved], rng)
        yield Split(fit_images, fit_texts, images, texts, row[image_of_text[texts]])


def _one_text_each(image_of_text: Indices, images: Indices, rng: np.random.Generator) -> Indices:
    by_image = np.argsort(image_of_text, kind="stable")
    starts = np.searchsorted(image_of_text[by_image], images)
    counts = np.bincount(image_of_text, minlength=int(image_of_text.max()) + 1)[images]
    return np.sort(by_image[starts + rng.integers(0, counts)])

"""Images and texts that belong together, directly or through others: what splits never part."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from distnorm.arrays import Indices
from distnorm.metrics.positives import Positives

__all__ = ["Groups"]


@dataclass(frozen=True)
class Groups:
    """The group of each image and of each text; whoever has no partner is a group alone.

    Where every text has one image, the groups are the images.
    """

    of_image: Indices
    of_text: Indices
    count: int

    @classmethod
    def of(cls, images_of_text: Positives) -> Groups:
        """Connected components of the pairs, numbered by their first image, then by text."""
        n, m = images_of_text.n_items, images_of_text.n_queries
        text, image = images_of_text.rows, images_of_text.indices
        label = np.arange(n)
        while True:
            least = np.full(m, n)
            np.minimum.at(least, text, label[image])
            lower = label.copy()
            np.minimum.at(lower, image, least[text])
            lower = lower[lower]
            if np.array_equal(lower, label):
                break
            label = lower
        roots, of_image = np.unique(label, return_inverse=True)
        of_text = np.full(m, -1, dtype=np.intp)
        of_text[text] = of_image[image]
        alone = np.flatnonzero(of_text < 0)
        of_text[alone] = len(roots) + np.arange(len(alone))
        return cls(of_image.astype(np.intp), of_text, len(roots) + len(alone))

"""Paired bootstrap intervals over images, for hits that several overlapping splits measured.

Each query's difference to the dot product is averaged over the splits that evaluated it;
images are drawn with replacement, each with all its queries, and the interval holds the
middle 95 % of the means.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from distnorm.arrays import Float64, Indices, blocks, rows_per_block

__all__ = ["RESAMPLES", "paired_intervals"]

RESAMPLES = 2000


def paired_intervals(
    table: Sequence[Mapping[str, Float64]],
    owners: Mapping[str, Indices | None],
    n_images: int,
    rng: np.random.Generator,
) -> list[dict[str, tuple[float, float]]]:
    """Bootstrap intervals of all differences to the first entry, from the same resamples.

    ``table`` holds for each method metric -> a value per row, NaN where it was never evaluated;
    ``owners`` metric -> the image of each row, or None where rows are images.
    """
    found: list[dict[str, tuple[float, float]]] = [dict.fromkeys(table[0], (0.0, 0.0))]
    found += [{} for _ in table[1:]]
    columns = [(index, name) for index in range(1, len(table)) for name in table[0]]
    if not columns:
        return found
    sums = np.empty((n_images, len(columns)))
    sizes = np.empty_like(sums)
    for column, (index, name) in enumerate(columns):
        sums[:, column], sizes[:, column] = _by_image(
            table[index][name], table[0][name], owners[name], n_images
        )
    even = np.full(n_images, 1 / n_images)
    means = []
    for draws in blocks(RESAMPLES, rows_per_block(n_images, itemsize=8)):
        weights = rng.multinomial(n_images, even, size=draws.stop - draws.start).astype(np.float64)
        means.append((weights @ sums) / np.maximum(weights @ sizes, 1e-12))
    low, high = np.percentile(np.concatenate(means), [2.5, 97.5], axis=0)
    for column, (index, name) in enumerate(columns):
        found[index][name] = (float(low[column]), float(high[column]))
    return found


def _by_image(
    values: Float64, base: Float64, owner: Indices | None, n_images: int
) -> tuple[Float64, Float64]:
    """Each image's summed difference and its number of evaluated rows."""
    difference = values - base
    present = ~np.isnan(difference)
    difference = np.where(present, difference, 0.0)
    if owner is None:
        return difference, present.astype(np.float64)
    total = np.bincount(owner, weights=difference, minlength=n_images).astype(np.float64)
    size = np.bincount(owner, weights=present, minlength=n_images).astype(np.float64)
    return total, size

"""TTA: the mean of unit rows of several views of a picture, made unit again.

    row = unit(mean over views v of unit(encode(v(image))))

Flips and crops, as Zhou et al. 2023 average them before DN. A view costs one encoding each.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from distnorm.encoders.base import unit_rows
from distnorm.errors import DistnormError

__all__ = ["VIEWS", "augmented_rows", "count_views", "views_of"]

VIEWS = {"identity": 1, "flip": 1, "five-crop": 5, "scales": 2}
"""Kinds of views and how many pictures each gives."""


def count_views(kinds: Sequence[str]) -> int:
    """Encodings a picture.

    Raises
    ------
    DistnormError
        For an unknown kind, or none.
    """
    unknown = next((kind for kind in kinds if kind not in VIEWS), None)
    if unknown is not None or not kinds or isinstance(kinds, str):
        raise DistnormError(
            f"views {unknown or kinds!r}", f"a list out of {', '.join(VIEWS)}", "pick some"
        )
    return sum(VIEWS[kind] for kind in kinds)


def views_of(image: Any, kinds: Sequence[str], *, crop: float = 0.875) -> list[Any]:
    """Views of one PIL image.

    Parameters
    ----------
    image : PIL.Image.Image
    kinds : sequence of str
        ``identity``; ``flip``, mirrored left to right; ``five-crop``, four corners and the middle
        of size ``crop``; ``scales``, the middle at ``crop`` and at ``crop`` squared.
    crop : float in (0, 1)
        Side of a crop as a share of the picture's.

    Returns
    -------
    list of PIL.Image.Image
        As many as `count_views` says, in the order of ``kinds``.
    """
    count_views(kinds)
    if not 0 < crop < 1:
        raise DistnormError(f"crop = {crop!r}", "a share between 0 and 1", "try 0.875")
    width, height = image.size

    def part(share: float, at_x: float, at_y: float) -> Any:
        wide, high = max(round(width * share), 1), max(round(height * share), 1)
        left, top = round((width - wide) * at_x), round((height - high) * at_y)
        return image.crop((left, top, left + wide, top + high))

    corners = ((0.0, 0.0), (1.0, 0.0), (0.0, 1.0), (1.0, 1.0), (0.5, 0.5))
    makers: dict[str, Callable[[], list[Any]]] = {
        "identity": lambda: [image],
        "flip": lambda: [image.transpose(0)],
        "five-crop": lambda: [part(crop, x, y) for x, y in corners],
        "scales": lambda: [part(crop, 0.5, 0.5), part(crop**2, 0.5, 0.5)],
    }
    return [view for kind in kinds for view in makers[kind]()]


def augmented_rows(
    encoder: Any,
    images: Sequence[Any],
    kinds: Sequence[str] = ("identity", "flip", "five-crop"),
    *,
    crop: float = 0.875,
    progress: Callable[[int, int], None] | None = None,
) -> npt.NDArray[np.float32]:
    """One averaged unit row a picture.

    Parameters
    ----------
    encoder : Encoder
    images : sequence of PIL.Image.Image
    kinds, crop
        As `views_of`.
    progress : callable, optional
        Called with (pictures done, pictures in all).

    Returns
    -------
    ndarray of float32, shape (n, d)
    """
    each = count_views(kinds)
    sums = []
    step = max(1, 256 // each)
    for start in range(0, len(images), step):
        some = images[start : start + step]
        rows = encoder.encode_images(
            [v for image in some for v in views_of(image, kinds, crop=crop)]
        )
        sums.append(rows.reshape(len(some), each, -1).mean(axis=1))
        if progress is not None:
            progress(start + len(some), len(images))
    return unit_rows(np.concatenate(sums))

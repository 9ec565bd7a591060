"""TTA: the mean of unit rows of several views of a picture, made unit again.

    row = unit(mean over views v of unit(encode(v(image))))

Flips and crops, as Zhou et al. 2023 average them before DN. A view costs one encoding each.
`random_crops` are the views of test-time prompt tuning (Shu et al. 2022): a part of random size
and shape, squeezed to a square, mirrored half of the time.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from distnorm.arrays import Float32
from distnorm.augmentation.augmix import augmix
from distnorm.encoders.base import unit_rows
from distnorm.encoders.upright import upright_rgb
from distnorm.errors import DistnormError
from distnorm.system.progress import Progress

__all__ = ["VIEWS", "augmented_rows", "count_views", "crop_rows", "random_crops", "views_of"]

VIEWS = {"identity": 1, "flip": 1, "five-crop": 5, "scales": 2, "random": 8}
"""Kinds of views and how many pictures each gives; ``scales:N`` and ``random:N`` give N."""

_COUNTED = ("scales", "random")
_BILINEAR, _MIRROR = 2, 0  # of PIL, which is imported by whoever made the picture


def count_views(kinds: Sequence[str]) -> int:
    """Encodings per picture; a DistnormError for unknown kinds, none, or a wrong number."""
    return sum(count for _, count in _parsed(kinds))


def views_of(image: Any, kinds: Sequence[str], *, crop: float = 0.875, seed: int = 0) -> list[Any]:
    """Views of one PIL image, as many as `count_views` says, in the order of ``kinds``.

    Kinds are ``identity``; ``flip``, mirrored left to right; ``five-crop``, four corners and the
    middle of size ``crop``, a share of the picture's side; ``scales:N``, the middle at ``crop``,
    ``crop`` squared and so on; ``random:N``, see `random_crops`, by ``seed``.
    """
    parsed = _parsed(kinds)
    if not 0 < crop < 1:
        raise DistnormError(f"crop = {crop!r}", "a share between 0 and 1", "try 0.875")
    image = upright_rgb(image)
    width, height = image.size

    def part(share: float, at_x: float, at_y: float) -> Any:
        wide, high = max(round(width * share), 1), max(round(height * share), 1)
        left, top = round((width - wide) * at_x), round((height - high) * at_y)
        return image.crop((left, top, left + wide, top + high))

    corners = ((0.0, 0.0), (1.0, 0.0), (0.0, 1.0), (1.0, 1.0), (0.5, 0.5))
    makers: dict[str, Callable[[int], list[Any]]] = {
        "identity": lambda _: [image],
        "flip": lambda _: [image.transpose(_MIRROR)],
        "five-crop": lambda _: [part(crop, x, y) for x, y in corners],
        "scales": lambda count: [part(crop**power, 0.5, 0.5) for power in range(1, count + 1)],
        "random": lambda count: random_crops(image, count, seed=seed),
    }
    return [view for kind, count in parsed for view in makers[kind](count)]


def random_crops(
    image: Any,
    count: int,
    *,
    size: int | None = None,
    seed: int = 0,
    mix: bool = False,
    share: tuple[float, float] = (0.08, 1.0),
    shape: tuple[float, float] = (3 / 4, 4 / 3),
) -> list[Any]:
    """Random resized crops of ``size`` x ``size``, each mirrored with probability 1/2.

    ``size`` is the shorter side if left out; ``mix`` mixes each with changes of itself (`augmix`).
    """
    # The area is uniform in `share` of the picture's, the logarithm of width over height uniform in
    # that of `shape`, the place uniform; ten tries, then the middle. These are torchvision's
    # RandomResizedCrop and RandomHorizontalFlip at their defaults, which TPT uses. The picture's
    # pixels and the seed decide the views: they are the same wherever in a data set it comes.
    image = upright_rgb(image)
    side = min(image.size) if size is None else size
    digest = hashlib.blake2b(image.tobytes(), digest_size=8).digest()
    rng = np.random.default_rng([seed, *image.size, int.from_bytes(digest, "little")])
    views = []
    for _ in range(count):
        box = _random_box(image.size, rng, share, shape)
        view = image.crop(box).resize((side, side), resample=_BILINEAR)
        view = view.transpose(_MIRROR) if rng.random() < 0.5 else view
        views.append(augmix(view, rng) if mix else view)
    return views


def augmented_rows(
    encoder: Any,
    images: Sequence[Any],
    kinds: Sequence[str] = ("identity", "flip", "five-crop"),
    *,
    crop: float = 0.875,
    seed: int = 0,
    progress: Progress | None = None,
) -> Float32:
    """One averaged unit row per picture.

    Parameters
    ----------
    encoder : Encoder
    images : sequence of PIL.Image.Image
    kinds, crop, seed
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
        part = [images[at] for at in range(start, min(start + step, len(images)))]
        rows = encoder.encode_images(
            [v for image in part for v in views_of(image, kinds, crop=crop, seed=seed)]
        )
        sums.append(rows.reshape(len(part), each, -1).mean(axis=1))
        if progress is not None:
            progress(start + len(part), len(images))
    if not sums:
        raise DistnormError("no picture", "at least one", "give some")
    return unit_rows(np.concatenate(sums))


def crop_rows(
    encoder: Any, images: Sequence[Any], count: int, *, seed: int, mix: bool
) -> Iterator[Float32]:
    """Unit rows of each picture and ``count - 1`` random crops of it, picture by picture."""
    size = None
    for at in range(len(images)):
        image = images[at]
        if size is None:
            # Crops are made at the size that the model takes, so that nothing resizes them again.
            size = max(np.shape(encoder.preprocess(image)))
        crops = random_crops(image, count - 1, size=size, seed=seed, mix=mix)
        yield encoder.encode_images([image, *crops], batch_size=count)


def _parsed(kinds: Sequence[str]) -> list[tuple[str, int]]:
    """Kind and number of views of each."""
    if isinstance(kinds, str) or not kinds:
        raise DistnormError(f"views {kinds!r}", f"a list out of {', '.join(VIEWS)}", "pick some")
    parsed = []
    for kind in kinds:
        name, colon, count = kind.partition(":")
        if name not in VIEWS or (colon and name not in _COUNTED):
            raise DistnormError(
                f"views {kind!r}", f"a list out of {', '.join(VIEWS)}", "see distnorm.augmentation"
            )
        if colon and not (count.isdecimal() and int(count) > 0):
            raise DistnormError(f"views {kind!r}", f"'{name}:N' with N above 0", f"{name}:3")
        parsed.append((name, int(count) if colon else VIEWS[name]))
    return parsed


def _random_box(
    size: tuple[int, int],
    rng: np.random.Generator,
    share: tuple[float, float],
    shape: tuple[float, float],
) -> tuple[int, int, int, int]:
    """Left, top, right, bottom."""
    width, height = size
    for _ in range(10):
        area = width * height * rng.uniform(*share)
        ratio = math.exp(rng.uniform(math.log(shape[0]), math.log(shape[1])))
        wide, high = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
        if 0 < wide <= width and 0 < high <= height:
            left, top = int(rng.integers(width - wide + 1)), int(rng.integers(height - high + 1))
            return left, top, left + wide, top + high
    # A picture much wider or higher than every shape: as much of its middle as fits.
    wide, high = min(width, round(height * shape[1])), min(height, round(width / shape[0]))
    left, top = (width - wide) // 2, (height - high) // 2
    return left, top, left + wide, top + high

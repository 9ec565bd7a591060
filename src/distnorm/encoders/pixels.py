"""PIL images to uint8 pixels, in any process, with Pillow and NumPy alone.

Resize, crop at the centre; the last two steps of every published recipe,

    (pixels / 255 - mean) / std,

are left to the encoder, which does them for a whole batch where the model is: a picture then takes
a quarter of the memory on its way from a worker process. Sizes and offsets follow torchvision
(``centre="round"``) or transformers (``centre="floor"``), so that rows equal the libraries' own.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from distnorm.encoders.upright import upright_rgb
from distnorm.errors import DistnormError

__all__ = ["Pixels", "check_stack"]

Pair = tuple[int, int]


@dataclass(frozen=True)
class Pixels:
    """How a model wants its pictures.

    Attributes
    ----------
    size : (int, int)
        Height and width of the result.
    resize : {"shortest", "squash", "longest"}
        Shortest side, both sides, or longest side to ``before``; then the middle of ``size``,
        padded where there is less.
    mean, std : tuple of float
        Of each channel, for pixels in [0, 1].
    resample : int
        Pillow's number of the filter: 0 nearest, 1 Lanczos, 2 bilinear, 3 bicubic.
    before : (int, int), optional
        Height and width that resizing aims at; ``size`` if left out.
    fill : int
        Grey of the padding.
    centre : {"round", "floor"}
        What becomes of half a pixel when the middle is cropped.
    """

    size: Pair
    resize: str = "shortest"
    mean: tuple[float, ...] = (0.5, 0.5, 0.5)
    std: tuple[float, ...] = (0.5, 0.5, 0.5)
    resample: int = 3
    before: Pair | None = None
    fill: int = 0
    centre: str = "round"

    def __call__(self, image: Any) -> npt.NDArray[np.uint8]:
        """A PIL image as uint8 of shape (height, width, 3)."""
        image = upright_rgb(image)
        height, width = self._resized(image.height, image.width)
        if (height, width) != (image.height, image.width):
            image = image.resize((width, height), resample=self.resample)
        return self._middle(np.asarray(image, dtype=np.uint8))

    def check(self, pixels: npt.NDArray[Any], model: str) -> None:
        """Raise a DistnormError unless pixels are a stack of results."""
        check_stack(pixels, self.size, model)

    def scaled(self, pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        """Channels first and standardised: float32 of shape (n, 3, height, width)."""
        mean, std = (np.asarray(v, dtype=np.float32) for v in (self.mean, self.std))
        standard = (pixels.astype(np.float32) / np.float32(255) - mean) / std
        return np.ascontiguousarray(standard.transpose(0, 3, 1, 2))

    def _resized(self, height: int, width: int) -> Pair:
        """Height and width before the crop."""
        aim = self.before or self.size
        if self.resize == "squash":
            return aim
        if self.resize == "longest" or aim[0] != aim[1]:
            ratios = height / aim[0], width / aim[1]
            ratio = max(ratios) if self.resize == "longest" else min(ratios)
            return max(round(height / ratio), 1), max(round(width / ratio), 1)
        if height <= width:
            return aim[0], int(aim[0] * width / height)
        return int(aim[0] * height / width), aim[0]

    def _middle(self, pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
        short = [max(goal - now, 0) for goal, now in zip(self.size, pixels.shape, strict=False)]
        if any(short):
            padding = [(s // 2, s - s // 2) for s in short]
            pixels = np.pad(pixels, [*padding, (0, 0)], constant_values=self.fill)
        spare = [now - goal for goal, now in zip(self.size, pixels.shape, strict=False)]
        top, left = (round(s / 2) if self.centre == "round" else s // 2 for s in spare)
        return np.ascontiguousarray(
            pixels[top : top + self.size[0], left : left + self.size[1]], dtype=np.uint8
        )


def check_stack(pixels: npt.NDArray[Any], size: Pair, model: str) -> None:
    """Raise a DistnormError unless pixels are uint8 of shape (n, height, width, 3)."""
    expected = (*size, 3)
    if pixels.ndim != 4 or pixels.shape[1:] != expected or pixels.dtype != np.uint8:
        raise DistnormError(
            f"pixels of shape {pixels.shape} and dtype {pixels.dtype} for {model}",
            f"(n, {', '.join(map(str, expected))}) and uint8",
            "let preprocess make them from PIL images",
        )

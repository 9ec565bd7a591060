"""Any PIL image as upright RGB: the one place that decides what a picture's pixels are.

| picture | what it becomes |
|---|---|
| turned by EXIF | upright |
| transparent (RGBA, LA, PA, a palette's entry) | on white |
| 16 bits, 32 bits below 65,536 | over 256; TIFF of 9 to 15 bits over its own range |
| floats, other whole numbers | spread from the smallest to the largest |
| CMYK, grey, palette, one bit | as RGB |
"""

from __future__ import annotations

import sys
import warnings
from typing import Any

import numpy as np

from distnorm.errors import DistnormError

__all__ = ["DIM", "is_dim", "upright_rgb", "warn_of_dim"]

DIM = (
    "12 bits or fewer in 16 (no value reaches 4,096): nearly black as they stand; multiply the "
    "values, by 16 for 12 bits"
)
_ORIENTATION, _BITS = 274, 258
_LAYERED = ("RGBA", "LA", "PA", "La", "RGBa")
_DEEP = 1 << 16


def upright_rgb(image: Any) -> Any:
    """A PIL image in RGB and upright; one that is so already is returned as it is.

    Raises
    ------
    DistnormError
        For anything but a PIL image.
    ValueError
        For pixels that are no finite numbers.
    """
    if not (hasattr(image, "mode") and hasattr(image, "convert")):
        raise DistnormError(
            f"{type(image).__name__} as a picture",
            "a PIL image",
            "open a file with PIL.Image.open, make one of an array with PIL.Image.fromarray",
        )
    if image.mode == "RGB" and not image.info and not hasattr(image, "tag_v2"):
        return image
    top = _top(image)
    if image.getexif().get(_ORIENTATION, 1) != 1:
        from PIL import ImageOps

        image = ImageOps.exif_transpose(image)
    if _is_deep(image):
        return _eight_bits(image, top).convert("RGB")
    if image.mode in _LAYERED or "transparency" in image.info:
        # Pillow knows no way from premultiplied grey but this one.
        layer = (image.convert("LA") if image.mode == "La" else image).convert("RGBA")
        library = sys.modules["PIL.Image"]  # imported by whoever made the picture
        paper = library.new("RGBA", layer.size, (255, 255, 255, 255))
        return library.alpha_composite(paper, layer).convert("RGB")
    return image if image.mode == "RGB" else image.convert("RGB")


def is_dim(image: Any) -> bool:
    """Whether a picture of 16 bits or more uses 12 of them at the most, without saying so."""
    if (
        not hasattr(image, "mode")
        or not _is_deep(image)
        or image.mode == "F"
        or _top(image) != _DEEP - 1
    ):
        return False
    values = np.asarray(image)
    return bool(values.min() >= 0 and 0 < values.max() < 4096)


def warn_of_dim(image: Any) -> None:
    """Warn if a picture is dim, see `is_dim`."""
    if is_dim(image):
        warnings.warn(f"a picture keeps {DIM}", stacklevel=4)


def _is_deep(image: Any) -> bool:
    return image.mode.startswith("I;16") or image.mode in ("I", "F")


def _top(image: Any) -> int:
    """The largest value that a picture of whole numbers can have: TIFF says how many bits."""
    bits = getattr(image, "tag_v2", {}).get(_BITS) or (16,)
    bits = bits[0] if isinstance(bits, tuple) else bits
    return int((1 << bits) - 1) if 8 < bits < 16 else _DEEP - 1


def _eight_bits(image: Any, top: int) -> Any:
    from PIL import Image

    values = np.asarray(image).astype(np.float32)
    if not np.isfinite(values).all():
        raise ValueError("values that are no finite numbers")
    low, high = float(values.min()), float(values.max())
    if image.mode != "F" and low >= 0 and high < _DEEP:
        low, high = 0.0, float(top)
    scale = 255 / (high - low) if high > low else 0.0
    scaled = values * np.float32(scale) - np.float32(low * scale)
    return Image.fromarray(np.clip(scaled, 0, 255).astype(np.uint8))

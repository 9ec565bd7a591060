"""Reading one picture, whatever it is, or saying why not."""

from __future__ import annotations

import hashlib
import io
import warnings
from pathlib import Path
from typing import Any

from distnorm.errors import DistnormError, require

__all__ = ["open_picture"]

_MOST_PIXELS = 180_000_000


def open_picture(path: Path) -> tuple[Any, str]:
    """A picture in RGB, upright, first frame, on white where transparent; and its content's hash.

    Raises
    ------
    DistnormError
        If it cannot be read, with the reason.
    """
    image = require("PIL.Image", "embed")
    ops = require("PIL.ImageOps", "embed")
    try:
        content = path.read_bytes()
    except OSError as error:
        raise _unreadable(path, error.strerror or str(error)) from error
    if not content:
        raise _unreadable(path, "zero bytes")
    digest = hashlib.sha256(content).hexdigest()
    try:
        with warnings.catch_warnings():
            # Pillow's own limit warns first and raises at twice as much; ours is one limit.
            warnings.simplefilter("ignore")
            opened = image.open(io.BytesIO(content))
            if opened.width * opened.height > _MOST_PIXELS:
                raise _unreadable(path, f"{opened.width} x {opened.height} pixels are too many")
            opened.load()
            return _upright(opened, image, ops), digest
    except DistnormError:
        raise
    except Exception as error:  # Pillow's decoders raise whatever they please.
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise _unreadable(path, reason.replace(str(path), "the file")) from error


def _upright(picture: Any, image: Any, ops: Any) -> Any:
    turned = ops.exif_transpose(picture)
    if turned.mode in ("I", "I;16", "I;16B", "F"):
        # Sixteen bits and more, spread over eight.
        low, high = turned.convert("F").getextrema()
        scale = 255 / (high - low) if high > low else 0
        return turned.convert("F").point(lambda v: v * scale - low * scale).convert("RGB")
    if turned.mode in ("RGBA", "LA", "PA") or "transparency" in turned.info:
        layer = turned.convert("RGBA")
        paper = image.new("RGBA", layer.size, (255, 255, 255, 255))
        return image.alpha_composite(paper, layer).convert("RGB")
    return turned.convert("RGB")


def _unreadable(path: Path, reason: str) -> DistnormError:
    return DistnormError(f"{path}: {reason}", "a picture", "mend or remove it")

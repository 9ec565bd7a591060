"""Reading one picture, whatever it is, or saying why not."""

from __future__ import annotations

import hashlib
import importlib
import io
import os
import stat
import warnings
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from distnorm.encoders.upright import is_dim, upright_rgb
from distnorm.errors import DistnormError, first_line, require
from distnorm.system.lines import POINTER

__all__ = [
    "Contents",
    "Shape",
    "decode_picture",
    "open_picture",
    "picture_size",
    "read_contents",
    "without_notes",
]

_MOST_PIXELS = 180_000_000
_MOST_BYTES = 1 << 30
# Pictures are decoded no smaller than this many times what the model takes: below, the choice of
# the decoder's own filter would show in the embeddings.
_SPARE = 2
_READERS = dict.fromkeys((".heic", ".heif"), " (pip install pillow-heif reads HEIC)") | {
    ".jxl": " (pip install pillow-jxl-plugin reads JPEG XL)"
}
_PNG, _XMP, _MOST_PACKET = b"\x89PNG\r\n\x1a\n", b"XML:com.adobe.xmp\0\0", 1 << 16


@dataclass(frozen=True)
class Contents:
    """A picture's bytes and what tells whether they changed."""

    data: bytes
    digest: bytes
    size: int
    mtime: int


class Shape(NamedTuple):
    """Width and height of a picture in full, upright, and whether it is nearly black (`is_dim`)."""

    width: int
    height: int
    dim: bool = False


def open_picture(path: str | os.PathLike[str]) -> tuple[Any, str]:
    """A picture in RGB, upright, first frame, on white where transparent; its content's hash."""
    contents = read_contents(os.fspath(path))
    return decode_picture(contents.data, os.fspath(path))[0], contents.digest.hex()


def picture_size(content: bytes) -> tuple[int, int]:
    """Width and height that a picture says it has, before EXIF; raises what Pillow does."""
    image = require("PIL.Image", "embed")
    _more_formats()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with image.open(io.BytesIO(content)) as opened:
            return int(opened.width), int(opened.height)


def read_contents(
    path: str, offset: int = 0, length: int | None = None, content: bytes | None = None
) -> Contents:
    """The bytes of a picture: of a file, or of a part of one. Raises for none or too many."""
    mtime = 0
    if content is None:
        # Without O_NONBLOCK a pipe that is called .jpg would be waited for, for ever.
        flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
        try:
            with os.fdopen(os.open(path, flags), "rb") as file:
                about = os.fstat(file.fileno())
                if not stat.S_ISREG(about.st_mode):
                    raise _unreadable(path, "not a file")
                size = about.st_size if length is None else length
                if size > _MOST_BYTES:
                    raise _unreadable(path, f"{size:,} bytes are too many")
                file.seek(offset)
                content, mtime = file.read(size), about.st_mtime_ns
        except OSError as error:
            raise _unreadable(path, error.strerror or str(error)) from error
    if not content:
        raise _unreadable(path, "zero bytes")
    return Contents(content, hashlib.sha256(content).digest(), len(content), mtime)


def decode_picture(
    content: bytes, name: str, size: tuple[int, int] | None = None
) -> tuple[Any, Shape]:
    """A picture in RGB and upright (see `encoders.upright`), and what it is in full.

    A JPEG is decoded at 1/2, 1/4 or 1/8 where twice ``size`` is left: a large photo in
    a fraction of the time. ``name`` is what messages call it.
    """
    image = require("PIL.Image", "embed")
    _more_formats()
    try:
        with warnings.catch_warnings():
            # Pillow's own limit warns first and raises at twice as much; ours is one limit.
            warnings.simplefilter("ignore")
            try:
                upright, shape = _decoded(image, content, name, size)
            except ValueError as error:
                if isinstance(error, DistnormError) or not content.startswith(_PNG):
                    raise
                # A PNG may hold more text than Pillow reads: the pixels are whole without it.
                upright, shape = _decoded(image, without_notes(content), name, size)
    except DistnormError:
        raise
    except Exception as error:  # Pillow's decoders raise whatever they please.
        reason = first_line(error)
        if "identify" in reason:
            reason = "no picture of a known format"
            if content.startswith(POINTER):
                reason = "a pointer of Git LFS: fetch the picture with git lfs pull"
            reason += _READERS.get(os.path.splitext(name)[1].lower(), "")
        raise _unreadable(name, reason.replace(name, "the file")) from error
    width, height, dim = shape
    if (width > height) != (upright.width > upright.height):
        width, height = height, width
    return upright, Shape(width, height, dim)


def _decoded(
    image: Any, content: bytes, name: str, size: tuple[int, int] | None
) -> tuple[Any, Shape]:
    with image.open(io.BytesIO(content)) as opened:
        width, height = opened.size
        if width * height > _MOST_PIXELS:
            raise _unreadable(name, f"{width} x {height} pixels are too many")
        if size is not None:
            opened.draft(None, (_SPARE * size[0], _SPARE * size[1]))
        opened.load()
        return upright_rgb(opened), Shape(width, height, is_dim(opened))


def without_notes(content: bytes) -> bytes:
    """A PNG without its colour profile and its texts, but for a small XMP packet."""
    parts, at = [content[:8]], 8
    while at + 8 <= len(content):
        length = int.from_bytes(content[at : at + 4], "big")
        kind, end = content[at + 4 : at + 8], at + 12 + length
        packet = kind == b"iTXt" and content[at + 8 :].startswith(_XMP) and length < _MOST_PACKET
        if kind not in (b"iCCP", b"tEXt", b"zTXt", b"iTXt") or packet:
            parts.append(content[at:end])
        at = end
    return b"".join(parts)


@cache
def _more_formats() -> None:
    """HEIC and JPEG XL, where their readers are installed."""
    with suppress(ImportError):
        importlib.import_module("pillow_heif").register_heif_opener()
    with suppress(ImportError):
        importlib.import_module("pillow_jxl")


def _unreadable(path: str, reason: str) -> DistnormError:
    return DistnormError(f"{Path(path)}: {reason}", "a picture", "mend or remove it")

"""One thing to embed: a picture, a text, or both."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["PICTURES", "TARS", "UNREAD", "Item", "Problem", "clean", "kind_of"]

PICTURES = (
    ".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff",
    ".avif", ".heic", ".heif", ".jp2", ".jxl", ".ppm", ".pgm", ".tga", ".mpo",
)  # fmt: skip
# Pillow knows nothing of them, or their thumbnail alone.
UNREAD = (
    ".svg", ".svgz", ".eps", ".psd", ".xcf", ".exr", ".hdr", ".dcm",
    ".dng", ".cr2", ".cr3", ".nef", ".nrw", ".arw", ".srf", ".sr2", ".orf", ".rw2", ".raf", ".pef",
)  # fmt: skip
TARS = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz")

Problem = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Item:
    """A picture, a text, or both.

    Attributes
    ----------
    name : str
        What results call it: a path below the source, or the sentence itself.
    path : str or None
        The file that holds the picture.
    text : str or None
    offset, length : int
        Where in the file the picture is, if it is a part of it (a tar file's member).
    content : bytes, optional
        The picture itself, where it has no place in a file (a compressed tar file's member).
    key : str
        What messages call it where ``name`` does not do: a sample's name in a tar file.
    """

    name: str
    path: str | None
    text: str | None
    offset: int = 0
    length: int | None = None
    content: bytes | None = None
    key: str = ""


def kind_of(item: Item) -> tuple[str, ...]:
    """The sides that an item has."""
    present = {"image": item.path, "text": item.text}
    return tuple(side for side, value in present.items() if value is not None)


def clean(name: str) -> str:
    r"""A file's name as text: bytes that are no UTF-8 are written as ``\xff``."""
    try:
        name.encode()
    except UnicodeEncodeError:
        name = name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    return name

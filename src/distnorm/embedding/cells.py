"""Cells of tables and fields of records: which name a picture, which hold texts."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from distnorm.embedding.items import PICTURES
from distnorm.errors import DistnormError
from distnorm.system.separated import named_twice

__all__ = ["ADDRESSES", "PATHS", "TEXTS", "Picture", "captions", "choose", "is_address", "picture"]

PATHS = (
    "path", "filepath", "file", "image", "image_path", "filename", "file_name", "image_name",
    "image_file", "img_path", "img", "file_path", "jpg", "png", "webp",
)  # fmt: skip
TEXTS = (
    "caption", "text", "title", "sentence", "captions", "texts", "sentences", "comment", "raw",
    "txt", "alt_text", "description", "query", "prompt", "question",
)  # fmt: skip
ADDRESSES = ("url", "image_url", "img_url", "coco_url", "flickr_url", "image_link", "link")
_WORDS = ("raw", "caption", "text", "sentence")
_ADDRESS = re.compile(r"[a-z][a-z0-9+.-]*://\S|www\.\S+\.\S|data:image/", re.IGNORECASE)
_NUMBERED = re.compile(r"(?<=\w)#(?:enc#)?\d+$")


@dataclass(frozen=True)
class Picture:
    """A picture as a cell has it: its bytes, the name of its file, or both."""

    name: str = ""
    content: bytes | None = None


def is_address(text: str) -> bool:
    """Whether a text is the address of something elsewhere, and nothing more."""
    return _ADDRESS.match(text) is not None and len(text.split()) == 1


def choose(
    label: str, head: Sequence[str], path_column: str | None, text_column: str | None
) -> tuple[int | None, int | None]:
    """Places of the pictures' and the texts' column in a head; raises if there is neither."""
    places: dict[str, int] = {}
    for number, name in enumerate(head):
        places.setdefault(name.strip().lower(), number)
    chosen: list[int | None] = []
    shown = ", ".join(name[:40] for name in places if name) or "none"
    for column, usual in ((path_column, PATHS), (text_column, TEXTS)):
        if column is not None and column.strip().lower() not in places:
            raise DistnormError(
                f"{label} with columns {shown}", f"a column {column!r}", "name one that is there"
            )
        names = usual if column is None else (column.strip().lower(),)
        at = next((places[name] for name in names if name in places), None)
        if at is not None:
            own = head[at].strip().lower()
            named_twice(label, [own for name in head if name.strip().lower() == own])
        chosen.append(at)
    if chosen == [None, None]:
        raise DistnormError(
            f"{label} with columns {shown}",
            f"one of {', '.join((*PATHS, *TEXTS))}",
            "name the columns in the first line, or pass --path-column or --text-column",
        )
    return chosen[0], chosen[1]


def captions(value: Any, label: str, line: int) -> list[str]:
    """The texts of a cell: one, or each of a list; raises for anything but text."""
    if isinstance(value, str):
        value = _listed(value.strip())
    if isinstance(value, dict):
        value = next((value[name] for name in _WORDS if isinstance(value.get(name), str)), value)
    if value is None:
        return []
    if isinstance(value, str):
        return [value.strip()] if value.strip() else []
    if isinstance(value, list | tuple):
        return [text for part in value for text in captions(part, label, line)]
    raise DistnormError(
        f"{type(value).__name__} {str(value)[:40]!r} as the text of line {line} of {label}",
        "a text, or a list of texts",
        "name the column of texts with --text-column",
    )


def picture(value: Any, label: str, line: int) -> Picture:
    """The picture of a cell: a file's name, bytes, or both in a mapping."""
    if value is None:
        return Picture()
    if isinstance(value, str):
        name = value.strip()
        # Flickr's token files number the captions of a picture.
        return Picture(_NUMBERED.sub("", name) if "#" in name else name)
    if isinstance(value, bytes):
        return Picture(content=value or None)
    if isinstance(value, dict) and ("bytes" in value or "path" in value):
        content = value.get("bytes")
        return Picture(str(value.get("path") or ""), content or None)
    raise DistnormError(
        f"{type(value).__name__} as the picture of line {line} of {label}",
        "a file's name, or the bytes of one picture",
        "name the column of pictures with --path-column",
    )


def names_a_picture(text: str) -> bool:
    """Whether a text ends as pictures' files do."""
    return text.lower().endswith(PICTURES)


def _listed(text: str) -> Any:
    """A list that was written out as text, by JSON or by Python, else the text."""
    if not (text.startswith("[") and text.endswith("]")) or len(text) > 1 << 20:
        return text
    for parse in (json.loads, ast.literal_eval):
        try:
            value = parse(text)
        except (ValueError, SyntaxError, RecursionError, MemoryError):
            continue
        if isinstance(value, list) and value and all(isinstance(part, str) for part in value):
            return value
    return text

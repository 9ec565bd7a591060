"""Cells of tables and fields of records: which name a picture, which hold texts."""

from __future__ import annotations

import ast
import base64
import binascii
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from distnorm.embedding.items import PICTURES
from distnorm.errors import DistnormError
from distnorm.system.separated import named_twice

__all__ = [
    "ADDRESSES",
    "PATHS",
    "TEXTS",
    "Picture",
    "captions",
    "choose",
    "is_address",
    "names_a_picture",
    "picture",
    "unknown_columns",
]

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
_BASE64 = re.compile(
    r"(?:data:image/[\w.+-]+;base64,\s*)?((?:/9j/|iVBORw0KGgo|R0lGOD|UklGR|Qk)[A-Za-z0-9+/=\s]{60,})"
)
_QUOTED = r"""(?:'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*"|\b(?:None|nan|null|NaN)\b)"""
_PART = re.compile(_QUOTED)
_STRINGS = re.compile(rf"[\[(]\s*{_QUOTED}(?:[\s,]+{_QUOTED})*\s*,?\s*[\])]", re.DOTALL)
_NUMBERED = re.compile(r"(?<=\w)#(?:enc#)?\d+$")


@dataclass(frozen=True)
class Picture:
    """A picture as a cell has it: its bytes, the name of its file, or both."""

    name: str = ""
    content: bytes | None = None


def is_address(text: str) -> bool:
    """Whether a text is the address of something elsewhere, and nothing more."""
    elsewhere = _ADDRESS.match(text) is not None and not text[:5].lower().startswith("file:")
    return elsewhere and len(text.split()) == 1


def choose(
    label: str, head: Sequence[str], path_column: str | None, text_column: str | None
) -> tuple[int | None, int | None]:
    """Places of the pictures' and the texts' column in a head, None where no name says so."""
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
    return chosen[0], chosen[1]


def unknown_columns(label: str, head: Sequence[str], said: Sequence[str] = ()) -> DistnormError:
    """The error for a head that names neither pictures nor texts; ``said`` of its columns."""
    shown = ", ".join(dict.fromkeys(name.strip().lower()[:40] for name in head if name.strip()))
    return DistnormError(
        f"{label} with columns {shown or 'none'}",
        f"one of {', '.join((*PATHS, *TEXTS))}",
        "; ".join(said)
        or "name the columns in the first line, or pass --path-column or --text-column",
    )


def captions(value: Any, label: str, line: int) -> list[str]:
    """The texts of a cell: one, or each of a list; raises for anything but text."""
    if isinstance(value, bytes):
        value = _decoded(value, label, line)
    if isinstance(value, str):
        value = _listed(value.strip())
    if isinstance(value, dict):
        inner = (value[name] for name in _WORDS if isinstance(value.get(name), str | list))
        value = next(inner, value)
    if value is None or value != value:
        return []
    if isinstance(value, str):
        return [value.strip()] if value.strip() else []
    if isinstance(value, list | tuple):
        return [text for part in value for text in captions(part, label, line)]
    raise DistnormError(
        f"{type(value).__name__} {str(value)[:40]!r} as the text of line {line} of {label}",
        "a text, or a list of texts",
        "write it as text, or name another column with --text-column",
    )


def picture(value: Any, label: str, line: int) -> Picture:
    """The picture of a cell: a file's name, bytes (perhaps in base64), or both in a mapping."""
    if isinstance(value, list | tuple) and len(value) == 1:
        (value,) = value
    if value is None or value != value:
        return Picture()
    if isinstance(value, str):
        name = value.strip()
        match = _BASE64.fullmatch(name)
        if match is not None:
            return Picture(content=_unpacked(match[1], label, line))
        # Flickr's token files number the captions of a picture.
        return Picture(_NUMBERED.sub("", name) if "#" in name else name)
    if isinstance(value, bytes):
        return Picture(content=value or None)
    if isinstance(value, dict) and ("bytes" in value or "path" in value):
        content = value.get("bytes")
        if isinstance(content, str):
            content = _unpacked(content, label, line)
        return Picture(str(value.get("path") or ""), content or None)
    raise DistnormError(
        f"{type(value).__name__} as the picture of line {line} of {label}",
        "a file's name, or the bytes of one picture",
        "name the column of pictures with --path-column, or leave this one out for texts alone",
    )


def names_a_picture(text: str) -> bool:
    """Whether a text ends as pictures' files do."""
    return text.lower().endswith(PICTURES)


def _unpacked(text: str, label: str, line: int) -> bytes:
    try:
        return base64.b64decode("".join(text.split()), validate=True)
    except (binascii.Error, ValueError) as error:
        raise DistnormError(
            f"a picture in line {line} of {label} that is no base64",
            "whole bytes",
            "write it again",
        ) from error


def _decoded(content: bytes, label: str, line: int) -> str:
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DistnormError(
            f"bytes as the text of line {line} of {label}",
            "text in UTF-8",
            "name the column of texts with --text-column",
        ) from error


def _listed(text: str) -> Any:
    """What was written out as text by JSON, Python or NumPy: a list, or an object; else the text.

    NumPy parts strings by spaces alone, which Python takes for one string.
    """
    if len(text) > 1 << 20 or text[:1] + text[-1:] not in ("[]", "()", "{}"):
        return text
    if text[0] != "{" and _STRINGS.fullmatch(text):
        return [
            ast.literal_eval(part) if part[0] in "'\"" else None for part in _PART.findall(text)
        ]
    for parse in (json.loads, ast.literal_eval):
        try:
            value = parse(text)
        except (ValueError, SyntaxError, RecursionError, MemoryError, TypeError):
            continue
        if isinstance(value, dict) and value and all(isinstance(name, str) for name in value):
            return value
        if isinstance(value, list) and value and all(isinstance(p, str | dict) for p in value):
            return value
    return text

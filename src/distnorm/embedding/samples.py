"""Captions that stand beside a picture: in a tar file or in a folder, under the picture's name.

``000123.txt`` holds a caption per line, ``000123.json`` a ``caption`` (or several). Where the JSON
says that all lines are one caption, they are.
"""

from __future__ import annotations

import json
import re
from typing import Any

from distnorm.embedding.cells import captions
from distnorm.errors import DistnormError

__all__ = ["CAPTION_FILES", "MOST_TEXT", "Words"]

CAPTION_FILES = (
    ".txt", ".text", ".caption", ".captions", ".json", ".caption.txt", ".captions.txt",
    ".caption.json", ".captions.json",
)  # fmt: skip
MOST_TEXT = 1 << 20
_FIELDS = ("caption", "captions", "text", "title", "sentence", "prompt", "description", "alt_text")
# As detectors are trained on: a class and the corners of a box.
_BOX = re.compile(r"\d+(\s+[\d.eE+-]+){4,}\s*$")


class Words:
    """The captions of one sample, collected from its files."""

    def __init__(self) -> None:
        self._lines: list[str] | None = None
        self._fields: list[str] | None = None

    def add(self, end: str, content: bytes) -> bool:
        """Take a file's content; False where there should be words and are none."""
        if end.endswith(".json"):
            found = _fields(content)
            self._fields = self._fields or found
            return found != []
        lines = _lines(content)
        if lines is not None:
            self._lines = self._lines or lines
        return lines is None or bool(lines)

    @property
    def texts(self) -> list[str]:
        """Each caption."""
        if self._lines is None or not self._lines:
            return self._fields or []
        one = " ".join(self._lines).split()
        if self._fields and len(self._fields) == 1 and self._fields[0].split() == one:
            return [" ".join(one)]
        return self._lines


def _lines(content: bytes) -> list[str] | None:
    """Captions, one per line; None for boxes, which are no words."""
    try:
        wide = content[:2] in (b"\xff\xfe", b"\xfe\xff")
        text = (
            content.decode("utf-16" if wide else "utf-8-sig")
            .replace("\r\n", "\n")
            .replace("\r", "\n")
        )
    except UnicodeDecodeError:
        return []
    lines = [" ".join(line.split()) for line in text.split("\n") if line.strip()]
    return None if lines and all(map(_BOX.match, lines)) else lines


def _fields(content: bytes) -> list[str] | None:
    """The captions of an object; None for one without any."""
    try:
        values: Any = json.loads(content)
        if isinstance(values, list | str):
            return captions(values, "", 0)
        for name in _FIELDS:
            texts = captions(values.get(name), "", 0)
            if texts:
                return texts
    except DistnormError:
        return []  # a caption that is no text
    except (ValueError, AttributeError, RecursionError):
        return None
    return None

"""Lines of text files, in UTF-8, or in UTF-16 with its mark.

Only line feed, carriage return and both end a line, as for an editor.
``str.splitlines`` also ends one at U+2028, U+0085, form feeds and other characters that captions
from the web hold.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from distnorm.errors import DistnormError
from distnorm.system.files import missing_file

__all__ = ["POINTER", "encoding_of", "first_lines", "open_text", "text_lines"]

Name = str | os.PathLike[str]

POINTER = b"version https://git-lfs"
"""How files begin that stand for others until Git LFS has fetched them."""

_START = 1 << 16
_LONGEST = 1 << 24


def encoding_of(path: Name, label: str | None = None) -> str:
    """What a text file is written in, by its first bytes; raises for what is no text."""
    with open(path, "rb") as file:
        start = file.read(_START)
    if start.startswith(POINTER):
        raise DistnormError(
            f"{os.fspath(path) if label is None else label}, a pointer of Git LFS",
            "the file that it points to",
            "fetch it: git lfs pull",
        )
    if start.startswith((b"\xff\xfe", b"\xfe\xff")):
        return "utf-16"
    if b"\0" in start:
        raise _no_text(path, label, start)
    return "utf-8-sig"


@contextmanager
def open_text(path: Name, label: str | None = None, newline: str | None = None) -> Iterator[TextIO]:
    """A text file, open; what goes wrong in it becomes a DistnormError that says how to convert.

    ``label`` is what messages call it, if not its path; ``newline`` as of `open`.
    """
    name = os.fspath(path) if label is None else label
    try:
        with open(path, encoding=encoding_of(path, label), newline=newline) as file:
            yield file
    except UnicodeError as error:
        with open(path, "rb") as damaged:
            raise _no_text(path, label, damaged.read(_START)) from error
    except FileNotFoundError as error:
        raise missing_file(Path(path)) from error
    except OSError as error:
        why = error.strerror or str(error)
        raise DistnormError(f"{name}: {why}", "a file of lines", "check the path") from error


def text_lines(path: Name, label: str | None = None) -> Iterator[str]:
    """Lines of a text file without their ends; a byte order mark is left out; see `open_text`."""
    with open_text(path, label) as file:
        for line in file:
            yield line.removesuffix("\n")


def first_lines(path: Name, most: int, size: int) -> tuple[list[tuple[int, str]], bool]:
    """The first lines that are not empty, with their numbers, and whether more follow.

    At most ``most`` lines; after ``size`` characters an eighth of them will do. See `open_text`.
    """
    lines: list[tuple[int, str]] = []
    read = 0
    with open_text(path) as file:
        for number, line in enumerate(iter(lambda: file.readline(_LONGEST), ""), start=1):
            if not line.strip():
                continue
            lines.append((number, line.removesuffix("\n")))
            read += len(line)
            if len(lines) > most or (read > size and len(lines) > most // 8):
                return lines, True
    return lines, False


def _no_text(path: Name, label: str | None, start: bytes) -> DistnormError:
    """The error for a file that is no text in UTF-8, with the line that converts it."""
    name, file = (os.fspath(path) if label is None else label), os.path.basename(os.fspath(path))
    remedy = "name a text file, or convert it"
    for encoding in ("UTF-16LE", "UTF-16BE", "ISO-8859-1"):
        words = start[:1000].decode(encoding, "replace")
        if words.isascii() if "16" in encoding else "\0" not in words and "%PDF" not in words:
            remedy = f"convert it: iconv -f {encoding} -t UTF-8 {file} > new-{file}"
            break
    return DistnormError(f"{name}, which is no text", "UTF-8 lines", remedy)

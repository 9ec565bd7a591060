"""CSV and its kin: cells between commas, tabs, semicolons or bars, named by the first line."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from distnorm.embedding.cells import ADDRESSES, PATHS, TEXTS, names_a_picture, picture
from distnorm.errors import DistnormError
from distnorm.system.separated import DELIMITERS, cut, is_number, sep_line, separated_rows

__all__ = ["Separated", "delimiter_of_head", "delimiter_of_names"]

_PEEK = 32
_NAME = re.compile(r"[\w.:#-]*( [\w.:#-]+)?")


class Separated:
    """A file of separated cells; without a head, of pictures' names and one text each."""

    strict, above, holds_bytes = True, False, False
    aside: tuple[str, ...] = ()
    kind = "csv"

    def __init__(self, path: Path, delimiter: str | None = None, *, headed: bool = True) -> None:
        self.path, self._headed = path, headed
        # Under another name it is a data set's file of captions, apart from its pictures.
        self.beside = path.suffix.lower() in (".csv", ".tsv")
        self._delimiter = delimiter or ("\t" if path.suffix.lower() == ".tsv" else ",")
        self.head: tuple[str, ...] = ("path", "caption")
        self._skip = 0
        if not headed:
            self._check_words()
        else:
            first, second = self._first()
            mark = sep_line(self._delimiter.join(first))
            if mark is not None:
                self._skip, self._delimiter = 1, mark
            elif delimiter is None and len(first) == 1:
                following = second[0] if len(second) == 1 else ""
                self._delimiter = (
                    delimiter_of_head(first[0], following)
                    or _even_delimiter(first[0], following)
                    or self._delimiter
                )
            first = [cell.strip() for cell in self._first()[0]]
            if len(first) == 2 and names_a_picture(picture(first[0], "", 0).name):
                self._headed = False  # a list of pictures and texts
                self._check_words()
            else:
                self.head = tuple(first)
        self.worded = tuple(range(len(self.head)))
        if self._delimiter == "\t":
            self.kind = "tsv"

    def _check_words(self) -> None:
        """Raise if what stands beside pictures' names are numbers."""
        if all(is_number(row[-1]) for _, row in islice(self._lines(), _PEEK)):
            raise DistnormError(
                f"{self.path}, pictures with numbers",
                "captions",
                "labels go to evaluate --labels as they are; for the pictures alone: "
                f"cut -d'{self._delimiter}' -f1 {self.path.name} > list.txt",
            )

    def rows(self, fields: tuple[int, ...]) -> Iterator[tuple[int, tuple[Any, ...]]]:
        """Line number and cells of every row; a cell that is not there is empty."""
        lines = self._lines()
        if self._headed:
            next(lines, None)
        width = len(self.head)
        for line, row in lines:
            if len(row) > width:
                row = self._joined(row, line)
            yield line, tuple(row[at] if at < len(row) else "" for at in fields)

    def _joined(self, row: list[str], line: int) -> list[str]:
        """A row whose last cell, a text, holds separators; raises where another one may."""
        width = len(self.head)
        if not any(row[width:]):
            return row[:width]
        if self.head[-1].lower() not in TEXTS:
            raise DistnormError(
                f"{len(row)} cells in line {line} of {self.path}",
                f"{width} as in its first line",
                "put quotes around cells that hold separators",
            )
        return [*row[: width - 1], self._delimiter.join(row[width - 1 :])]

    def _first(self) -> tuple[list[str], list[str]]:
        lines = self._lines()
        return next(lines, (1, []))[1], next(lines, (1, []))[1]

    def _lines(self) -> Iterator[tuple[int, list[str]]]:
        return separated_rows(self.path, self._delimiter, self._skip)


def delimiter_of_head(line: str, following: str = "") -> str | None:
    """What separates the names of columns in a line; None if these are no names of columns.

    One must be a text's; what follows has as many cells.
    """
    for delimiter in DELIMITERS:
        names = [name.lower() for name in _cells(line, delimiter)]
        if not any(name in TEXTS for name in names) or not all(map(_NAME.fullmatch, names)):
            continue
        known = sum(name in (*PATHS, *TEXTS, *ADDRESSES) for name in names)
        if known > 1 or len(_cells(following, delimiter)) >= len(names):
            return delimiter
    return None


def _even_delimiter(line: str, following: str) -> str | None:
    """What cuts a line of names and the next into as many cells."""
    for delimiter in DELIMITERS:
        names = _cells(line, delimiter)
        named = names and all(map(_NAME.fullmatch, names))
        if named and len(_cells(following, delimiter)) == len(names):
            return delimiter
    return None


def delimiter_of_names(lines: Iterable[str]) -> str | None:
    """What stands between a picture's name and a text in most lines; "" where only a space does."""
    found: list[str] = []
    count = 0
    for line in lines:
        count += 1
        for delimiter in (*DELIMITERS, None):
            first, *rest = line.split(delimiter, 1)
            if rest and rest[0].strip() and names_a_picture(picture(first, "", 0).name):
                found.append(delimiter or "")
                break
    if not found or 2 * len(found) <= count:
        return None
    return max(set(found), key=found.count)


def _cells(line: str, delimiter: str) -> list[str]:
    row = next(iter(cut([line], delimiter)), [])
    return [cell.strip() for cell in row] if len(row) > 1 else []

"""Tables of numbers and words, as columns: .csv, .tsv, .txt, .json, .jsonl, .parquet.

Delimiters, heads and pandas' index columns are told from the cells. A line ends at a newline and
nowhere else, and one that holds nothing is an empty cell, except at the end of the file.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from distnorm.arrays import Float64
from distnorm.errors import DistnormError, require
from distnorm.system.conversions import CONVERSIONS
from distnorm.system.files import missing_file
from distnorm.system.json_rows import json_values, printed_value, rows_of
from distnorm.system.lines import text_lines
from distnorm.system.separated import DELIMITERS, INDEX_NAMES, cut, even, is_number, point, sep_line

__all__ = ["Column", "Table", "table_of"]

_NAME = re.compile(r"[\w.:#-]*( [\w.:#-]+)?")
_PICTURE = re.compile(r"\S+\.(jpe?g|png|webp|gif|bmp|tiff?)", re.I)
_PICTURE_END = re.compile(r"\S\.(jpe?g|png|webp|gif|bmp|tiff?)$", re.I)
_OWN_CONVERSIONS = {
    ".xls": "save the sheet as CSV",
    ".xlsx": "save the sheet as CSV",
    ".safetensors": "numpy.save('x.npy', safetensors.numpy.load_file(FILE)['NAME'])",
    ".feather": "pandas.read_feather(FILE).to_csv('x.csv')",
    ".arrow": "pandas.read_feather(FILE).to_csv('x.csv')",
}


@dataclass(frozen=True)
class Column:
    """A column's cells, None where empty; ``name`` is "" where there is no head."""

    name: str
    cells: Sequence[Any]

    @cached_property
    def numbers(self) -> Float64 | None:
        """The cells as float64, NaN where empty; None unless all others are numbers."""
        values = [_number(cell) for cell in self.cells]
        if all(value is None or value != value for value in values):
            return None
        if any(value is None and cell is not None for value, cell in _pairs(values, self.cells)):
            return None
        return np.array([np.nan if value is None else value for value in values])

    @cached_property
    def words(self) -> list[str] | None:
        """The cells as texts; None unless all are."""
        return list(self.cells) if all(isinstance(cell, str) for cell in self.cells) else None

    @property
    def names_pictures(self) -> bool:
        """Whether every cell ends as pictures' files do."""
        return all(isinstance(x, str) and _PICTURE_END.search(x) for x in self.cells)

    @property
    def is_index(self) -> bool:
        """Whether it numbers the rows: by its values, or as pandas calls such a column."""
        if self.name.lower() in INDEX_NAMES[1:2] + INDEX_NAMES[3:4]:
            return True
        if self.numbers is None:
            return False
        count = np.arange(len(self.cells))
        named = self.name.lower() in INDEX_NAMES and np.array_equal(self.numbers, count + 1)
        return bool(named or np.array_equal(self.numbers, count))


@dataclass(frozen=True)
class Table:
    """Columns of one length; ``headed`` if the file names them."""

    path: Path
    columns: tuple[Column, ...]
    headed: bool = False

    def __len__(self) -> int:
        """Number of rows."""
        return len(self.columns[0].cells)

    def named(self, *names: str) -> list[Column]:
        """Columns of these names, in any case, in the order of ``names``."""
        return [c for name in names for c in self.columns if c.name.strip().lower() == name]

    def shown(self) -> str:
        """What it holds, for messages."""
        names = [column.name for column in self.columns if column.name]
        words = f"{len(self.columns)} columns" if len(self.columns) > 1 else "1 column"
        return f"{words} ({', '.join(map(repr, names[:8]))})" if names else words


def table_of(path: Path, known: Iterable[str] = ()) -> Table:
    """The table in a file, or an error; a head of words over words is told by ``known`` names."""
    if not path.exists():
        raise missing_file(path)
    kind = path.suffix.lower()
    convert = _OWN_CONVERSIONS.get(kind) or CONVERSIONS.get(kind)
    if convert is not None:
        raise DistnormError(
            f"{path} of type {kind}",
            ".npy, .csv, .tsv, .txt, .json or .parquet",
            f"convert it: {convert}".replace("FILE", repr(str(path))),
        )
    if kind == ".parquet":
        table = _parquet(path)
    elif kind in (".json", ".jsonl", ".ndjson"):
        table = _json(path, json_values(path))
    elif kind not in (".csv", ".tsv") and (value := printed_value(path)) is not None:
        table = _json(path, value)
    else:
        table = _separated(path, {name.lower() for name in known})
    if not table.columns or not len(table):
        raise DistnormError(f"{path} without a row", "one row per item", "fill it")
    return table


def _number(cell: Any) -> float | None:
    if isinstance(cell, (bool, int, float, np.number)):
        try:
            return float(cell)
        except OverflowError:
            return float("inf")
    return float(cell) if isinstance(cell, str) and is_number(cell) else None


def _pairs(first: Iterable[Any], second: Iterable[Any]) -> Iterable[tuple[Any, Any]]:
    return zip(first, second, strict=True)


def _separated(path: Path, known: set[str]) -> Table:
    lines = list(text_lines(path))
    while lines and not lines[-1].strip("\n \t"):
        lines.pop()
    if lines and sep_line(lines[0]):
        lines = lines[1:]
    if not lines:
        return Table(path, ())
    kind = path.suffix.lower()
    if kind in (".csv", ".tsv"):
        delimiter = "\t" if kind == ".tsv" else _delimiter(lines)
        rows = _rows(path, lines, delimiter)
    else:
        mark = _headed(lines, {name.lower() for name in known})
        rows, delimiter = (_rows(path, lines, mark), mark) if mark else _lines(lines)
    rows = even(rows)
    _check_ragged(path, rows)
    if delimiter not in (",", "\n"):
        rows = _pointed(rows)
    headed = _has_head(rows, known)
    names, body = (rows[0], rows[1:]) if headed else ([""] * len(rows[0]), rows)
    cells = [[row[place] or None for row in body] for place in range(len(names))]
    columns = tuple(Column(name, column) for name, column in _pairs(names, cells))
    return Table(path, columns, headed)


def _pointed(rows: list[list[str]]) -> list[list[str]]:
    """Rows whose columns of numbers have decimal points, where commas part no cells."""
    columns = []
    for column in zip(*rows, strict=True):
        pointed = [point(cell) for cell in column]
        numbers = [is_number(cell) for cell in pointed[1:] or pointed if cell]
        columns.append(pointed if all(numbers) else column)
    return [list(row) for row in zip(*columns, strict=True)]


def _rows(path: Path, lines: list[str], delimiter: str) -> list[list[str]]:
    """Cells without the spaces around them; an empty line of one column is an empty cell."""
    filled = [line or '""' for line in lines] if all(delimiter not in x for x in lines) else lines
    rows = [[cell.strip() for cell in row] for row in cut(filled, delimiter)]
    if not rows:
        raise DistnormError(f"{path}, a damaged table", "CSV", "mend its quotes")
    return rows


def _delimiter(lines: list[str]) -> str:
    """The first that cuts the first lines into as many cells each."""
    for mark in (";", "\t", "|"):
        widths = {len(row) for row in cut(lines[:50], mark)}
        if len(widths) == 1 and widths != {1}:
            return mark
    return ","


def _headed(lines: list[str], known: set[str]) -> str | None:
    """What separates the names of columns in a first line, one of them known; None for no head.

    Tables come under the name .txt, too. A second line has as many cells.
    """
    for mark in DELIMITERS:
        first, *rest = even(cut(lines[:50], mark)[:2] or [[""]])
        cells = [cell.strip().lower() for cell in first]
        named = len(cells) > 1 and all(map(_NAME.fullmatch, cells))
        if named and known.intersection(cells) and rest and len(rest[0]) >= len(cells):
            return mark
    return None


def _lines(lines: list[str]) -> tuple[list[list[str]], str]:
    """Rows of a text file: of numbers, of pictures with numbers, of tabs, or whole lines."""
    lines = [line.strip() for line in lines]
    for mark in ("\t", ";", ",", "|", None):
        rows = even([[cell.strip() for cell in line.split(mark)] for line in lines])
        ended = mark is not None and lines[-1].endswith(mark)
        if len({len(row) for row in rows}) != 1 or (len(rows[0]) < 2 and not ended):
            continue
        below = rows[1:] or rows
        change = point if mark != "," else str
        numbers = all(is_number(change(cell)) for row in below for cell in row)
        pictures = len(rows[0]) == 2 and all(
            _PICTURE.fullmatch(row[0]) and is_number(row[1]) for row in below
        )
        if mark == "\t" or numbers or pictures:
            return rows, mark or " "
    return [[line] for line in lines], "\n"


def _check_ragged(path: Path, rows: list[list[str]]) -> None:
    width = len(rows[0])
    wrong = next((line for line, row in enumerate(rows, 1) if len(row) != width), None)
    if wrong is not None:
        raise DistnormError(
            f"{path} with {len(rows[wrong - 1])} cells in row {wrong} and {width} in the first",
            "as many in each",
            "mend the row; a cell that holds a comma stands in quotes",
        )


def _has_head(rows: list[list[str]], known: set[str]) -> bool:
    """Whether the first row names the columns."""
    if len(rows) < 2:
        return False
    first, body = rows[0], rows[1:]
    if not first[0] and len(first) > 1 and all(first[1:]):
        return True  # of pandas' index
    for name, *column in zip(*rows, strict=True):
        filled = [cell for cell in column if cell]
        if name and not is_number(name) and filled and all(map(is_number, filled)):
            return True
    if any(name.lower() in known for name in first):
        return True
    # pandas numbers columns without a name.
    numbered = [str(place) for place in range(len(first))]
    return len(first) > 2 and first == numbered and len(body) > 1 and body[0] != numbered


def _parquet(path: Path) -> Table:
    arrow = require("pyarrow", "parquet")
    parquet = require("pyarrow.parquet", "parquet")
    try:
        found = parquet.read_table(path)
        columns = tuple(
            Column(name, [_bare(cell) for cell in column.to_pylist()])
            for name, column in zip(found.column_names, found.columns, strict=True)
        )
    except (arrow.ArrowException, OSError, ValueError) as error:
        raise DistnormError(f"{path}, unreadable", "a Parquet file", "write it again") from error
    return Table(path, columns, headed=True)


def _bare(cell: Any) -> Any:
    """Without the spaces around words; bytes as words."""
    if isinstance(cell, bytes):
        cell = cell.decode("utf-8", "replace")
    return (cell.strip() or None) if isinstance(cell, str) else cell


def _json(path: Path, value: Any) -> Table:
    content = rows_of(value)
    if content is None:
        if not isinstance(value, dict):
            raise DistnormError(f"{path} with {value!r:.60}", "a JSON list", "one entry per row")
        shown = ", ".join(map(repr, list(value)[:3]))
        raise DistnormError(
            f"{path}, an object with {shown}",
            "a JSON list, one entry per row",
            "write its values in the order of the rows",
        )
    if content and all(isinstance(entry, dict) for entry in content):
        names = list(dict.fromkeys(name for entry in content for name in entry))
        cells = [[_bare(entry.get(name)) for entry in content] for name in names]
        return Table(path, tuple(map(Column, names, cells)), headed=True)
    widths = {len(entry) if isinstance(entry, list) else 0 for entry in content}
    if widths == {0}:
        return Table(path, (Column("", [_bare(entry) for entry in content]),))
    if len(widths) > 1:
        raise DistnormError(
            f"{path} with lists of {min(widths)} to {max(widths)} entries",
            "one length",
            "write one pair per entry, or one number",
        )
    columns = zip(*content, strict=True)
    return Table(path, tuple(Column("", list(map(_bare, column))) for column in columns))

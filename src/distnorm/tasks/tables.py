"""Tables of numbers and words, as columns: .csv, .tsv, .txt, .json, .jsonl, .parquet.

Delimiters, heads and pandas' index columns are told from the cells. A line ends at a newline and
nowhere else, and one that holds nothing is an empty cell, except at the end of the file.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from distnorm.errors import DistnormError, require
from distnorm.system.files import missing_file
from distnorm.system.lines import text_lines

__all__ = ["INDEX_NAMES", "Column", "Table", "read_text", "table_of"]

INDEX_NAMES = ("", "unnamed: 0", "index", "__index_level_0__", "id", "row")
"""What columns of row numbers are called."""

_NUMBER = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?|[-+]?(nan|inf(inity)?)", re.I)
_DECIMAL_COMMA = re.compile(r"[-+]?\d+(,\d+)?")
_PICTURE = re.compile(r"\S+\.(jpe?g|png|webp|gif|bmp|tiff?)", re.I)
_CONVERSIONS = {
    ".pt": "numpy.save('x.npy', torch.load(FILE).numpy())",
    ".pth": "numpy.save('x.npy', torch.load(FILE).numpy())",
    ".pkl": "numpy.save('x.npy', numpy.asarray(pickle.load(open(FILE, 'rb'))))",
    ".pickle": "numpy.save('x.npy', numpy.asarray(pickle.load(open(FILE, 'rb'))))",
    ".h5": "numpy.save('x.npy', h5py.File(FILE)[NAME][:])",
    ".hdf5": "numpy.save('x.npy', h5py.File(FILE)[NAME][:])",
    ".mat": "numpy.save('x.npy', scipy.io.loadmat(FILE)[NAME].ravel())",
    ".xlsx": "save the sheet as CSV",
    ".xls": "save the sheet as CSV",
}


@dataclass(frozen=True)
class Column:
    """A column's cells, None where empty; ``name`` is "" where there is no head."""

    name: str
    cells: Sequence[Any]

    @cached_property
    def numbers(self) -> npt.NDArray[np.float64] | None:
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
    """The table in a file; a head of words over words is told by ``known`` names.

    Raises
    ------
    DistnormError
        For a missing, unreadable or ragged file, one of no rows, or of an order that nothing says.
    """
    if not path.exists():
        raise missing_file(path)
    kind = path.suffix.lower()
    if kind in _CONVERSIONS:
        raise DistnormError(
            f"{path} of type {kind}",
            ".npy, .csv, .tsv, .txt, .json or .parquet",
            f"convert it: {_CONVERSIONS[kind]}",
        )
    if kind == ".parquet":
        table = _parquet(path)
    elif kind in (".json", ".jsonl", ".ndjson"):
        table = _json(path, lines=kind != ".json")
    else:
        table = _separated(path, {name.lower() for name in known})
    if not table.columns or not len(table):
        raise DistnormError(f"{path} without a row", "one row per item", "fill it")
    return table


def read_text(path: Path) -> str:
    """A text file in UTF-8, with newlines as line ends."""
    if not path.exists():
        raise missing_file(path)
    text = "\n".join(text_lines(path))
    if "\0" in text:
        raise DistnormError(f"{path}, which is no text", "UTF-8 lines", "convert it")
    return text


def _number(cell: Any) -> float | None:
    if isinstance(cell, (bool, int, float, np.number)):
        try:
            return float(cell)
        except OverflowError:
            return float("inf")
    return float(cell) if isinstance(cell, str) and _NUMBER.fullmatch(cell) else None


def _pairs(first: Iterable[Any], second: Iterable[Any]) -> Iterable[tuple[Any, Any]]:
    return zip(first, second, strict=True)


def _separated(path: Path, known: set[str]) -> Table:
    text = read_text(path).rstrip("\n \t")
    if not text:
        return Table(path, ())
    kind = path.suffix.lower()
    if kind in (".csv", ".tsv"):
        delimiter = "\t" if kind == ".tsv" else _delimiter(text)
        rows = _rows(path, text, delimiter)
    else:
        rows, delimiter = _lines(text)
    _check_ragged(path, rows)
    if delimiter == ";":
        rows = [[_point(cell) for cell in row] for row in rows]
    headed = _has_head(rows, known)
    names, body = (rows[0], rows[1:]) if headed else ([""] * len(rows[0]), rows)
    cells = [[row[place] or None for row in body] for place in range(len(names))]
    columns = tuple(Column(name, column) for name, column in _pairs(names, cells))
    return Table(path, columns, headed)


def _rows(path: Path, text: str, delimiter: str) -> list[list[str]]:
    """Cells without the spaces around them; a quoted cell may hold delimiters and newlines."""
    try:
        reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
        rows = [[cell.strip() for cell in row] for row in reader]
    except csv.Error as error:
        raise DistnormError(f"{path}: {error}", "a table", "mend the file") from error
    width = max(map(len, rows))
    return [row or [""] * (width == 1) for row in rows if row or width == 1]


def _delimiter(text: str) -> str:
    """The first that cuts the first lines into as many cells each."""
    lines = "\n".join(text.split("\n", 50)[:50])
    for mark in (";", "\t"):
        try:
            widths = {len(row) for row in csv.reader(io.StringIO(lines), delimiter=mark) if row}
        except csv.Error:
            continue
        if len(widths) == 1 and widths != {1}:
            return mark
    return ","


def _lines(text: str) -> tuple[list[list[str]], str]:
    """Rows of a text file: of numbers, of pictures with numbers, of tabs, or whole lines."""
    lines = [line.strip() for line in text.split("\n")]
    body = lines[1:] or lines
    for mark in ("\t", ";", ",", None):
        rows = [[cell.strip() for cell in line.split(mark)] for line in lines]
        if len({len(row) for row in rows}) != 1 or len(rows[0]) < 2:
            continue
        below = rows[1:] or rows
        numbers = all(_NUMBER.fullmatch(_point(cell, mark)) for row in below for cell in row)
        pictures = len(rows[0]) == 2 and all(
            _PICTURE.fullmatch(row[0]) and _NUMBER.fullmatch(row[1]) for row in rows[-len(body) :]
        )
        if mark == "\t" or numbers or pictures:
            return rows, mark or " "
    return [[line] for line in lines], "\n"


def _point(cell: str, delimiter: str | None = ";") -> str:
    """A decimal comma as a point, where commas do not part cells."""
    if delimiter == ";" and _DECIMAL_COMMA.fullmatch(cell):
        return cell.replace(",", ".")
    return cell


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
        if name and not _NUMBER.fullmatch(name) and filled and all(map(_NUMBER.fullmatch, filled)):
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


def _json(path: Path, *, lines: bool) -> Table:
    text = read_text(path)
    try:
        content = (
            [json.loads(line) for line in text.split("\n") if line.strip()]
            if lines
            else json.loads(text)
        )
    except (ValueError, RecursionError) as error:
        raise DistnormError(f"{path}, unreadable", "whole JSON", "write it again") from error
    if isinstance(content, dict):
        try:
            content = _unkeyed(path, content)
        except (TypeError, ValueError) as error:
            if isinstance(error, DistnormError):
                raise
            raise DistnormError(f"{path}, an object", "a JSON list", "write one") from error
    if not isinstance(content, list):
        raise DistnormError(f"{path} with {content!r:.60}", "a JSON list", "one entry per row")
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


def _unkeyed(path: Path, content: Mapping[str, Any]) -> list[Any]:
    """The rows of an object: numbered, by column as pandas writes them, or split."""
    if set(content) >= {"columns", "data"}:
        return [
            dict(zip(map(str, content["columns"]), row, strict=False)) for row in content["data"]
        ]
    values = list(content.values())
    if set(content) == {str(row) for row in range(len(content))}:
        return [content[str(row)] for row in range(len(content))]
    if values and all(isinstance(value, dict) for value in values):
        values = [_unkeyed(path, value) for value in values]
    lists = bool(values) and all(isinstance(value, list) for value in values)
    if lists and len({len(value) for value in values}) == 1:
        return [dict(zip(content, row, strict=True)) for row in zip(*values, strict=True)]
    shown = ", ".join(map(repr, list(content)[:3]))
    raise DistnormError(
        f"{path}, an object with {shown}",
        "a JSON list, one entry per row",
        "write its values in the order of the rows",
    )

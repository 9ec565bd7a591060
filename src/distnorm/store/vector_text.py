"""Matrices in tables of text, as pandas, NumPy, R and spreadsheets write them.

What is no dimension (a head, row numbers, names, labels) is found, left out, and said.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from distnorm.errors import DistnormError
from distnorm.store.vector_files import families
from distnorm.store.vector_json import SAVE, json_vectors, read_json, say_left_out, stacked

__all__ = ["read_table", "table_vectors"]

Matrix = npt.NDArray[Any]
Matrices = Mapping[str, Callable[[], Matrix]]
Cells = list[str]

_NUMBER = re.compile(
    r"[ \t\xa0]*[-+]?(\d+\.?\d*([eE][-+]?\d+)?|\.\d+([eE][-+]?\d+)?|nan|inf(inity)?)[ \t\xa0]*",
    re.I,
)
_DECIMAL_COMMA = re.compile(r"[-+]?\d*(,\d+)?([eE][-+]?\d+)?")
_NO_DIMENSION = {
    "",
    "id",
    "ids",
    "index",
    "idx",
    "row",
    "key",
    "label",
    "labels",
    "class",
    "target",
}
_SAMPLE, _SAMPLE_SIZE, _LONGEST = 400, 1 << 20, 1 << 24


@dataclass(frozen=True)
class _Form:
    """How a table is written: encoding, delimiter (None: spaces), head, lines before the data."""

    encoding: str
    delimiter: str | None
    head: Cells | None
    skip: int
    rows: list[Cells]

    @property
    def width(self) -> int:
        """How many columns there are."""
        return len(self.rows[0])

    def numbers(self, column: int) -> bool:
        """Whether a column holds numbers, and perhaps empty cells."""
        found = {bool(_NUMBER.fullmatch(row[column])) for row in self.rows if row[column].strip()}
        return found == {True}

    def mostly_numbers(self, column: int) -> bool:
        """Whether more than half of a column's cells that are not empty are numbers."""
        found = [bool(_NUMBER.fullmatch(row[column])) for row in self.rows if row[column].strip()]
        return 2 * sum(found) > len(found)

    def counts_up(self, column: int) -> bool:
        """Whether a column numbers its rows, from any number on."""
        if len(self.rows) < 2 or not all(_NUMBER.fullmatch(row[column]) for row in self.rows):
            return False
        values = [float(row[column]) for row in self.rows]
        whole = all(row[column].strip().isdecimal() for row in self.rows)
        steps = all(b - a == 1 for a, b in pairwise(values))
        return steps and (len(values) > 2 or whole) and values[0] >= 0


def read_table(path: Path) -> Matrices:
    """The matrices of a .csv, .tsv or .txt: all its columns, or those of one numbered name each."""
    first = _first_character(path)
    if first in ("[", "{"):
        return read_json(path)
    form = _form(path)
    lists = [c for c in range(form.width) if all(_is_list(row[c]) for row in form.rows)]
    names = form.head or [f"column {column + 1}" for column in range(form.width)]
    if lists:
        say_left_out(path, [names[c] or "row numbers" for c in range(form.width) if c not in lists])
        return {
            names[c]: lambda c=c: _of_lists(path, form, c, names[c])  # type: ignore[misc]
            for c in lists
        }
    numeric = [c for c in range(form.width) if form.mostly_numbers(c)]
    groups = {"": _dimensions(form, numeric)}
    if form.head is not None:
        numbered = families((names[c] for c in numeric), path)
        places = {name: column for column, name in reversed(list(enumerate(names)))}
        if numbered:
            groups = {prefix: [places[n] for n in found] for prefix, found in numbered.items()}
    used = {column for columns in groups.values() for column in columns}
    for column in sorted(used):
        # A dimension is not left out for one cell that is damaged.
        if not form.numbers(column):
            row, cell = next(
                (number, row[column])
                for number, row in enumerate(form.rows, start=1)
                if row[column].strip() and not _NUMBER.fullmatch(row[column])
            )
            raise DistnormError(
                f"{path} with {cell[:40]!r} in row {row} of {names[column]!r}",
                "a number, as in the other rows",
                "mend or drop that row",
            )
    if len(used) < 2:
        found = ", ".join(map(repr, names[:6])) if form.head else f"{form.width} columns"
        raise DistnormError(
            f"{path} with {found} and {'one number' if used else 'no numbers'} in a row",
            "embeddings: columns of numbers, or one of lists",
            SAVE,
        )
    say_left_out(path, [names[c] or "row numbers" for c in range(form.width) if c not in used])
    return {
        prefix: lambda columns=columns: _of_columns(path, form, columns)  # type: ignore[misc]
        for prefix, columns in groups.items()
    }


def table_vectors(path: Path) -> bool:
    """Whether a text file is rows of numbers rather than words, by its first lines."""
    try:
        if _first_character(path) in ("[", "{"):
            return json_vectors(path)
        form = _form(path)
    except (DistnormError, OSError, ValueError):
        return False
    numeric = [c for c in range(form.width) if form.mostly_numbers(c)]
    lists = (all(_is_list(row[c]) for row in form.rows) for c in range(form.width))
    return any(lists) or len(_dimensions(form, numeric)) > 1


def _dimensions(form: _Form, numeric: list[int]) -> list[int]:
    """Columns of numbers that are dimensions where no name says so: all but row numbers."""
    if form.head is not None:
        head = [name.strip().lower() for name in form.head]
        numeric = [
            c for c in numeric if head[c] not in _NO_DIMENSION and not head[c].startswith("unnamed")
        ]
    if numeric and numeric[0] == 0 and len(numeric) > 1 and form.counts_up(0):
        return numeric[1:]
    return numeric


def _form(path: Path) -> _Form:
    with path.open("rb") as file:
        start = file.read(2)
    encoding = "utf-16" if start in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
    lines: list[str] = []
    skip = size = 0
    cut = False
    with path.open(encoding=encoding, newline=None) as file:
        for number, line in enumerate(iter(lambda: file.readline(_LONGEST), "")):
            if not line.strip() or (line.startswith("#") and not lines):
                skip = number + 1 if not lines else skip
                continue
            lines.append(line)
            size += len(line)
            if len(lines) > _SAMPLE or (size > _SAMPLE_SIZE and len(lines) > _SAMPLE // 8):
                cut = True
                break
    if not lines:
        raise DistnormError(f"{path} without a line", "one embedding per line", SAVE)
    if any(map(_has_decimal_commas, lines[:3])):
        raise DistnormError(
            f"{path} with decimal commas",
            "decimal points",
            "make points of them: tr ',;' '.,' < FILE > rows.csv",
        )
    tried = [(delimiter, _cells(lines, delimiter, cut)) for delimiter in _delimiters(path)]
    single = not _cut_up(lines)
    fitting = [
        (delimiter, rows)
        for delimiter, rows in tried
        if rows and _share(rows) and (single or len(rows[0]) > 1 or _is_list(rows[-1][0]))
    ]
    if not fitting and not any(len(rows[0]) > 1 for _, rows in tried if rows) and not single:
        raise DistnormError(
            f"{path} with lines of different numbers of cells",
            "as many in each, between commas, tabs, semicolons or spaces",
            SAVE,
        )
    fitting = fitting or [(delimiter, rows) for delimiter, rows in tried if rows]
    delimiter, rows = max(fitting, key=lambda one: (_share(one[1]), len(one[1][0])))
    if _is_head(rows):
        return _Form(encoding, delimiter, rows[0], skip + 1, rows[1:])
    return _Form(encoding, delimiter, None, skip, rows)


def _delimiters(path: Path) -> tuple[str | None, ...]:
    usual = "\t" if path.suffix.lower() == ".tsv" else ","
    return (usual, *(d for d in (",", "\t", ";", "|") if d != usual), None)


def _has_decimal_commas(line: str) -> bool:
    parts = max((line.split(sep) for sep in (";", "\t")), key=len)
    cells = [cell.strip().strip('"') for cell in parts]
    commas = [cell for cell in cells if "," in cell]
    return len(cells) > 1 and bool(commas) and all(map(_DECIMAL_COMMA.fullmatch, cells))


def _cells(lines: list[str], delimiter: str | None, cut: bool) -> list[Cells]:
    """The lines at a delimiter; none if their numbers of cells differ. A cut record is left out."""
    csv.field_size_limit(_LONGEST)
    try:
        rows = (
            [line.split() for line in lines]
            if delimiter is None
            else list(csv.reader(lines, delimiter=delimiter))
        )
    except csv.Error:
        return []
    rows = rows[:-1] if cut and len(rows) > 1 else rows
    if rows[0][-1:] == [""] and all(row[-1:] == [""] for row in rows):
        rows = [row[:-1] for row in rows]  # a delimiter at the end of each line
    head, body = len(rows[0]), {len(row) for row in rows[1:] or rows}
    if len(body) != 1 or 0 in body:
        return []
    if head == min(body) - 1 and len(rows) > 1:
        rows[0] = ["", *rows[0]]  # as R writes a head, without a name over the row names
    return rows if len(rows[0]) == min(body) else []


def _share(rows: list[Cells]) -> float:
    """How much of the cells below a possible head is numbers or lists."""
    body = [cell for row in rows[1:] or rows for cell in row]
    return sum(bool(_NUMBER.fullmatch(c)) or _is_list(c) for c in body) / max(1, len(body))


def _is_head(rows: list[Cells]) -> bool:
    """Whether the first line names what stands below it."""
    first = [cell.strip() for cell in rows[0]]
    values = [cell for cell in first if _NUMBER.fullmatch(cell) and not cell.isdecimal()]
    # A row of numbers with a damaged cell is no head.
    if len(rows) > 1 and 2 * len(values) <= len(first):
        for cell, below in zip(first, rows[1], strict=True):
            value = _NUMBER.fullmatch(below) or _is_list(below)
            if value and not _NUMBER.fullmatch(cell) and not _is_list(cell):
                return True
    for named in (first, first[1:]):
        if len(named) > 1 and all(cell.isdecimal() for cell in named):
            numbers = [int(cell) for cell in named]
            whole = all(cell.strip().isdecimal() for cell in rows[-1])
            if numbers == list(range(numbers[0], numbers[0] + len(numbers))) and numbers[0] < 2:
                return len(numbers) > 3 or not whole
            if all(a < b for a, b in pairwise(numbers)) and len(rows) > 1 and not whole:
                return True
    return False


def _cut_up(lines: list[str]) -> bool:
    return any(delimiter in line for line in lines for delimiter in ",;\t|")


def _of_columns(path: Path, form: _Form, columns: list[int]) -> Matrix:
    if all(form.numbers(column) for column in range(form.width)):
        try:
            table = np.loadtxt(
                path,
                delimiter=form.delimiter,
                dtype=np.float32,
                ndmin=2,
                skiprows=form.skip,
                encoding=form.encoding,
                comments=None,
                quotechar='"',
                usecols=None if form.delimiter is None else range(form.width),
            )
        except ValueError as error:
            raise DistnormError(
                f"{path}: {error}", f"{form.width} numbers in each row", "mend or drop that row"
            ) from error
        return table[:, columns]
    found = []
    for number, row in _rows(path, form):
        try:
            found.append(np.array([row[column] for column in columns], dtype=np.float32))
        except ValueError as error:
            raise DistnormError(f"{path}, line {number}: {error}", "numbers", "mend it") from error
    return np.stack(found)


def _of_lists(path: Path, form: _Form, column: int, name: str) -> Matrix:
    """A column whose cells are lists, as pandas writes lists and NumPy rows into a .csv."""
    found = []
    for number, row in _rows(path, form):
        cell = row[column].strip()
        where = f"{path}, line {number}, column {name!r},"
        if "..." in cell:
            raise DistnormError(
                f"{where} cut short: '...' stands for most of its numbers",
                "every number",
                "the file has lost them: write the rows again, e.g. with numpy.save",
            )
        numbers = re.split(r"[\s,]+", cell[1:-1].strip().strip(",")) if _is_list(cell) else []
        try:
            found.append(np.array(numbers, dtype=np.float32))
        except ValueError as error:
            raise DistnormError(f"{where} with no list of numbers", "[0.1, 0.2]", SAVE) from error
    return stacked(found, path)


def _rows(path: Path, form: _Form) -> Iterator[tuple[int, Cells]]:
    """Rows of cells with their line numbers, all of one width."""
    with path.open(encoding=form.encoding, newline="") as file:
        for _ in range(form.skip):
            file.readline()
        reader: Any
        if form.delimiter is None:
            reader = (line.split() for line in file)
        else:
            reader = csv.reader(file, delimiter=form.delimiter)
        for number, row in enumerate(reader, start=form.skip + 1):
            if not row:
                continue
            if len(row) < form.width or any(cell.strip() for cell in row[form.width :]):
                raise DistnormError(
                    f"{path}, row {number}, with {len(row)} cells",
                    f"{form.width} as in the first rows",
                    "mend it",
                )
            yield number, row


def _first_character(path: Path) -> str:
    with path.open("rb") as file:
        start = file.read(1 << 10)
    return start.removeprefix(b"\xef\xbb\xbf").lstrip()[:1].decode("latin-1")


def _is_list(cell: str) -> bool:
    cell = cell.strip()
    inner = cell[1:-1].split(",")[0].split()
    return cell[:1] == "[" and cell[-1:] == "]" and bool(inner and _NUMBER.fullmatch(inner[0]))

"""Matrices in tables of text, as pandas, NumPy, R and spreadsheets write them.

What is no dimension (a head, row numbers, names, labels) is found, left out, and said.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from distnorm.errors import DistnormError
from distnorm.store.vector_choice import called_vectors
from distnorm.store.vector_files import families
from distnorm.store.vector_json import SAVE, json_vectors, read_json, say_left_out, stacked
from distnorm.store.vector_packed import unpacking
from distnorm.system.lines import encoding_of, first_lines
from distnorm.system.separated import (
    DELIMITERS,
    INDEX_NAMES,
    Cells,
    cut,
    even,
    is_number,
    named_twice,
    point,
    sep_line,
    separated_rows,
)

__all__ = ["read_table", "table_vectors"]

Matrix = npt.NDArray[Any]
Matrices = Mapping[str, Callable[[], Matrix]]

_NO_DIMENSION = {*INDEX_NAMES, "ids", "idx", "key", "label", "labels", "class", "target"}
_EMBED = "distnorm embed FILE --model MODEL --out STORE"
_LIST = re.compile(
    r"\s*(?:(?:np\.|numpy\.|torch\.)?(?:array|tensor)\()?[\[({]([^\[\](){}]*)[\])}]"
    r"(?:,[^\[\](){}]*\))?\)?\s*"
)
_SCALAR = re.compile(r"np\.float\d+\(([^()]*)\)")
_SAMPLE, _SAMPLE_SIZE = 400, 1 << 20


@dataclass(frozen=True)
class _Form:
    """How a table is written: delimiter (None: spaces), head, lines before the data, first rows."""

    delimiter: str | None
    head: Cells | None
    skip: int
    rows: list[Cells]
    commas: bool  # decimal ones

    @property
    def width(self) -> int:
        """How many columns there are."""
        return len(self.rows[0])

    def numbers(self, column: int) -> bool:
        """Whether a column holds numbers, and perhaps empty cells."""
        found = {is_number(row[column]) for row in self.rows if row[column].strip()}
        return found == {True}

    def mostly_numbers(self, column: int) -> bool:
        """Whether more than half of a column's cells that are not empty are numbers."""
        found = [is_number(row[column]) for row in self.rows if row[column].strip()]
        return 2 * sum(found) > len(found)

    def counts_up(self, column: int) -> bool:
        """Whether a column numbers its rows, from any number on."""
        if len(self.rows) < 2 or not all(is_number(row[column]) for row in self.rows):
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
        named_twice(path, [names[c] for c in lists])
        say_left_out(path, [names[c] or "row numbers" for c in range(form.width) if c not in lists])
        return {
            names[c]: lambda c=c: _of_lists(path, form, c, names[c])  # type: ignore[misc]
            for c in lists
        }
    numeric = [c for c in range(form.width) if form.mostly_numbers(c)]
    groups = {"": _dimensions(form, numeric)}
    if form.head is not None:
        numbered = families((names[c] for c in numeric), path)
        if numbered:
            named_twice(path, [names[c] for c in numeric])
        _check_unnamed(path, form, numeric)
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
                if row[column].strip() and not is_number(row[column])
            )
            raise DistnormError(
                f"{path} with {cell[:40]!r} in row {row} of {names[column]!r}",
                "a number, as in the other rows",
                "mend or drop that row",
            )
    packed = {
        names[c]: lambda c=c: _refuse_packed(path, names[c], form.rows[0][c])
        for c in range(form.width)
        if c not in used and called_vectors(names[c]) and unpacking(form.rows[0][c].strip())
    }
    if len(used) < 2 and not packed:
        found = ", ".join(map(repr, names[:6])) if form.head else f"{form.width} columns"
        raise DistnormError(
            f"{path} with {found} and {'one number' if used else 'no numbers'} in a row",
            "embeddings: columns of numbers, or one of lists",
            SAVE if used else f"of words, embed them first: {_EMBED}; of vectors, {SAVE}",
        )
    left = [c for c in range(form.width) if c not in used and names[c] not in packed]
    say_left_out(path, [names[c] or "row numbers" for c in left])
    return packed | {
        prefix: lambda columns=columns: _of_columns(path, form, columns)
        for prefix, columns in groups.items()
        if len(columns) > 1
    }


def _refuse_packed(path: Path, name: str, cell: str) -> Matrix:
    """Raise for a column that is called embedding, or so, and holds numbers in another form."""
    raise DistnormError(
        f"{path} with {cell[:40]!r} in {name!r}",
        "lists of numbers in brackets",
        f"x = numpy.stack([{unpacking(cell.strip())} for v in pandas.read_csv(FILE)[{name!r}]]); "
        "numpy.save('rows.npy', x)",
    )


def _check_unnamed(path: Path, form: _Form, numeric: list[int]) -> None:
    """Raise for numbers in a column without a name that is not the first, as row numbers are."""
    named = any(c and form.head and form.head[c].strip() for c in numeric)
    for column in numeric:
        if column and named and form.head is not None and not form.head[column].strip():
            raise DistnormError(
                f"{path} with numbers in column {column + 1}, which has no name",
                "a name for each column",
                "name it in the first line if it is a dimension, or drop it",
            )


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
    numbered, more = first_lines(path, _SAMPLE, _SAMPLE_SIZE)
    while numbered and (numbered[0][1].startswith("#") or sep_line(numbered[0][1])):
        numbered = numbered[1:]
    if len(numbered) > 2 and _counts(numbered[0][1], numbered[1][1]):
        numbered = numbered[1:]  # word2vec's: rows and dimensions
    if not numbered:
        raise DistnormError(f"{path} without a line", "one embedding per line", SAVE)
    skip, lines = numbered[0][0] - 1, [line for _, line in numbered]
    commas = any(map(_has_decimal_commas, lines[:3]))
    marks = (";", "\t") if commas else _delimiters(path)
    tried = [(delimiter, _cells(lines, delimiter, more)) for delimiter in marks]
    if commas:
        tried = [(mark, [list(map(point, row)) for row in rows]) for mark, rows in tried]
    single = not any(delimiter in line for line in lines for delimiter in DELIMITERS)
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
        return _Form(delimiter, rows[0], skip + 1, rows[1:], commas)
    return _Form(delimiter, None, skip, rows, commas)


def _delimiters(path: Path) -> tuple[str | None, ...]:
    usual = "\t" if path.suffix.lower() == ".tsv" else ","
    return (usual, *(d for d in DELIMITERS if d != usual), None)


def _has_decimal_commas(line: str) -> bool:
    parts = max((line.split(sep) for sep in (";", "\t")), key=len)
    cells = [cell.strip().strip('"') for cell in parts]
    commas = [cell for cell in cells if "," in cell]
    return len(cells) > 1 and bool(commas) and all(is_number(point(cell)) for cell in commas)


def _counts(line: str, following: str) -> bool:
    """Whether a line is the number of rows and of dimensions of what follows."""
    counts = line.split()
    return (
        len(counts) == 2
        and all(map(str.isdecimal, counts))
        and len(following.split()) == int(counts[1][:9]) + 1
    )


def _cells(lines: list[str], delimiter: str | None, more: bool) -> list[Cells]:
    """The lines at a delimiter; none if their numbers of cells differ. A cut record is left out."""
    rows = cut(lines, delimiter)
    if not rows:
        return []
    if delimiter is None:
        widths = [len(row) for row in rows]
        rows = [_phrase(row, max(set(widths), key=widths.count)) for row in rows]
    rows = even(rows[:-1] if more and len(rows) > 1 else rows)
    head, body = len(rows[0]), {len(row) for row in rows[1:] or rows}
    if len(body) != 1 or 0 in body:
        return []
    if head == min(body) - 1 and len(rows) > 1:
        rows[0] = ["", *rows[0]]  # as R writes a head, without a name over the row names
    return rows if len(rows[0]) == min(body) else []


def _phrase(row: Cells, width: int) -> Cells:
    """A row of ``width`` whose first cell holds words with spaces between, as GloVe's do."""
    end = len(row) - width + 1
    words = end > 1 and not any(map(is_number, row[:end]))
    return [" ".join(row[:end]), *row[end:]] if words else row


def _share(rows: list[Cells]) -> float:
    """How much of the cells below a possible head is numbers or lists."""
    body = [cell for row in rows[1:] or rows for cell in row]
    return sum(is_number(c) or _is_list(c) for c in body) / max(1, len(body))


def _is_head(rows: list[Cells]) -> bool:
    """Whether the first line names what stands below it."""
    first = [cell.strip() for cell in rows[0]]
    values = [cell for cell in first if is_number(cell) and not cell.isdecimal()]
    # A row of numbers with a damaged cell is no head.
    if len(rows) > 1 and 2 * len(values) <= len(first):
        for cell, below in zip(first, rows[1], strict=True):
            value = is_number(below) or _is_list(below)
            if value and not is_number(cell) and not _is_list(cell):
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


def _of_columns(path: Path, form: _Form, columns: list[int]) -> Matrix:
    if not form.commas and all(form.numbers(column) for column in range(form.width)):
        try:
            table = np.loadtxt(
                path,
                delimiter=form.delimiter,
                dtype=np.float32,
                ndmin=2,
                skiprows=form.skip,
                encoding=encoding_of(path),
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
        numbers = _numbers_in(cell)
        try:
            if not _is_list(cell):
                raise ValueError
            found.append(np.array(numbers, dtype=np.float32))
        except ValueError as error:
            raise DistnormError(f"{where} with no list of numbers", "[0.1, 0.2]", SAVE) from error
    return stacked(found, path)


def _rows(path: Path, form: _Form) -> Iterator[tuple[int, Cells]]:
    """Rows of cells with their line numbers, all of one width."""
    for number, row in separated_rows(path, form.delimiter, form.skip):
        row = _phrase(row, form.width) if form.delimiter is None else row
        if len(row) < form.width or any(cell.strip() for cell in row[form.width :]):
            raise DistnormError(
                f"{path}, row {number}, with {len(row)} cells",
                f"{form.width} as in the first rows",
                "mend it",
            )
        yield number, list(map(point, row)) if form.commas else row


def _first_character(path: Path) -> str:
    with path.open("rb") as file:
        start = file.read(1 << 10)
    return start.removeprefix(b"\xef\xbb\xbf").lstrip()[:1].decode("latin-1")


def _is_list(cell: str) -> bool:
    found = _numbers_in(cell)
    return bool(found) and is_number(found[0]) and is_number(found[-1])


def _numbers_in(cell: str) -> list[str]:
    """What stands in a cell between brackets, as Python, NumPy, torch and PostgreSQL write rows."""
    match = _LIST.fullmatch(_SCALAR.sub(r"\1", cell))
    return re.split(r"[\s,]+", match[1].strip().strip(",")) if match else []

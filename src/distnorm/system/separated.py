"""Text files of cells, CSV and its kin: how they are read, and what a number and a row number is.

What the columns mean is the business of those who read them.
"""

from __future__ import annotations

import csv
import os
import re
from collections.abc import Iterator, Sequence

from distnorm.errors import DistnormError
from distnorm.system.lines import open_text

__all__ = [
    "DELIMITERS",
    "INDEX_NAMES",
    "LONGEST_CELL",
    "Cells",
    "cut",
    "even",
    "is_number",
    "named_twice",
    "point",
    "sep_line",
    "separated_rows",
]

Cells = list[str]

DELIMITERS = (",", "\t", ";", "|")
INDEX_NAMES = ("", "unnamed: 0", "index", "__index_level_0__", "id", "row")
"""What columns of row numbers are called; pandas' own names are the second and the fourth."""
LONGEST_CELL = 1 << 24

_NUMBER = re.compile(
    r"[ \t\xa0]*[-+]?(\d+\.?\d*([eE][-+]?\d+)?|\.\d+([eE][-+]?\d+)?|nan|inf(inity)?)[ \t\xa0]*",
    re.IGNORECASE,
)
_DECIMAL_COMMA = re.compile(r"\s*[-+]?\d*,\d+([eE][-+]?\d+)?\s*")
_SEP = re.compile(r'"?sep=(.)"?', re.IGNORECASE)


def is_number(cell: str) -> bool:
    """Whether a cell is a number, spaces around it apart; NaN and infinity are."""
    return _NUMBER.fullmatch(cell) is not None


def point(cell: str) -> str:
    """A decimal comma as a point; for files whose cells no comma parts."""
    return cell.replace(",", ".") if _DECIMAL_COMMA.fullmatch(cell) else cell


def sep_line(line: str) -> str | None:
    """The delimiter that spreadsheets name in a first line such as ``sep=;``; None for another."""
    match = _SEP.fullmatch(line.strip())
    return None if match is None else match[1]


def cut(lines: Sequence[str], delimiter: str | None) -> list[Cells]:
    """Lines as rows of cells, a quoted one perhaps over several lines; none if damaged.

    A ``delimiter`` of None is any number of spaces. Empty lines are left out.
    """
    if delimiter is None:
        return [line.split() for line in lines if line.strip()]
    csv.field_size_limit(LONGEST_CELL)
    try:
        rows = [row for row in csv.reader((f"{x}\n" for x in lines), delimiter=delimiter) if row]
    except csv.Error:
        return []
    return [] if any(_swallows(row, delimiter) for row in rows) else rows


def even(rows: list[Cells]) -> list[Cells]:
    """Rows without the empty cells that delimiters at the ends of lines leave, of some or of all.

    A last column that is named or filled somewhere stays.
    """
    width = min(map(len, rows), default=0)
    if any(len(row) > width for row in rows):
        rest = [cell for row in rows for cell in row[width:]]
        if any(cell.strip() for cell in rest):
            return rows
        rows = [row[:width] for row in rows]
    while width > 1 and not any(row[width - 1].strip() for row in rows):
        width -= 1
        rows = [row[:width] for row in rows]
    return rows


def named_twice(path: str | os.PathLike[str], names: Sequence[str]) -> None:
    """Raise, with the name, if two of these columns have one name."""
    twice = next((name for at, name in enumerate(names) if name in names[:at]), None)
    if twice is not None:
        raise DistnormError(
            f"{os.fspath(path)} with several columns called {twice!r}",
            "a name for each column",
            "rename or drop those that are not meant",
        )


def _swallows(row: Cells, delimiter: str) -> bool:
    """Whether a quote that is not closed has made a cell of the rows after it.

    Commas are in texts, too: there, a line must begin as the row does, such as with a file's name.
    """
    if len(row) < 2 or not any("\n" in cell for cell in row):
        return False
    first = os.path.splitext(row[0])[1].lower()
    for cell in row:
        for line in cell.split("\n")[1:]:
            cells = line.split(delimiter)
            if len(cells) >= len(row) and (
                delimiter != "," or (first and cells[0].lower().endswith(first))
            ):
                return True
    return False


def _open_quote(
    path: str | os.PathLike[str], first: int, last: int, delimiter: str
) -> DistnormError:
    name = os.fspath(path)
    remedy = (
        f"if its quotes mean themselves: pandas.read_csv({name!r}, sep={delimiter!r}, quoting=3)"
        f".to_csv('new.csv', index=False)"
    )
    if delimiter == ",":
        remedy = 'write quotes inside of a text twice ("") and whole texts in quotes'
    return DistnormError(
        f"a quote in line {first} of {name} that takes the lines up to {last} into one cell",
        "quotes in pairs around whole cells",
        remedy,
    )


def separated_rows(
    path: str | os.PathLike[str], delimiter: str | None, skip: int = 0
) -> Iterator[tuple[int, Cells]]:
    """Every row of a file with the number of its last line; empty lines are left out.

    ``delimiter`` as of `cut`; ``skip`` lines stand before the first row. Raises as `open_text`, and
    `DistnormError` for a damaged line.
    """
    csv.field_size_limit(LONGEST_CELL)
    with open_text(path, newline="") as file:
        for _ in range(skip):
            file.readline()
        if delimiter is None:
            for number, line in enumerate(file, start=skip + 1):
                if line.strip():
                    yield number, line.split()
            return
        reader = csv.reader(file, delimiter=delimiter)
        try:
            start = skip
            for row in reader:
                start, first = skip + reader.line_num, start + 1
                if _swallows(row, delimiter):
                    raise _open_quote(path, first, start, delimiter)
                if row:
                    yield start, row
        except csv.Error as error:
            raise DistnormError(
                f"{path}, line {skip + reader.line_num}: {error}", "a table", "mend the line"
            ) from error

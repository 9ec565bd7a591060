"""Matrices in JSON and JSON lines: rows as lists of numbers, alone or as fields of records."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from distnorm.errors import DistnormError, DistnormWarning
from distnorm.store.vector_files import families
from distnorm.system.json_rows import json_values, rows_of

__all__ = ["SAVE", "json_vectors", "read_json", "say_left_out", "stacked"]

Matrix = npt.NDArray[Any]
Matrices = Mapping[str, Callable[[], Matrix]]

SAVE = "write the matrix alone with numpy.save"
"""The remedy where nothing else can be said."""


def read_json(path: Path) -> Matrices:
    """The matrices of a .json or .jsonl: lists of numbers, or fields of records that hold them."""
    records = _records(path)
    if not records:
        raise DistnormError(f"{path} without a row", "embeddings", SAVE)
    if isinstance(records[0], list):
        return {"": lambda: _matrix(records, path)}
    if not isinstance(records[0], dict):
        raise DistnormError(f"{path} with {records[0]!r:.40}", "lists of numbers", SAVE)
    names = [name for name, value in records[0].items() if _is_vector(value)]
    if not names:
        return _numbered(records, path)
    say_left_out(path, [name for name in records[0] if name not in names] if names else [])

    def field(name: str) -> Matrix:
        rows = []
        for number, record in enumerate(records):
            if not isinstance(record, dict) or name not in record:
                raise DistnormError(
                    f"{path}, record {number}, without {name!r}", "one in each", "drop it"
                )
            rows.append(record[name])
        return _matrix(rows, path)

    return {name: lambda name=name: field(name) for name in names}  # type: ignore[misc]


def _numbered(records: list[Any], path: Path) -> Matrices:
    """The matrices of records with a number under each numbered name, as pandas writes rows."""
    found = _numbered_names(records[0], path)
    used = {name for names in found.values() for name in names}
    say_left_out(path, [name for name in records[0] if name not in used] if used else [])

    def rows(names: list[str]) -> Matrix:
        return _matrix(
            [[r.get(name) for name in names] if isinstance(r, dict) else r for r in records], path
        )

    return {
        prefix: lambda names=names: rows(names)  # type: ignore[misc]
        for prefix, names in found.items()
    }


def _numbered_names(record: dict[str, Any], path: Path) -> dict[str, list[str]]:
    return families((name for name, x in record.items() if isinstance(x, float)), path)


def json_vectors(path: Path) -> bool:
    """Whether records are vectors, or hold some longer than a box."""
    try:
        first = next(iter(_records(path)), None)
    except (DistnormError, OSError, ValueError, RecursionError):
        return False
    values: list[Any] = list(first.values()) if isinstance(first, dict) else [first]
    if isinstance(first, dict) and _numbered_names(first, path):
        return True
    return any(_is_vector(value) and len(value) > 4 for value in values)


def stacked(rows: list[Matrix], path: Path) -> Matrix:
    """Rows as a matrix, if they are of one length."""
    shapes = {row.shape for row in rows}
    if len(shapes) == 1:
        return np.stack(rows)
    number = next(n for n, row in enumerate(rows) if row.shape != rows[0].shape)
    raise DistnormError(
        f"{path} with {rows[number].size} numbers in row {number}",
        f"{rows[0].size} as in row 0",
        "drop or embed again that row",
    )


def say_left_out(path: Path, names: list[str]) -> None:
    """Warn of columns or fields that are no part of the vectors."""
    if names:
        shown = ", ".join(names[:6]) + (" ..." if len(names) > 6 else "")
        words = f"{path}: left out what is no dimension: {shown} ({len(names)} in all)"
        warnings.warn(words, DistnormWarning, stacklevel=5)


def _records(path: Path) -> list[Any]:
    """Values of JSON lines, or of the one table in a file of JSON."""
    value = json_values(path)
    if not isinstance(value, dict):
        return value if isinstance(value, list) else [value]
    keyed = all(_is_vector(v) and not isinstance(v[0], list) for v in value.values())
    rows = None if keyed else rows_of(value)
    if rows is None or not isinstance(next(iter(rows), None), list | dict):
        raise DistnormError(
            f"{path}, one JSON object with {', '.join(map(repr, islice(value, 5)))}",
            "a list of rows, or one object per line",
            "x = pandas.read_json(FILE).to_numpy(); numpy.save('rows.npy', x)"
            if any(isinstance(inner, dict) for inner in value.values())
            else "x = list(json.load(open(FILE)).values()); numpy.save('rows.npy', x)",
        )
    return rows


def _is_vector(value: Any) -> bool:
    return isinstance(value, list) and len(value) > 1 and not isinstance(value[0], (str, dict))


def _matrix(rows: list[Any], path: Path) -> Matrix:
    found = []
    for number, row in enumerate(rows):
        try:
            if not isinstance(row, list) or any(isinstance(value, (bool, str)) for value in row):
                raise TypeError
            found.append(np.array(row, dtype=np.float32))
        except (ValueError, TypeError, OverflowError) as error:
            raise DistnormError(
                f"{path}, record {number}, that is no list of numbers", "numbers", SAVE
            ) from error
    return stacked(found, path)

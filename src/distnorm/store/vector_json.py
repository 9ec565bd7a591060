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
from distnorm.store.vector_choice import called_vectors, speaks_of_vectors
from distnorm.store.vector_files import families
from distnorm.store.vector_packed import is_vector, unpacking, way_to_vectors
from distnorm.system.json_rows import json_values, rows_of

__all__ = ["SAVE", "json_vectors", "read_json", "say_left_out", "stacked"]

Matrix = npt.NDArray[Any]
Matrices = Mapping[str, Callable[[], Matrix]]

SAVE = "write the matrix alone with numpy.save"
"""The remedy where nothing else can be said."""

_DEEPEST = 6
_OPENED = {True: "json.load(open(FILE))", False: "map(json.loads, open(FILE))"}
# What batches of requests call the request that a line answers.
_TAGS = ("custom_id", "recordId")


def read_json(path: Path) -> Matrices:
    """The matrices of a .json or .jsonl: lists of numbers, or fields of records that hold them."""
    value = json_values(path)
    several = {} if isinstance(value, list) else _lists_of_vectors(value, "")
    if len(several) > 1:
        return {name: lambda rows=rows: _matrix(rows, path) for name, rows in several.items()}  # type: ignore[misc]
    records = _records(value, path)
    if not records:
        raise DistnormError(f"{path} without a row", "embeddings", SAVE)
    if isinstance(records[0], list):
        return {"": lambda: _matrix(records, path)}
    if not isinstance(records[0], dict):
        raise _foreign(path, value, f"{records[0]!r:.40}")
    if len(records) > 1 and all(isinstance(r, dict) and len(r) == 1 for r in records):
        values = [value for record in records for value in record.values()]
        if records[0].keys() != records[1].keys() and all(map(is_vector, values)):
            return {"": lambda: _matrix(values, path)}  # each under its own name
    fields = _fields(records[0])
    names = [name for name, one in fields.items() if is_vector(one) or _is_packed(name, one)]
    if not names:
        found = _numbered(fields, records, path)
        if not found:
            shown = ", ".join(map(repr, islice(records[0], 6)))
            raise _foreign(path, value, f"records of {shown}")
        return found
    say_left_out(path, [name for name in fields if name not in names])

    def field(name: str) -> Matrix:
        rows = []
        for number, record in enumerate(records):
            row = _fields(record).get(name) if isinstance(record, dict) else None
            if row is None:
                raise DistnormError(
                    f"{path}, record {number}, without {name!r}", "one in each", "drop it"
                )
            if _is_packed(name, row):
                raise _foreign(path, value, f"{row!r:.40} in {name!r}")
            rows.append(row)
        return _matrix(rows, path)

    return {name: lambda name=name: field(name) for name in names}  # type: ignore[misc]


def _is_packed(name: str, value: Any) -> bool:
    """Whether a field is called embedding, or so, and its text may hold one."""
    return isinstance(value, str) and called_vectors(name) and unpacking(value) is not None


def _fields(record: dict[str, Any], above: str = "") -> dict[str, Any]:
    """Fields of a record, those of objects in it under ``outer.inner``."""
    found: dict[str, Any] = {}
    for name, value in record.items():
        if isinstance(value, dict) and above.count(".") < _DEEPEST:
            found |= _fields(value, f"{above}{name}.")
        else:
            found[f"{above}{name}"] = value
    return found


def _numbered(fields: dict[str, Any], records: list[Any], path: Path) -> Matrices:
    """The matrices of records with a number under each numbered name, as pandas writes rows."""
    found = _numbered_names(fields, path)
    used = {name for names in found.values() for name in names}
    say_left_out(path, [name for name in fields if name not in used] if used else [])

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
        value = json_values(path)
        first = next(iter(_records(value, path)), None)
    except _Foreign as error:
        return speaks_of_vectors(error.remedy)
    except (DistnormError, OSError, ValueError, RecursionError):
        return False
    if not isinstance(first, dict):
        return first is not None and is_vector(first) and len(first) > 4
    if _numbered_names(first, path):
        return True
    return any(
        (is_vector(one) and len(one) > 4 and ("." not in name or speaks_of_vectors(name)))
        or _is_packed(name, one)
        for name, one in _fields(first).items()
    )


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


class _Foreign(DistnormError):
    """Vectors within other objects."""


def _records(value: Any, path: Path) -> list[Any]:
    """Values of JSON lines, or of the one table in a file of JSON; OpenAI's in their order."""
    if isinstance(value, list):
        rows: list[Any] | None = value
    elif isinstance(value, dict):
        keyed = all(is_vector(one) and not isinstance(one[0], list) for one in value.values())
        rows = None if keyed else rows_of(value)
        if rows is None or not isinstance(next(iter(rows), None), list | dict):
            inside = list(_lists_of_vectors(value, "").values())
            rows = inside[0] if len(inside) == 1 else None
    else:
        rows = [value]
    if rows is None:
        shown = ", ".join(map(repr, islice(value, 5)))
        raise _foreign(path, value, f"one JSON object with {shown}")
    if _tag_of(rows) is not None:
        raise _foreign(path, value, "answers in the order in which they came")
    if rows and isinstance(rows[0], dict) and rows[0].get("object") == "embedding":
        found = [row for row in rows if isinstance(row, dict) and type(row.get("index")) is int]
        by_place = {row["index"]: row for row in found}
        if by_place.keys() == set(range(len(rows))):
            return [by_place[place] for place in range(len(rows))]
    return rows


def _tag_of(rows: list[Any]) -> str | None:
    """What names the request in answers to a batch of them, which come in any order."""
    first = rows[0] if rows else None
    if not isinstance(first, dict) or any(map(is_vector, first.values())):
        return None
    return next((tag for tag in _TAGS if tag in first), None)


def _lists_of_vectors(value: Any, above: str) -> dict[str, list[Any]]:
    """Lists of vectors, or of records that hold some, in an object of objects, by ``outer.inner``.

    Those of whole numbers are left out where there are others: copies of fewer bits.
    """
    found: dict[str, list[Any]] = {}
    table = not isinstance(value, dict) or {"columns", "data"} <= value.keys()
    for name, one in () if table else value.items():
        if isinstance(one, dict) and above.count(".") < _DEEPEST:
            found |= _lists_of_vectors(one, f"{above}{name}.")
        elif isinstance(one, list) and one and _holds_vectors(one[0]):
            found[f"{above}{name}"] = one
    whole = {name for name, one in found.items() if isinstance(one[0], list) and _is_whole(one[0])}
    return {n: one for n, one in found.items() if n not in whole or len(whole) == len(found)}


def _holds_vectors(value: Any) -> bool:
    if isinstance(value, dict):
        return any(is_vector(one) or _is_packed(n, one) for n, one in _fields(value).items())
    return is_vector(value)


def _is_whole(row: list[Any]) -> bool:
    return all(isinstance(value, int) for value in row)


def _foreign(path: Path, value: Any, got: str) -> DistnormError:
    """The error for vectors that stand elsewhere in JSON, with the line that takes them out."""
    rows = value if isinstance(value, list) else [value]
    full = next((row for row in rows if isinstance(row, dict) and _holds_vectors(row)), None)
    if full is not None and not _holds_vectors(rows[0]):
        name = next(name for name, one in full.items() if _holds_vectors({name: one}))
        return _Foreign(
            f"{path}, record 0, without {name!r}",
            "one in each",
            "drop such records on both sides"
            + (
                f": x = [a[{name!r}] for a in {_OPENED[path.suffix.lower() == '.json']} "
                f"if a.get({name!r})]; numpy.save('rows.npy', x)"
            )
            * ("." not in name),
        )
    way = way_to_vectors(value, value is rows and path.suffix.lower() != ".json")
    table = isinstance(value, dict) and all(isinstance(one, dict) for one in value.values())
    lost = "x = pandas.read_json(FILE).to_numpy(); numpy.save('rows.npy', x)" if table else SAVE
    remedy = lost if way is None else f"x = {way}; numpy.save('rows.npy', x)"
    tag = _tag_of(rows)
    if tag is not None:
        lines = _OPENED[False]
        in_order = f"sorted({lines}, key=lambda r: IDS.index(r[{tag!r}]))"
        remedy = f"{remedy.replace(lines, in_order)} # IDS: those of your requests, in their order"
    return _Foreign(f"{path} with {got}", "a list of vectors, or one in each record", remedy)


def _matrix(rows: list[Any], path: Path) -> Matrix:
    """Rows in float32; whole numbers that may be bytes, packed or quantised, stay whole."""
    found, whole = [], True
    for number, row in enumerate(rows):
        try:
            if not isinstance(row, list) or any(isinstance(value, (bool, str)) for value in row):
                raise TypeError
            numbers = np.array(row)
            whole = whole and numbers.dtype.kind in "iu"
            found.append(numbers.astype(np.float32))
        except (ValueError, TypeError, OverflowError) as error:
            raise DistnormError(
                f"{path}, record {number}, that is no list of numbers", "numbers", SAVE
            ) from error
    matrix = stacked(found, path)
    low, high = float(matrix.min(initial=0)), float(matrix.max(initial=0))
    bytes_ = whole and low >= -128 and high <= 255 and max(-low, high) > 1
    return matrix.astype(np.int64) if bytes_ else matrix

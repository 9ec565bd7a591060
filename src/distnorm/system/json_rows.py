"""Files of JSON as rows: one value per line, a list, or one of the forms that pandas writes."""

from __future__ import annotations

import ast
import json
from pathlib import Path
from typing import Any

from distnorm.errors import DistnormError
from distnorm.system.lines import text_lines

__all__ = ["json_error", "json_values", "printed_value", "rows_of"]


_LONGEST = 1 << 22  # characters of what Python printed


def json_values(path: Path) -> Any:
    """The value of a file, or the list of those of its lines, whatever its name says; or raise.

    What Python printed of a list or a dictionary counts as JSON.
    """
    lines = [line for line in text_lines(path) if line.strip()]
    whole = path.suffix.lower() == ".json"
    try:
        return _whole(lines) if whole else _each(lines)
    except (ValueError, RecursionError) as error:
        if len(lines) > 1:
            try:
                return _each(lines) if whole else _whole(lines)
            except (ValueError, RecursionError):
                pass
        try:
            return _printed("\n".join(lines))
        except (ValueError, TypeError, SyntaxError, RecursionError, MemoryError):
            raise json_error(str(path), error) from error


def printed_value(path: Path) -> Any:
    """The value of a file of text that is one list or object in brackets; None for any other.

    Raises
    ------
    DistnormError
        For a file that cannot be read.
    """
    lines = [line for line in text_lines(path) if line.strip()]
    if not lines or lines[0].lstrip()[0] + lines[-1].rstrip()[-1] not in ("[]", "{}"):
        return None
    text = "\n".join(lines)
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        pass
    try:
        return _printed(text)
    except (ValueError, TypeError, SyntaxError, RecursionError, MemoryError):
        return None


def json_error(label: str, error: Exception) -> DistnormError:
    """The error for what is no JSON."""
    why = str(error) if isinstance(error, ValueError) else "too deep"
    return DistnormError(
        f"{label}, which is no JSON: {why}",
        "whole JSON, or one JSON value per line",
        "mend it, or write it again",
    )


def rows_of(value: Any) -> list[Any] | None:
    """A list as it is; the rows of an object that is one table; None for any other.

    | form | rows |
    |---|---|
    | ``{"columns": [...], "data": [[...]]}`` | objects |
    | ``{"0": row, "1": row, ...}`` | in the order of the numbers |
    | ``{"a": {"0": cell, ...}, "b": ...}``, ``{"a": [cell, ...], "b": ...}`` | objects |
    | an object with one list beside other values | that list |
    """
    if isinstance(value, list):
        return value
    if not isinstance(value, dict) or not value:
        return None
    if set(value) >= {"columns", "data"}:
        names, data = value["columns"], value["data"]
        if not isinstance(names, list) or not isinstance(data, list):
            return None
        if not all(isinstance(row, list) and len(row) == len(names) for row in data):
            return None
        if len(set(map(str, names))) < len(names):
            return None
        return [dict(zip(map(str, names), row, strict=True)) for row in data]
    values = list(value.values())
    nested = all(isinstance(inner, dict) for inner in values)
    if _numbered(value) and not (nested and _numbered(values[0])):
        return [value[str(row)] for row in range(len(value))]
    if nested:
        if _numbered(value) and len(value) > 1:
            return None  # columns or rows: both are numbered
        columns = [rows_of(inner) if _numbered(inner) else None for inner in values]
        values = [column for column in columns if column is not None]
        if len(values) != len(columns):
            return None
    lists = [inner for inner in values if isinstance(inner, list)]
    if len(values) == 1 and lists and lists[0] and isinstance(lists[0][0], dict | list):
        return lists[0]
    if len(lists) == len(values):
        if len({len(column) for column in lists}) != 1:
            return None
        return [dict(zip(value, row, strict=True)) for row in zip(*lists, strict=True)]
    filled = [inner for inner in lists if inner]
    return filled[0] if len(filled) == 1 else None


def _numbered(value: dict[str, Any]) -> bool:
    """Whether its names are 0, 1, ... in any order."""
    return bool(value) and set(value) == {str(row) for row in range(len(value))}


def _printed(text: str) -> Any:
    """A list or an object as Python prints it: quotes of both kinds, keys that are numbers."""
    text = text.strip()
    if text[:1] + text[-1:] not in ("[]", "{}") or len(text) > _LONGEST:
        raise ValueError
    return json.loads(json.dumps(ast.literal_eval(text)))


def _whole(lines: list[str]) -> Any:
    return json.loads("\n".join(lines))


def _each(lines: list[str]) -> list[Any]:
    return [json.loads(line) for line in lines]

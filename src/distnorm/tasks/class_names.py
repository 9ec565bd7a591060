"""Names of classes from files, in the order of the class rows.

One per line, a .npy of texts, a column of a table, or JSON: a list, ``{"tench": 0}``,
``{"0": "tench"}``, ``{"0": ["n01440764", "tench"]}``. Synset ids beside names are kept: labels may
be either.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from distnorm.arrays import NDArray
from distnorm.errors import DistnormError
from distnorm.system.json_rows import json_values, printed_value
from distnorm.system.separated import INDEX_NAMES
from distnorm.tasks.files import Meaning, read_values
from distnorm.tasks.tables import Column, Table, table_of

__all__ = ["ClassNames", "read_class_names"]

_SYNSET = re.compile(r"n\d{8}")
_QUOTED = re.compile(r"""(["']).+\1,?""")
_LINE = re.compile(r"(n\d{8})\s+(\S.*)")
_COUNTED = re.compile(r"(\d{1,9})(?:\s+|\s*[:.)=]\s*)(\S.*)")
_NAMES = ("name", "class_name", "classname", "class", "label_name", "category", "label", "title")
_NUMBERS = ("class_id", "class_index", "class_idx", "label", "label_id", "idx", *INDEX_NAMES)
_MEANING = Meaning(
    "class names", (_NAMES,), "the name of each class row", "give one name per line", words=True
)


@dataclass(frozen=True)
class ClassNames:
    """Name of each class row, and its synset id where the file has them."""

    names: list[str]
    ids: list[str] | None = None

    def __len__(self) -> int:
        """Number of classes."""
        return len(self.names)

    def check_count(self, n_classes: int, path: object) -> None:
        """Raise unless there is a name for each class."""
        if len(self) != n_classes:
            raise DistnormError(
                f"{len(self)} names of {n_classes} classes", "one each", f"mend {path}"
            )

    def spelled_as(self, labels: NDArray) -> list[str]:
        """What the labels are written in: the ids if they are ids, else the names."""
        own = bool(labels.size) and str(labels.flat[0])
        return self.ids if self.ids is not None and own in self.ids else self.names


def read_class_names(path: str | os.PathLike[str]) -> ClassNames:
    """Read the names of the class rows; raises for an empty one, and where columns are in doubt."""
    target = Path(path)
    kind = target.suffix.lower()
    if kind in (".py", ".yaml", ".yml", ".xml", ".html"):
        raise _no_names(target, f"{kind[1:]} code in it")
    if kind in (".npy", ".npz"):
        values = read_values(target, _MEANING)
        if values.ndim != 1 or values.dtype.kind != "U":
            raise _no_names(target, f"an array of shape {values.shape} and dtype {values.dtype}")
        return ClassNames([str(name) for name in values])
    listed = _numbered(target) if kind in (".json", ".txt", "") else None
    table = listed or table_of(target, (*_NAMES, *_NUMBERS))
    columns = _in_order(table)
    ids = next((c for c in columns if all(_is_synset(cell) for cell in c.cells)), None)
    words = [c for c in columns if c is not ids and c.words is not None]
    if not words and ids is None and len(columns) == 1 and None not in columns[0].cells:
        words = columns  # classes that are called by numbers
    named = [c for name in _NAMES for c in words if c.name.strip().lower() == name]
    if not words and ids is not None:
        words = [ids]
    if not named and len(words) > 1:
        raise _no_names(target, table.shown())
    if not words:
        raise _no_names(target, "an empty name, or none")
    names = [str(cell) for cell in (named or words)[0].cells]
    if not all(name.strip() for name in names):
        raise _no_names(target, "an empty name")
    if all(map(_QUOTED.fullmatch, names)):
        names = [name.strip(",\"'") for name in names]  # of a list in code
    synsets = None if ids is None else [str(cell) for cell in ids.cells]
    pairs = [_LINE.fullmatch(name) for name in names]
    if all(pairs) and synsets is None:
        synsets = [pair[1] for pair in pairs if pair is not None]
        names = [pair[2] for pair in pairs if pair is not None]
    counted = [_COUNTED.fullmatch(name) for name in names]
    numbers = [int(match[1]) for match in counted if match is not None]
    if len(numbers) == len(names) > 1 and numbers in _counts(len(names)):
        names = [match[2] for match in counted if match is not None]
    return ClassNames(names, synsets)


def _counts(n: int) -> tuple[list[int], list[int]]:
    """The numbers of rows from 0, and from 1."""
    return list(range(n)), list(range(1, n + 1))


def _no_names(path: Path, got: str) -> DistnormError:
    return DistnormError(
        f"{path} with {got}", "the name of each class row", "keep one column, called 'name'"
    )


def _is_synset(cell: Any) -> bool:
    return isinstance(cell, str) and _SYNSET.fullmatch(cell) is not None


def _in_order(table: Table) -> list[Column]:
    """The columns without row numbers, in the order of these if they are one."""
    columns = list(table.columns)
    numbers = next((c for c in table.named(*_NUMBERS) if c.numbers is not None), None)
    if numbers is None and len(columns) > 1 and columns[0].is_index:
        numbers = columns[0]
    if numbers is None or len(columns) < 2:
        return columns
    count = np.arange(len(table))
    values = count if numbers.numbers is None else numbers.numbers
    order = np.argsort(values, kind="stable")
    ranked = values[order]
    if not (np.array_equal(ranked, count) or np.array_equal(ranked, count + 1)):
        order = count
    rest = [column for column in columns if column is not numbers]
    return [Column(c.name, [c.cells[row] for row in order]) for c in rest]


def _numbered(path: Path) -> Table | None:
    """A JSON object of names with numbers, or of numbers from 1 on with names; else None."""
    content = json_values(path) if path.suffix.lower() == ".json" else printed_value(path)
    if not isinstance(content, dict) or not content:
        return None
    labels = content.get("id2label")  # transformers' config.json
    content = labels if isinstance(labels, dict) and labels else content
    while len(content) == 1 and isinstance(inner := next(iter(content.values())), dict) and inner:
        content = inner  # the features of datasets
    if isinstance(content.get("names"), list):
        return Table(path, (Column("", content["names"]),))
    names: list[Any] = list(content)
    numbers = list(content.values())
    if all(name.isdecimal() and len(name) < 19 for name in names):
        names, numbers = numbers, [int(name) for name in names]
    whole = all(isinstance(n, int) and not isinstance(n, bool) for n in numbers)
    if not whole or sorted(numbers) not in _counts(len(names)):
        return None
    ordered = [name for _, name in sorted(zip(numbers, names, strict=True), key=lambda p: p[0])]
    if all(isinstance(entry, list) and len(entry) == 2 for entry in ordered):
        first, second = zip(*ordered, strict=True)
        return Table(path, (Column("", first), Column("", second)))
    return Table(path, (Column("", ordered),))

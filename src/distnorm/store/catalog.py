"""Which rows of a store are one item, and what each item is called.

A picture is its content: rows of one hash are one picture, whatever their files are called. Where a
store has no hash, equal rows under one name are one picture. A text is its words.
"""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from distnorm.store.columns import read_names, read_tables
from distnorm.store.layout import METADATA, Commit
from distnorm.store.origins import source_folder
from distnorm.store.vectors import open_embeddings

__all__ = ["Catalog", "Numbered", "picture_folder"]

_HASHES = ("hash", "sha256", "md5")
_BLOCK = 8192


class Catalog:
    """Items of one side of a store.

    Attributes
    ----------
    names : list of str
        What the store calls each row; several items may share a name.
    first : ndarray of bool, shape (n,)
        Whether a row is the first of its item.
    copies : int
        Rows of the item that has most of them.
    places : list of str
        What tells each row's item by name: its path with its source, or its words.
    """

    def __init__(self, names: list[str], items: npt.NDArray[Any], commit: Commit | None) -> None:
        self.names = names
        _, first, counts = np.unique(items, return_index=True, return_counts=True)
        self.first = np.zeros(len(names), dtype=bool)
        self.first[first] = True
        self.copies = int(counts.max(initial=0))
        self._commit = commit
        if self._shared:
            _ = self._sources  # read now, while the commit stands

    @classmethod
    def of(cls, names: list[str]) -> Catalog:
        """Items that are in no store, one for each name."""
        return cls(names, np.arange(len(names)), None)

    @classmethod
    def read(cls, commit: Commit, side: str, key: str | None = None) -> Catalog:
        """The items of a side; raises if there are names for another number of rows."""
        names = read_names(commit, side, key=key)
        numbers = np.arange(len(names))
        if side != "image":
            rows = {name: row for row, name in zip(numbers[::-1], reversed(names), strict=True)}
            return cls(names, np.array([rows[name] for name in names], dtype=np.intp), commit)
        return cls(names, _pictures(commit, names), commit)

    @property
    def places(self) -> list[str]:
        """Name and source of each row."""
        both = zip(self._sources, self.names, strict=True)
        return [name if source is None else f"{source}\0{name}" for source, name in both]

    def title(self, row: int) -> str:
        """What a row's item is called: with its source where others have the same name."""
        name = self.names[row]
        others = self._shared.get(name, [])
        if row not in others:
            return name
        full = {other: self._full_name(self._sources[other], name) for other in others}
        same = sum(value == full[row] for value in full.values())
        return full[row] if same == 1 else f"{full[row]} (#{row})"

    def file(self, row: int, folder: Path | None = None) -> Path | None:
        """The file of a row's picture; None where there is none below its own folder.

        That folder is ``folder`` if given, else the source of the row if the store says it. No
        name leads out of it, by dots, as an absolute path or over a link.
        """
        folder = folder or self._folder(self._sources[row])
        if folder is None:
            return None
        try:
            path, root = (folder / self.names[row]).resolve(), folder.resolve()
            return path if path.is_relative_to(root) and path.is_file() else None
        except (OSError, ValueError, RuntimeError):
            return None

    @property
    def folder(self) -> Path | None:
        """The folder that all pictures' names start from, if there is one and it is there."""
        places = {self._folder(source) for source in set(self._sources)}
        return places.pop() if len(places) == 1 else None

    def _folder(self, source: str | None) -> Path | None:
        if source is None or self._commit is None:
            return None
        place = source_folder(source, self._commit.folder)
        return Path(place) if os.path.isabs(place) else None

    def _full_name(self, source: str | None, name: str) -> str:
        """A name with the folder that it starts from."""
        if source is None or self._commit is None:
            return name
        return os.path.join(source_folder(source, self._commit.folder), name)

    @cached_property
    def _shared(self) -> dict[str, list[int]]:
        """Names of several items, with the first row of each."""
        rows = np.flatnonzero(self.first).tolist()
        counts = Counter(self.names[row] for row in rows)
        shared: dict[str, list[int]] = {name: [] for name, n in counts.items() if n > 1}
        for row in rows:
            if self.names[row] in shared:
                shared[self.names[row]].append(row)
        return shared

    @cached_property
    def _sources(self) -> list[str | None]:
        """Where each row came from, None where the store does not say."""
        if self._commit is None:
            return [None] * len(self.names)
        sources: list[str | None] = []
        for count, table in read_tables(self._commit, ("source",)):
            known = "source" in table.column_names
            sources += table.column("source").to_pylist() if known else [None] * count
        return sources or [None] * len(self.names)


class Numbered:
    """As `Catalog`, of rows that nothing names: each is an item, called by its number."""

    first: npt.NDArray[np.bool_] | None = None  # every row
    copies = 1

    def __init__(self, count: int) -> None:
        self.names = range(count)

    def title(self, row: int) -> str:
        """What a row is called."""
        return f"#{row}"


def picture_folder(place: str | os.PathLike[str]) -> Path | None:
    """Where a store's pictures lie, if it says so and they are there; None for other places."""
    path = Path(place)
    return Catalog.read(Commit.read(path), "image").folder if path.is_dir() else None


def _pictures(commit: Commit, names: list[str]) -> npt.NDArray[Any]:
    """A key for each row: its hash, else its number in the first equal row of its name."""
    if not commit.files(METADATA):
        return np.arange(len(names))
    keys: list[str | None] = []
    for count, table in read_tables(commit, _HASHES):
        present = [name for name in _HASHES if name in table.column_names]
        keys += table.column(present[0]).to_pylist() if present else [None] * count
    unknown = [row for row, key in enumerate(keys) if key is None]
    if unknown:
        equal = _equal_rows(commit, names, unknown)
        for row in unknown:
            keys[row] = f"#{equal.get(row, row)}"
    return np.array(keys, dtype=str)


def _equal_rows(commit: Commit, names: list[str], rows: list[int]) -> dict[int, int]:
    """Of rows whose name comes more than once, the first one with the same vector."""
    counts = Counter(names[row] for row in rows)
    repeated = np.array([row for row in rows if counts[names[row]] > 1], dtype=np.intp)
    vectors, firsts, equal = open_embeddings(commit, "image"), dict[bytes, int](), dict[int, int]()
    for start in range(0, len(repeated), _BLOCK):
        block = repeated[start : start + _BLOCK]
        for row, vector in zip(block.tolist(), np.asarray(vectors[block]), strict=True):
            content = hashlib.blake2b(names[row].encode() + b"\0" + vector.tobytes()).digest()
            equal[row] = firsts.setdefault(content, row)
    return equal

"""Where biases of items are kept: what every such place offers, and a folder of files.

A bias lies under a column, a name made of the normalization's fingerprint (see `biases`). A column
is used by searches from the moment it is published.

In a folder, ``published.json`` lists what is complete and ``<column>/part-000000.npz`` holds ids
and numbers. Every file is written whole or not at all.
"""

from __future__ import annotations

import abc
import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from distnorm.errors import DistnormError
from distnorm.system.files import atomic_write

__all__ = ["About", "BiasFolder", "BiasStore", "ListedBiases"]

About = dict[str, Any]
"""What is stated about the biases of one column."""


class BiasStore(abc.ABC):
    """Where a system keeps a bias per item; ``column`` names one normalization's."""

    @abc.abstractmethod
    def published(self) -> dict[str, About]:
        """What is complete: column to what is stated about it."""

    @abc.abstractmethod
    def publish(self, column: str, about: About | None) -> None:
        """Add to that list in one step, or take away (None) with the biases themselves."""

    def prepare(self, column: str) -> None:
        """Make room for a column; nothing to do if it is there."""
        return

    def read(self, column: str, ids: Sequence[Any]) -> npt.NDArray[np.float64]:
        """Biases of items, NaN where there is none."""
        values = self.values(column, list(ids))
        return np.array([values.get(item) for item in ids], dtype=np.float64)

    @abc.abstractmethod
    def values(self, column: str, ids: list[Any]) -> Mapping[Any, float | None]:
        """Biases by id; items without one may be missing or None."""

    @abc.abstractmethod
    def write(self, column: str, ids: Sequence[Any], values: npt.NDArray[np.float64]) -> None:
        """Store biases of items, durably."""


class ListedBiases(BiasStore):
    """A place that keeps its list of what is complete as one text of JSON."""

    def publish(self, column: str, about: About | None) -> None:
        """Change the list, then drop what is no longer in it."""
        listing = self.published()
        listing.pop(column, None)
        if about is not None:
            listing[column] = about
        self.keep(listing)
        if about is None:
            self.drop(column)

    @abc.abstractmethod
    def keep(self, listing: dict[str, About]) -> None:
        """Put this list in the place of the one that is there."""

    @abc.abstractmethod
    def drop(self, column: str) -> None:
        """Delete the biases of a column."""


class BiasFolder(ListedBiases):
    """Biases in a folder, made when something is written; in memory without one."""

    def __init__(self, folder: Path | None) -> None:
        self.folder = folder
        self._columns: dict[str, dict[Any, float]] = {}
        self._listing: dict[str, About] = {}

    def published(self) -> dict[str, About]:
        """What is complete."""
        if self.folder is None:
            return dict(self._listing)
        path = self.folder / "published.json"
        try:
            listing: dict[str, About] = json.loads(path.read_text("utf-8"))
        except FileNotFoundError:
            return {}
        except ValueError as error:
            raise DistnormError(
                f"{path}, which is no JSON",
                "what distnorm wrote",
                "delete the folder and upload the biases again",
            ) from error
        return listing

    def keep(self, listing: dict[str, About]) -> None:
        """Write the list; nothing is made only to say that it is empty."""
        self._listing = listing
        if self.folder is not None and (listing or self.folder.is_dir()):
            self.folder.mkdir(parents=True, exist_ok=True)
            with atomic_write(self.folder / "published.json") as file:
                file.write(json.dumps(listing, indent=1).encode())

    def drop(self, column: str) -> None:
        """Delete the column's folder."""
        self._columns.pop(column, None)
        if self.folder is not None:
            shutil.rmtree(self.folder / column, ignore_errors=True)

    def prepare(self, column: str) -> None:
        """Make the column's folder, and read what is in it anew."""
        if self.folder is not None:
            (self.folder / column).mkdir(parents=True, exist_ok=True)
            self._columns.pop(column, None)

    def values(self, column: str, ids: list[Any]) -> Mapping[Any, float | None]:
        """Biases of all items."""
        return self._load(column)

    def write(self, column: str, ids: Sequence[Any], values: npt.NDArray[np.float64]) -> None:
        """One more part."""
        if self.folder is not None:
            place = self.folder / column
            number = len(list(place.glob("part-*.npz")))
            with atomic_write(place / f"part-{number:06d}.npz") as file:
                np.savez(file, ids=np.asarray(list(ids)), values=values.astype(np.float32))
        rounded = values.astype(np.float32).tolist()
        self._load(column).update(zip(ids, rounded, strict=True))

    def _load(self, column: str) -> dict[Any, float]:
        if column not in self._columns:
            values: dict[Any, float] = {}
            parts = sorted((self.folder / column).glob("part-*.npz")) if self.folder else []
            for part in parts:
                with np.load(part, allow_pickle=False) as file:
                    values.update(zip(file["ids"].tolist(), file["values"].tolist(), strict=True))
            self._columns[column] = values
        return self._columns[column]

"""Biases beside an index that has no room for them: a folder of parts, switched by one file.

``FOLDER/published.json`` lists what is complete; ``FOLDER/<column>/part-000000.npz`` holds ids and
numbers. Every file is written whole or not at all.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from distnorm.errors import DistnormError
from distnorm.system.files import atomic_write

__all__ = ["BiasFolder"]


class BiasFolder:
    """A `BiasStore` in files.

    Parameters
    ----------
    folder : Path, optional
        Made when something is written; in memory only if left out.
    """

    def __init__(self, folder: Path | None) -> None:
        self.folder = folder
        self._columns: dict[str, dict[Any, float]] = {}
        self._memory: dict[str, dict[str, Any]] = {}

    def published(self) -> dict[str, dict[str, Any]]:
        """What is complete."""
        if self.folder is None:
            return dict(self._memory)
        try:
            text = (self.folder / "published.json").read_text("utf-8")
        except FileNotFoundError:
            return {}
        try:
            found: dict[str, dict[str, Any]] = json.loads(text)
        except ValueError as error:
            raise DistnormError(
                f"{self.folder / 'published.json'}, which is no JSON",
                "what distnorm wrote",
                "delete the folder and upload the biases again",
            ) from error
        return found

    def publish(self, column: str, about: dict[str, Any] | None) -> None:
        """Add to what is complete, or take away."""
        listing = self.published()
        if about is None:
            listing.pop(column, None)
        else:
            listing[column] = about
        self._memory = listing
        if self.folder is not None and (about is not None or self.folder.is_dir()):
            self.folder.mkdir(parents=True, exist_ok=True)
            with atomic_write(self.folder / "published.json") as file:
                file.write(json.dumps(listing, indent=1).encode())
        if about is None:
            self._columns.pop(column, None)
            if self.folder is not None:
                shutil.rmtree(self.folder / column, ignore_errors=True)

    def prepare(self, column: str) -> None:
        """Make the column's folder."""
        if self.folder is not None:
            (self.folder / column).mkdir(parents=True, exist_ok=True)
        self._columns.pop(column, None) if self.folder is not None else None
        self._load(column)

    def read(self, column: str, ids: Sequence[Any]) -> npt.NDArray[np.float64]:
        """Numbers of items."""
        values = self._load(column)
        return np.array([values.get(item, np.nan) for item in ids], dtype=np.float64)

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
        known = self._columns.get(column)
        if known is None:
            known = {}
            parts = sorted((self.folder / column).glob("part-*.npz")) if self.folder else []
            for part in parts:
                with np.load(part, allow_pickle=False) as file:
                    known.update(zip(file["ids"].tolist(), file["values"].tolist(), strict=True))
            self._columns[column] = known
        return known

"""`Items`: rows of one side that are searched, in this process or wherever an engine keeps them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from distnorm.arrays import Array
from distnorm.exact import Gallery, places, topk
from distnorm.normalization import ScoreNormalization
from distnorm.search.bias_file import bias_of
from distnorm.store.catalog import Catalog, Numbered
from distnorm.store.layout import Commit
from distnorm.store.vectors import open_embeddings
from distnorm.system.progress import Progress
from distnorm.system.shards import ShardedRows

__all__ = ["Items", "LocalItems", "OpenItems", "open_local"]


class Items(ABC):
    """Rows (m, d), ``shape``, that are ranked by the rules of `distnorm.exact`."""

    shape: tuple[int, int]

    @abstractmethod
    def __getitem__(self, rows: Any) -> Any:
        """Some rows: a slice, or whole numbers in rising order."""

    @abstractmethod
    def bias(self, norm: ScoreNormalization, side: str, progress: Progress | None = None) -> Any:
        """What `topk` takes as the biases of these items, which are of ``side``."""

    @abstractmethod
    def topk(
        self, queries: Array, k: int, bias: Any = None, progress: Progress | None = None
    ) -> tuple[Any, Any]:
        """As `distnorm.exact.topk`."""

    @abstractmethod
    def places(
        self,
        query: npt.NDArray[Any],
        rows: npt.NDArray[np.intp],
        counted: npt.NDArray[np.bool_] | None = None,
    ) -> npt.NDArray[np.intp]:
        """As `distnorm.exact.places`."""


class OpenItems(Protocol):
    """How items of a store or a file are opened, with what each is called."""

    def __call__(
        self, commit: Commit, side: str, key: str | None
    ) -> tuple[Items, Catalog | Numbered]:
        """Items of a side at a commit."""


class LocalItems(Items):
    """Rows that this process reads."""

    def __init__(self, rows: Array | ShardedRows | Gallery) -> None:
        self._gallery = rows if isinstance(rows, Gallery) else Gallery(rows)
        self._rows: Any = self._gallery.whole() if isinstance(rows, Gallery) else rows
        self.shape = self._gallery.shape
        self._kept: tuple[ScoreNormalization, str, npt.NDArray[np.float64]] | None = None

    def __getitem__(self, rows: Any) -> Any:
        """Some rows."""
        return self._rows[rows]

    @property
    def rows(self) -> Any:
        """All of them, as they were handed in."""
        return self._rows

    @property
    def gallery(self) -> Gallery:
        """All of them, checked once for all searches."""
        return self._gallery

    def bias(
        self, norm: ScoreNormalization, side: str, progress: Progress | None = None
    ) -> npt.NDArray[np.float64]:
        """The items' biases; those of the last normalization are kept."""
        if self._kept is None or self._kept[0] is not norm or self._kept[1] != side:
            self._kept = (norm, side, bias_of(norm, self._rows, side, progress))
        return self._kept[2]

    def topk(
        self, queries: Array, k: int, bias: Any = None, progress: Progress | None = None
    ) -> tuple[Any, Any]:
        """As `distnorm.exact.topk`."""
        return topk(queries, self._gallery, k, bias, progress=progress)

    def places(
        self,
        query: npt.NDArray[Any],
        rows: npt.NDArray[np.intp],
        counted: npt.NDArray[np.bool_] | None = None,
    ) -> npt.NDArray[np.intp]:
        """As `distnorm.exact.places`."""
        return places(query, self._gallery, rows, counted)


def open_local(commit: Commit, side: str, key: str | None) -> tuple[LocalItems, Catalog]:
    """Items that this process reads, with what each is called."""
    return LocalItems(open_embeddings(commit, side, key=key)), Catalog.read(commit, side, key)

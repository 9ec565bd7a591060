"""`Items`: rows of one side that are searched, in this process or wherever an engine keeps them.

`RowItems` searches them for many queries as an index is searched. Row numbers are the ids. Rows of
one item, such as a picture that a store holds once per caption, are listed by the first of them.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from distnorm.arrays import Array, is_unit_length, normalize, to_numpy
from distnorm.calibration.score_kinds import score_kind
from distnorm.errors import DistnormError
from distnorm.exact import Gallery, places, topk
from distnorm.normalization import ScoreNormalization
from distnorm.search.bias_file import bias_of
from distnorm.search.indexes import Found
from distnorm.store.catalog import Catalog, Numbered
from distnorm.store.layout import Commit
from distnorm.store.vectors import open_embeddings
from distnorm.system.progress import Progress
from distnorm.system.shards import ShardedRows

__all__ = [
    "LENGTH_SAMPLE",
    "Items",
    "LocalItems",
    "OpenItems",
    "RowItems",
    "firsts",
    "open_local",
    "open_unit",
]

LENGTH_SAMPLE = 1 << 12  # rows whose lengths are looked at


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


def open_unit(commit: Commit, side: str, key: str | None) -> tuple[LocalItems, Catalog]:
    """The same with rows of unit length: those that have another one are read and divided by it."""
    rows = open_embeddings(commit, side, key=key)
    parts = rows.parts if isinstance(rows, ShardedRows) else [rows]
    unit = [x if is_unit_length(x) else normalize(np.asarray(x)) for x in parts]
    whole = unit[0] if len(unit) == 1 else ShardedRows(unit)
    return LocalItems(whole), Catalog.read(commit, side, key)


def firsts(
    rows: npt.NDArray[Any], first: npt.NDArray[np.bool_] | None, k: int
) -> npt.NDArray[np.intp]:
    """Places in a list of the k rows that are the first of their items; None means all are."""
    return np.arange(len(rows))[:k] if first is None else np.flatnonzero(first[rows])[:k]


class RowItems:
    """Items by their rows, (m, d); ``catalog`` says which rows of a store are one item.

    Progress is called with (items read, items to read) of each search.
    """

    def __init__(
        self,
        items: Array | ShardedRows | Gallery | Items,
        catalog: Catalog | Numbered | None = None,
        progress: Progress | None = None,
    ) -> None:
        self._items = items if isinstance(items, Items) else LocalItems(items)
        self._first = None if catalog is None else catalog.first
        self._copies = 1 if catalog is None else catalog.copies
        self._progress = progress
        self._unit: bool | None = None

    def count(self) -> int:
        """Number of items."""
        return self._items.shape[0] if self._first is None else int(self._first.sum())

    def search(
        self,
        queries: Array,
        k: int = 10,
        normalization: ScoreNormalization | None = None,
        *,
        query_side: str = "text",
        fields: Sequence[str] = (),
        bias: npt.NDArray[np.float64] | None = None,
    ) -> Found:
        """The k best items of each query, exactly; as `Index.search`.

        Rows have no ``fields``; a ``bias`` of each item, (m,), was computed before, and does not go
        along with a normalization. Raises for unusable rows, or a method that is no shift and has
        no bias of each item.
        """
        if fields:
            raise DistnormError(
                f"fields {', '.join(fields)} of rows", "none", "leave them out, or search an index"
            )
        norm, sent = normalization, queries
        if norm is not None and norm.spec.corrects:
            self._check_lengths(norm, query_side)
            if norm.correction(query_side).shifts_queries:
                sent = norm.shift_queries(queries, modality=query_side)
            else:
                side = norm.names.other(norm.names.resolve(query_side))
                bias = self._items.bias(norm, side, self._progress)
        label = score_kind(norm, query=query_side).label
        if norm is None and not (self.unit and is_unit_length(queries)):
            label = "dot product"
        scores, rows = self._items.topk(sent, k * self._copies, bias, self._progress)
        values, places = to_numpy(scores, np.float64), to_numpy(rows)
        lists = [firsts(line, self._first, k) for line in places]
        return Found(
            tuple(tuple(line[keep].tolist()) for line, keep in zip(places, lists, strict=True)),
            tuple(line[keep] for line, keep in zip(values, lists, strict=True)),
            label,
            "dot" if norm is None else norm.method,
            0.0 if norm is None else norm.correction(query_side).strength,
            (True,) * len(lists),
        )

    @property
    def unit(self) -> bool:
        """Whether the items are of unit length, by the first of them."""
        if self._unit is None:
            self._unit = is_unit_length(self._items[:LENGTH_SAMPLE])
        return self._unit

    def _check_lengths(self, norm: ScoreNormalization, query_side: str) -> None:
        """Raise for items of a length that the normalization does not take."""
        if not self.unit:
            side = norm.names.other(norm.names.resolve(query_side))
            norm.check(self._items[:LENGTH_SAMPLE], side)

    def two_sided(
        self, query: Array, ids: Sequence[int], norm: ScoreNormalization, query_side: str
    ) -> Array:
        """Two-sided scores of one query, shape (1, d), with the items of some ids."""
        rows, places = np.unique(np.array(ids, dtype=np.intp), return_inverse=True)
        items = self._items[rows]
        first = norm.names.resolve(query_side) == norm.sides[0]
        scores = norm.similarity(*((query, items) if first else (items, query)))
        return to_numpy(scores, np.float64).reshape(-1)[places]

"""A store, or a file of vectors, as the items of a service: in memory, searched exactly."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from distnorm.arrays import Float32, Float64, Indices, NDArray, is_unit_length, to_numpy
from distnorm.calibration.score_kinds import score_kind
from distnorm.errors import DistnormError
from distnorm.exact import Gallery
from distnorm.normalization import ScoreNormalization
from distnorm.search.items import RowItems
from distnorm.service.items import DEPTH, Line, Wish, frozen
from distnorm.service.rankings import Ranking, Rankings
from distnorm.store.catalog import Catalog
from distnorm.store.columns import read_tables
from distnorm.store.layout import METADATA, Commit, at_commit
from distnorm.store.vectors import open_embeddings

__all__ = ["Shelf", "StoreItems"]

_LENGTHS = 1 << 12  # rows whose lengths are looked at
_CAPTIONS = 2_000_000  # rows up to which captions are kept in memory
_MEMORY = 2 << 30
_COLUMNS, _VALUES = 8, 1000  # of a filter


@dataclass(frozen=True)
class Shelf:
    """One side of a store: rows (n, d), which of them are one item, and their captions."""

    name: str
    rows: Any
    catalog: Catalog
    captions: Sequence[str | None] | None = None
    commit: Commit | None = None

    @classmethod
    def read(cls, path: Path, side: str) -> Shelf:
        """All of one commit."""
        return at_commit(path, lambda commit: _read(str(path), commit, side))


class StoreItems:
    """One side of a store or of a file of vectors, in memory up to 2 GiB.

    In memory nothing depends on files that are written anew or removed meanwhile.
    """

    shared = True
    filters = 'an object of column to value or list of values, such as {"label": "cat"}'

    def __init__(self, shelf: Shelf, side: str, pictures: Path | None = None) -> None:
        self.name, self.side, self._pictures = shelf.name, side, pictures
        self.commit, self._rows = shelf.commit, shelf.rows
        self._catalog, self._captions = shelf.catalog, shelf.captions
        self.dimension = int(self._rows.shape[1])
        self.unit = is_unit_length(self._rows[:_LENGTHS])
        self._items = RowItems(Gallery(self._rows), self._catalog)
        self.count = self._items.count()
        self._columns: dict[str, list[Any]] = {}

    def lines(self, wishes: Sequence[Wish], rankings: Rankings) -> list[list[Line]]:
        """One product for all that is shifted or plain, one for each method with biases."""
        groups: dict[Any, list[tuple[int, int]]] = {}
        for number, wish in enumerate(wishes):
            for place, ranking in enumerate(wish.rankings):
                biased = rankings.bias(ranking, self._rows) is not None
                key = (ranking.key if biased else None, frozen(wish.filter))
                groups.setdefault(key, []).append((number, place))
        found: list[list[Any]] = [[None] * len(wish.rankings) for wish in wishes]
        for members in groups.values():
            first = wishes[members[0][0]]
            bias = rankings.bias(first.rankings[members[0][1]], self._rows)
            sent = _sent(members, wishes, rankings)
            depth = max(DEPTH, *(wishes[at].k for at, _ in members))
            lists = self._search(sent, depth, bias, first.filter)
            for (at, place), (ids, scores) in zip(members, lists, strict=True):
                ranking = wishes[at].rankings[place]
                found[at][place] = Line(ids, scores, self._label(ranking, wishes[at].side), True)
        return found

    def scores(self, wish: Wish, ids: Sequence[Any], rankings: Rankings) -> list[Float64]:
        """Of any items, in float64."""
        rows = np.array(ids, dtype=np.intp)
        items = np.asarray(self._rows[rows], dtype=np.float64)
        found = []
        for ranking in wish.rankings:
            sent = rankings.shifted(ranking, wish.row[None])[0].astype(np.float64)
            bias = rankings.bias(ranking, self._rows)
            found.append(items @ sent - (0.0 if bias is None else bias[rows]))
        return found

    def two_sided(
        self, lists: Sequence[tuple[Wish, Line]], norm: ScoreNormalization
    ) -> Float64 | None:
        """In one call, where both sides have statistics."""
        if not norm.spec.two_sided or any(norm.moments(side) is None for side in norm.sides):
            return None
        ids = [line.ids[: wish.k] for wish, line in lists]
        items = self._rows[np.array([row for one in ids for row in one], dtype=np.intp)]
        counts = [len(one) for one in ids]
        queries = np.repeat(np.stack([wish.row for wish, _ in lists]), counts, axis=0)
        first = lists[0][0].side == norm.sides[0]
        pair = (queries, items) if first else (items, queries)
        return to_numpy(norm.paired_similarity(*pair), np.float64)

    def told(self, ids: Sequence[Any]) -> list[dict[str, Any]]:
        """Names and captions of rows."""
        found: list[dict[str, Any]] = []
        for row in ids:
            caption = None if self._captions is None else self._captions[row]
            found.append(
                {
                    "row": int(row),
                    "name": self._catalog.title(row),
                    "caption": caption,
                    "fields": {},
                }
            )
        return found

    def names_row(self, row: int) -> bool:
        """Whether there is a row of this number."""
        return 0 <= row < len(self._catalog.names)

    def sample(self, n: int) -> Float32:
        """Rows of some items."""
        rows = np.flatnonzero(self._catalog.first)
        step = max(1, -(-len(rows) // n))
        found = np.asarray(self._rows[rows[::step]], dtype=np.float32)
        lengths = np.linalg.norm(found, axis=1, keepdims=True)
        return np.asarray(found / np.where(lengths > 0, lengths, 1), dtype=np.float32)

    def check_filter(self, filter: Any) -> None:
        """Columns that there are, with texts, numbers, truths or lists of them."""
        plain = (str, int, float, bool)
        sound = isinstance(filter, dict) and 0 < len(filter) <= _COLUMNS
        for value in filter.values() if sound else ():
            values = value if isinstance(value, list) else [value]
            sound = sound and len(values) <= _VALUES and all(isinstance(v, plain) for v in values)
        if not sound:
            raise DistnormError("a filter of another form", self.filters, "write it so")
        for name in filter:
            self._column(name)

    def picture(self, row: int) -> Path | None:
        """A file below the folder that the row came from, or below ``pictures``."""
        if self.side != "image" or not 0 <= row < len(self._catalog.names):
            return None
        return self._catalog.file(row, self._pictures)

    def close(self) -> None:
        """Nothing is open."""

    def _search(
        self, sent: NDArray, depth: int, bias: Any, filter: Any
    ) -> list[tuple[tuple[int, ...], Float64]]:
        if filter is None:
            found = self._items.search(sent, depth, bias=bias)
            return list(zip(found.ids, found.scores, strict=True))
        rows = self._matching(filter)
        if not len(rows):
            return [((), np.empty(0))] * len(sent)
        some = RowItems(Gallery(self._rows[rows]))
        found = some.search(sent, depth, bias=None if bias is None else bias[rows])
        return [
            (tuple(rows[list(ids)].tolist()), scores)
            for ids, scores in zip(found.ids, found.scores, strict=True)
        ]

    def _matching(self, filter: Any) -> Indices:
        """First rows of the items whose columns have the values of a filter."""
        keep = np.array(self._catalog.first)
        for name in filter:
            wanted = filter[name] if isinstance(filter[name], list) else [filter[name]]
            keep &= np.array([value in wanted for value in self._column(name)], dtype=bool)
        return np.flatnonzero(keep)

    def _column(self, name: str) -> list[Any]:
        """A column of the metadata, read once."""
        if name not in self._columns:
            values: list[Any] = []
            if self.commit is not None and self.commit.files(METADATA):
                for count, table in read_tables(self.commit, [name], "parquet"):
                    present = name in table.column_names
                    values += table.column(name).to_pylist() if present else [None] * count
            if len(values) != len(self._rows) or all(value is None for value in values):
                raise DistnormError(
                    f"a filter on {name[:40]!r}", "a column of the store's metadata", "leave it out"
                )
            if len(self._columns) >= _COLUMNS:
                self._columns.clear()
            self._columns[name] = values
        return self._columns[name]

    def _label(self, ranking: Ranking, side: str) -> str:
        if ranking.norm is None:
            return "cosine" if self.unit else "dot product"
        return score_kind(ranking.norm, query=side).label


def _read(name: str, commit: Commit, side: str) -> Shelf:
    rows: Any = open_embeddings(commit, side)
    if len(rows) * rows.shape[1] * 4 <= _MEMORY:
        wide = rows.dtype == np.float64
        rows = np.ascontiguousarray(rows[:], dtype=np.float64 if wide else np.float32)
    captions: list[str | None] | None = None
    if side == "image" and commit.files(METADATA) and len(rows) <= _CAPTIONS:
        captions = []
        for count, table in read_tables(commit, ("caption",), "parquet"):
            known = "caption" in table.column_names
            captions += table.column("caption").to_pylist() if known else [None] * count
        if len(captions) != len(rows):
            captions = None
    catalog = Catalog.read(commit, side)
    if side == "image" and len(rows):
        catalog.file(0)  # where the pictures lie is read now, while the commit stands
    return Shelf(name, rows, catalog, captions, commit)


def _sent(
    members: Sequence[tuple[int, int]], wishes: Sequence[Wish], rankings: Rankings
) -> NDArray:
    """Queries as they are sent, (n, d): those of one ranking are shifted together."""
    sent = np.stack([wishes[at].row for at, _ in members])
    same: dict[Any, list[int]] = {}
    for number, (at, place) in enumerate(members):
        same.setdefault(wishes[at].rankings[place].key, []).append(number)
    for numbers in same.values():
        at, place = members[numbers[0]]
        sent[numbers] = rankings.shifted(wishes[at].rankings[place], sent[numbers])
    return sent

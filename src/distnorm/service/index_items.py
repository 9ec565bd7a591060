"""A running index as the items of a service."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from distnorm.arrays import Float32, Float64
from distnorm.errors import DistnormError
from distnorm.normalization import ScoreNormalization
from distnorm.search.indexes import Found, open_index
from distnorm.service.items import DEPTH, Line, Wish, frozen
from distnorm.service.rankings import Rankings
from distnorm.store.catalog import Catalog
from distnorm.store.layout import at_commit

__all__ = ["IndexItems"]


class IndexItems:
    """A running index; opened again after it has failed."""

    commit = None
    shared = False

    def __init__(
        self,
        spec: str,
        side: str,
        *,
        model: str | None = None,
        fields: Sequence[str] = (),
        titles: Path | None = None,
        pictures: Path | None = None,
    ) -> None:
        self._spec, self.side, self._model = spec, side, model
        self._fields, self._pictures = tuple(fields), pictures
        self._index: Any = open_index(spec, model=model)
        self.name, self.dimension = self._index.place, self._index.capabilities.query_dimension
        self.filters = self._index.filters
        self._catalog: Catalog | None = None
        if titles is not None:
            self._catalog = at_commit(titles, lambda commit: Catalog.read(commit, side))

    @property
    def count(self) -> int | None:
        """As the system says now."""
        index = self._opened()
        return int(index.count()) if index.counts_items else None

    def lines(self, wishes: Sequence[Wish], rankings: Rankings) -> list[list[Line]]:
        """One call for each ranking."""
        found: list[list[Any]] = [[None] * len(wish.rankings) for wish in wishes]
        groups: dict[Any, list[tuple[int, int]]] = {}
        for number, wish in enumerate(wishes):
            for place, ranking in enumerate(wish.rankings):
                key = (ranking.key, wish.side, frozen(wish.filter))
                groups.setdefault(key, []).append((number, place))
        index = self._opened()
        for members in groups.values():
            first, place = members[0]
            wish, norm = wishes[first], wishes[first].rankings[place].norm
            depth = max(wishes[at].k for at, _ in members)
            depth = max(depth, index.capabilities.at_most(DEPTH))
            rows = np.stack([wishes[at].row for at, _ in members])
            try:
                result: Found = index.search(
                    rows, depth, norm, query_side=wish.side, filter=wish.filter
                )
            except DistnormError:
                self._drop()
                raise
            for number, (at, place) in enumerate(members):
                found[at][place] = Line(
                    result.ids[number],
                    result.scores[number],
                    result.score,
                    result.certified[number],
                    result.without_bias,
                )
        return found

    def scores(self, wish: Wish, ids: Sequence[Any], rankings: Rankings) -> None:
        """Only lists have them."""
        return

    def two_sided(
        self, lists: Sequence[tuple[Wish, Line]], norm: ScoreNormalization
    ) -> Float64 | None:
        """The lists' own scores, where they are two-sided ones."""
        if any(line.label.endswith("ranking score") for _, line in lists):
            return None
        return np.concatenate([line.scores[: wish.k] for wish, line in lists])

    def told(self, ids: Sequence[Any]) -> list[dict[str, Any]]:
        """Ids, the titles of a store's rows, and the fields that were named."""
        known: Mapping[Any, dict[str, Any]] = {}
        if self._fields and len(ids):
            index = self._opened()
            with index.plain_errors("read fields"):
                known = index.payloads(list(ids), list(self._fields))
        found = []
        for item in ids:
            row = item if self._known(item) else None
            name = self._catalog.title(row) if self._catalog and row is not None else str(item)
            fields = dict(known.get(item, {}))
            found.append({"row": row, "name": name, "caption": None, "fields": fields})
        return found

    def names_row(self, row: int) -> bool:
        """Whether ``titles`` have it."""
        return self._known(row)

    def sample(self, n: int) -> Float32 | None:
        """Rows that the system gives back, if it does."""
        found = self._opened().sample(n)
        return None if found is None else np.asarray(found[1], dtype=np.float32)

    def check_filter(self, filter: Any) -> None:
        """The system says itself what it takes."""

    def picture(self, row: int) -> Path | None:
        """Of the store that names the items."""
        if self._catalog is None or self.side != "image" or not self._known(row):
            return None
        return self._catalog.file(row, self._pictures)

    def close(self) -> None:
        """Close the connection."""
        self._drop()

    def _known(self, item: Any) -> bool:
        names = () if self._catalog is None else self._catalog.names
        return isinstance(item, int) and 0 <= item < len(names)

    def _opened(self) -> Any:
        if self._index is None:
            self._index = open_index(self._spec, model=self._model)
        return self._index

    def _drop(self) -> None:
        index, self._index = self._index, None
        if index is not None:
            try:
                index.close()
            except Exception:  # it has failed already
                return

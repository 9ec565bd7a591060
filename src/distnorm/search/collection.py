"""A store, a file of vectors or a running index, searched for many queries at once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from distnorm.arrays import Array, checked
from distnorm.calibration.side_check import towards_other
from distnorm.errors import DistnormError
from distnorm.normalization import ScoreNormalization
from distnorm.search.indexes import Found, is_spec, open_index
from distnorm.search.items import Items, OpenItems, RowItems, open_local
from distnorm.search.judge import Limits, kept_above
from distnorm.store.catalog import Catalog, Numbered
from distnorm.store.layout import Commit, at_commit
from distnorm.system.progress import Progress

__all__ = ["Collection", "ListsOfMany", "Searchable"]

_NEAR = 0.75


class Searchable(Protocol):
    """An index, or rows that are searched as one."""

    def count(self) -> int:
        """Number of items."""

    def search(
        self,
        queries: Array,
        k: int = 10,
        normalization: ScoreNormalization | None = None,
        *,
        query_side: str = "text",
        fields: Sequence[str] = (),
    ) -> Any:
        """The k best items of each query, as a `Found`."""


@dataclass(frozen=True)
class ListsOfMany:
    """The lists of many queries, and what their items are called (None where nothing says)."""

    place: str
    side: str
    query_side: str
    n_items: int
    found: Found
    names: tuple[tuple[str | None, ...], ...]
    notes: tuple[str, ...] = ()
    verdict: Mapping[str, Any] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """For JSON: one list of results for each query."""
        return {
            "schema": 1,
            "task": "search",
            "store": self.place,
            "n_queries": len(self.found),
            "query_side": self.query_side,
            "n_items": self.n_items,
            "side": self.side,
            "method": self.found.method,
            "strength": self.found.strength,
            "notes": list(self.notes),
            "score": self.found.score,
            **self.verdict,
            "results": [
                [{**entry, "name": name} for entry, name in zip(entries, names, strict=True)]
                for entries, names in zip(self.found.to_dict()["results"], self.names, strict=True)
            ],
        }


class Collection:
    """A place by its name, before it is opened: what its vectors are of, as far as it says.

    ``name`` is a spec (then it is ``running``), a store or a file of vectors, ``side`` the items'.
    ``titles`` is a store that names the items of an index, whose ids are its row numbers. ``key``
    names an array or column of a file that holds several, and ``opening`` opens what is no index:
    by default this process reads it. ``model``, ``model_id`` and ``prompt`` are what a store says
    of itself.
    """

    def __init__(
        self,
        name: str,
        side: str = "image",
        titles: Path | None = None,
        *,
        key: str | None = None,
        opening: OpenItems = open_local,
    ) -> None:
        self.name, self.side = name, side
        self.running = is_spec(name)
        self.model = self.model_id = self.prompt = None
        self._items: Items | None = None
        self._catalog: Catalog | Numbered | None = None
        if not self.running:
            commit = Commit.read(name)
            self.model, self.model_id = commit.model, commit.model_id
            self.prompt = commit.prompt or None
            self._items, self._catalog = at_commit(name, lambda commit: opening(commit, side, key))
        elif titles is not None:
            self._catalog = at_commit(titles, lambda commit: Catalog.read(commit, side))

    def check(self, norm: ScoreNormalization | None, model: str | None) -> None:
        """Raise unless queries of ``model`` and a normalization are of the items' model."""
        known = self.model_id or model
        for other, what in ((model, "queries"), (norm and norm.model, "a normalization")):
            if None not in (other, known) and other != known:
                raise DistnormError(
                    f"{what} of {other!r} for {self.name}",
                    f"{'those' if what == 'queries' else 'one'} of {known!r}",
                    "use vectors of one model",
                )

    @contextmanager
    def opened(
        self,
        *,
        model: str | None = None,
        biases: Path | None = None,
        progress: Progress | None = None,
    ) -> Iterator[Searchable]:
        """The items, to be searched; ``model`` and ``biases`` are those of `open_index`."""
        if self.running:
            with open_index(self.name, model=model, biases=biases) as index:
                yield index
        else:
            assert self._items is not None
            yield RowItems(self._items, self._catalog, progress)

    def title(self, item: Any) -> str | None:
        """What an item is called, by its id; None where nothing says."""
        catalog = self._catalog
        if catalog is None or not isinstance(item, int) or not 0 <= item < len(catalog.names):
            return None
        return catalog.title(item)

    def lists(
        self,
        queries: Array,
        k: int,
        norm: ScoreNormalization | None,
        query_side: str,
        *,
        model: str | None = None,
        biases: Path | None = None,
        certify: bool = False,
        limits: Limits | None = None,
        progress: Progress | None = None,
    ) -> ListsOfMany:
        """The k best items of each query, by a normalization if it corrects anything.

        ``biases`` and ``certify`` are those of an index; lists of rows are exact. ``limits``
        leave out results that are not above a two-sided score.
        """
        correcting = norm if norm is not None and norm.spec.corrects else None
        more: dict[str, Any] = {"certify": certify} if self.running else {}
        with self.opened(model=model, biases=biases, progress=progress) as items:
            found: Found = items.search(queries, k, correcting, query_side=query_side, **more)
            count = items.count()
            found, verdict = self._judged(found, items, queries, norm, query_side, limits)
        notes = []
        if verdict:
            notes.append(
                f"{verdict['rejected']} results are not above {verdict['threshold']:.4g} and left "
                f"out; {verdict['nothing_fits']} of {len(found)} queries have none"
            )
        at = None if norm is None else towards_other(norm, query_side, checked(queries, "queries"))
        if norm is not None and at is not None and at > _NEAR:
            notes.append(
                f"the queries look like {norm.names.plural(self.side)} by the statistics: are the "
                "sides swapped?"
            )
        if found.without_bias:
            notes.append(f"{found.without_bias} items have no stored bias: run distnorm index bias")
        if not all(found.certified):
            lists = sum(not certain for certain in found.certified)
            notes.append(
                f"{lists} of {len(found)} lists are approximate: items that the index did not "
                "return may score higher"
            )
        names = tuple(tuple(map(self.title, ids)) for ids in found.ids)
        return ListsOfMany(
            self.name, self.side, query_side, count, found, names, tuple(notes), verdict
        )

    def _judged(
        self,
        found: Found,
        items: Searchable,
        queries: Array,
        norm: ScoreNormalization | None,
        query_side: str,
        limits: Limits | None,
    ) -> tuple[Found, dict[str, Any]]:
        """Lists within limits, and a verdict where there are any."""
        if limits is None or limits == Limits():
            return found, {}
        if not isinstance(items, RowItems) and found.score.endswith("ranking score"):
            raise DistnormError(
                f"a threshold and scores of {self.name} that rank the items of one query",
                "two-sided scores of whole rows",
                "fit the normalization on both sides, or search without a threshold",
            )

        def two_sided(scorer: ScoreNormalization, query: int) -> Array:
            if isinstance(items, RowItems):
                row = queries[query : query + 1, ...]
                return items.two_sided(row, found.ids[query], scorer, query_side)
            return found.scores[query]

        return kept_above(found, norm, two_sided, limits)

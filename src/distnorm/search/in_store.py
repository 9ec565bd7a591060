"""A store as a place to search: its pictures, its texts, or both.

Ranking items for a query needs the statistics of the query's side only; a linear method changes the
query, any other one subtracts a bias from each item. Shards are read one after the other.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from distnorm.arrays import Array, is_unit_length
from distnorm.calibration.score_kinds import score_kind
from distnorm.errors import DistnormError
from distnorm.normalization import ScoreNormalization
from distnorm.search.answer import Lists, Settings, entries
from distnorm.search.bias_file import kept_bias
from distnorm.search.items import (
    LENGTH_SAMPLE,
    LocalItems,
    OpenItems,
    firsts,
    open_local,
    open_unit,
)
from distnorm.search.mixed import topk_mixed
from distnorm.search.query import NormalizationFile, Query
from distnorm.store.column_files import is_lance
from distnorm.store.columns import read_sizes
from distnorm.store.layout import Commit, at_commit
from distnorm.store.vectors import shard_files
from distnorm.system.progress import Progress

__all__ = ["StorePlace"]


class _Shelf:
    """One side of a store: rows, and which row is the first of its item.

    A picture stands in a row for each of its captions; it is listed once.
    """

    def __init__(
        self, commit: Commit, side: str, query: Query, key: str | None, opening: OpenItems
    ) -> None:
        self.commit = commit
        self.items, self._catalog = opening(commit, side, key)
        if self.items.shape[1] != query.row.shape[1]:
            raise DistnormError(
                f"{commit.folder} of {self.items.shape[1]} dimensions",
                f"{query.row.shape[1]} as {query.model!r}",
                "name the store's own model",
            )
        self.first, self.copies = self._catalog.first, self._catalog.copies
        self.count = self.items.shape[0] if self.first is None else int(self.first.sum())

    def best(
        self, query: npt.NDArray[Any], k: int, bias: Any, progress: Progress | None
    ) -> list[dict[str, Any]]:
        """The k best items, each by the first of its rows."""
        scores, rows = self.items.topk(query, k * self.copies, bias, progress)
        keep = firsts(rows[0], self.first, k)
        return self.listed(rows[0][keep], scores[0][keep])

    def listed(self, rows: Any, scores: Any, **more: Any) -> list[dict[str, Any]]:
        """Entries of a result."""
        return entries(map(self._catalog.title, rows), map(int, rows), scores, **more)


class StorePlace:
    """A clip-retrieval folder or a file of embeddings; ``keys`` names arrays by side.

    ``opening`` opens its rows; by default this process reads them.
    """

    def __init__(
        self,
        path: Path,
        progress: Progress | None = None,
        keys: Mapping[str, str] | None = None,
        opening: OpenItems = open_local,
    ) -> None:
        self.name, self._progress, self._keys = str(path), progress, keys or {}
        self._opening = opening
        self._path, commit = path, Commit.read(path)
        self.model, self.model_id = commit.model, commit.model_id
        self.prompt, self.resizer = commit.prompt or None, commit.resizer

    def check(self, settings: Settings) -> None:
        """Biases are kept, and thresholds set, for one side; a folder has vectors."""
        side, local = settings.side, self._opening in (open_local, open_unit)
        folder = self._path.is_dir() and not is_lance(self._path)
        if self.model is None and local and folder and side != "both":
            # Photos that were never embedded are said before a model is asked for.
            at_commit(self._path, lambda commit: shard_files(commit, side, self._keys.get(side)))
        if settings.side == "both" and settings.bias is not None:
            raise DistnormError("--bias with both sides", "one side", "leave one of them out")
        limits = (settings.threshold, settings.false_alarm_rate)
        if settings.side == "both" and limits != (None, None):
            raise DistnormError(
                "a threshold with both sides", "one side", "search texts and pictures one by one"
            )

    def sizes(self) -> set[tuple[int, int]]:
        """Widths and heights of some of its pictures."""
        return at_commit(self._path, read_sizes)

    def lists(self, query: Query, normalization: NormalizationFile, settings: Settings) -> Lists:
        """Of one side, or of both in one list."""
        if settings.side == "both":
            return self._mixed(query, normalization.correcting, settings)
        shelf = self._shelf(settings.side, query)
        norm, k = normalization.correcting, settings.k
        dot, notes = None, list[str]()
        unit = is_unit_length(shelf.items[:LENGTH_SAMPLE])
        if norm is not None and not unit:
            norm.check(shelf.items[:LENGTH_SAMPLE], settings.side)
        if norm is None or settings.both:
            dot = shelf.best(query.row, k, None, self._progress)
        if norm is None:
            results, score, dot = dot or [], "cosine" if unit else "dot product", None
        else:
            row, bias = query.row, None
            if norm.correction(query.side).shifts_queries:
                row = norm.shift_queries(row, modality=query.side)
            else:
                bias, notes = self._bias(shelf, normalization, settings)
            results = shelf.best(row, k, bias, self._progress)
            rows = np.array([entry["row"] for entry in results], dtype=np.intp)
            by_dot = shelf.items.places(query.row[0], rows, shelf.first)
            for entry, place in zip(results, by_dot, strict=True):
                entry["rank_by_dot"] = int(place)
            score = score_kind(norm, query=query.side).label

        def two_sided(scorer: ScoreNormalization) -> Array:
            items = shelf.items[np.array([entry["row"] for entry in results], dtype=np.intp)]
            first = query.side == scorer.sides[0]
            return scorer.similarity(*((query.row, items) if first else (items, query.row)))

        if not unit:
            notes.append(
                f"the {settings.side} rows are not of unit length: longer ones score higher; bring "
                "them to unit length with distnorm.normalize for cosines"
            )
        return Lists(
            shelf.count, score, results, dot, tuple(notes), {"prompt": query.prompt}, two_sided
        )

    def _shelf(self, side: str, query: Query) -> _Shelf:
        return at_commit(
            self._path,
            lambda commit: _Shelf(commit, side, query, self._keys.get(side), self._opening),
        )

    def _bias(
        self, shelf: _Shelf, normalization: NormalizationFile, settings: Settings
    ) -> tuple[Any, list[str]]:
        """Biases of all items, from their file if there is one, and a note of what was added."""
        norm, path = normalization.norm, settings.bias
        assert norm is not None
        items = shelf.items
        if path is None:
            return items.bias(norm, settings.side, self._progress), []
        if not isinstance(items, LocalItems):
            raise DistnormError("--bias on a cluster", "biases that are computed there", "leave it")
        kept = kept_bias(
            path,
            norm,
            normalization.checksum,
            items.rows,
            settings.side,
            self._progress,
            commit=shelf.commit,
        )
        notes = []
        if kept.known and kept.added:
            notes.append(
                f"{kept.added} items were added after the {kept.known} biases in {path} were "
                "computed; theirs were computed and added now"
            )
        if kept.dropped:
            notes.append(f"{kept.dropped} biases in {path} of items that have left were dropped")
        return kept.bias, notes

    def _mixed(self, query: Query, norm: ScoreNormalization | None, settings: Settings) -> Lists:
        shelves = {side: self._shelf(side, query) for side in ("image", "text")}
        galleries = {}
        for side, shelf in shelves.items():
            if not isinstance(shelf.items, LocalItems):
                raise DistnormError("--side both on a cluster", "one side", "search one by one")
            galleries[side] = shelf.items.gallery
        k = settings.k * max(shelf.copies for shelf in shelves.values())

        def listed(scorer: ScoreNormalization | None, scale: str) -> list[dict[str, Any]]:
            best = topk_mixed(query.row, galleries, scorer, k, modality=query.side, scale=scale)
            results: list[dict[str, Any]] = []
            for at, row, score in zip(best.side[0], best.rows[0], best.scores[0], strict=True):
                side = best.sides[at]
                first = shelves[side].first
                if (first is None or first[row]) and len(results) < settings.k:
                    results += shelves[side].listed([row], [score], side=side)
                    results[-1]["rank"] = len(results)
            return results

        plain = norm is None and settings.scale == "two-sided"
        return Lists(
            sum(shelf.count for shelf in shelves.values()),
            "cosine" if plain else f"{settings.scale} score of each side",
            listed(norm, settings.scale),
            listed(None, "two-sided") if settings.both and not plain else None,
            facts={"prompt": query.prompt},
        )

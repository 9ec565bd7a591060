"""A running index as a place to search, ``system:place``; its ids are names and rows."""

from __future__ import annotations

from typing import Any

import numpy as np

from distnorm.arrays import Array
from distnorm.errors import DistnormError, masked
from distnorm.normalization import ScoreNormalization
from distnorm.search.answer import Lists, Settings, entries
from distnorm.search.indexes import Found, open_index
from distnorm.search.query import NormalizationFile, Query

__all__ = ["IndexPlace"]

_FETCHED = 100


class IndexPlace:
    """An index of one side, by its spec."""

    model: str | None = None
    model_id: str | None = None
    prompt: str | None = None
    resizer: str | None = None

    def __init__(self, spec: str) -> None:
        self._spec, self.name = spec, masked(spec)

    def check(self, settings: Settings) -> None:
        """An index is of one side."""
        if settings.side == "both":
            raise DistnormError(
                "--side both in an index", "one side", "search a store, or the index of each side"
            )

    def sizes(self) -> set[tuple[int, int]]:
        """None: an index does not know them."""
        return set()

    def lists(self, query: Query, normalization: NormalizationFile, settings: Settings) -> Lists:
        """The normalized list, with places in as long a list of the dot product as is fetched."""
        norm, k = normalization.correcting, settings.k
        with open_index(self._spec, model=query.model, biases=settings.biases) as index:
            fetched = max(k, index.capabilities.at_most(_FETCHED))
            plain = index.search(query.row, fetched, mode="dot")
            best = plain
            if norm is not None:
                best = index.search(
                    query.row, k, norm, query_side=query.side, certify=settings.certify
                )
            count = index.count()
        results, notes = _entries(best, k), []
        if norm is not None:
            place = {item: rank for rank, item in enumerate(plain.ids[0], start=1)}
            for entry, item in zip(results, best.ids[0], strict=True):
                entry["rank_by_dot"] = place.get(item)
            if best.without_bias:
                notes.append(
                    f"{best.without_bias} items have no stored bias: run distnorm index bias "
                    f"{self.name} --normalization {settings.normalization}"
                )
            if not all(best.certified):
                notes.append("approximate: items that the index did not return may score higher")

        def two_sided(_: ScoreNormalization) -> Array:
            if plain.score.endswith("ranking score"):
                raise DistnormError(
                    f"a threshold and scores of {self.name} that are not those of its rows",
                    "inner product, cosine or L2 of the rows",
                    "search without a threshold, or build the index of whole rows",
                )
            if best.score.endswith("ranking score"):
                raise DistnormError(
                    f"a threshold and statistics of {query.side} queries alone",
                    f"those of the {settings.side} items too",
                    "fit the normalization on both sides",
                )
            return np.array([entry["value"] for entry in results])

        return Lists(
            count,
            best.score,
            results,
            _entries(plain, k) if settings.both and norm is not None else None,
            tuple(notes),
            {"fetched": fetched},
            two_sided,
        )


def _entries(found: Found, k: int) -> list[dict[str, Any]]:
    ids = found.ids[0][:k]
    rows = [item if isinstance(item, int) else None for item in ids]
    return entries(ids, rows, found.scores[0][:k])

"""What a search in an index returns."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import islice
from typing import Any

import numpy as np

from distnorm.arrays import Float64
from distnorm.text import columns

__all__ = ["Both", "Found", "Pair", "plain_id"]

_MOST_QUERIES, _MOST = 5, 10


@dataclass(frozen=True)
class Found:
    """Lists of items, best first, one per query.

    Attributes
    ----------
    ids : tuple of tuples
        As the system has them.
    scores : tuple of ndarray
    score : str
        What the scores are, a label of `score_kinds`: ``cosine``, ``dn two-sided score``
        (what `ScoreNormalization.similarity` gives), or ``dn ranking score`` where the items'
        side has no statistics.
    method, strength
        What ranked; ``dot`` and 0 for the raw scores.
    certified : tuple of bool
        Whether a list is surely the exact one. The system must compare with every item; a
        method with a bias per item needs more: that no item outside the fetched list can enter.
    without_bias : int
        Items met that have no stored bias yet; the mean bias stood in.
    fields : tuple of tuples of dict, or None
        What was asked for of each item by ``fields=``.
    """

    ids: tuple[tuple[Any, ...], ...]
    scores: tuple[Float64, ...]
    score: str
    method: str
    strength: float
    certified: tuple[bool, ...]
    without_bias: int = 0
    fields: tuple[tuple[dict[str, Any], ...], ...] | None = None

    def __len__(self) -> int:
        """Number of queries."""
        return len(self.ids)

    def __repr__(self) -> str:
        """One line: method, sizes, what is not exact."""
        longest = max((len(row) for row in self.ids), default=0)
        note = f", {self.without_bias} without bias" if self.without_bias else ""
        return (
            f"Found({self.method!r} {self.strength:g}, {len(self)} queries, up to {longest} items, "
            f"{sum(self.certified)} certified, score: {self.score}{note})"
        )

    def __str__(self) -> str:
        """The first lists as a table: up to 5 queries, 10 items of each.

        Examples
        --------
        >>> found = Found((("a.jpg", "b.jpg"),), (np.array([0.31, 0.29]),), "cosine", "dn", 0.5,
        ...               (True,))
        >>> print(found)
        Found('dn' 0.5, 1 queries, up to 2 items, 1 certified, score: cosine)
        query  rank  id      score
            0     1  a.jpg  0.3100
            0     2  b.jpg  0.2900
        """
        lists = enumerate(zip(self.ids, self.scores, strict=True))
        rows = [
            (query, rank, item if isinstance(item, int) else str(item), float(score))
            for query, (ids, scores) in islice(lists, _MOST_QUERIES)
            for rank, (item, score) in islice(enumerate(zip(ids, scores, strict=True), 1), _MOST)
        ]
        return "\n".join((repr(self), columns(("query", "rank", "id", "score"), rows), *self._more))

    @property
    def _more(self) -> tuple[str, ...]:
        """A line on what the table leaves out."""
        shown = sum(min(len(ids), _MOST) for ids in self.ids[:_MOST_QUERIES])
        left = sum(map(len, self.ids)) - shown
        return (f"and {left} more",) if left else ()

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "method": self.method,
            "strength": self.strength,
            "score": self.score,
            "certified": list(self.certified),
            "without_bias": self.without_bias,
            "results": [
                [
                    {"rank": rank, "id": plain_id(item), "value": float(value)}
                    | ({} if self.fields is None else {"fields": self.fields[row][rank - 1]})
                    for rank, (item, value) in enumerate(zip(ids, scores, strict=True), start=1)
                ]
                for row, (ids, scores) in enumerate(zip(self.ids, self.scores, strict=True))
            ],
        }


@dataclass(frozen=True)
class Pair:
    """One item in the two lists of a query; None where a list does not hold it."""

    id: Any
    rank_dot: int | None
    rank_normalized: int | None
    dot: float | None
    normalized: float | None


@dataclass(frozen=True)
class Both:
    """The raw list and the normalized one of the same queries, for A/B."""

    dot: Found
    normalized: Found
    aligned: tuple[tuple[Pair, ...], ...] = field(init=False, repr=False)
    """For each query the items of both lists, in normalized order, then what only dot found."""

    def __post_init__(self) -> None:
        """Align."""
        rows = []
        for query in range(len(self.dot)):
            raw, new = (_by_id(found, query) for found in (self.dot, self.normalized))
            none = (None, None)
            order = [*new, *(item for item in raw if item not in new)]
            pairs = ((item, raw.get(item, none), new.get(item, none)) for item in order)
            rows.append(tuple(Pair(item, r[0], n[0], r[1], n[1]) for item, r, n in pairs))
        object.__setattr__(self, "aligned", tuple(rows))

    def __repr__(self) -> str:
        """One line: how much the lists share, and both."""
        return f"Both({self.overlap:.0%} in common; {self.dot!r}, {self.normalized!r})"

    def __str__(self) -> str:
        """Both lists as tables."""
        return f"{self.overlap:.0%} in common\n{self.dot}\n{self.normalized}"

    @property
    def overlap(self) -> float:
        """Mean share of a query's normalized list that its raw list holds too."""
        shares = [
            len(set(raw) & set(new)) / max(1, len(new))
            for raw, new in zip(self.dot.ids, self.normalized.ids, strict=True)
        ]
        return float(np.mean(shares)) if shares else 1.0

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "overlap": self.overlap,
            "dot": self.dot.to_dict(),
            "normalized": self.normalized.to_dict(),
        }


def _by_id(found: Found, query: int) -> dict[Any, tuple[int, float]]:
    pairs = zip(found.ids[query], found.scores[query], strict=True)
    return {item: (rank, float(score)) for rank, (item, score) in enumerate(pairs, start=1)}


def plain_id(item: Any) -> Any:
    """An id for JSON."""
    return item if isinstance(item, (int, str)) else str(item)

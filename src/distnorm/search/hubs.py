"""`query_hubs`: which items come up for how many queries, before and after a normalization.

It takes queries alone: no pairs, no labels. A hub is an item among the first k of many queries
that have nothing else in common; see `distnorm.monitoring.hubs` for the figures and for the audit
of single items that come up implausibly often.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from distnorm.arrays import Array, check_embeddings, to_numpy
from distnorm.errors import DistnormError
from distnorm.exact import Gallery
from distnorm.monitoring.hubs import Occurrences, audit
from distnorm.normalization import ScoreNormalization
from distnorm.search.collection import Searchable
from distnorm.search.indexes import Found
from distnorm.search.indexes.results import plain_id
from distnorm.search.items import RowItems
from distnorm.system.progress import Progress
from distnorm.system.shards import ShardedRows

__all__ = ["Hub", "QueryHubs", "query_hubs"]

_AT_ONCE = 1000


@dataclass(frozen=True)
class Hub:
    """One item and the queries that find it.

    Attributes
    ----------
    id : Any
        As the system has it; the row number in an array or store.
    before, after : int, int or None
        Queries that have it among their first k, by dot product and normalized.
    alert_before, alert_after : float or None
        For an item that comes up implausibly often: how many items would by chance.
    fields : mapping, optional
        What was asked for of each item by ``fields=``.
    """

    id: Any
    before: int
    after: int | None = None
    alert_before: float | None = None
    alert_after: float | None = None
    fields: Mapping[str, Any] | None = None

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        found = {**vars(self), "id": plain_id(self.id)}
        if self.fields is None:
            del found["fields"]
        return found


@dataclass(frozen=True)
class QueryHubs:
    """How often items come up for a set of queries.

    Attributes
    ----------
    n_items, n_queries, k : int
        ``n_queries`` are different ones.
    repeated : int
        Queries left out because they are there already.
    before, after : Occurrences, Occurrences or None
        Figures of the dot product and of the normalization.
    hubs : tuple of Hub
        The items that come up most, before or after, and all that were reported; most first.
    alert_rate : float
        Expected number of reports in a collection without such items.
    audited : bool
        Whether enough items came up for the audit.
    exact : bool
        Whether all lists are surely the exact ones.
    without_bias : int
        Items met that have no stored bias yet.
    counted : bool
        Whether the index says how many items it has; else ``n_items`` are those that came up.
    counts : dict from id to tuple of int
        Of every item that comes up: queries that find it before, and after.
    """

    n_items: int
    n_queries: int
    k: int
    repeated: int
    before: Occurrences
    after: Occurrences | None
    hubs: tuple[Hub, ...]
    alert_rate: float
    audited: bool
    exact: bool
    without_bias: int = 0
    counted: bool = True
    counts: Mapping[Any, tuple[int, int]] = field(default_factory=dict, repr=False)

    @property
    def alerts(self) -> tuple[Hub, ...]:
        """Items that come up implausibly often, before or after."""
        return tuple(h for h in self.hubs if (h.alert_before, h.alert_after) != (None, None))

    def __repr__(self) -> str:
        """One line: sizes, effective items, alerts."""
        then = "" if self.after is None else f" -> {self.after.effective_items:.1f}"
        return (
            f"QueryHubs({self.n_queries} queries, {self.n_items} items, k={self.k}: "
            f"effective items {self.before.effective_items:.1f}{then}, {len(self.alerts)} alerts)"
        )

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "n_items": self.n_items,
            "n_queries": self.n_queries,
            "repeated_queries": self.repeated,
            "k": self.k,
            "before": self.before.to_dict(),
            "after": None if self.after is None else self.after.to_dict(),
            "alert_rate": self.alert_rate,
            "audited": self.audited,
            "alerts": len(self.alerts),
            "exact": self.exact,
            "without_bias": self.without_bias,
            "counted": self.counted,
            "hubs": [hub.to_dict() for hub in self.hubs],
        }


def query_hubs(
    queries: Array,
    items: Array | ShardedRows | Gallery | Searchable,
    normalization: ScoreNormalization | None = None,
    k: int = 10,
    *,
    query_side: str = "text",
    show: int = 20,
    alert_rate: float = 0.01,
    fields: Sequence[str] = (),
    progress: Progress | None = None,
) -> QueryHubs:
    """Which items come up for how many queries, from queries alone.

    Parameters
    ----------
    queries : array, shape (n, d)
        Of a query log, say; the same row twice counts once.
    items : array, shape (m, d), or an index of `open_index`
    normalization : ScoreNormalization, optional
        Compared with the dot product.
    k : int
        Length of the lists that a user sees.
    query_side : str
    show : int
        Hubs in the result, of each ranking.
    alert_rate : float in (0, 1)
        Of the audit of single items: the expected number of reports in a collection that has no
        item out of line. `distnorm.monitoring.hubs` states the null model.
    fields : sequence of str
        What else an index shall say of each hub, such as its title; see `Index.search`.
    progress : callable, optional
        Called with (queries done, queries).

    Returns
    -------
    QueryHubs

    Raises
    ------
    DistnormError
        For unusable queries, and as `Index.search` and `topk`.

    Examples
    --------
    >>> import numpy as np
    >>> rows = np.random.default_rng(0).standard_normal((300, 8))
    >>> query_hubs(rows[:100], rows[100:])
    QueryHubs(100 queries, 200 items, k=10: effective items 105.0, 0 alerts)
    """
    if not isinstance(show, (int, np.integer)) or show < 1:
        raise DistnormError(f"show = {show!r}", "an integer from 1 on", "leave it out for 20")
    rows, repeated = _distinct(queries)
    place = cast(Searchable, items) if hasattr(items, "search") else RowItems(items)
    rankings: list[ScoreNormalization | None] = [None]
    if normalization is not None and normalization.spec.corrects:
        rankings.append(normalization)
    tallies: list[Counter[Any]] = []
    figures, exact, missing = [], True, 0
    known: dict[Any, Mapping[str, Any]] = {}
    for number, norm in enumerate(rankings):
        tally: Counter[Any] = Counter()
        for start in range(0, len(rows), _AT_ONCE):
            part = rows[start : start + _AT_ONCE]
            found: Found = place.search(part, k, norm, query_side=query_side, fields=fields)
            for ids in found.ids:
                tally.update(ids)
            for ids, entries in zip(found.ids, found.fields or (), strict=False):
                known.update(zip(ids, entries, strict=True))
            exact, missing = exact and all(found.certified), max(missing, found.without_bias)
            if progress is not None:
                done = number * len(rows) + start + len(part)
                progress(done, len(rankings) * len(rows))
        tallies.append(tally)
        figures.append((found.method, found.strength))
    counted = getattr(place, "counts_items", True)
    met = len(set().union(*tallies))
    total = max(place.count(), met) if counted else met
    judged = [_judged(tally, total, alert_rate) for tally in tallies]
    chosen = _shown(tallies, [alerts for _, alerts in judged], show)
    results = [
        Occurrences.of(_dense(tally, total), *about)
        for tally, about in zip(tallies, figures, strict=True)
    ]
    before, after = tallies[0], tallies[1] if len(tallies) > 1 else None
    hubs = tuple(
        Hub(
            item,
            before[item],
            None if after is None else after[item],
            judged[0][1].get(item),
            None if after is None else judged[1][1].get(item),
            known.get(item),
        )
        for item in chosen
    )
    return QueryHubs(
        total,
        len(rows),
        int(k),
        repeated,
        results[0],
        results[1] if len(results) > 1 else None,
        hubs,
        float(alert_rate),
        all(sound for sound, _ in judged),
        exact,
        missing,
        counted,
        {item: (before[item], (after or before)[item]) for item in {**before, **(after or {})}},
    )


def _distinct(queries: Array) -> tuple[npt.NDArray[Any], int]:
    """Rows without repeated ones, in their order, and how many were left out."""
    rows = np.ascontiguousarray(to_numpy(check_embeddings(queries, "queries")))
    first: dict[bytes, int] = {}
    for number, row in enumerate(rows):
        first.setdefault(row.tobytes(), number)
    return rows[list(first.values())], len(rows) - len(first)


def _dense(tally: Counter[Any], total: int) -> npt.NDArray[np.int64]:
    """Counts of all items, those that never come up last."""
    counts = np.zeros(total, dtype=np.int64)
    counts[: len(tally)] = list(tally.values())
    return counts


def _judged(tally: Counter[Any], total: int, rate: float) -> tuple[bool, dict[Any, float]]:
    """Whether there was an audit, and what it reports."""
    expected = audit(_dense(tally, total), rate)
    if expected is None:
        return False, {}
    values = zip(tally, expected[: len(tally)].tolist(), strict=True)
    return True, {item: value for item, value in values if np.isfinite(value)}


def _shown(
    tallies: Sequence[Counter[Any]], alerts: Sequence[Mapping[Any, float]], show: int
) -> list[Any]:
    """Items to report on, those first that come up most; equal ones by their ids."""

    def place(item: Any) -> tuple[Any, ...]:
        counts = [tally[item] for tally in tallies]
        return (-max(counts), [-count for count in counts], type(item).__name__, item)

    chosen = {item for reported in alerts for item in reported}
    for tally in tallies:
        order = sorted(tally, key=lambda item: (-tally[item], type(item).__name__, item))
        chosen.update(order[:show])
    return sorted(chosen, key=place)

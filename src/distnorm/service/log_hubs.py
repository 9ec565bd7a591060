"""Which items come up for the queries of a log, before and after, and for which of them.

A hub is an item among the first `K` of many queries. The queries are those that a service was
given: vectors with the words that they stand for.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from distnorm.monitoring.hubs import Occurrences
from distnorm.service.engine import Engine
from distnorm.service.limits import Refusal
from distnorm.service.requests import Asked, Wanted
from distnorm.service.shown import LoggedQueries

__all__ = ["HubCounts", "K"]

K, SHOWN = 10, 24
_AT_ONCE = 32


@dataclass
class HubCounts:
    """Counts of one state of the statistics; `step` counts a few queries more.

    ``lists`` holds, by dot product and normalized, the ids that each query finds.
    """

    engine: Engine
    queries: LoggedQueries
    version: int
    lists: tuple[list[Sequence[Any]], list[Sequence[Any]]] = field(default_factory=lambda: ([], []))

    @property
    def done(self) -> int:
        """Queries that are counted."""
        return len(self.lists[1])

    @property
    def finished(self) -> bool:
        """Whether all are."""
        return self.done >= len(self.queries.rows)

    def step(self) -> None:
        """Count a few queries; raises `Refusal` where the items cannot be searched."""
        rows = self.queries.rows[self.done : self.done + _AT_ONCE]
        found = []
        for wanted in (Wanted("dot"), Wanted()):
            jobs = [
                Asked(K, row=np.asarray(row, dtype=np.float32)[None], wanted=wanted, brief=True)
                for row in rows
            ]
            answers = self.engine.search(jobs)
            for answer in answers:
                if isinstance(answer, Refusal):
                    raise answer
            found.append([answer.answer["ids"] for answer in answers])
        for kept, more in zip(self.lists, found, strict=True):
            kept += more

    def counts(self, after: bool) -> dict[Any, int]:
        """Queries that find each item, most first; ties in the order of appearance."""
        found: dict[Any, int] = {}
        for ids in self.lists[after]:
            for item in ids:
                found[item] = found.get(item, 0) + 1
        return dict(sorted(found.items(), key=lambda pair: -pair[1]))

    def finding(self, item: Any, after: bool) -> list[int]:
        """Numbers of the queries that find an item."""
        return [number for number, ids in enumerate(self.lists[after]) if item in ids]

    def figures(self, after: bool) -> Occurrences:
        """Figures of one ranking, items that never come up included where their number is known."""
        counts = list(self.counts(after).values())
        missing = max(0, (self.engine.count or 0) - len(counts))
        ranking = self.engine.rankings.default
        name, strength = (ranking.method, ranking.strength) if after else ("dot", 0.0)
        return Occurrences.of(np.array(counts + [0] * missing, dtype=np.int64), name, strength)

    def shown(self) -> list[Any]:
        """Items that come up most, before or after; their places are their numbers on the page."""
        tops = [list(self.counts(after))[:SHOWN] for after in (False, True)]
        return list(dict.fromkeys(tops[0] + tops[1]))

"""`Engine`: what a service knows and does, without HTTP: items, model, rankings, answers.

Its methods run in one thread (`Batches`), but for `replace`, which swaps the rankings as a whole:
a batch that has begun keeps those it began with.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from distnorm.arrays import Float32, NDArray, to_numpy
from distnorm.calibration.score_kinds import score_kind
from distnorm.errors import DistnormError
from distnorm.service.items import Items, Line, Wish
from distnorm.service.limits import Limits, Refusal
from distnorm.service.lists import Bar, brief, compared, judge
from distnorm.service.queries import Queries
from distnorm.service.rankings import Ranking, Rankings
from distnorm.service.requests import Asked

__all__ = ["Engine", "Found", "Now"]


@dataclass(frozen=True)
class Now:
    """What answers at a time: items, and rankings that are ready for them."""

    items: Items
    rankings: Rankings


@dataclass(frozen=True)
class Found:
    """Answer of one search, and the query's row and side, for statistics that learn."""

    answer: dict[str, Any]
    row: Float32
    side: str


@dataclass(eq=False)
class Engine:
    """A collection that is open, the model of its queries, and the rankings in force."""

    items: Items
    rankings: Rankings = field(default_factory=Rankings)
    queries: Queries = field(default_factory=Queries)
    model: str | None = None  # the model's id
    bar: Bar = field(default_factory=Bar)  # a rate needs a calibrated normalization
    filters: bool = False  # whether clients may send an index's own conditions
    count: int | None = None

    def __post_init__(self) -> None:
        """Raise for a bar that the normalization has not."""
        self.now = self.prepared(self.items, self.rankings)
        self.count = self.items.count

    def prepared(self, items: Items, rankings: Rankings) -> Now:
        """Items with rankings, biases computed; raises for a bar or items that do not suit them."""
        self.bar.of(rankings.default.norm)
        sample = np.zeros(items.dimension, dtype=np.float32)
        sample[0] = 1
        items.lines([Wish(sample, (rankings.default,), 1, rankings.asking)], rankings)
        return Now(items, rankings)

    def replace(self, now: Now) -> None:
        """Answer by these from the next batch on; what has begun keeps those it began with."""
        self.now, self.items, self.rankings = now, now.items, now.rankings
        if now.items.commit is not None:
            self.count = now.items.count

    def search(self, jobs: Sequence[Asked]) -> list[Any]:
        """A `Found` for each search, or the `Refusal` that it meets."""
        now = self.now
        rankings = now.rankings
        rows, sides = self.queries.rows(jobs, rankings.asking, now.items.side)
        wishes: list[Any] = []
        for job, row, side in zip(jobs, rows, sides, strict=True):
            try:
                if job.filter is not None:
                    self._check_filter(now.items, job.filter)
                wishes.append(row if isinstance(row, Refusal) else _wish(job, row, side, rankings))
            except DistnormError as error:
                wishes.append(Refusal.of(error))
            except Refusal as refusal:
                wishes.append(refusal)
        sound = [wish for wish in wishes if isinstance(wish, Wish)]
        try:
            lines = now.items.lines(sound, rankings) if sound else []
        except DistnormError as error:
            if len(sound) > 1 or sound[0].filter is None or now.items.count is None:
                raise
            # The items answer: it is the filter that they do not take.
            raise Refusal.of(error) from error
        searches = list(zip(sound, lines, strict=True))
        judged = iter(judge(now.items, searches, self.bar))
        found = iter(lines)
        results: list[Any] = []
        for job, wish in zip(jobs, wishes, strict=True):
            if not isinstance(wish, Wish):
                results.append(wish)
                continue
            mine, verdicts = next(found), next(judged)
            if job.brief:
                answer = brief(mine[0], job.k)
            else:
                answer = self._answer(job, wish, mine, verdicts, now)
            results.append(Found(answer, wish.row, wish.side))
        return results

    def shift(
        self, rows: Float32, method: str | None, strength: float | None
    ) -> tuple[NDArray, Ranking]:
        """Queries as an index of raw vectors wants them; refused for methods that do not shift."""
        rankings = self.rankings
        try:
            ranking = rankings.ranking(method, strength)
            if ranking.norm is None:
                return rows, ranking
            return to_numpy(
                ranking.norm.shift_queries(rows, modality=rankings.asking), np.float32
            ), ranking
        except DistnormError as error:
            raise Refusal.of(error) from error

    def bias(
        self, rows: Float32, method: str | None, strength: float | None
    ) -> tuple[NDArray, Ranking]:
        """What to subtract from q . x for each of these items."""
        rankings = self.rankings
        try:
            ranking = rankings.ranking(method, strength)
            if ranking.norm is None:
                return np.zeros(len(rows)), ranking
            if not ranking.norm.correction(rankings.asking).item_by_item:
                raise Refusal(
                    400,
                    f"biases of {ranking.method!r}, which depend on all items",
                    "a method whose biases do not",
                    "compute them for the whole collection",
                )
            bias = ranking.norm.item_bias(rows, modality=rankings.side)
            return to_numpy(bias, np.float64), ranking
        except DistnormError as error:
            raise Refusal.of(error) from error

    def _check_filter(self, items: Items, filter: Any) -> None:
        """Raise for what is no filter here; an index's own language only where it is let in."""
        if items.commit is None and not self.filters:
            raise Refusal(
                400,
                "a filter",
                "none, as conditions run in the index",
                "start with --allow-filters if its clients may ask anything of the index",
            )
        items.check_filter(filter)

    def _answer(
        self, job: Asked, wish: Wish, lines: list[Line], judged: list[Any], now: Now
    ) -> dict[str, Any]:
        return {
            **compared(job, wish, lines, judged, now.items, now.rankings),
            "model": self.model,
            "prompt": self.queries.prompt if job.text is not None else None,
            "n_items": self.count,
        }

    @property
    def limits(self) -> Limits:
        """Bounds of requests."""
        return self.queries.limits

    def facts(self) -> dict[str, Any]:
        """What a page needs to know before the first query."""
        norm = self.rankings.default.norm
        return {
            "schema": 1,
            "store": self.items.name,
            "side": self.items.side,
            "query_side": self.rankings.asking,
            "model": self.model,
            "n_items": self.count,
            "dimension": self.items.dimension,
            "takes": {
                "text": self.queries.encoder is not None,
                "picture": getattr(self.queries.encoder, "preprocess", None) is not None,
                "vector": True,
            },
            "methods": self.rankings.choices(),
            "method": self.rankings.default.method,
            "strength": self.rankings.default.strength,
            "strengths": {"lowest": 0.0, "highest": 1.5, "step": 0.05},
            "statistics": {"source": self.rankings.source, "version": self.rankings.version},
            "calibrated": norm is not None and norm.notes.calibration is not None,
            "probability": norm is not None and norm.notes.probability is not None,
            "score_kind": None if norm is None else score_kind(norm).to_dict(),
            "filters": self.items.filters,
            "limits": {
                name: getattr(self.limits, name) for name in ("k", "text", "picture", "rows")
            },
        }


def _wish(job: Asked, row: Any, side: str, rankings: Rankings) -> Wish:
    """The lists of a search: dot, the normalization, and another one if asked for."""
    dot, chosen = rankings.ranking("dot"), [Ranking("dot", 0.0)]
    wanted = job.wanted
    main = rankings.ranking(wanted.method, wanted.strength)
    if job.brief:
        only = main if side == rankings.asking else dot
        if job.row is not None:
            _check_length(row, side, [only])
        return Wish(row, (only,), job.k, side, job.filter)
    if side == rankings.asking:
        if main.key != dot.key and (main.norm is not None or wanted.method is not None):
            chosen.append(main)
        if job.also is not None:
            chosen.append(rankings.ranking(job.also.method, job.also.strength))
    if job.row is not None:
        _check_length(row, side, chosen)
    return Wish(row, tuple(chosen), job.k, side, job.filter)


def _check_length(row: NDArray, side: str, rankings: Sequence[Ranking]) -> None:
    """Raise for a vector that is not as the statistics want rows, of unit length mostly."""
    for ranking in rankings:
        if ranking.norm is not None:
            ranking.norm.check(row[None], side)

"""`Correction`: the method, parameters and strength that serve the queries of one side."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from distnorm.arrays import Array, Bools, CheckedRows, Float64, as_working, from_numpy, namespace
from distnorm.errors import DistnormError
from distnorm.exact import KeptProducts
from distnorm.methods.base import Method
from distnorm.methods.linear import linear_bias
from distnorm.metrics.ranking import Ranking
from distnorm.moments import Overlap
from distnorm.normalization.state import State

__all__ = ["Correction", "ranking", "two_sided_scores"]


@dataclass(frozen=True, eq=False)
class Correction:
    """What serves queries of ``side``, resolved once; under ``auto`` what was chosen for them.

    Strength 0 keeps the dot product and needs no statistics.
    """

    method: Method
    strength: float
    params: Mapping[str, Any]
    side: str
    state: State

    @property
    def shifts_queries(self) -> bool:
        """Whether `shift` ranks as `bias` does."""
        return self.method.shifts_queries

    @property
    def item_by_item(self) -> bool:
        """Whether an item's bias is the same whatever other items it is computed with."""
        others = self.state.statistics[self.state.names.other(self.side)]
        return self.method.item_by_item(self.params, self.state.statistics[self.side], others)

    @property
    def in_force(self) -> dict[str, Any]:
        """Every parameter as it is applied; None where the items of a call set it."""
        defaults = {name: each.default for name, each in self.method.parameters.items()}
        stated = {**defaults, **self.params}
        queries = self.state.statistics[self.side]
        others = self.state.statistics[self.state.names.other(self.side)]
        if self.method.in_force is None or not self.strength or not queries.moments.count:
            return stated
        return {**stated, **self.method.in_force(queries, others, self.params)}

    @cached_property
    def direction(self) -> Float64:
        """What `shift` subtracts, strength not included; (d,)."""
        queries = self.state.fitted(self.side)
        if self.method.direction is None:
            return queries.moments.mean
        items = self.state.statistics[self.state.names.other(self.side)]
        return self.method.direction(queries, items, self.params)

    def require_shift(self) -> None:
        """Raise unless `shift` ranks as `bias` does."""
        if not self.shifts_queries:
            spec = self.state.spec
            chosen = f", which chose {self.method.name!r}" if spec.chooses else ""
            raise DistnormError(
                f"shift_queries of {spec.name!r}{chosen}",
                "a linear method (dot, dn, dn*, ridge)",
                "use item_bias and store it beside each item, or re-rank an over-fetched list",
            )

    def shift(self, queries: Array) -> Array:
        """Queries less strength times direction, (n, d), in their working dtype; or transformed."""
        if self.method.transform is not None:
            mean = self.strength * self.direction if self.strength else None
            return self.method.transform(queries, mean, self.state.names.plural(self.side))
        working = as_working(queries)
        if not self.strength:
            return working
        return working - from_numpy(self.strength * self.direction, working)

    def bias(self, items: Array, side: str | None = None) -> Array:
        """What to subtract from q . y for each item, (n,), of ``side`` if not of the other one."""
        if not self.strength:
            working = as_working(items)
            return namespace(working).zeros_like(working[:, 0])
        if self.method.bias is None:
            return self.strength * linear_bias(items, self.direction)
        others = self.state.statistics[side or self.state.names.other(self.side)]
        queries = self.state.fitted(self.side)
        return self.strength * self.method.bias(items, queries, others, self.params)

    def overlap(self, queries: Array | CheckedRows) -> Overlap | None:
        """How many of the evaluated ``queries`` were fitted; None if that cannot be told."""
        statistics = self.state.statistics[self.side]
        if not self.strength or not self.state.spec.corrects or not statistics.moments.count:
            return Overlap(0, int(queries.shape[0]), exact=True)
        return statistics.overlap(queries)

    def gate(self, items: Array) -> Bools | None:
        """Items whose bias counts for a query that likes them best, (n,); None for all."""
        gate = self.method.gate
        return None if gate is None else gate(items, self.state.fitted(self.side))

    def same_as(self, other: Correction) -> bool:
        """Whether both do the same, so that a direction at hand can be kept."""
        mine, theirs = ((c.method.name, c.strength, c.params) for c in (self, other))
        return self.state is other.state and mine == theirs


def ranking(
    correction: Correction, of_items: Correction, queries: CheckedRows, items: CheckedRows
) -> Ranking:
    """How to rank ``items`` for ``queries``; ``of_items`` is what serves queries of their side."""
    left, right = queries.rows, items.rows
    if correction.state.spec.transforms:
        return Ranking(correction.shift(left), of_items.shift(right))
    kept = KeptProducts.of(queries, items)
    if not correction.strength:
        return Ranking(left, right, kept=kept)
    # A linear method is a shift of the query and just as well a bias of the item; as a bias
    # both directions rank the same product.
    return Ranking(left, right, correction.bias(right), correction.gate(right), kept)


def two_sided_scores(
    one: Correction, two: Correction, first: Array, second: Array, *, paired: bool = False
) -> Array:
    """Scores of all rows of one side with all of the other, (n, m), or row by row, (n,)."""
    spec = one.state.spec
    if paired and first.shape[0] != second.shape[0]:
        raise DistnormError(
            f"{first.shape[0]} and {second.shape[0]} rows", "as many on both sides", "pair them"
        )
    if not spec.two_sided:
        raise DistnormError(
            f"a two-sided score of {spec.name!r}",
            "a query side: it gates each query on its own",
            f"use similarity(..., query={two.side!r}), or method 'is' without the gate",
        )
    shifts = spec.transforms or (one.shifts_queries and two.shifts_queries)
    left, right = (
        c.shift(x) if shifts else as_working(x) for c, x in ((one, first), (two, second))
    )
    xp = namespace(left)
    scores = xp.sum(left * right, axis=1) if paired else xp.matmul(left, right.T)
    if not shifts:
        own = two.bias(first)
        scores = scores - (own if paired else own[:, None]) - one.bias(second)
    return spec.factor * scores if spec.factor != 1 else scores

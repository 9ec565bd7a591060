"""What a choice looks at: checked rows in float64, distinct ones with how often they come."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from distnorm.arrays import (
    Array,
    as_working,
    check_embeddings,
    check_lengths,
    take_rows,
    to_numpy,
)
from distnorm.errors import DistnormError
from distnorm.methods.sides import Sides
from distnorm.methods.statistics import check_weighting
from distnorm.moments import check_weights, content_hashes, density_weights, per_row
from distnorm.selection.planted import Log
from distnorm.selection.scored import Weighing

__all__ = [
    "LEAST_PAIRS",
    "Sample",
    "drawn",
    "numbers_drawn",
    "pairs_of",
    "rows_of",
    "scale_weights",
]

Float64 = npt.NDArray[np.float64]
Indices = npt.NDArray[np.intp]

LEAST_PAIRS = 20
_MOST_ROWS, _MOST_PAIRS = 5000, 2000


@dataclass(frozen=True)
class Sample:
    """Distinct rows, (n, d), how often each came, (n,), and how they are weighed."""

    rows: Float64
    times: Float64
    weighing: Weighing

    @classmethod
    def of(cls, rows: Float64, weights: str | Float64) -> Sample:
        """Distinct rows: a repeated query is no new evidence."""
        distinct, inverse = np.unique(rows, axis=0, return_inverse=True)
        given = None if isinstance(weights, str) else weights
        times = np.bincount(inverse.ravel(), given).astype(np.float64)
        plain = given is None and len(distinct) == len(rows)
        density = isinstance(weights, str) and weights == "density"
        gated = density or given is not None
        counted = times > 0
        weighing = Weighing(None if plain else times[counted], density, gated)
        return cls(distinct[counted], times[counted], weighing)

    def __len__(self) -> int:
        """Distinct rows."""
        return len(self.rows)

    def drawn(self, most: int, rng: np.random.Generator) -> Sample:
        """At most so many of them, drawn at random."""
        if len(self) <= most:
            return self
        chosen = numbers_drawn(len(self), most, rng)
        times = None if self.weighing.times is None else self.times[chosen]
        weighing = Weighing(times, self.weighing.density, self.weighing.gated)
        return Sample(self.rows[chosen], self.times[chosen], weighing)

    def log(self) -> Log:
        """How the rows stand for queries to come."""
        kinds = Weighing(self.weighing.times, density=True).of(self.rows, np.ones(len(self), bool))
        return Log(self.times, np.ones(len(self)) if kinds is None else kinds)


def rows_of(
    arrays: Mapping[str, Any],
    names: Sides,
    input: str,
    weights: str | Mapping[str, Any] = "even",
) -> tuple[dict[str, Float64], dict[str, str | Float64]]:
    """Checked rows of each side in float64, in order, and how they count: by name or numbers."""
    checked = _checked(arrays, names, input)
    counted = _weights_of(weights, {side: x.shape[0] for side, x in checked.items()}, names)
    samples = {}
    for side, rows in checked.items():
        each = counted[side]
        given = None if isinstance(each, str) else each
        numbers = _in_order(rows, weights=given)
        samples[side] = to_numpy(as_working(take_rows(rows, numbers)), np.float64)
        counted[side] = each if given is None else given[numbers]
    return samples, counted


def _in_order(*sides: Array, weights: Float64 | None = None, most: int = _MOST_ROWS) -> Indices:
    """Numbers of rows by what the rows hold, those of several sides together; some if many.

    Equal ones are neighbours, so that evenly spaced ones keep the shares of repeats.
    """
    keys = [content_hashes(rows) for rows in sides]
    order = np.lexsort(keys if weights is None else [weights, *keys])
    return np.asarray(order[:: max(1, -(-len(order) // most))])


def _checked(arrays: Mapping[str, Any], names: Sides, input: str) -> dict[str, Array]:
    found = {}
    for key, x in arrays.items():
        if x is not None:
            side = names.resolve(key)
            found[side] = check_embeddings(x, names.plural(side))
            check_lengths(found[side], names.plural(side), "auto", input)
    return found


def _weights_of(
    weights: str | Mapping[str, Any], sizes: Mapping[str, int], names: Sides
) -> dict[str, str | Float64]:
    """How rows of each side count, by name or as numbers."""
    if isinstance(weights, str):
        check_weighting(weights)
        return dict.fromkeys(sizes, weights)
    named = {names.resolve(key): value for key, value in weights.items()}
    found: dict[str, str | Float64] = {}
    for side, n in sizes.items():
        value = named.get(side, "density")
        if isinstance(value, str):
            check_weighting(value)
            found[side] = value
        else:
            found[side] = per_row(check_weights(value, n, names.plural(side)))
    return found


def scale_weights(rows: Float64, weights: str | Float64) -> Float64 | None:
    """Weights of rows that set a scale, (n,); None where all are 1."""
    if not isinstance(weights, str):
        return weights
    return density_weights(rows) if weights == "density" else None


def pairs_of(pairs: tuple[Array, Array] | None, names: Sides, input: str) -> dict[str, Float64]:
    """Rows of labelled pairs under their sides' names."""
    if pairs is None:
        return {}
    by_side = {names.first: pairs[0], names.second: pairs[1]}
    sizes = [len(x) for x in pairs]
    if len(sizes) != 2 or sizes[0] != sizes[1] or sizes[0] < LEAST_PAIRS:
        raise DistnormError(
            f"pairs of {' and '.join(map(str, sizes))} rows",
            f"as many on both sides, at least {LEAST_PAIRS}",
            "label more, or leave pairs out",
        )
    rows = _checked(by_side, names, input)
    numbers = _in_order(*rows.values(), most=_MOST_PAIRS)
    return {
        side: to_numpy(as_working(take_rows(x, numbers)), np.float64) for side, x in rows.items()
    }


def numbers_drawn(n: int, most: int, rng: np.random.Generator) -> Indices:
    """At most so many of n row numbers, drawn at random, in their order."""
    return np.arange(n) if n <= most else np.sort(rng.choice(n, most, replace=False))


def drawn(rows: Float64, most: int, rng: np.random.Generator) -> Float64:
    """At most so many of the rows, drawn at random, in their order."""
    return rows if len(rows) <= most else rows[numbers_drawn(len(rows), most, rng)]

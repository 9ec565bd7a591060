"""What a choice looks at: checked rows in float64, distinct ones with how often they come."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from distnorm.arrays import Array, as_working, check_embeddings, check_lengths, to_numpy
from distnorm.errors import DistnormError
from distnorm.methods.sides import Sides
from distnorm.methods.statistics import check_weighting
from distnorm.moments import check_weights, density_weights
from distnorm.selection.planted import Log
from distnorm.selection.scored import Weighing

__all__ = [
    "LEAST_PAIRS",
    "Sample",
    "distinct_rows",
    "drawn",
    "numbers_drawn",
    "pairs_of",
    "rows_of",
    "scale_weights",
    "weights_of",
]

Float64 = npt.NDArray[np.float64]

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
        """Distinct rows in their order: a repeated query is no new evidence."""
        _, first, inverse = np.unique(rows, axis=0, return_index=True, return_inverse=True)
        order = np.argsort(first)
        given = None if isinstance(weights, str) else weights
        times = np.bincount(inverse.ravel(), given)[order].astype(np.float64)
        plain = given is None and len(first) == len(rows)
        density = isinstance(weights, str) and weights == "density"
        gated = density or given is not None
        counted = times > 0
        weighing = Weighing(None if plain else times[counted], density, gated)
        return cls(rows[first[order]][counted], times[counted], weighing)

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
    arrays: Mapping[str, Any], names: Sides, input: str, most: int = _MOST_ROWS
) -> dict[str, Float64]:
    """Checked rows of each side in float64, evenly spaced ones where there are many."""
    checked_rows = {}
    for key, x in arrays.items():
        if x is None:
            continue
        side = names.resolve(key)
        rows = check_embeddings(x, names.plural(side))
        check_lengths(rows, names.plural(side), "auto", input)
        step = _step(rows.shape[0], most)
        rows = rows[::step, ...] if step > 1 else rows
        checked_rows[side] = to_numpy(as_working(rows), np.float64)
    return checked_rows


def weights_of(
    weights: str | Mapping[str, Any], sizes: Mapping[str, int], names: Sides
) -> dict[str, str | Float64]:
    """How rows of each side count, by name or as numbers of those that `rows_of` keeps."""
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
            found[side] = check_weights(value, n, names.plural(side))[:: _step(n, _MOST_ROWS)]
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
    return rows_of(by_side, names, input, _MOST_PAIRS)


def distinct_rows(rows: Float64) -> Float64:
    """Rows without repeats, in their order."""
    _, first = np.unique(rows, axis=0, return_index=True)
    return rows if len(first) == len(rows) else rows[np.sort(first)]


def numbers_drawn(n: int, most: int, rng: np.random.Generator) -> npt.NDArray[np.intp]:
    """At most so many of n row numbers, drawn at random, in their order."""
    return np.arange(n) if n <= most else np.sort(rng.choice(n, most, replace=False))


def drawn(rows: Float64, most: int, rng: np.random.Generator) -> Float64:
    """At most so many of the rows, drawn at random, in their order."""
    return rows if len(rows) <= most else rows[numbers_drawn(len(rows), most, rng)]


def _step(n: int, most: int) -> int:
    return max(1, -(-n // most))

"""What is kept of one side: its moments, and for bank methods its rows and their weights."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np

from distnorm.arrays import (
    Array,
    CheckedRows,
    Float64,
    as_working,
    checked,
    copied,
    like_array,
    namespace,
    to_numpy,
)
from distnorm.errors import DistnormError
from distnorm.moments import Moments, Overlap, check_weights, counted_rows, density_weights

__all__ = ["MOST_PENDING", "WEIGHTINGS", "SideStatistics", "Weights", "check_weighting"]

Weights = str | Float64 | None
T = TypeVar("T")

MOST_PENDING = 2000
"""Rows of a stream that are weighed by density together where no bank is kept."""

WEIGHTINGS = ("even", "density")
"""Weights that rows can have by name: all 1, or those of `distnorm.moments.weights`."""


@dataclass(frozen=True)
class Pending:
    """The latest rows of a stream, and the moments of those before them."""

    before: Moments
    rows: tuple[Array, ...]

    @property
    def count(self) -> int:
        """Rows."""
        return sum(int(part.shape[0]) for part in self.rows)


@dataclass(frozen=True)
class SideStatistics:
    """Moments and, for bank methods, the rows themselves; replaced whole, never changed."""

    moments: Moments
    bank: tuple[Array, ...] | None
    weights: tuple[Float64, ...] | None = None  # of the parts of the bank; None where all are 1
    given: bool = False  # whether numbers say how much any row counts, which no density replaces
    # weighed by density without a bank; no file holds them
    pending: Pending | None = field(default=None, compare=False, repr=False)
    memo: list[tuple[Any, Any]] = field(default_factory=list, compare=False, repr=False)

    def with_rows(
        self, rows: Array | CheckedRows, name: str, weights: Weights = None
    ) -> SideStatistics:
        """These statistics and ``rows``, shape (n, d).

        Under ``"density"`` a bank is weighed anew as a whole; where none is kept, the new rows
        with those before them as long as they are no more than `MOST_PENDING` together.
        """
        by_density = isinstance(weights, str) and weights == "density"
        if self.bank is None and by_density:
            return self._with_pending(rows, name)
        plain = rows.rows if isinstance(rows, CheckedRows) else rows
        given = None
        if weights is not None and not isinstance(weights, str):
            given = check_weights(weights, rows.shape[0], name)
            plain, given, name = counted_rows(plain, given, name)
            rows = rows if len(given) == rows.shape[0] else plain
        elif by_density and self.given:
            given = density_weights(rows)
        added = self._moments_of(rows, name, given)
        moments = self.moments.merge(added) if self.moments.count else added
        said = self.given or (not by_density and given is not None and bool((given != 1).any()))
        if self.bank is None:
            return SideStatistics(moments, None, given=said)
        every = None
        if given is not None or self.weights is not None:
            new = np.ones(plain.shape[0]) if given is None else given
            every = (*self.weights_of_parts(), new)
        both = SideStatistics(moments, (*self.bank, copied(plain)), every, given=said)
        return both.weighed(name) if by_density else both

    def _with_pending(self, rows: Array | CheckedRows, name: str) -> SideStatistics:
        before, earlier = self.moments, self.pending
        plain = checked(rows, name).rows
        parts: tuple[Array, ...] = (plain,)
        if earlier is not None and earlier.count + plain.shape[0] <= MOST_PENDING:
            before, parts = earlier.before, (*earlier.rows, copied(plain))
            rows = CheckedRows(_joined(parts), name)
        weights = density_weights(rows)
        added = self._moments_of(rows, name, weights, float(weights.sum()))
        moments = before.merge(added) if before.count else added
        if plain.shape[0] > MOST_PENDING:
            return SideStatistics(moments, None, given=self.given)
        kept = parts if len(parts) > 1 else (copied(plain),)
        return SideStatistics(moments, None, given=self.given, pending=Pending(before, kept))

    def weighed(self, name: str) -> SideStatistics:
        """The bank with `density_weights` of all its rows, unless numbers say what they count."""
        if self.given:
            return self
        rows = CheckedRows(self.bank_rows(), name)
        weights = density_weights(rows)
        moments = self._moments_of(rows, name, weights, float(weights.sum()))
        return SideStatistics(moments, (rows.rows,), (weights,))

    def without_rows(self, rows: Array | CheckedRows, name: str) -> SideStatistics:
        """These statistics less ``rows``, shape (n, d), which must be among them."""
        if self.bank is None:
            if self.given or self.weighted:
                raise DistnormError(
                    f"a removal of {name} whose weights are not known",
                    "statistics of rows that all count 1, or a bank",
                    "fit anew on the rows that stay",
                )
            seen = None if self.moments.sketch is None else self.moments.sketch.overlap(rows)
            if seen is not None and seen.fitted < seen.rows:
                raise DistnormError(
                    f"{seen.rows} {name} to take out, {'' if seen.exact else 'about '}"
                    f"{seen.rows - seen.fitted} of which were not fitted",
                    "rows that were fitted",
                    "leave out the others, or fit anew on the rows that stay",
                )
            taken = self._moments_of(rows, name, None)
            return SideStatistics(copy.deepcopy(self.moments).remove(taken), None)
        bank = self.bank_rows()
        places: dict[bytes, list[int]] = {}
        for place, row in enumerate(to_numpy(as_working(bank)).astype(np.float32)):
            places.setdefault(row.tobytes(), []).append(place)
        keep = np.ones(bank.shape[0], dtype=bool)
        plain = rows.rows if isinstance(rows, CheckedRows) else rows
        if self.weights is None:
            # First, as it refuses rows that cannot be taken out.
            moments = copy.deepcopy(self.moments).remove(self._moments_of(rows, name, None))
        for number, row in enumerate(to_numpy(as_working(plain)).astype(np.float32)):
            copies = places.get(row.tobytes())
            if not copies:
                raise DistnormError(
                    f"{name} with row {number}, which the bank does not hold",
                    "rows that were fitted",
                    "fit anew on the rows that stay",
                )
            keep[copies.pop()] = False
        if self.weights is None:
            return SideStatistics(moments, (bank[keep],))
        weights = np.concatenate(self.weights)
        gone = CheckedRows(bank[~keep], name)
        worth = self._scale * float(weights[~keep].sum())
        taken = self._moments_of(gone, name, weights[~keep], worth)
        moments = copy.deepcopy(self.moments).remove(taken)
        return SideStatistics(moments, (bank[keep],), (weights[keep],), self.given)

    def merge(self, other: SideStatistics) -> SideStatistics:
        """Both together, each row with the weight it has."""
        both, given = self.moments.merge(other.moments), self.given or other.given
        if self.bank is None or other.bank is None:
            return SideStatistics(both, None, given=given)
        weights = None
        if self.weights is not None or other.weights is not None:
            weights = (*self.weights_of_parts(), *other.weights_of_parts())
        return SideStatistics(both, (*self.bank, *other.bank), weights, given)

    def decay(self, factor: float) -> SideStatistics:
        """Moments that count for less; of a bank only the latest rows stay, as many."""
        moments = self.moments.decay(factor)
        if not self.bank:
            return SideStatistics(moments, self.bank, given=self.given)
        rows = self.bank_rows()
        first = rows.shape[0] - moments.count
        kept = rows[first:, ...]
        weights = None if self.weights is None else np.concatenate(self.weights)[first:]
        # A bank is its rows: their moments, not shrunken ones of rows that have gone.
        worth = None if weights is None else self._scale * float(weights.sum())
        return SideStatistics(
            self._moments_of(CheckedRows(kept, "bank"), "bank", weights, worth),
            (copied(kept),),
            None if weights is None else (weights,),
            self.given,
        )

    def bank_rows(self) -> Array:
        """The bank as one array."""
        if not self.bank:
            raise DistnormError("no bank", "a bank method that was fitted", "call fit first")
        return _joined(self.bank)

    def bank_weights(self) -> Float64 | None:
        """Weights of `bank_rows`, (m,), which add up to what these are worth; None where all are 1.

        So k nearest rows are as many, and a bank covers as much, whatever the weights' scale.
        """
        return None if self.weights is None else self._scale * np.concatenate(self.weights)

    def coverage_over(self, items: SideStatistics | Array, measure: Callable[..., T]) -> T:
        """``measure`` of the bank, with weights, over other rows; over those of statistics once."""
        if not isinstance(items, SideStatistics):
            return measure(self.bank_rows(), items, self.bank_weights())
        for others, coverage in self.memo:
            if others is items:
                kept: T = coverage
                return kept
        self.memo.clear()
        worth = None if items.weights is None else items.moments.worth
        fresh = measure(self.bank_rows(), items.bank_rows(), self.bank_weights(), worth)
        self.memo.append((items, fresh))
        return fresh

    def covariance(self) -> Float64 | None:
        """Covariance of the rows, (d, d); None where only their mean was kept."""
        if self.bank:
            rows = to_numpy(self.bank_rows(), np.float64)
            return np.asarray(np.cov(rows.T, aweights=self.bank_weights()), dtype=np.float64)
        return (
            self.moments.covariance()
            if self.moments.order == 2 and self.moments.count >= 2
            else None
        )

    def came_from(self, queries: Array | CheckedRows) -> bool:
        """Whether these are statistics of exactly ``queries`` (rows in any order)."""
        if self.moments.count != queries.shape[0]:
            return False
        rows = queries.rows if isinstance(queries, CheckedRows) else queries
        if self.moments.weight != self.moments.count:
            weighed = Moments().update(queries, "queries", density_weights(queries))
            return bool(np.allclose(self.moments.mean, weighed.mean, rtol=0, atol=1e-9))
        one = float(np.sum(to_numpy(rows[:, 0]), dtype=np.float64)) / queries.shape[0]
        if abs(one - float(self.moments.mean[0])) > 1e-6 * max(1.0, abs(one)):
            # Plainly others: no need to add up all the columns.
            return False
        theirs = _moments(queries, "queries", 1, None)
        return bool(np.allclose(self.moments.mean, theirs.mean, rtol=0, atol=1e-9))

    def overlap(self, rows: Array | CheckedRows) -> Overlap | None:
        """How many of ``rows``, shape (n, d), are among these; None if that cannot be told."""
        if self.moments.sketch is not None:
            return self.moments.sketch.overlap(rows)
        # Of an older file only all rows are recognised.
        n = int(rows.shape[0])
        return Overlap(n, n, exact=True) if self.came_from(rows) else None

    def weights_of_parts(self) -> tuple[Float64, ...]:
        """Weights of each part of the bank, ones where there are none."""
        return self.weights or tuple(np.ones(part.shape[0]) for part in self.bank or ())

    def weights_of(self, rows: CheckedRows) -> Float64 | None:
        """Weights of fitted rows, (k,), by those that the bank was given; None if it was not."""
        if not self.given or not self.bank:
            return None
        values = np.concatenate(self.weights_of_parts())
        kept = to_numpy(as_working(self.bank_rows())).astype(np.float32)
        known = {row.tobytes(): value for row, value in zip(kept, values, strict=True)}
        usual, asked = float(values.mean()), to_numpy(as_working(rows.rows)).astype(np.float32)
        return np.array([known.get(row.tobytes(), usual) for row in asked])

    @property
    def weighted(self) -> bool:
        """Whether rows do not all count 1."""
        return self.weights is not None or self.moments.weight != self.moments.count

    @property
    def _scale(self) -> float:
        """Rows that a weight of 1 is worth."""
        return self.moments.worth / self.moments.weight

    def _moments_of(
        self,
        rows: Array | CheckedRows,
        name: str,
        weights: Float64 | None,
        worth: float | None = None,
    ) -> Moments:
        order, rank = self.moments.order, self.moments.rank
        sketch = self.moments.sketch is not None
        if weights is not None:
            empty = Moments(order=order, rank=rank, sketch=sketch)
            return empty.update(rows, name, weights, worth=worth)
        return _moments(rows, name, order, rank, sketch=sketch)


def check_weighting(name: object) -> None:
    """Raise unless ``name`` is one of `WEIGHTINGS`."""
    if not isinstance(name, str):
        kind = type(name).__name__
        raise DistnormError(f"weights of type {kind}", "'even' or 'density'", "pass numbers to fit")
    if name not in WEIGHTINGS:
        raise DistnormError(
            f"weights {name!r}", "'even', 'density' or one number per row", "pass one of them"
        )


def _joined(parts: tuple[Array, ...]) -> Array:
    first = parts[0]
    if len(parts) == 1:
        return first
    return namespace(first).concat([like_array(part, first) for part in parts])


def _moments(
    rows: Array | CheckedRows, name: str, order: int, rank: int | None, *, sketch: bool = True
) -> Moments:
    """Moments of ``rows``, of `CheckedRows` once for all methods: not to be changed."""
    if not isinstance(rows, CheckedRows):
        return Moments(order=order, rank=rank, sketch=sketch).update(rows, name)
    key, full = ("moments", order, rank, sketch), ("moments", 2, None, sketch)
    if key not in rows.memo:
        if order == 1 and full in rows.memo:
            rows.memo[key] = rows.memo[full].first_order()
        else:
            empty = Moments(order=order, rank=rank, sketch=sketch)
            rows.memo[key] = empty.update(rows, name)
    moments: Moments = rows.memo[key]
    return moments

"""What is kept of one side: its moments, and for bank methods its rows."""

from __future__ import annotations

import copy
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from distnorm.arrays import (
    Array,
    CheckedRows,
    as_working,
    copied,
    like_array,
    namespace,
    to_numpy,
)
from distnorm.errors import DistnormError
from distnorm.moments import Moments

__all__ = ["SideStatistics"]


@dataclass(frozen=True)
class SideStatistics:
    """Moments and, for bank methods, the rows themselves; replaced whole, never changed."""

    moments: Moments
    bank: tuple[Array, ...] | None

    def with_rows(self, rows: Array | CheckedRows, name: str) -> SideStatistics:
        """These statistics and ``rows``, shape (n, d)."""
        added = self._moments_of(rows, name)
        moments = self.moments.merge(added) if self.moments.count else added
        if self.bank is None:
            return SideStatistics(moments, None)
        plain = rows.rows if isinstance(rows, CheckedRows) else rows
        return SideStatistics(moments, (*self.bank, copied(plain)))

    def without_rows(self, rows: Array | CheckedRows, name: str) -> SideStatistics:
        """These statistics less ``rows``, shape (n, d), which must be among them."""
        taken = self._moments_of(rows, name)
        moments = copy.deepcopy(self.moments).remove(taken)
        if self.bank is None:
            return SideStatistics(moments, None)
        bank = self.bank_rows()
        places: dict[bytes, list[int]] = {}
        for place, row in enumerate(to_numpy(as_working(bank)).astype(np.float32)):
            places.setdefault(row.tobytes(), []).append(place)
        keep = np.ones(bank.shape[0], dtype=bool)
        plain = rows.rows if isinstance(rows, CheckedRows) else rows
        for number, row in enumerate(to_numpy(as_working(plain)).astype(np.float32)):
            copies = places.get(row.tobytes())
            if not copies:
                raise DistnormError(
                    f"{name} with row {number}, which the bank does not hold",
                    "rows that were fitted",
                    "fit anew on the rows that stay",
                )
            keep[copies.pop()] = False
        return SideStatistics(moments, (bank[keep],))

    def merge(self, other: SideStatistics) -> SideStatistics:
        """Both together."""
        both = self.moments.merge(other.moments)
        if self.bank is None or other.bank is None:
            return SideStatistics(both, None)
        return SideStatistics(both, (*self.bank, *other.bank))

    def decay(self, factor: float) -> SideStatistics:
        """Moments that count for less; of a bank only the latest rows stay, as many."""
        moments = self.moments.decay(factor)
        if not self.bank:
            return SideStatistics(moments, self.bank)
        rows = self.bank_rows()
        kept = rows[rows.shape[0] - moments.count :, ...]
        # A bank is its rows: their moments, not shrunken ones of rows that have gone.
        return SideStatistics(self._moments_of(CheckedRows(kept, "bank"), "bank"), (copied(kept),))

    def bank_rows(self) -> Array:
        """The bank as one array."""
        if not self.bank:
            raise DistnormError("no bank", "a bank method that was fitted", "call fit first")
        first = self.bank[0]
        if len(self.bank) == 1:
            return first
        return namespace(first).concat([like_array(part, first) for part in self.bank])

    def covariance(self) -> npt.NDArray[np.float64] | None:
        """Covariance of the rows, (d, d); None where only their mean was kept."""
        if self.bank:
            rows = to_numpy(self.bank_rows(), np.float64)
            return np.asarray(np.cov(rows.T), dtype=np.float64)
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
        one = float(np.sum(to_numpy(rows[:, 0]), dtype=np.float64)) / queries.shape[0]
        if abs(one - float(self.moments.mean[0])) > 1e-6 * max(1.0, abs(one)):
            # Plainly others: no need to add up all the columns.
            return False
        theirs = _moments(queries, "queries", 1, None)
        return bool(np.allclose(self.moments.mean, theirs.mean, rtol=0, atol=1e-9))

    def _moments_of(self, rows: Array | CheckedRows, name: str) -> Moments:
        return _moments(rows, name, self.moments.order, self.moments.rank)


def _moments(rows: Array | CheckedRows, name: str, order: int, rank: int | None) -> Moments:
    """Moments of ``rows``, of `CheckedRows` once for all methods: not to be changed."""
    if not isinstance(rows, CheckedRows):
        return Moments(order=order, rank=rank).update(rows, name)
    key, full = ("moments", order, rank), ("moments", 2, None)
    if key not in rows.memo:
        if order == 1 and full in rows.memo:
            rows.memo[key] = rows.memo[full].first_order()
        else:
            rows.memo[key] = Moments(order=order, rank=rank).update(rows, name)
    moments: Moments = rows.memo[key]
    return moments

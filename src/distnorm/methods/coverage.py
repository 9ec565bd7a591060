"""How a bank covers the items, and what of it counts for each of them.

For bank rows q_j with weights w_j, summing to W, and c_j the best item of q_j among n items,

    share_c = sum of w_j with c_j = c, over W        effective items  E = 1 / sum_c share_c^2
    coverage = 1 / (n (1/E - 1/W))

W draws of which all go to different items by chance have 1/E = 1/W; what is above that tells from
how many items they came, so a bank that asks for every item alike has a coverage around 1, less
where some items draw others' queries too, and one that asks for a fifth of them .2.

Rows that are near copies are folded by their weights before they can tell. There the kinds tell:
m even draws from items worth V by their own weights would find about V (1 - exp(-m/V)) of them, so

    kinds = W / (V (1 - exp(-m/V)))

is around 1, or above, for a bank that asks for all alike, and .4 where Zipf's law at exponent 1.3
or a corner of the items leaves few.

Where a bank covers the items narrowly, true matches are what its rows tell of an item: with
``own`` a row is left out of the bias of its best item, and of any other that it likes as much.
That costs a little on a bank that covers all items, and saves a bias where it asks for a few of
them; what `NARROW` and `FEW_KINDS`, which lie between, make of each is in ``benchmarks/skew.py``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from distnorm.arrays import Array, CheckedRows, Float64, Indices, to_numpy
from distnorm.exact import topk
from distnorm.methods.statistics import SideStatistics

__all__ = [
    "FEW_KINDS",
    "NARROW",
    "Bank",
    "Coverage",
    "bank_of",
    "coverage_of",
    "own_from",
    "own_in_force",
    "spread_over",
]


NARROW = 0.65
"""Coverage below which rows of a weighted bank are left out of the bias of their own match."""

FEW_KINDS = 0.7
"""Kinds of queries, against as many even draws, below which they are left out as well."""

_SAME = 1e-5
_MOST_PAIRS = 25_000_000


@dataclass(frozen=True)
class Coverage:
    """Rows and items of a bank, what they are worth, and the best score of each row, (m,)."""

    rows: int
    effective_rows: float
    items: int
    effective_items: float
    share: float
    best: Float64
    kinds: float | None = None  # None where the items' own weights are not known

    @property
    def narrow(self) -> bool:
        """Whether the bank asks for few of the items."""
        return self.share < NARROW or (self.kinds is not None and self.kinds < FEW_KINDS)


@dataclass(frozen=True)
class Bank:
    """Rows of a bank, (m, d), with what a bias needs to know of each."""

    rows: Array
    weights: Float64 | None = None  # (m,), or None where all are 1
    own: Float64 | None = None  # (m,): from which score on a row does not count for an item

    @property
    def size(self) -> int:
        """Rows."""
        size: int = self.rows.shape[0]
        return size

    @property
    def weight(self) -> float:
        """Sum of the weights."""
        return float(self.size if self.weights is None else self.weights.sum())


def coverage_of(
    bank: Array | CheckedRows,
    items: Array | CheckedRows,
    weights: Float64 | None = None,
    items_worth: float | None = None,
) -> Coverage:
    """How a bank, (m, d), with ``weights``, (m,), covers items, (n, d), with weights of a sum."""
    asked = bank if isinstance(bank, CheckedRows) else CheckedRows(bank, "bank")
    gallery = items if isinstance(items, CheckedRows) else CheckedRows(items, "items")
    scores, numbers = (to_numpy(found)[:, 0] for found in topk(asked, gallery, 1))
    best = scores.astype(np.float64)
    return spread_over(numbers.astype(np.intp), best, gallery.shape[0], weights, items_worth)


def spread_over(
    numbers: Indices,
    best: Float64,
    n: int,
    weights: Float64 | None = None,
    items_worth: float | None = None,
    rows: float | None = None,
) -> Coverage:
    """`Coverage` of n items by rows whose best items, (m,), and scores with them are known.

    ``rows`` is how many they are where equal ones are given once.
    """
    m = len(numbers) if rows is None else rows
    worth = float(m if weights is None else weights.sum())
    shares = np.bincount(numbers, weights, minlength=n) / worth
    alike = float(np.sum(shares**2))
    above = alike - 1 / worth
    share = 1 / (n * above) if above > 1e-12 else math.inf
    kinds = None
    if items_worth:
        kinds = worth / (items_worth * -math.expm1(-m / items_worth))
    return Coverage(round(m), worth, n, 1 / alike, share, best, kinds)


def own_from(coverage: Coverage) -> Float64:
    """The score from which on each row of a bank is its own match, (m,)."""
    return coverage.best - _SAME


def own_in_force(queries: SideStatistics, others: SideStatistics, params: Any) -> bool | str | None:
    """Whether `bank_of` leaves own matches out; None where the items of a call say so.

    Of more than 25 million pairs that is not worth the search which tells: "if narrow".
    """
    own = params.get("own")
    if own is not None or queries.weights is None:
        return bool(own)
    if not others.bank:
        return None
    if queries.moments.count * others.moments.count > _MOST_PAIRS:
        return "if narrow"
    return bool(queries.coverage_over(others, coverage_of).narrow)


def bank_of(queries: SideStatistics, items: Array, others: SideStatistics, params: Any) -> Bank:
    """The bank of a side's statistics, counted as ``params["own"]`` wants it.

    Left open, own matches are left out of a weighted bank that is narrow. Rows are matched with
    the fitted rows of the items' side, or with ``items`` where none are kept.
    """
    rows, weights, own = queries.bank_rows(), queries.bank_weights(), params.get("own")
    if (own is None and weights is None) or (own is not None and not own):
        return Bank(rows, weights)
    coverage = queries.coverage_over(others if others.bank else items, coverage_of)
    if own is None and not coverage.narrow:
        return Bank(rows, weights)
    return Bank(rows, weights, own_from(coverage))

"""How a bank covers the items, and what of it counts for each of them.

For bank rows q_j with weights w_j, summing to W, and c_j the best item of q_j among n items,

    share_c = sum of w_j with c_j = c, over W        effective items  E = 1 / sum_c share_c^2
    coverage = 1 / (n (1/E - 1/W))

W draws of which all go to different items by chance have 1/E = 1/W; what is above that tells from
how many items they came, so a bank that asks for every item alike has a coverage around 1, less
where some items draw others' queries too, and one that asks for a fifth of them .2.

Where a bank covers the items narrowly, true matches are what its rows tell of an item: with
``own`` a row is left out of the bias of its best item, and of any other that it likes as much.
That costs a little on a bank that covers all items, and saves a bias where it asks for a few of
them; what `NARROW`, which lies between, makes of each is in ``benchmarks/skew.py``. Rows that are
near copies are folded by their weights before they can tell: there weights alone are the remedy.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from distnorm.arrays import Array, CheckedRows, to_numpy
from distnorm.exact import topk
from distnorm.methods.statistics import SideStatistics

__all__ = ["NARROW", "Bank", "Coverage", "bank_of", "coverage_of"]

Float64 = npt.NDArray[np.float64]

NARROW = 0.65
"""Coverage below which rows of a weighted bank are left out of the bias of their own match."""

_SAME = 1e-5


@dataclass(frozen=True)
class Coverage:
    """Rows and items of a bank, what they are worth, and the best score of each row, (m,)."""

    rows: int
    effective_rows: float
    items: int
    effective_items: float
    share: float
    best: Float64

    @property
    def narrow(self) -> bool:
        """Whether the bank asks for few of the items."""
        return self.share < NARROW


@dataclass(frozen=True)
class Bank:
    """Rows of a bank, (m, d), with what a bias needs to know of each.

    ``weights`` are (m,) or None where all are 1; ``own`` the score from which on a row does not
    count for an item, (m,), or None.
    """

    rows: Array
    weights: Float64 | None = None
    own: Float64 | None = None

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
    bank: Array | CheckedRows, items: Array | CheckedRows, weights: Float64 | None = None
) -> Coverage:
    """How a bank, (m, d), with ``weights``, (m,), covers items, (n, d)."""
    asked = bank if isinstance(bank, CheckedRows) else CheckedRows(bank, "bank")
    gallery = items if isinstance(items, CheckedRows) else CheckedRows(items, "items")
    scores, numbers = (to_numpy(found)[:, 0] for found in topk(asked, gallery, 1))
    m, n = asked.shape[0], gallery.shape[0]
    worth = float(m if weights is None else weights.sum())
    shares = np.bincount(numbers.astype(np.intp), weights, minlength=n) / worth
    alike = float(np.sum(shares**2))
    above = alike - 1 / worth
    share = 1 / (n * above) if above > 1e-12 else float("inf")
    return Coverage(m, worth, n, 1 / alike, share, scores.astype(np.float64))


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
    return Bank(rows, weights, coverage.best - _SAME)

"""The float64 decision: scores of single pairs, and the one rule by which items are ordered.

    score(q, x) = sum over i of q_i x_i - bias(x)

The inputs are converted to float64, which is exact for every half and single precision, and the
products summed in one order, whatever the tile, the block or the thread. The higher score comes
first; of equal ones the lowest index.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from distnorm.arrays import blocks
from distnorm.exact.gallery import Gallery

__all__ = ["KBest", "PairScores", "best_first", "products"]

_Float64 = npt.NDArray[np.float64]
_Places = npt.NDArray[np.intp]
# Numbers of items in float64 at a time: few calls, near the cache's size.
_NUMBERS = 1 << 17


def products(items: _Float64, queries: _Float64) -> _Float64:
    """Sums of products in float64, in one order for all: (q, i, d) and (q, d) give (q, i)."""
    sums: _Float64 = np.einsum("qij,qj->qi", items, queries)
    return sums


def best_first(scores: _Float64) -> _Places:
    """Columns of each row from the highest score to the lowest; ties in rising order."""
    if scores.shape[1] >= 1 << 31:
        return np.argsort(-scores, axis=1, kind="stable")
    # Float32's bits in the order of the numbers, then the column: one integer, sorted as a whole
    # several times as fast. -0 equals 0.
    with np.errstate(over="ignore"):
        bits = (scores.astype(np.float32) + np.float32(0)).view(np.int32)
    rising = bits ^ ((bits >> 31) & np.int32(0x7FFFFFFF))
    keys: _Places = (~rising.astype(np.intp) << 32) | np.arange(scores.shape[1])
    keys.sort(axis=1)
    keys &= 0xFFFFFFFF
    # Rows in which scores that float32 cannot tell apart stand in the wrong order.
    ordered = np.take_along_axis(scores, keys, axis=1)
    wrong = np.flatnonzero((ordered[:, 1:] > ordered[:, :-1]).any(axis=1))
    keys[wrong] = np.argsort(-scores[wrong], axis=1, kind="stable")
    return keys


class PairScores:
    """Float64 scores of pairs of some queries, (n, d), and items, (m, d).

    ``gate`` says for which queries, (n,), the items' bias counts; left out, for all.
    """

    kept: Any = None
    """`KeptProducts` of these queries and items, where there are some."""

    def __init__(
        self,
        queries: npt.NDArray[Any],
        items: Gallery,
        bias: _Float64 | None,
        gate: npt.NDArray[np.bool_] | None = None,
        kept: Any = None,
    ) -> None:
        self.queries, self.items, self.bias, self.gate = queries, items, bias, gate
        if kept is not None:
            self.kept = kept

    def __len__(self) -> int:
        """Number of queries."""
        return len(self.queries)

    def unbiased(self) -> PairScores:
        """The same pairs without a bias."""
        return PairScores(self.queries, self.items, None)

    def settled(self, row: _Places, column: _Places, scores: _Float64) -> _Float64:
        """Scores of pairs, with those that are near each other as exact as they get: these are."""
        del row, column
        return scores

    def biased(self, bare: _Float64, row: _Places, column: _Places) -> _Float64:
        """Scores of pairs from their bare products."""
        if self.bias is None:
            return bare
        if self.gate is None:
            return bare - self.bias[column]
        return bare - np.where(self.gate[row], self.bias[column], 0.0)

    def of(self, row: _Places, column: _Places) -> _Float64:
        """Scores of pairs, which are sorted by row."""
        scores = np.empty(len(row))
        edges = np.flatnonzero(np.diff(row, prepend=-1, append=-1))
        counts = np.diff(edges)
        # Queries of like counts are taken together, each with as many pairs as the largest needs.
        order = np.argsort(counts, kind="stable")[::-1]
        most = max(1, _NUMBERS // self.items.shape[1])
        room = np.empty((min(most, 2 * len(row)), self.items.shape[1]))
        at = 0
        while at < len(order):
            width = int(counts[order[at]])
            some = order[at : at + max(1, len(room) // width)]
            at += len(some)
            for part in blocks(width, len(room)):
                # Past the end of a query's pairs its last one is computed again.
                pairs = np.minimum(np.arange(part.start, part.stop), counts[some, None] - 1)
                pairs += edges[some, None]
                items = self.items.wide(column[pairs.ravel()], room[: pairs.size])
                left = self.queries[row[pairs[:, 0]]].astype(np.float64, copy=False)
                scores[pairs] = products(items.reshape(*pairs.shape, -1), left)
        return self.biased(scores, row, column)


class KBest:
    """The k best items so far of one query, best first, as items come in rising order."""

    def __init__(self, k: int) -> None:
        self._k = k
        self.scores = np.empty(0)
        self.places = np.empty(0, dtype=np.intp)

    @property
    def least(self) -> float:
        """The score that another item must exceed."""
        return float(self.scores[-1]) if len(self.scores) == self._k else -np.inf

    def add(self, scores: _Float64, places: _Places) -> None:
        """Take more items, of higher index than all before."""
        both = np.concatenate([self.scores, scores])
        order = np.argsort(-both, kind="stable")[: self._k]
        self.scores, self.places = both[order], np.concatenate([self.places, places])[order]

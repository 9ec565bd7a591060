"""`Ranking`: how to rank items for queries, as two matrices and one number an item."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from distnorm.arrays import Array, Bools, CheckedRows, as_working, from_numpy, namespace, to_numpy
from distnorm.exact import KeptProducts, topk

__all__ = ["Ranking"]


@dataclass(frozen=True)
class Ranking:
    """What it takes to rank items for queries, without a full matrix of scores.

    The score of item y for query q is ``q . y - bias[y]``; with a gate, the bias counts only
    for queries whose item of highest q . y (lowest index on ties) has ``gate`` true.

    Attributes
    ----------
    queries : array, shape (n, d)
    items : array, shape (m, d)
    bias : array, shape (m,), or None
    gate : ndarray of bool, shape (m,), or None
    kept : KeptProducts or None
        Of these queries and items, shared with rankings of another bias.
    """

    queries: Array
    items: Array
    bias: Array | None = None
    gate: Bools | None = None
    kept: KeptProducts | None = field(default=None, compare=False, repr=False)

    def counts(self) -> Bools | None:
        """For which queries the bias counts, (n,); None where there is no gate."""
        if self.bias is None or self.gate is None:
            return None
        queries, items = CheckedRows(self.queries, "queries"), CheckedRows(self.items, "items")
        counts: Bools = self.gate[to_numpy(topk(queries, items, 1)[1])[:, 0]]
        return counts

    def scores(self) -> Array:
        """The full (n, m) matrix, for small inputs."""
        queries, items = as_working(self.queries), as_working(self.items)
        xp = namespace(queries)
        raw = xp.matmul(queries, items.T)
        if self.bias is None:
            return raw
        shifted = raw - self.bias[None, :]
        counts = self.counts()
        if counts is None:
            return shifted
        return xp.where(from_numpy(counts.astype(np.float64), raw)[:, None] > 0, shifted, raw)

    def __repr__(self) -> str:
        """One line with the sizes."""
        return (
            f"Ranking({self.queries.shape[0]} queries, {self.items.shape[0]} items, "
            f"bias={self.bias is not None}, gate={self.gate is not None})"
        )

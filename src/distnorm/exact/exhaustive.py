"""The k best in float64, for queries whose items lie closer together than float32 can tell.

Products in float64 are off by at most e = (d + 16) 2^-53 (|q| |x| + |b|). Items are read in the
order of their index, so that an item whose score is no more than the k-th best so far *after
rounding to the result's dtype* has lost the tie; with a float32 result that takes a margin far
coarser than e, and thousands of copies of one item cost no more than others.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from distnorm.arrays import blocks
from distnorm.exact.gallery import Gallery

__all__ = ["exhaustive"]

_Float64 = npt.NDArray[np.float64]
_ITEMS, _QUERIES = 4096, 256


def exhaustive(
    queries: _Float64, rows: Gallery, k: int, bias: _Float64 | None, dtype: np.dtype[np.floating]
) -> tuple[npt.NDArray[np.floating], npt.NDArray[np.intp]]:
    """Scores, of ``dtype``, and indices of the k best, shape (n, k)."""
    best = [_Best(k, dtype) for _ in queries]
    lengths = np.sqrt(np.einsum("ij,ij->i", queries, queries))
    unit = (queries.shape[1] + 16) * 2.0**-53
    for columns in blocks(len(rows), _ITEMS):
        rows.check(columns)
        items = rows.wide(columns)
        longest = float(np.sqrt(np.einsum("ij,ij->i", items, items).max()))
        offset = 0.0 if bias is None else bias[columns]
        heaviest = float(np.abs(offset).max())
        for some in blocks(len(queries), _QUERIES):
            scores = queries[some] @ items.T - offset
            for at, line in enumerate(scores, start=some.start):
                error = 2 * unit * (lengths[at] * longest + heaviest)
                near = best[at].near(line, error)
                if len(near):
                    exact = np.einsum("ij,j->i", items[near], queries[at])
                    if bias is not None:
                        exact = exact - bias[columns][near]
                    best[at].add(exact, near + columns.start)
    return np.stack([one.scores for one in best]), np.stack([one.places for one in best])


class _Best:
    """The k best items so far of one query, best first."""

    def __init__(self, k: int, dtype: np.dtype[np.floating]) -> None:
        self._k = k
        self.scores = np.empty(0, dtype=dtype)
        self.places = np.empty(0, dtype=np.intp)

    def near(self, line: _Float64, error: float) -> npt.NDArray[np.intp]:
        """Which of the next items may be among the best."""
        reach = line + error
        if len(self.scores) == self._k:
            with np.errstate(over="ignore"):
                return np.flatnonzero(reach.astype(self.scores.dtype) > self.scores[-1])
        if self._k >= len(line):
            return np.arange(len(line))
        return np.flatnonzero(reach >= np.partition(line, -self._k)[-self._k] - error)

    def add(self, scores: _Float64, places: npt.NDArray[np.intp]) -> None:
        """Take more items, of higher index than all before."""
        with np.errstate(over="ignore"):
            rounded = scores.astype(self.scores.dtype)
        both = np.concatenate([self.scores, rounded])
        order = np.argsort(-both, kind="stable")[: self._k]
        self.scores, self.places = both[order], np.concatenate([self.places, places])[order]

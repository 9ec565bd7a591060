"""Scores of a tile of queries and items: approximate, with a proven bound.

Each engine computes ``s(q, x) = q . x - b`` with an error of at most ``error(q, block)`` before,
and relative to the result at most ``rounding`` through, the final rounding. With u the unit
roundoff, |x| the length of a row, all norms Euclidean:

**float32** (u = 2^-24). Any order of summation of d products, fused or not, is off by at most
d u |q| |x| to first order (Higham, *Accuracy and Stability of Numerical Algorithms*, ch. 3);
rounding the inputs from float64 adds 2 u |q| |x|, the bias 2 u (|q| |x| + |b|). Taken together and
rounded up: E = (d + 16) u (|q| |x| + |b|).

**bfloat16**: see `distnorm.exact.bfloat16`.

Underflow is absolute: at most (d + 16) 2^-120 more, also for units that flush subnormal numbers.
"""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = [
    "FLOAT32_UNIT",
    "GROUP",
    "SLACK",
    "TILES",
    "TINY",
    "UNDERFLOW",
    "FewEngine",
    "NumpyEngine",
    "heaviest",
    "kth_largest",
    "reaching",
]

GROUP = 16
"""Items of which only the best score is looked at first."""

TILES = {"numpy": (512, 4096), "cpu": (1024, 8192), "gpu": (4096, 32768)}
"""Queries and items of a tile of scores: large enough for the product, near the cache's size."""

TINY = 2.0**-60
"""Numbers below may have squares that float32 cannot hold; added to every length."""

FLOAT32_UNIT = 2.0**-24
"""Unit roundoff."""

UNDERFLOW = 2.0**-120
"""What a sum may lose for each of its products, if units flush subnormal numbers."""

SLACK = 1 + 1e-3
"""For lengths, which are themselves computed in float32."""

_Float32 = npt.NDArray[np.float32]
_Float64 = npt.NDArray[np.float64]
_Places = npt.NDArray[np.intp]
# Queries up to which a product with each is faster than one with all.
_SINGLE = 3


class NumpyEngine:
    """Float32 products by NumPy's BLAS.

    Parameters
    ----------
    queries : ndarray, shape (n, d), float32
    """

    rounding = 0.0
    # Whether tiles may be looked at, and copies of this may multiply, in several threads.
    parallel = concurrent = True

    def __init__(self, queries: _Float32) -> None:
        self._queries = queries
        self.sizes = _lengths(queries)
        self.tile_rows, self.tile_columns = TILES["numpy"]
        self._room = np.empty(0, dtype=np.float32)
        self._flags = np.empty(0, dtype=bool)

    def another(self) -> Any:
        """One that multiplies the same queries in room of its own."""
        twin = copy.copy(self)
        twin._room, twin._flags = self._room[:0], self._flags[:0]
        return twin

    @staticmethod
    def lengths(items: _Float32) -> _Float64:
        """Length of each row, (w,); not finite or about `TINY` where it says nothing."""
        return _lengths(items)

    def longest(self, items: Any) -> tuple[float, bool]:
        """Length of the longest row, or more; whether no row can be NaN, infinite or all zero."""
        lengths = self.lengths(items)
        least = 2 * TINY * items.shape[1] ** 0.5
        return float(lengths.max()), bool(np.isfinite(lengths).all() and lengths.min() > least)

    def error(self, longest: float, bias: _Float64 | None) -> _Float64:
        """Error of each query's scores with items no longer than this."""
        d = self._queries.shape[1]
        unit = (d + 16) * FLOAT32_UNIT
        error: _Float64 = unit * (self.sizes * longest * SLACK + heaviest(bias))
        error += (d + 16) * UNDERFLOW
        return error

    def block(self, items: _Float32, longest: float, bias: _Float64 | None) -> tuple[Any, _Float64]:
        """Items, (w, d) float32, made ready, and the error of each query's scores with them."""
        working = None if bias is None else bias.astype(np.float32)
        return (items, working), self.error(longest, bias)

    def scores(self, rows: slice, block: Any) -> Any:
        """Scores of some queries."""
        items, bias = block
        left = self._queries[rows]
        size = len(left) * len(items)
        if self._room.size < size:
            self._room = np.empty(size, dtype=np.float32)
        tile = self._room[:size].reshape(len(left), len(items))
        np.matmul(left, items.T, out=tile)
        return tile, bias

    def part(self, scores: Any, rows: slice) -> Any:
        """Scores of some rows of a tile, bias included."""
        tile, bias = scores
        part = tile[rows]
        if bias is not None:
            part -= bias
        return part

    @staticmethod
    def kth(part: _Float32, k: int) -> _Float64:
        """About the k-th largest score of each row, never more; -inf where there are fewer."""
        whole = part.shape[1] // GROUP * GROUP
        if k <= whole // GROUP:
            # Of groups: each has an item of its maximum.
            part = part[:, :whole].reshape(len(part), GROUP, -1).max(axis=1)
        return kth_largest(part, k)

    def above(self, part: _Float32, threshold: _Float64) -> tuple[_Places, _Places]:
        """Row and place of what reaches its row's threshold."""
        if self._flags.size < part.size:
            self._flags = np.empty(part.size, dtype=bool)
        flags = self._flags[: part.size].reshape(part.shape)
        return reaching(part, threshold, flags)

    @staticmethod
    def values(
        part: _Float32, row: _Places, place: _Places, threshold: _Float64
    ) -> tuple[_Places, _Places, _Float32]:
        """Row, column and score of all at these places that reach the threshold, in this order."""
        del threshold
        return row, place, np.take(part, row * part.shape[1] + place)


class FewEngine(NumpyEngine):
    """`NumpyEngine` for a few queries: the time goes into reading the items.

    What bounds the length of rows is the root of the sum of all squares of a chunk, which is
    computed while the chunk is in the cache, at the speed of BLAS. It is looser, for a handful of
    candidates more; rows of zeros are seen by their scores.
    """

    def longest(self, items: Any) -> tuple[float, bool]:
        """As `NumpyEngine.longest`; rows of zeros are not seen."""
        flat = np.ascontiguousarray(items).ravel()
        with np.errstate(over="ignore", invalid="ignore"):
            squares = float(np.dot(flat, flat))
        # A sum of n squares in float32 is off by n 2^-24 of itself at most.
        size = (squares * (1 + 2 * flat.size * FLOAT32_UNIT)) ** 0.5
        return size + TINY * flat.size**0.5, bool(np.isfinite(size))

    def multiply(self, items: _Float32, out: _Float32) -> None:
        """Scores of all queries with some items, (n, w)."""
        with np.errstate(over="ignore", invalid="ignore"):
            if len(out) > _SINGLE:
                np.matmul(self._queries, items.T, out=out)
                return
            for query, line in zip(self._queries, out, strict=True):
                np.dot(items, query, out=line)


def kth_largest(values: _Float32, k: int) -> _Float64:
    """The k-th largest of each row, -inf where there are fewer."""
    if k > values.shape[1]:
        return np.full(len(values), -np.inf)
    return np.partition(values, values.shape[1] - k, axis=1)[:, -k].astype(np.float64)


def reaching(
    values: _Float32, threshold: _Float64, flags: npt.NDArray[np.bool_] | None
) -> tuple[_Places, _Places]:
    """Row and column of what reaches its row's threshold, in room for as many flags."""
    lowered = np.nextafter(threshold.astype(np.float32), np.float32(-np.inf))
    width = values.shape[1]
    # A flat search is several times as fast as one in two dimensions.
    found = np.flatnonzero(np.greater_equal(values, lowered[:, None], out=flags))
    row = found // width
    return row, found - row * width


def _lengths(rows: _Float32) -> _Float64:
    # A product of each row with itself: BLAS's, about twice as fast as other ways.
    with np.errstate(over="ignore", invalid="ignore"):
        squares = np.matmul(rows[:, None, :], rows[:, :, None])[:, 0, 0]
    lengths: _Float64 = np.sqrt(squares.astype(np.float64)) + TINY * rows.shape[1] ** 0.5
    return lengths


def heaviest(bias: _Float64 | None) -> float:
    """Size of the largest bias."""
    return 0.0 if bias is None else float(np.abs(bias).max())

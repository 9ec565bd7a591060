"""Scores of a tile of queries and items: approximate, with a proven bound.

Each engine computes ``s(q, x) = q . x - b`` with an error of at most ``error(q, block)`` before,
and relative to the result at most ``rounding`` through, the final rounding. With u the unit
roundoff, |x| the length of a row, all norms Euclidean:

**float32** (u = 2^-24). Any order of summation of d products, fused or not, is off by at most
d u |q| |x| to first order (Higham, *Accuracy and Stability of Numerical Algorithms*, ch. 3);
rounding the inputs from float64 adds 2 u |q| |x|, the bias 2 u (|q| |x| + |b|). Taken together and
rounded up: E = (d + 16) u (|q| |x| + |b|).

**float64** (u = 2^-53). The same, twice: what decides is a sum in float64 too, in another order.

**half precision**, on a device: see `distnorm.exact.on_device`.

Underflow is absolute: at most (d + 16) 2^-120 more (float64: 2^-1000), also for units that flush
subnormal numbers.
"""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from distnorm.arrays import blocks

__all__ = [
    "FLOAT32",
    "GROUP",
    "SLACK",
    "TILE",
    "Engine",
    "FewEngine",
    "NumpyEngine",
    "heaviest",
    "kth_largest",
    "reaching",
]

GROUP = 16
"""Items of which only the best score is looked at first."""

TILE = (512, 4096)
"""Queries and items of a tile of scores: large enough for the product, near the cache's size."""

SLACK = 1 + 1e-3
"""For lengths, which are themselves computed in the engine's precision."""

_Float32 = npt.NDArray[np.float32]
_Float64 = npt.NDArray[np.float64]
_Places = npt.NDArray[np.intp]
# Numbers of items in a core's cache, and queries from which it is theirs that BLAS copies.
_NEAR, _COPIED = 1 << 17, 9
# Scores up to which OpenBLAS multiplies without copying anything: several times as fast.
_SMALL = 1 << 10


@dataclass(frozen=True)
class _Format:
    """What a floating-point format can hold."""

    unit: float
    """Unit roundoff; in float64 for the sum that decides as well."""
    tiny: float
    """Numbers below may have squares that underflow; added to every length."""
    underflow: float
    """What a sum may lose for each of its products, if units flush subnormal numbers."""
    largest: float
    """Scores up to which nothing overflows."""


FLOAT32 = _Format(2.0**-24, 2.0**-60, 2.0**-120, 1e37)
_FLOAT64 = _Format(2.0**-52, 2.0**-500, 2.0**-1000, 1e300)


class Engine(Protocol):
    """What multiplies tiles for `Candidates`: ``block``, ``scores``, ``part``, then its figures.

    ``concurrent``: copies (``another``) may multiply in several threads. ``rounding``: see above.
    """

    rounding: float
    concurrent: bool
    sizes: _Float64
    tile_rows: int
    tile_columns: int
    format: _Format

    def another(self) -> Any:
        """One that multiplies the same queries in another thread."""

    def longest(self, items: Any) -> tuple[float, bool]:
        """Length of the longest row, or more; whether no row can be NaN, infinite or all zero."""

    def block(self, items: Any, longest: float, bias: _Float64 | None) -> tuple[Any, _Float64]:
        """Items, (w, d), made ready, and the error of each query's scores with them."""

    def scores(self, rows: slice, block: Any) -> Any:
        """Scores of some queries with a block, in the engine's own form."""

    def part(self, scores: Any, rows: slice) -> Any:
        """Some rows of a tile, bias included."""

    def kth(self, part: Any, k: int) -> _Float64:
        """About the k-th largest score of each row, never more; -inf where there are fewer."""

    def above(self, part: Any, threshold: _Float64) -> tuple[_Places, _Places]:
        """Row and place of what reaches its row's threshold."""

    def values(
        self, part: Any, row: _Places, place: _Places, threshold: _Float64
    ) -> tuple[_Places, _Places, _Float32]:
        """Row, column and score of all at these places that reach the threshold, in this order."""


class NumpyEngine:
    """Products by NumPy's BLAS in the queries' dtype, float32 or float64."""

    rounding = 0.0
    concurrent = True

    def __init__(self, queries: npt.NDArray[Any]) -> None:
        self._queries = queries
        self.dtype = queries.dtype
        self.format = FLOAT32 if self.dtype == np.float32 else _FLOAT64
        self.sizes = self.lengths(queries)
        self.tile_rows, self.tile_columns = TILE
        self._room = np.empty(0, dtype=self.dtype)
        self._flags = np.empty(0, dtype=bool)

    def another(self) -> Any:
        """As `Engine.another`, with room of its own for tiles."""
        twin = copy.copy(self)
        twin.release()
        return twin

    def release(self) -> None:
        """Let go of the room for tiles."""
        self._room, self._flags = self._room[:0], self._flags[:0]

    def lengths(self, items: npt.NDArray[Any]) -> _Float64:
        """Length of each row, (w,); not finite or about ``tiny`` where it says nothing."""
        # A product of each row with itself: BLAS's, about twice as fast as other ways.
        with np.errstate(over="ignore", invalid="ignore"):
            squares = np.matmul(items[:, None, :], items[:, :, None])[:, 0, 0]
        tiny = self.format.tiny * items.shape[1] ** 0.5
        lengths: _Float64 = np.sqrt(squares.astype(np.float64)) + tiny
        return lengths

    def longest(self, items: Any) -> tuple[float, bool]:
        """As `Engine.longest`."""
        lengths = self.lengths(items)
        least = 2 * self.format.tiny * items.shape[1] ** 0.5
        return float(lengths.max()), bool(np.isfinite(lengths).all() and lengths.min() > least)

    def error(self, longest: float, bias: _Float64 | None, rows: slice = slice(None)) -> _Float64:
        """Error of some queries' scores with items no longer than this."""
        terms = self._queries.shape[1] + 16
        reach = self.sizes[rows] * (longest * SLACK) + heaviest(bias)
        error: _Float64 = terms * self.format.unit * reach + terms * self.format.underflow
        return error

    def block(self, items: Any, longest: float, bias: _Float64 | None) -> tuple[Any, _Float64]:
        """As `Engine.block`."""
        working = None if bias is None else bias.astype(self.dtype)
        return (items, working), self.error(longest, bias)

    def scores(self, rows: slice, block: Any) -> Any:
        """As `Engine.scores`: the bare products, and the bias to subtract."""
        items, bias = block
        left = self._queries[rows]
        size = len(left) * len(items)
        if self._room.size < size:
            self._room = np.empty(size, dtype=self.dtype)
        tile = self._room[:size].reshape(len(left), len(items))
        self.product(left, items.T, tile)
        return tile, bias

    def product(self, left: npt.NDArray[Any], right: npt.NDArray[Any], out: Any) -> None:
        """Products of some queries, (h, d), with items, (d, w)."""
        np.matmul(left, right, out=out)

    def part(self, scores: Any, rows: slice) -> Any:
        """As `Engine.part`; the bias is subtracted in place."""
        tile, bias = scores
        part = tile[rows]
        if bias is not None:
            part -= bias
        return part

    @staticmethod
    def kth(part: _Float32, k: int) -> _Float64:
        """As `Engine.kth`."""
        whole = part.shape[1] // GROUP * GROUP
        if k <= whole // GROUP:
            # Of groups: each has an item of its maximum.
            part = part[:, :whole].reshape(len(part), GROUP, -1).max(axis=1)
        return kth_largest(part, k)

    def above(self, part: _Float32, threshold: _Float64) -> tuple[_Places, _Places]:
        """As `Engine.above`; places are columns."""
        return reaching(part, threshold, self.flags(part.shape))

    def flags(self, shape: tuple[int, ...]) -> npt.NDArray[np.bool_]:
        """Room for a mask of a shape, which the next call uses again."""
        size = math.prod(shape)
        if self._flags.size < size:
            self._flags = np.empty(size, dtype=bool)
        return self._flags[:size].reshape(shape)

    @staticmethod
    def values(
        part: _Float32, row: _Places, place: _Places, threshold: _Float64
    ) -> tuple[_Places, _Places, _Float32]:
        """As `Engine.values`."""
        del threshold
        return row, place, np.take(part, row * part.shape[1] + place)


class FewEngine(NumpyEngine):
    """`NumpyEngine` for a few queries: the time goes into reading the items.

    What bounds the length of rows is the root of the sum of all squares of a chunk, which is
    computed while the chunk is in the cache, at the speed of BLAS. It is looser, for a handful of
    candidates more; rows of zeros are seen by their scores.
    """

    def longest(self, items: Any) -> tuple[float, bool]:
        """As `Engine.longest`; rows of zeros are not seen."""
        flat = np.ascontiguousarray(items).ravel()
        with np.errstate(over="ignore", invalid="ignore"):
            squares = float(np.dot(flat, flat))
        # A sum of n squares in float32 is off by n 2^-24 of itself at most.
        size = (squares * (1 + 2 * flat.size * FLOAT32.unit)) ** 0.5
        return size + FLOAT32.tiny * flat.size**0.5, bool(np.isfinite(size))

    def multiply(self, items: _Float32, out: _Float32) -> None:
        """Scores of all queries with some items, (n, w)."""
        with np.errstate(over="ignore", invalid="ignore"):
            if len(out) == 1:
                np.dot(items, self._queries[0], out=out[0])
                return
            # From memory once, then from the cache; BLAS copies its right side.
            few = len(out) < _COPIED
            near = (_NEAR if few else 4 * _NEAR) // items.shape[1]
            for part in blocks(len(items), max(1, min(near, _SMALL // len(out)) if few else near)):
                if few:
                    np.matmul(self._queries, items[part].T, out=out[:, part])
                else:
                    out[:, part] = np.matmul(items[part], self._queries.T).T


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


def heaviest(bias: _Float64 | None) -> float:
    """Size of the largest bias."""
    return 0.0 if bias is None else float(np.abs(bias).max())

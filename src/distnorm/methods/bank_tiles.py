"""What biases take from a bank's scores, for rows in the host's memory: tile by tile, in threads.

Each thread multiplies a tile of items and bank rows (`distnorm.exact`) and takes from it what
counts while it is in the cache: sums of exponentials, in float64 from tile to tile, or the largest
scores, in one pass that looks for what exceeds the k-th largest before.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import array_api_compat as compat
import numpy as np

from distnorm.arrays import (
    Array,
    Float64,
    NDArray,
    as_working,
    blocks,
    like_array,
    namespace,
    rows_per_block,
    to_numpy,
)
from distnorm.exact import KLargest, show_products
from distnorm.methods.coverage import Bank

__all__ = ["log_mean_exponential", "mean_of_largest", "on_host"]

# Items are converted, and their results kept, this many bytes at a time.
_ITEM_BYTES = 1 << 26
_SAFE_EXPONENT = 80.0


def on_host(x: Array) -> bool:
    """Whether ``x`` lies in the host's memory."""
    return isinstance(x, np.ndarray) or "cpu" in str(compat.device(x)).lower()


def log_mean_exponential(
    items: Any, bank: Bank, beta: float, mean: Float64, radius: float, linear: Float64
) -> Float64:
    """Log of the mean over the bank of exp(beta (q_j - m) . y), (n, d) items give (n,).

    ``radius`` is the largest |q_j - m|; ``linear`` is m . y, needed for rows that do not count.
    """

    def block(like: NDArray) -> Callable[[slice], NDArray]:
        middle = mean.astype(like.dtype)
        return lambda rows: (_rows(bank, rows, like) - middle) * like.dtype.type(beta)

    found = []
    for rows, left in _chunks(items, 1):
        reach = beta * radius * np.sqrt(namespace(left).vecdot(left, left).astype(np.float64))
        own = linear[rows]

        def part(some: slice, reach: Float64 = reach, own: Float64 = own) -> _Exponentials:
            safe = float(reach[some].max()) < _SAFE_EXPONENT
            return _Exponentials(some, bank, beta, own[some], safe)

        for first, *others in show_products(left, block(left), bank.size, part):
            for other in others:
                first.absorb(other)
            found.append(first.log_mean())
    return np.concatenate(found)


def mean_of_largest(items: Any, bank: Bank, k: int) -> NDArray:
    """Mean of the k largest q_j . y of each item, (n, d) items give (n,); no weights."""
    found = []
    for _, left in _chunks(items, k):

        def block(rows: slice, left: NDArray = left) -> NDArray:
            return _rows(bank, rows, left)

        for first, *others in show_products(left, block, bank.size, lambda some: KLargest(k, some)):
            for other in others:
                first.absorb(other)
            found.append(first.values().mean(axis=1))
    return np.concatenate(found)


class _Exponentials:
    """Sum of a bank's exponentials, and the weights that count, of some items."""

    def __init__(self, rows: slice, bank: Bank, beta: float, linear: Float64, safe: bool) -> None:
        self.rows, self._bank, self._beta, self._safe = rows, bank, beta, safe
        self._linear = linear
        n = rows.stop - rows.start
        self.total, self.counted = np.zeros(n), np.zeros(n)
        # What is subtracted from the exponents: nothing where no exponential can overflow.
        self.peak = np.zeros(n) if safe else np.full(n, np.finfo(np.float32).min / 4)

    def see(self, engine: Any, scores: Any, rows: slice, start: int, w: int, error: Any) -> None:
        """As `distnorm.exact.tiles.Part.see`."""
        del engine, error
        tile, columns = scores[0][rows], slice(start, start + w)
        weights = None if self._bank.weights is None else self._bank.weights[columns]
        each = np.ones(w, tile.dtype) if weights is None else weights.astype(tile.dtype)
        whole = float(w) if weights is None else weights.sum()
        if self._bank.own is not None:
            own = (self._beta * (self._bank.own[columns] - self._linear[:, None])).astype(
                tile.dtype
            )
            left_out = tile >= own
            tile[left_out] = -np.inf
            lost = left_out @ (np.ones(w) if weights is None else weights)
            self.counted -= lost
        if not self._safe:
            self.raise_to(np.maximum(self.peak, tile.max(axis=1)))
            tile -= self.peak.astype(tile.dtype)[:, None]
        np.exp(tile, out=tile)
        self.total += tile @ each
        self.counted += whole

    def absorb(self, other: _Exponentials) -> None:
        """Take what another has found for the same items in other rows of the bank."""
        peak = np.maximum(self.peak, other.peak)
        self.raise_to(peak)
        other.raise_to(peak)
        self.total += other.total
        self.counted += other.counted

    def log_mean(self) -> Float64:
        """The log of the weighted mean; 0, as of a bank that is its mean, where no row counts."""
        some = self.total > 0
        share = np.where(some, self.total, 1) / np.where(some, self.counted, 1)
        return np.where(some, self.peak, 0) + np.log(share)

    def raise_to(self, peak: Float64) -> None:
        """Subtract this from the exponents, where anything is subtracted."""
        if not self._safe:
            self.total *= np.exp(self.peak - peak)
            self.peak = peak


def _chunks(items: Any, width: int) -> Iterator[tuple[slice, NDArray]]:
    """Items in the dtype they are computed in, and as many at a time as results of a width fit."""
    n, d = items.shape
    for rows in blocks(n, rows_per_block(max(d, width), budget=_ITEM_BYTES)):
        yield rows, np.ascontiguousarray(to_numpy(as_working(items[rows, ...])))


def _rows(bank: Bank, rows: slice, like: NDArray) -> NDArray:
    return to_numpy(like_array(as_working(bank.rows[rows, ...]), like))

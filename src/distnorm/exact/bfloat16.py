"""A first pass in bfloat16 on processors with units for it (AMX, AVX512-BF16): torch's products.

With q' and x' the rows rounded to bfloat16, products summed in float32 and the result rounded:

    |s' - s| <= |q - q'| |x| + |q'| |x - x'| + E + r |s'|

where E is float32's error (`exact.engines`) and r = 2^-8. The lengths of what rounding takes away
are computed, not bounded: they are less than half of the bound 2^-8 |x|.

A tile of bfloat16 is looked at as integers: positive numbers are in the order of their bits.
"""

from __future__ import annotations

import functools
import importlib.util
import sys
import time
from typing import Any

import numpy as np
import numpy.typing as npt

from distnorm.arrays import blocks
from distnorm.errors import require
from distnorm.exact.engines import FLOAT32, SLACK, NumpyEngine, heaviest
from distnorm.system.threads import single_threaded_openmp

__all__ = ["Bfloat16Engine", "bfloat16_pays"]

_Float32 = npt.NDArray[np.float32]
_Float64 = npt.NDArray[np.float64]
_Places = npt.NDArray[np.intp]
# Queries from which rounding the items pays, products from which the look for units does, and
# those from which loading torch for it does.
_MANY, _LARGE, _PAYS = 128, 1e10, 1e12
# Rows that are rounded at a time, in the cache.
_ROWS = 256
# What flushed subnormal numbers lose for each number of the other side.
_FLUSHED = 2.0**-126


def bfloat16_pays(queries: int, items: int, dimension: int) -> bool:
    """Whether products of float32 rows are found sooner in bfloat16 first."""
    work = float(queries) * items * dimension
    if queries < _MANY or work < (_LARGE if "torch" in sys.modules else _PAYS):
        return False
    return importlib.util.find_spec("torch") is not None and _faster()


@functools.cache
def _faster() -> bool:
    """Whether torch multiplies bfloat16 well faster than NumPy float32 here: tried once."""
    torch = require("torch", "torch")
    left, right = np.ones((512, 512), np.float32), np.ones((1024, 512), np.float32)
    rounded = torch.from_numpy(left).bfloat16(), torch.from_numpy(right).bfloat16().T

    def seconds(product: Any) -> float:
        product()
        times = []
        for _ in range(3):
            start = time.perf_counter()
            product()
            times.append(time.perf_counter() - start)
        return min(times)

    single = seconds(lambda: np.matmul(left, right.T))
    return seconds(lambda: torch.mm(*rounded)) < 0.7 * single


class Bfloat16Engine(NumpyEngine):
    """Products in bfloat16; queries and items are read in float32."""

    rounding = 2.0**-8

    def __init__(self, queries: _Float32) -> None:
        super().__init__(queries)
        self.tile_columns *= 2  # of half as many bytes
        self._torch = require("torch", "torch")
        self._left, self._lost = self._rounded(queries)
        self._bits = np.empty(0, dtype=np.int16)

    def another(self) -> Any:
        """As `Engine.another`."""
        self._torch.get_num_threads()  # sets the number of this thread, before others do
        return super().another()

    def release(self) -> None:
        """As `NumpyEngine.release`."""
        super().release()
        self._bits = self._bits[:0]

    def _rounded(self, rows: _Float32) -> tuple[Any, _Float64]:
        """Rows in bfloat16, and the length of what rounding took from each, or more."""
        given = self._torch.from_numpy(np.ascontiguousarray(rows))
        # Wherever a user has torch make new tensors.
        rounded = self._torch.empty(given.shape, dtype=self._torch.bfloat16, device="cpu")
        lost = np.empty(len(rows), dtype=np.float32)
        with single_threaded_openmp():
            for part in blocks(len(rows), _ROWS):
                rounded[part] = given[part]
                off = rounded[part].float().sub_(given[part]).numpy()
                lost[part] = np.matmul(off[:, None, :], off[:, :, None])[:, 0, 0]
        tiny = FLOAT32.tiny * rows.shape[1] ** 0.5
        return rounded, np.sqrt(lost.astype(np.float64)) * SLACK + tiny

    def block(self, items: Any, longest: float, bias: _Float64 | None) -> tuple[Any, _Float64]:
        """As `Engine.block`."""
        right, lost = self._rounded(items)
        sizes, size = self.sizes * SLACK, longest * SLACK
        error = self._lost * size + (sizes + self._lost) * float(lost.max())
        # Rounding may lengthen rows: by what it took at most.
        terms = self._queries.shape[1] + 16
        error += terms * FLOAT32.unit * (1.01 * sizes * size + heaviest(bias))
        error += terms * (FLOAT32.underflow + _FLUSHED * (sizes + size))
        return (right, None if bias is None else bias.astype(np.float32)), error

    def scores(self, rows: slice, block: Any) -> Any:
        """As `Engine.scores`: the bits of the bare products, and the bias to subtract."""
        items, bias = block
        left = self._left[rows]
        size = len(left) * len(items)
        if self._bits.size < size:
            self._bits = np.empty(size, dtype=np.int16)
        bits = self._bits[:size].reshape(len(left), len(items))
        out = self._torch.from_numpy(bits).view(self._torch.bfloat16)
        with single_threaded_openmp():
            self._torch.mm(left, items.T, out=out)
        return bits, bias

    def part(self, scores: Any, rows: slice) -> Any:
        """As `Engine.part`: bits, or float32 where there is a bias."""
        bits, bias = scores
        part = bits[rows]
        if bias is None:
            return part
        if self._room.size < part.size:
            self._room = np.empty(part.size, dtype=np.float32)
        wide = self._room[: part.size].reshape(part.shape)
        np.subtract(_widened(part, wide), bias, out=wide)
        return wide

    @staticmethod
    def kth(part: Any, k: int) -> _Float64:
        """As `Engine.kth`."""
        if part.dtype != np.int16:
            return NumpyEngine.kth(part, k)
        return NumpyEngine.kth(_widened(part, np.empty(part.shape, dtype=np.float32)), k)

    def above(self, part: Any, threshold: _Float64) -> tuple[_Places, _Places]:
        """As `Engine.above`; places are columns."""
        if part.dtype != np.int16:
            return super().above(part, threshold)
        if self._flags.size < part.size:
            self._flags = np.empty(part.size, dtype=bool)
        flags = self._flags[: part.size].reshape(part.shape)
        with np.errstate(over="ignore"):
            lowered = np.nextafter(threshold.astype(np.float32), np.float32(-np.inf))
        # The upper half of a float32's bits: of a positive number rounded down.
        half = (lowered.view(np.uint32) >> 16).astype(np.uint16)
        np.greater_equal(part, half.view(np.int16)[:, None], out=flags)
        other = np.flatnonzero(~(lowered > 0))
        if len(other):
            # Negative numbers fall as their bits rise, and all positive ones are above them.
            bits = part[other].view(np.uint16)
            flags[other] = bits <= np.minimum(half[other], 0xFFFE)[:, None] + np.uint16(1)
        found = np.flatnonzero(flags)
        row = found // part.shape[1]
        return row, found - row * part.shape[1]

    @staticmethod
    def values(
        part: Any, row: _Places, place: _Places, threshold: _Float64
    ) -> tuple[_Places, _Places, _Float32]:
        """As `Engine.values`."""
        row, place, value = NumpyEngine.values(part, row, place, threshold)
        if value.dtype == np.int16:
            value = _widened(value, np.empty(value.shape, dtype=np.float32))
        return row, place, value


def _widened(bits: npt.NDArray[Any], out: _Float32) -> _Float32:
    """Float32 of bfloat16's bits, which are its upper half."""
    np.left_shift(bits.view(np.uint16), 16, out=out.view(np.uint32), dtype=np.uint32)
    return out

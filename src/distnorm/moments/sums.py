"""Sums over one array of embeddings at the speed of memory.

For rows x_1 .. x_n of X, shape (n, d), the three sums that `distnorm.moments` keeps are

    sum = sum_i x_i          (d,)
    squares = sum_i |x_i|^2  scalar
    second = sum_i x_i x_i'  (d, d), on request

each term times w_i where rows have weights; those are added up in float64 on the host.
Small input is added up in float64. Large half and single precision input is added up in
float32 over blocks of 512 rows that stay in the processor's cache, and the blocks in
float64; the relative error of a block is below 512 * 2^-24, so of the mean below 3.1e-5 in
the worst case and around 1e-7 in practice.

Large tensors on a device are added up there, as `distnorm.device.sums` says.

float16 rows are widened by moving their bits: with h the 16 bits, (h << 13) keeps sign,
exponent and fraction in their float32 places, and 2^112 mends the exponent's offset. NumPy's
own conversion takes several times as long.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import array_api_compat as compat
import numpy as np
import numpy.typing as npt

from distnorm.arrays import Array, as_working, blocks, check_embeddings, namespace, to_numpy
from distnorm.device.settings import in_memory, on_device
from distnorm.device.sums import gram, sum_of_rows
from distnorm.moments.sketch import LEADING
from distnorm.system.threads import single_threaded_blas, threads

__all__ = ["LARGEST_EXACT", "BlockSums", "sum_rows"]

LARGEST_EXACT = 1 << 22
"""Numbers up to which rows are added up in float64."""

_ROWS = 512
_CACHED = 1 << 18
_DEVICE_ROWS = 1 << 16
_LARGEST_SQUARES = 2.0**32
_HALF_MASK = np.uint32(0x8FFFE000).astype(np.int32)
_HALF_SCALE = np.float32(2.0**112)


@dataclass
class BlockSums:
    """Count and float64 sums over some rows; see the module's formulas.

    ``signs`` says which of the first 16 components of each row are negative, where it is known.
    """

    count: int
    sum: npt.NDArray[np.float64]
    squares: float
    second: npt.NDArray[np.float64] | None
    signs: npt.NDArray[np.bool_] | None = None

    def add(self, other: BlockSums) -> None:
        """Add another stretch of rows in place."""
        self.count += other.count
        self.sum += other.sum
        self.squares += other.squares
        if self.second is not None and other.second is not None:
            self.second += other.second


def sum_rows(
    x: Array,
    name: str,
    *,
    second: bool = False,
    seen: bool = False,
    exact: bool = False,
    weights: npt.NDArray[np.float64] | None = None,
) -> BlockSums:
    """Sums over the rows of ``x``, (n, d), whose form is checked; NaN and zeros unless ``seen``.

    ``exact``: NumPy rows are added up in float64, however many they are.
    """
    x = _on_host_without_copy(x)
    if weights is not None:
        if not seen:
            check_embeddings(x, name)
        return _sum_weighted(x, weights, second)
    if isinstance(x, np.ndarray):
        if x.dtype != np.float64 and x.size > LARGEST_EXACT and not exact:
            total = _sum_in_parallel(x, second)
            if total is not None:
                return total
            # Something is not finite, zero, or too large for float32 sums: name it, or go slowly.
        total, sound = _sum_exactly(x, second)
        if not sound and not seen:
            check_embeddings(x, name)
        return total
    if on_device(x) and x.shape[0] * x.shape[1] > LARGEST_EXACT:
        total = _sum_tensor(x.detach(), second)
        if total is not None:
            return total
    if not seen:
        check_embeddings(x, name)
    return _sum_on_device(x, second)


def _zero(d: int, second: bool) -> BlockSums:
    return BlockSums(0, np.zeros(d), 0.0, np.zeros((d, d)) if second else None)


def _on_host_without_copy(x: Array) -> Array:
    """A NumPy view of a CPU torch tensor in a dtype NumPy knows; anything else unchanged."""
    if compat.is_torch_array(x) and x.device.type == "cpu" and "bfloat16" not in str(x.dtype):
        return x.detach().numpy()
    return x


def _sum_exactly(x: npt.NDArray[np.floating], second: bool) -> tuple[BlockSums, bool]:
    """Sums over all rows in float64, and whether every row is surely finite and not zero."""
    n, d = x.shape
    total, sound = _zero(d, second), True
    total.signs = signs = np.empty((n, LEADING), bool) if d >= LEADING else None
    # Sums alone are added up in the cache; products of matrices take larger blocks.
    step = min(n, _ROWS * 8 if second else max(1, min(_ROWS * 8, _CACHED // d)))
    room, fold = np.empty((step, d)), max(1, _ROWS // d)
    with np.errstate(over="ignore", invalid="ignore"):
        for rows in blocks(n, step):
            wide = room[: rows.stop - rows.start]
            wide[...] = x[rows, ...]
            # Row by row, as in `_sum_stretch`.
            lengths = np.matmul(wide[:, None, :], wide[:, :, None])
            squares = float(lengths.sum())
            sound = sound and math.isfinite(squares) and bool(lengths.all())
            if signs is not None:
                np.less(wide[:, :LEADING], 0, out=signs[rows])
            product = wide.T @ wide if second else None
            # Several narrow rows as one: NumPy adds long rows faster.
            whole = len(wide) // fold * fold
            summed = wide[:whole].reshape(-1, fold * d).sum(axis=0).reshape(fold, d).sum(axis=0)
            summed += wide[whole:].sum(axis=0)
            total.add(BlockSums(len(wide), summed, squares, product))
    return total, sound


def _sum_weighted(x: Array, weights: npt.NDArray[np.float64], second: bool) -> BlockSums:
    total = _zero(x.shape[1], second)
    for rows in blocks(x.shape[0], _ROWS * 8):
        wide, weight = to_numpy(as_working(x[rows, ...]), np.float64), weights[rows]
        weighted = weight[:, None] * wide
        squares = float(np.einsum("ij,ij->", weighted, wide))
        product = weighted.T @ wide if second else None
        total.add(BlockSums(len(wide), weighted.sum(axis=0), squares, product))
    return total


def _sum_in_parallel(x: npt.NDArray[np.floating], second: bool) -> BlockSums | None:
    """Sums over all rows, or None if a value is unfit for summing in float32."""
    workers = min(threads(), 8)
    # One contiguous stretch a worker, added in order: the same input gives the same sums.
    stretch = -(-x.shape[0] // workers // _ROWS) * _ROWS
    total = _zero(x.shape[1], second)
    total.signs = signs = np.empty((len(x), LEADING), bool) if x.shape[1] >= LEADING else None
    with ThreadPoolExecutor(workers) as pool, single_threaded_blas():
        for part in pool.map(
            lambda rows: _sum_stretch(x[rows, ...], second, None if signs is None else signs[rows]),
            blocks(len(x), stretch),
        ):
            if part is None:
                return None
            total.add(part)
    return total


def _sum_stretch(
    x: npt.NDArray[np.floating], second: bool, signs: npt.NDArray[np.bool_] | None
) -> BlockSums | None:
    """Sums over a stretch; ``signs``, (n, 16), is filled in while the rows are at hand."""
    d, done = x.shape[1], 0
    total = np.zeros(d)
    product = np.zeros((d, d)) if second else None
    squares = 0.0
    with np.errstate(over="ignore", invalid="ignore"):
        for block in _widened(x):
            # Row upon row and not ones @ block, row by row and not one long dot product: threads
            # that ask BLAS for products large enough to share wait for each other.
            total += np.add.reduce(block, axis=0)
            lengths = np.matmul(block[:, None, :], block[:, :, None]).ravel()
            block_squares = float(lengths.sum(dtype=np.float64))
            # NaN and infinity show in the sum of squares; so do float16 ones after widening,
            # as numbers that no finite float16 reaches.
            if not block_squares < _LARGEST_SQUARES or not lengths.all():
                return None
            squares += block_squares
            if signs is not None:
                np.less(block[:, :LEADING], 0, out=signs[done : done + len(block)])
                done += len(block)
            if product is not None:
                product += block.T @ block
    return BlockSums(x.shape[0], total, squares, product)


def _widened(x: npt.NDArray[np.floating]) -> Iterator[npt.NDArray[np.float32]]:
    """Blocks of ``x`` in contiguous float32; float16 goes through one reused buffer."""
    widen = _half_widener(x.shape[1]) if x.dtype == np.float16 else np.ascontiguousarray
    for rows in blocks(x.shape[0], _ROWS):
        yield widen(x[rows, ...])


def _half_widener(d: int) -> Callable[[npt.NDArray[np.float16]], npt.NDArray[np.float32]]:
    buffer = np.empty((_ROWS, d), dtype=np.int32)

    def widen(block: npt.NDArray[np.float16]) -> npt.NDArray[np.float32]:
        bits = buffer[: len(block)]
        bits[...] = np.asarray(block).view(np.int16)
        bits <<= 13
        bits &= _HALF_MASK
        wide = bits.view(np.float32)
        wide *= _HALF_SCALE
        return wide

    return widen


def _sum_tensor(x: Array, second: bool) -> BlockSums | None:
    """Sums of a large tensor where it is, or None if a value is unfit for summing in float32."""
    with in_memory("sums of rows"):
        found = sum_of_rows(x)
        if found is None:
            return None
        product = to_numpy(gram(x)) if second else None
    return BlockSums(x.shape[0], to_numpy(found[0]), found[1], product)


def _sum_on_device(x: Array, second: bool) -> BlockSums:
    """The same sums by array-API calls, float32 products where the rows are half or single."""
    xp = namespace(x)
    total = _zero(x.shape[1], second)
    for rows in blocks(x.shape[0], _DEVICE_ROWS):
        block = as_working(x[rows, ...])
        if x.shape[0] * x.shape[1] <= LARGEST_EXACT:
            block = _widest(block)
        total.add(
            BlockSums(
                block.shape[0],
                to_numpy(xp.sum(block, axis=0), np.float64),
                float(xp.sum(block * block)),
                to_numpy(xp.matmul(block.T, block), np.float64) if second else None,
            )
        )
    return total


def _widest(block: Array) -> Array:
    """float64 where the device has it (Apple's GPUs have not)."""
    xp = namespace(block)
    try:
        return xp.astype(block, xp.float64)
    except (TypeError, RuntimeError):
        return block

"""Scores of a tile of queries and items, approximate with a proven bound, and their maxima.

Each engine computes ``s(q, x) = q . x - b`` with an error of at most ``error(q, block)`` before,
and relative to the result at most ``rounding`` through, the final rounding. With u the unit
roundoff, |x| the length of a row, all norms Euclidean:

**float32** (u = 2^-24). Any order of summation of d products, fused or not, is off by at most
d u |q| |x| to first order (Higham, *Accuracy and Stability of Numerical Algorithms*, ch. 3);
rounding the inputs from float64 adds 2 u |q| |x|, the bias 2 u (|q| |x| + |b|). Taken together and
rounded up: E = (d + 16) u (|q| |x| + |b|).

**bfloat16** (u = 2^-9; products are exact in float32 and summed there). With q', x' the rounded
vectors, by Cauchy and Schwarz

    |q'.x' - q.x| <= |q'| |x' - x| + |q' - q| |x| <= (u |q'| + |q' - q|) |x|

where |q' - q| is measured. Summation adds 4 (d + 16) 2^-24 (|q'| |x| + 2 |b|): the factor 4 leaves
room for units that truncate. The bias is carried as three bfloat16 numbers, whose sum is its
float32 value, in three extra dimensions. The result is rounded to bfloat16 once more: that part is
relative to the score itself, |s' - s| <= u / (1 - u) |s'|.

Underflow is absolute: at most (d + 16) 2^-120 more, also for units that flush subnormal numbers.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = [
    "GROUP",
    "TILES",
    "TINY",
    "NumpyEngine",
    "ProcessorEngine",
    "TorchEngine",
    "bfloat16_units",
    "threads",
]

GROUP = 16
"""Items of which only the best score is looked at first."""

TILES = {"numpy": (1024, 4096), "cpu": (1024, 8192), "gpu": (4096, 32768)}
"""Queries and items of a tile of scores: large enough for the product, near the cache's size."""

TINY = 2.0**-60
"""Numbers below may have squares that float32 cannot hold; added to every length."""

_Float32 = npt.NDArray[np.float32]
_Float64 = npt.NDArray[np.float64]
_Places = npt.NDArray[np.intp]
_FLOAT32_UNIT, _BFLOAT16_UNIT, _UNDERFLOW = 2.0**-24, 2.0**-9, 2.0**-120
# Norms are themselves computed in float32.
_SLACK = 1 + 1e-3


def threads() -> int:
    """Threads to use: the cores this process may run on, or what BLAS was told to use."""
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        told = os.environ.get(name, "")
        if told.isdigit() and int(told):
            return int(told)
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity is not None else os.cpu_count() or 1


def bfloat16_units() -> bool:
    """Whether this processor multiplies bfloat16 natively (x86: AMX or AVX512-BF16)."""
    try:
        with open("/proc/cpuinfo", encoding="ascii", errors="replace") as file:
            for line in file:
                if line.startswith("flags"):
                    return not {"amx_bf16", "avx512_bf16"}.isdisjoint(line.split())
    except OSError:
        pass
    return False


class NumpyEngine:
    """Float32 products by NumPy's BLAS.

    Parameters
    ----------
    queries : ndarray, shape (n, d), float32
    """

    rounding = 0.0
    parallel = True

    def __init__(self, queries: _Float32) -> None:
        self._queries = queries
        self.sizes = _lengths(queries)
        self.tile_rows, self.tile_columns = TILES["numpy"]
        self._room = np.empty(0, dtype=np.float32)

    @staticmethod
    def lengths(items: _Float32) -> _Float64:
        """Length of each row, (w,); not finite or about `TINY` where it says nothing."""
        return _lengths(items)

    def block(self, items: _Float32, longest: float, bias: _Float64 | None) -> tuple[Any, _Float64]:
        """Items, (w, d) float32, made ready, and the error of each query's scores with them."""
        d = items.shape[1]
        unit = (d + 16) * _FLOAT32_UNIT
        error = unit * (self.sizes * longest * _SLACK + _heaviest(bias)) + (d + 16) * _UNDERFLOW
        working = None if bias is None else bias.astype(np.float32)
        return (items, working), error

    def scores(self, rows: slice, block: Any) -> Any:
        """Scores of some queries; columns up to a multiple of `GROUP` are -inf."""
        items, bias = block
        left = self._queries[rows]
        h, w = len(left), len(items)
        width = -(-w // GROUP) * GROUP
        if self._room.size < h * width:
            self._room = np.empty(h * width, dtype=np.float32)
        tile = self._room[: h * width].reshape(h, width)
        np.matmul(left, items.T, out=tile[:, :w])
        tile[:, w:] = -np.inf
        return tile, bias

    def maxima(self, scores: Any, rows: slice) -> tuple[_Float32, _Float32]:
        """Scores of some rows of a tile, bias included, and the best of each group."""
        tile, bias = scores
        part = tile[rows]
        if bias is not None:
            part[:, : len(bias)] -= bias
        return part, part.reshape(len(part), GROUP, -1).max(axis=1)

    @staticmethod
    def kth(values: _Float32, k: int) -> _Float64:
        """The k-th largest of each row, -inf where there are fewer."""
        if k > values.shape[1]:
            return np.full(len(values), -np.inf)
        return np.partition(values, values.shape[1] - k, axis=1)[:, -k].astype(np.float64)

    @staticmethod
    def above(maxima: _Float32, floor: _Float64) -> tuple[_Places, _Places]:
        """Row and group of what reaches its row's floor."""
        lowered = np.nextafter(floor.astype(np.float32), np.float32(-np.inf))
        groups = maxima.shape[1]
        # A flat search is several times as fast as one in two dimensions.
        found = np.flatnonzero(maxima >= lowered[:, None])
        return found // groups, found % groups

    @staticmethod
    def members(scores: _Float32, row: _Places, group: _Places) -> _Float32:
        """Scores of all members of some groups, (len(row), GROUP)."""
        found: _Float32 = scores.reshape(len(scores), GROUP, -1)[row, :, group]
        return found


class TorchEngine:
    """Bfloat16 products by torch, all steps on its device: for a GPU.

    Parameters
    ----------
    queries : ndarray, shape (n, d), float32
    torch : module
    device : str
    biased : bool
        Whether blocks come with a bias: it takes three more dimensions.
    """

    rounding = _BFLOAT16_UNIT / (1 - _BFLOAT16_UNIT)
    parallel = False

    def __init__(
        self, queries: _Float32, torch: Any, device: str = "cpu", biased: bool = False
    ) -> None:
        self._torch, self._device, self._biased = torch, device, biased
        self.tile_rows, self.tile_columns = TILES["cpu" if device == "cpu" else "gpu"]
        whole = torch.from_numpy(np.ascontiguousarray(queries)).to(device)
        rounded = whole.to(torch.bfloat16)
        self.sizes = self.lengths(rounded)
        self._off = self.lengths(whole - rounded.float())
        if biased:
            rounded = torch.cat([rounded, -torch.ones_like(rounded[:, :1].expand(-1, 3))], dim=1)
        self._queries = rounded
        self._room: Any = None

    def lengths(self, items: Any) -> _Float64:
        """As `NumpyEngine.lengths`; items may be a tensor."""
        torch = self._torch
        found = torch.linalg.vector_norm(self._here(items), dim=1, dtype=torch.float32)
        return np.asarray(found.cpu().numpy().astype(np.float64) + TINY * items.shape[1] ** 0.5)

    def block(self, items: Any, longest: float, bias: _Float64 | None) -> tuple[Any, _Float64]:
        """As `NumpyEngine.block`; items may be a tensor."""
        torch = self._torch
        d = items.shape[1]
        sums = 4 * (d + 16) * _FLOAT32_UNIT
        rounding = (_BFLOAT16_UNIT * self.sizes + self._off) * _SLACK
        error = (
            (rounding + sums * self.sizes) * longest * _SLACK
            + 2 * sums * _heaviest(bias)
            + (d + 16) * _UNDERFLOW
        )
        rounded = self._here(items).to(torch.bfloat16)
        if bias is not None:
            rest = torch.from_numpy(bias.astype(np.float32)).to(self._device)
            parts = []
            for _ in range(3):
                parts.append(rest.to(torch.bfloat16))
                rest = rest - parts[-1].float()
            rounded = torch.cat([rounded, torch.stack(parts, dim=1)], dim=1)
        return rounded, error

    def scores(self, rows: slice, block: Any) -> Any:
        """As `NumpyEngine.scores`."""
        torch = self._torch
        left = self._queries[rows]
        h, w = len(left), len(block)
        width = -(-w // GROUP) * GROUP
        if self._room is None or self._room.numel() < h * width:
            self._room = torch.empty(h * width, dtype=torch.bfloat16, device=self._device)
        tile = self._room[: h * width].view(h, width)
        with _whole_sums(torch, self._device):
            if w == width:
                torch.mm(left, block.T, out=tile)
            else:
                tile[:, :w] = torch.mm(left, block.T)
                tile[:, w:] = -torch.inf
        return tile

    def maxima(self, scores: Any, rows: slice) -> tuple[Any, Any]:
        """As `NumpyEngine.maxima`."""
        part = scores[rows]
        return part, part.view(len(part), GROUP, -1).amax(dim=1)

    def kth(self, values: Any, k: int) -> _Float64:
        """As `NumpyEngine.kth`."""
        if k > values.shape[1]:
            return np.full(len(values), -np.inf)
        return _host(values.topk(k, dim=1, sorted=False).values.amin(dim=1))

    def above(self, maxima: Any, floor: _Float64) -> tuple[_Places, _Places]:
        """As `NumpyEngine.above`."""
        torch = self._torch
        # Cutting off the lower half of a float32 rounds to bfloat16 towards zero.
        bits = floor.astype(np.float32)
        cut = (bits.view(np.uint32) & np.uint32(0xFFFF0000)).view(np.float32)
        low = torch.from_numpy(cut).to(torch.bfloat16)
        low = torch.nextafter(low, torch.full_like(low, -torch.inf)).to(maxima.device)
        found = torch.nonzero(maxima >= low[:, None]).cpu().numpy()
        return found[:, 0], found[:, 1]

    def members(self, scores: Any, row: _Places, group: _Places) -> _Float32:
        """As `NumpyEngine.members`."""
        places = [self._torch.from_numpy(x).to(scores.device) for x in (row, group)]
        found = scores.view(len(scores), GROUP, -1)[places[0], :, places[1]]
        values: _Float32 = found.float().cpu().numpy()
        return values

    def _here(self, items: Any) -> Any:
        if isinstance(items, np.ndarray):
            items = self._torch.from_numpy(np.ascontiguousarray(items))
        return items.to(self._device)


class ProcessorEngine(TorchEngine):
    """`TorchEngine` on a processor: torch multiplies, NumPy looks at what comes out.

    Torch's threads then wait for nothing but products and maxima.
    """

    parallel = True

    def __init__(
        self, queries: _Float32, torch: Any, device: str = "cpu", biased: bool = False
    ) -> None:
        super().__init__(queries, torch, "cpu", biased)

    def scores(self, rows: slice, block: Any) -> Any:
        """As `NumpyEngine.scores`; all maxima at once, as torch has threads of its own."""
        tile = super().scores(rows, block)
        maxima = tile.view(len(tile), GROUP, -1).amax(dim=1).float().numpy()
        return tile.view(self._torch.int16).numpy(), maxima

    def maxima(self, scores: Any, rows: slice) -> tuple[Any, Any]:
        """As `NumpyEngine.maxima`."""
        tile, maxima = scores
        return tile[rows], maxima[rows]

    def kth(self, values: Any, k: int) -> _Float64:
        """As `NumpyEngine.kth`."""
        return NumpyEngine.kth(_widened(values), k)

    def above(self, maxima: Any, floor: _Float64) -> tuple[_Places, _Places]:
        """As `NumpyEngine.above`."""
        return NumpyEngine.above(maxima, floor)

    def members(self, scores: Any, row: _Places, group: _Places) -> _Float32:
        """As `NumpyEngine.members`."""
        return _widened(scores.reshape(len(scores), GROUP, -1)[row, :, group])


def _widened(values: npt.NDArray[Any]) -> _Float32:
    """Float32 of bfloat16's bits, which are its upper half."""
    if values.dtype == np.float32:
        return values
    return (values.view(np.uint16).astype(np.uint32) << 16).view(np.float32)


@contextmanager
def _whole_sums(torch: Any, device: str) -> Iterator[None]:
    """Keep a GPU from adding parts of a sum in bfloat16, which the bound does not allow."""
    if device == "cpu":
        yield
        return
    settings = torch.backends.cuda.matmul
    before = settings.allow_bf16_reduced_precision_reduction
    settings.allow_bf16_reduced_precision_reduction = False
    try:
        yield
    finally:
        settings.allow_bf16_reduced_precision_reduction = before


def _lengths(rows: _Float32) -> _Float64:
    with np.errstate(over="ignore", invalid="ignore"):
        squares = np.einsum("ij,ij->i", rows, rows)
    lengths: _Float64 = np.sqrt(squares.astype(np.float64)) + TINY * rows.shape[1] ** 0.5
    return lengths


def _heaviest(bias: _Float64 | None) -> float:
    return 0.0 if bias is None else float(np.abs(bias).max())


def _host(values: Any) -> _Float64:
    found: _Float64 = values.float().cpu().numpy().astype(np.float64)
    return found

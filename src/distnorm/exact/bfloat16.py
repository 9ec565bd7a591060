"""An engine that multiplies in bfloat16: torch's, on a GPU.

Of a tile of scores the best of each group of 16 is found first, by torch; only groups that reach
the threshold are looked into. The bound (u = 2^-9; products are exact in float32 and summed there;
q', x' are the rounded vectors), by Cauchy and Schwarz:

    |q'.x' - q.x| <= |q'| |x' - x| + |q' - q| |x| <= (u |q'| + |q' - q|) |x|

where |q' - q| is measured. Summation adds 4 (d + 16) 2^-24 (|q'| |x| + 2 |b|): the factor 4 leaves
room for units that truncate. The bias is carried as three bfloat16 numbers, whose sum is its
float32 value, in three extra dimensions. The result is rounded to bfloat16 once more: that part is
relative to the score itself, |s' - s| <= u / (1 - u) |s'|.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import numpy.typing as npt

from distnorm.exact.engines import (
    FLOAT32,
    GROUP,
    SLACK,
    TILES,
    NumpyEngine,
    heaviest,
)

__all__ = ["TorchEngine"]

_Float32 = npt.NDArray[np.float32]
_Float64 = npt.NDArray[np.float64]
_Places = npt.NDArray[np.intp]
_UNIT = 2.0**-9


class TorchEngine:
    """Bfloat16 products by torch, all steps on its device: for a GPU.

    A bias takes three more dimensions: ``biased`` says whether blocks come with one.
    """

    rounding = _UNIT / (1 - _UNIT)
    format = FLOAT32
    dtype = np.dtype(np.float32)
    concurrent = False

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
        return np.asarray(
            found.cpu().numpy().astype(np.float64) + FLOAT32.tiny * items.shape[1] ** 0.5
        )

    longest = NumpyEngine.longest

    def another(self) -> TorchEngine:
        """Itself: torch, or its device, has the threads."""
        return self

    def block(self, items: Any, longest: float, bias: _Float64 | None) -> tuple[Any, _Float64]:
        """As `Engine.block`; items may be a tensor."""
        torch = self._torch
        d = items.shape[1]
        sums = 4 * (d + 16) * FLOAT32.unit
        rounding = (_UNIT * self.sizes + self._off) * SLACK
        error = (
            (rounding + sums * self.sizes) * longest * SLACK
            + 2 * sums * heaviest(bias)
            + (d + 16) * FLOAT32.underflow
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
        """As `Engine.scores`; columns up to a multiple of `GROUP` are -inf."""
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
        return tile, tile.view(h, GROUP, -1).amax(dim=1), w

    def part(self, scores: Any, rows: slice) -> Any:
        """As `Engine.part`: scores, the best of each group, and the number of columns."""
        tile, maxima, w = scores
        return tile[rows], maxima[rows], w

    def kth(self, part: Any, k: int) -> _Float64:
        """As `Engine.kth`."""
        tile, maxima, _ = part
        values = maxima if k <= maxima.shape[1] else tile
        if k > values.shape[1]:
            return np.full(len(values), -np.inf)
        return _host(values.topk(k, dim=1, sorted=False).values.amin(dim=1))

    def above(self, part: Any, threshold: _Float64) -> tuple[_Places, _Places]:
        """As `Engine.above`; places are groups."""
        torch, maxima = self._torch, part[1]
        # Cutting off the lower half of a float32 rounds to bfloat16 towards zero.
        bits = threshold.astype(np.float32)
        cut = (bits.view(np.uint32) & np.uint32(0xFFFF0000)).view(np.float32)
        low = torch.from_numpy(cut).to(torch.bfloat16)
        low = torch.nextafter(low, torch.full_like(low, -torch.inf)).to(maxima.device)
        found = torch.nonzero(maxima >= low[:, None]).cpu().numpy()
        return found[:, 0], found[:, 1]

    def values(
        self, part: Any, row: _Places, place: _Places, threshold: _Float64
    ) -> tuple[_Places, _Places, _Float32]:
        """As `Engine.values`."""
        scores = self._members(part[0], row, place)
        found = np.flatnonzero(scores >= threshold[row][:, None])
        pair, member = found // GROUP, found % GROUP
        row, column = row[pair], member * part[1].shape[1] + place[pair]
        value = scores.ravel()[found]
        # Groups are of scattered columns, some past the end.
        order = np.argsort((row << 44) + column)
        order = order[column[order] < part[2]]
        return row[order], column[order], value[order]

    def _members(self, tile: Any, row: _Places, group: _Places) -> _Float32:
        """Scores of all members of some groups, (len(row), GROUP)."""
        places = [self._torch.from_numpy(x).to(tile.device) for x in (row, group)]
        found = tile.view(len(tile), GROUP, -1)[places[0], :, places[1]]
        values: _Float32 = found.float().cpu().numpy()
        return values

    def _here(self, items: Any) -> Any:
        if isinstance(items, np.ndarray):
            items = self._torch.from_numpy(np.ascontiguousarray(items))
        return items.to(self._device)


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


def _host(values: Any) -> _Float64:
    found: _Float64 = values.float().cpu().numpy().astype(np.float64)
    return found

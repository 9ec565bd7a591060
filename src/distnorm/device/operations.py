"""Products, group maxima and sums on tensors: by Triton's kernels where it is, else by torch.

Rows are brought to half precision once, by a power of two that leaves their usual length near 1:
exact for rows in half precision, and with a measured rounding error for others,

    x' = c x + r,   |r| <= off          |q' . x' - c q . x| <= |q'| off + |q' - c q| |x|

Sums of these products are added in float32. `GroupMaxima` says how far what comes out can be from
the truth beyond that: not at all with Triton, by one rounding to half precision with plain torch.

Items lie in stretches of ``groups x size``; group g of a stretch holds every ``groups``-th item
from its g-th on. Such a maximum is over rows of a matrix, which a GPU finds several times as fast.
"""

from __future__ import annotations

import importlib.util
import math
import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import numpy as np

from distnorm.arrays import blocks, to_numpy
from distnorm.device.settings import whole_sums

__all__ = [
    "GroupMaxima",
    "HalfRows",
    "Tile",
    "group_maxima",
    "halved",
    "kernels",
    "launch",
    "pair_scores",
    "product",
    "row_lengths",
    "tensor_of",
    "tile_for",
    "usual_length",
]

_HALF_UNIT, _HALF_TINY = 2.0**-11, 2.0**-25
_ROUNDED = _HALF_UNIT / (1 - _HALF_UNIT)
# Entries that half precision holds, with room for the bias and for longer rows than usual.
_LARGEST = 2.0**14
# Rows that are converted, and scores that plain torch keeps, at a time.
_CONVERTED, _KEPT = 1 << 16, 1 << 29
# Rows that tell the usual length.
_LOOKED_AT = 1 << 12
# Queries up to which the time goes into reading the items, which a plain product does best.
_FEW = 16
# Numbers in float64 that plain torch scores pairs with at a time.
_PAIRS = 1 << 26


@dataclass(frozen=True)
class HalfRows:
    """Rows in half precision, (n, d), contiguous: ``scale`` times those given, and rounded.

    ``off``, (n,) float32, is the length of each row's rounding error, or None where nothing was
    rounded; ``lengths``, (n,) float32, those of the rows given.
    """

    rows: Any
    scale: float
    off: Any
    lengths: Any


@dataclass(frozen=True)
class GroupMaxima:
    """The largest score of each group, (n, groups of all); where members lie; what was rounded.

    Member j of group g is item ``(g // width) width size + j width + g % width``. ``rounding`` is
    relative to a maximum, ``absolute`` in its units. ``scores``, (n, m), if they were to be kept.
    """

    values: Any
    size: int
    width: int
    rounding: float = 0.0
    absolute: float = 0.0
    scores: Any = None


def kernels(x: Any) -> Any | None:
    """Triton's kernels where they can run on a tensor, else None."""
    if x.device.type == "cpu" and os.environ.get("TRITON_INTERPRET") != "1":
        return None
    return _kernels(x.device.type, x.device.index)


@cache
def _kernels(kind: str, index: int | None) -> Any | None:
    if kind not in ("cpu", "cuda") or importlib.util.find_spec("triton") is None:
        return None
    import torch  # the caller's: there are tensors

    nvidia = kind == "cuda" and torch.version.hip is None
    if nvidia and torch.cuda.get_device_capability(index) < (8, 0):
        return None
    try:
        found = importlib.import_module("distnorm.device.kernels")
        if kind == "cuda":
            x = torch.ones(2, 16, dtype=torch.float16, device=torch.device(kind, index or 0))
            sums, squares = (torch.zeros(n, dtype=torch.float32, device=x.device) for n in (16, 2))
            ran = launch(found.row_sums, 1, x, sums, squares, 2, 16, D=16, BD=16, BR=2, ROWS=2)
            return found if ran and bool((sums == 2).all() & (squares == 16).all()) else None
    except Exception:  # no compiler, a card or a version that is another: torch will do
        return None
    return found


# Kernels and options that a device has refused: not compiled again for each block.
_refused: set[Any] = set()


def launch(kernel: Any, programs: int, *arguments: Any, **options: Any) -> bool:
    """Run a kernel on the device of its first argument, whichever is the current one.

    False where the device or this version of Triton refuses it, as for want of shared memory.
    """
    import torch  # the caller's: there are tensors

    device = arguments[0].device
    key = (kernel, device, *options.items())
    if key in _refused:
        return False
    current: Any = torch.cuda.device_of
    try:
        with current(arguments[0]):
            # Fused or not has another default from Triton 3.10 on, and a warning before.
            kernel[(programs,)](*arguments, enable_fp_fusion=True, **options)
    except torch.cuda.OutOfMemoryError:
        raise
    except Exception:
        if device.type == "cpu":
            raise  # of the interpreter, where nothing is refused
        _refused.add(key)
        return False
    return True


@dataclass(frozen=True)
class Tile:
    """Queries and items of a tile, numbers multiplied at a time, warps, and loads under way."""

    rows: int
    columns: int
    depth: int
    warps: int
    stages: int

    @property
    def options(self) -> dict[str, int]:
        """What kernels call them."""
        return {
            "BM": self.rows,
            "BN": self.columns,
            "BK": self.depth,
            "num_warps": self.warps,
            "num_stages": self.stages,
        }


def tile_for(x: Any, n: int) -> Tile:
    """The tile for n queries on the device of ``x``, as found on an H100.

    Smaller where a card has less memory for it, and for Triton's interpreter.
    """
    if x.device.type == "cpu":
        return Tile(16, 64, 32, 4, 1)
    import torch  # the caller's: there are tensors

    about = torch.cuda.get_device_properties(x.device)
    room = getattr(about, "shared_memory_per_block_optin", 0) or 1 << 16
    rows = 16 if n <= 16 else 64 if n <= 64 else 128
    warps = 4 if rows < 128 else 8
    # Half precision takes two bytes; three loads of both sides are under way.
    if room < 3 * 2 * 64 * (rows + 256):
        return Tile(rows, 128, 32, warps, 3)
    return Tile(rows, 256, 64, warps, 3)


def row_lengths(x: Any) -> Any:
    """Length of each row, (n,), float32, or float64 for rows in float64; inf where too long."""
    import torch  # the caller's: there are tensors

    dtype = torch.float64 if x.dtype == torch.float64 else torch.float32
    return torch.linalg.vector_norm(x, dim=1, dtype=dtype)


def usual_length(lengths: Any) -> Any:
    """The median of some lengths: that of a million is found by a single unit of a GPU."""
    return lengths[:: -(-len(lengths) // _LOOKED_AT)].median()


def halved(x: Any, lengths: Any) -> HalfRows | None:
    """Rows, (n, d), in half precision, given their lengths; None where it cannot hold them."""
    import torch  # the caller's: there are tensors

    usual, longest = (float(v) for v in torch.stack([usual_length(lengths), lengths.max()]))
    scale = 2.0 ** -round(math.log2(usual))
    if x.dtype == torch.float16 and 2.0**-4 <= usual <= 2.0**6:
        scale = 1.0
    if longest * scale > _LARGEST:
        return None
    lengths = lengths.to(torch.float32)
    if x.dtype == torch.float16 and scale == 1.0:
        return HalfRows(x.contiguous(), scale, None, lengths)
    wide = torch.float64 if x.dtype == torch.float64 else torch.float32
    rows = torch.empty(x.shape, dtype=torch.float16, device=x.device)
    off = torch.empty(len(x), dtype=torch.float32, device=x.device)
    for part in blocks(len(x), _CONVERTED):
        exact = x[part].to(wide) * scale
        rows[part] = exact
        off[part] = row_lengths(exact - rows[part].to(wide))
    return HalfRows(rows, scale, off if bool(off.any()) else None, lengths)


def product(left: Any, right: Any) -> Any:
    """``left @ right.T`` in float32 of rows in half precision, in their own of others."""
    import torch  # the caller's: there are tensors

    with whole_sums():
        if left.dtype in (torch.float32, torch.float64):
            return left @ right.T
        if left.is_cuda:
            try:
                return torch.mm(left, right.T, out_dtype=torch.float32)
            except torch.cuda.OutOfMemoryError:
                raise
            except (TypeError, RuntimeError):
                pass  # of a version or a card that cannot
        return left.float() @ right.float().T


def group_maxima(
    queries: Any, items: Any, bias: Any, size: int, *, keep: bool = False
) -> GroupMaxima:
    """Largest score of each group of ``size`` items, (n, d) and (m, d), both in half precision.

    ``bias``, (m,) float32, is what to subtract, or None. With ``keep`` the scores are kept too.
    """
    import torch  # the caller's: there are tensors

    found = kernels(queries)
    if found is not None and (len(queries) > _FEW or keep):
        fused = _fused_maxima(found, queries, items, bias, size, keep)
        if fused is not None:
            return fused
    if keep:
        scores = product(queries, items)
        kept = scores if bias is None else scores.sub_(bias)
        found_here = plain_maxima(lambda part: kept[:, part], kept, len(items), size)
        return replace(found_here, scores=kept)
    if bias is None:
        error = _HALF_TINY
        return plain_maxima(
            lambda part: queries @ items[part].T, queries, len(items), size, _ROUNDED, error
        )
    less = (-bias).to(queries.dtype)
    error = _HALF_TINY + float((bias + less.float()).abs().max())
    # Of one number per column cuBLAS makes no pass of its own.
    return plain_maxima(
        lambda part: torch.addmm(less[part], queries, items[part].T),
        queries,
        len(items),
        size,
        _ROUNDED,
        error,
    )


def plain_maxima(
    tile: Callable[[slice], Any],
    queries: Any,
    m: int,
    size: int,
    rounding: float = 0.0,
    absolute: float = 0.0,
) -> GroupMaxima:
    """`group_maxima` in plain torch, of scores (n, w) that ``tile`` gives of some columns."""
    import torch  # the caller's: there are tensors

    n = len(queries)
    most = max(size, _KEPT // max(n, 1))
    stretches = -(-m // most)
    width = -(-m // (stretches * size))
    span = width * size
    values = torch.empty(n, -(-m // span) * width, dtype=queries.dtype, device=queries.device)
    for number, columns in enumerate(blocks(m, span)):
        with whole_sums():
            scores = tile(columns)
        if scores.shape[1] < span:
            scores = torch.nn.functional.pad(
                scores, (0, span - scores.shape[1]), value=float("-inf")
            )
        here = values[:, number * width : (number + 1) * width]
        torch.amax(scores.view(n, size, width), dim=1, out=here)
    return GroupMaxima(values, size, width, rounding, absolute)


def _fused_maxima(
    found: Any, queries: Any, items: Any, bias: Any, size: int, keep: bool
) -> GroupMaxima | None:
    import torch  # the caller's: there are tensors

    n, m, d = len(queries), len(items), queries.shape[1]
    tile = tile_for(queries, n)
    width = tile.columns // size
    groups = -(-m // tile.columns) * width
    values = torch.empty(n, groups, dtype=torch.float32, device=queries.device)
    scores = torch.empty(n, m, dtype=torch.float32, device=queries.device) if keep else values
    ran = launch(
        found.group_maxima,
        -(-n // tile.rows) * -(-m // tile.columns),
        *(queries, items, values if bias is None else bias, values, scores, n, m, groups),
        D=d,
        G=size,
        BAND=8,
        HAS_BIAS=bias is not None,
        KEEP=keep,
        **tile.options,
    )
    return GroupMaxima(values, size, width, scores=scores if keep else None) if ran else None


def pair_scores(queries: Any, items: Any, bias: Any, groups: Any, size: int, width: int) -> Any:
    """Scores q . x - bias of all members of some groups, (n, taken) -> (n, taken * size), float64.

    Of rows as they are, in the library's own order of adding; -inf past the last item.
    """
    import torch  # the caller's: there are tensors

    n, taken = groups.shape
    m, d = items.shape
    found = kernels(queries)
    if found is not None:
        scores = torch.empty(n, taken * size, dtype=torch.float64, device=queries.device)
        ran = launch(
            found.pair_scores,
            n * taken,
            *(queries, items, scores if bias is None else bias, groups.contiguous(), scores),
            *(m, taken, width, *queries.stride(), *items.stride()),
            D=d,
            G=size,
            BK=64 if d <= 64 else 128,
            HAS_BIAS=bias is not None,
        )
        if ran:
            return scores
    member = torch.arange(size, device=queries.device) * width
    first = groups // width * (width * size) + groups % width
    number = (first[:, :, None] + member).view(n, taken * size)
    inside = number < m
    number = number.clamp(max=m - 1)
    parts = []
    for rows in blocks(n, max(1, _PAIRS // (taken * size * d))):
        found_rows = items[number[rows]].to(torch.float64)
        parts.append(found_rows.mul_(queries[rows].to(torch.float64)[:, None, :]).sum(dim=2))
    scores = torch.cat(parts)
    if bias is not None:
        scores -= bias[number]
    return scores.masked_fill_(~inside, float("-inf"))


def tensor_of(x: Any, device: Any) -> Any:
    """Rows of any library as a tensor on a device."""
    import torch  # the caller's: there are tensors, or a device

    if torch.is_tensor(x):
        return x.detach().to(device)
    rows = np.ascontiguousarray(to_numpy(x))
    return torch.from_numpy(rows if rows.flags.writeable else rows.copy()).to(device)

"""Sums over the rows of a tensor on a device, reading it once: see `distnorm.moments.sums`.

Rows in half and single precision are added up in float32 over blocks, and the blocks in float64:
512 rows a block by Triton's kernel, the rows that fit into a GPU's cache by plain torch, which adds
in the form of a tree. Products of half precision are exact in float32; those of 4,096 rows are
added there, so that an error of every addition, also by units that truncate, stays below
256 * 2^-23 = 3.1e-5 of the sum (16 products are added at once), as for the blocks on a processor.
"""

from __future__ import annotations

from typing import Any

from distnorm.arrays import blocks
from distnorm.device.operations import kernels, launch, row_lengths
from distnorm.device.settings import whole_sums

__all__ = ["gram", "sum_of_rows"]

_ROWS, _PRODUCTS = 512, 4096
# Bytes of a block that stays in a GPU's cache while it is read twice, and rows multiplied at once.
_CACHE, _AT_ONCE = 1 << 25, 1 << 17
# Squared lengths up to which sums of blocks stay in float32.
_LARGEST = 2.0**23


def sum_of_rows(x: Any) -> tuple[Any, float] | None:
    """The sum of rows, (n, d) -> (d,) in float64, and of their squared lengths.

    None where a row is not finite, all zero, or of a square that float32 does not hold.
    """
    import torch  # the caller's: there are tensors

    n, d = x.shape
    sums = _by_kernel(x)
    if sums is not None:
        total, squares = sums
    else:
        wide = torch.float64 if x.dtype == torch.float64 else torch.float32
        total = torch.zeros(d, dtype=torch.float64, device=x.device)
        parts = []
        for rows in blocks(n, max(1, _CACHE // (d * x.element_size()))):
            total += x[rows].sum(dim=0, dtype=wide)
            parts.append(row_lengths(x[rows]))
        squares = torch.cat(parts) ** 2
    fit = squares.isfinite() & (squares > 0) & (squares < _LARGEST)
    if not bool(fit.all()):
        return None
    return total, float(squares.sum(dtype=torch.float64))


def _by_kernel(x: Any) -> tuple[Any, Any] | None:
    """The sum of rows, (d,) in float64, and squared lengths, (n,), where Triton's kernel runs."""
    import torch  # the caller's: there are tensors

    n, d = x.shape
    found = None if x.dtype == torch.float64 or x.stride(1) != 1 else kernels(x)
    if found is None:
        return None
    programs = -(-n // _ROWS)
    columns = torch.empty(programs, d, dtype=torch.float32, device=x.device)
    squares = torch.empty(n, dtype=torch.float32, device=x.device)
    width = 1 << (d - 1).bit_length()
    ran = launch(
        found.row_sums,
        programs,
        *(x, columns, squares, n, x.stride(0)),
        D=d,
        BD=width,
        BR=max(1, min(_ROWS, 8192 // width)),
        ROWS=_ROWS,
    )
    return (columns.sum(dim=0, dtype=torch.float64), squares) if ran else None


def gram(x: Any) -> Any:
    """X' X in float64, (n, d) -> (d, d)."""
    import torch  # the caller's: there are tensors

    total = torch.zeros(x.shape[1], x.shape[1], dtype=torch.float64, device=x.device)
    for rows in blocks(len(x), _AT_ONCE):
        part = x[rows].contiguous()
        whole = len(part) // _PRODUCTS * _PRODUCTS
        if whole:
            batches = part[:whole].view(-1, _PRODUCTS, x.shape[1])
            total += _products(batches).sum(dim=0, dtype=torch.float64)
        if whole < len(part):
            total += _products(part[None, whole:])[0]
    return total


def _products(batches: Any) -> Any:
    """X' X of each batch, (b, r, d) -> (b, d, d), in float32, or float64 of float64."""
    import torch  # the caller's: there are tensors

    with whole_sums():
        if batches.dtype in (torch.float32, torch.float64):
            return torch.bmm(batches.transpose(1, 2), batches)
        if batches.is_cuda:
            try:
                return torch.bmm(batches.transpose(1, 2), batches, out_dtype=torch.float32)
            except torch.cuda.OutOfMemoryError:
                raise
            except (TypeError, RuntimeError):
                pass  # of a version or a card that cannot
        wide = batches.float()
        return torch.bmm(wide.transpose(1, 2), wide)

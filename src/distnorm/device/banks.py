"""Sums and maxima of the scores of items, (n, d), with a bank, (m, d), where the items are.

Rows that half precision holds are multiplied in it; others as two halves each, of which the upper
and lower ones meet in one product of 3 d columns,

    x = h + l     x . q = (h, l, h) . (h', h', l') + l . l'

where what is left out is 2^-22 of |x| |q|: about what float32 rounds.
"""

from __future__ import annotations

import math
from typing import Any

from distnorm.arrays import blocks
from distnorm.device.operations import (
    group_maxima,
    halved,
    kernels,
    launch,
    product,
    row_lengths,
    tensor_of,
    tile_for,
)
from distnorm.device.settings import in_blocks

__all__ = ["log_mean_exponential", "mean_of_largest", "row_lengths", "tensor_of"]

_LOG2E = math.log2(math.e)
# Scores of a block, rows that are brought to half precision at a time, and items of a group.
_SCORES, _ROWS, _GROUP = 1 << 28, 1 << 18, 8
# Split rows are brought to this length: their lower halves are then no subnormal numbers.
_SPLIT_LENGTH = 2.0**8
_SHORTEST, _LONGEST = 2.0**-50, 2.0**50


def _usual(*rows: Any) -> bool:
    """Whether half precision will do: not for float64, nor for lengths that float32 loses."""
    import torch  # the caller's: there are tensors

    for x in rows:
        if x.dtype == torch.float64:
            return False
        lengths = row_lengths(x)
        if not (float(lengths.min()) > _SHORTEST and float(lengths.max()) < _LONGEST):
            return False
    return True


def _pair(items: Any, bank: Any) -> tuple[Any, Any, float] | None:
    """Both in half precision, in one or in three parts, and the scale of their products."""
    first, second = (halved(x, row_lengths(x)) for x in (items, bank))
    if first is not None and second is not None and first.off is None and second.off is None:
        return first.rows, second.rows, first.scale * second.scale
    import torch  # the caller's: there are tensors

    parts, scale = [], 1.0
    for x, order in ((items, (0, 1, 0)), (bank, (0, 0, 1))):
        lengths = row_lengths(x)
        one = 2.0 ** -round(math.log2(float(lengths.median()))) * _SPLIT_LENGTH
        if float(lengths.max()) * one > 2.0**15:
            return None
        wide = x.float() * one
        upper = wide.half()
        halves = upper, (wide - upper.float()).half()
        parts.append(torch.cat([halves[number] for number in order], dim=1))
        scale *= one
    return parts[0], parts[1], scale


def log_mean_exponential(
    items: Any, bank: Any, beta: float, linear: Any, most: float, weights: Any = None
) -> Any | None:
    """Log of the mean over j of exp(beta q_j . y - beta linear(y)), (n,) in float64.

    ``most`` is the largest exponent; ``weights``, (m,), those of the bank's rows. None where these
    numbers are not for half precision, or an exponential may leave float32's range.
    """
    import torch  # the caller's: there are tensors

    more = None
    if weights is not None:
        more = torch.log2(weights)
        most += max(0.0, float(more.max()) / _LOG2E)
    if not most < 80 or not _usual(items, bank):
        return None
    m, whole = len(bank), float(len(bank) if weights is None else weights.sum())
    more = None if more is None else more.float()
    parts = []
    step = min(_ROWS, max(1, _SCORES // m)) if kernels(items) is None else _ROWS

    def work(rows: slice) -> Any:
        pair = _pair(items[rows], bank)
        if pair is None:
            return None
        left, right, scale = pair
        factor = beta * _LOG2E / scale
        less = (linear[rows].double() * (beta * _LOG2E)).float()
        return _exponential_sums(left, right, factor, less, more)

    for found in in_blocks(len(items), step, work, "a block of a bank's scores"):
        if found is None:
            return None
        parts.append(found)
    return torch.log(torch.cat(parts) / whole)


def _exponential_sums(left: Any, right: Any, factor: float, less: Any, more: Any) -> Any:
    import torch  # the caller's: there are tensors

    found = kernels(left)
    if found is not None:
        n, d = left.shape
        tile = tile_for(left, n)
        sums = torch.empty(n, dtype=torch.float64, device=left.device)
        ran = launch(
            found.exponential_sums,
            -(-n // tile.rows),
            *(left, right, less, less if more is None else more, sums, n, len(right), factor),
            D=d,
            HAS_MORE=more is not None,
            **tile.options,
        )
        if ran:
            return sums
    scores = product(left, right).mul_(factor).sub_(less[:, None])
    if more is not None:
        scores += more
    return scores.exp2_().sum(dim=1, dtype=torch.float64)


def mean_of_largest(items: Any, bank: Any, k: int) -> Any | None:
    """Mean of the k largest q_j . y, (n,) in float64; None as of `log_mean_exponential`."""
    import torch  # the caller's: there are tensors

    if not _usual(items, bank):
        return None
    m = len(bank)
    parts = []

    def work(rows: slice) -> Any:
        pair = _pair(items[rows], bank)
        if pair is None:
            return None
        left, right, scale = pair
        if 2 * k * _GROUP > m:
            best = product(left, right).topk(k, dim=1, sorted=False).values
        else:
            best = _largest(left, right, k)
        return best.double().mean(dim=1) / scale

    step = min(_ROWS, max(1, _SCORES // m))
    for found in in_blocks(len(items), step, work, "a block of a bank's scores"):
        if found is None:
            return None
        parts.append(found)
    return torch.cat(parts)


def _largest(left: Any, right: Any, k: int) -> Any:
    """The k largest scores of each row: all are in the k groups of the largest maxima."""
    import torch  # the caller's: there are tensors

    m = len(right)
    found = group_maxima(left, right, None, _GROUP, keep=True)
    width = found.width
    best = []
    for rows in blocks(len(left), max(1, _SCORES // (8 * k * _GROUP))):
        groups = found.values[rows].topk(k, dim=1, sorted=False).indices
        first = groups // width * (width * _GROUP) + groups % width
        member = torch.arange(_GROUP, device=left.device) * width
        number = (first[:, :, None] + member).view(len(groups), -1)
        scores = found.scores[rows].gather(1, number.clamp(max=m - 1))
        scores.masked_fill_(number >= m, float("-inf"))
        best.append(scores.topk(k, dim=1, sorted=False).values)
    return torch.cat(best)

"""Sums and maxima of the scores of items, (n, d), with a bank, (m, d), where the items are.

Rows that half precision holds are multiplied in it; others as two halves each, of which the upper
and lower ones meet in one product of 3 d columns,

    x = h + l     x . q = (h, l, h) . (h', h', l') + l . l'

where what is left out is 2^-22 of |x| |q|: about what float32 rounds.
"""

from __future__ import annotations

import math
from functools import cached_property
from typing import Any

from distnorm.arrays import blocks
from distnorm.device.operations import (
    HalfRows,
    group_maxima,
    halved,
    kernels,
    launch,
    product,
    row_lengths,
    tensor_of,
    tile_for,
    usual_length,
)
from distnorm.device.settings import in_blocks

__all__ = ["log_mean_exponential", "mean_of_largest", "tensor_of"]

_LOG2E = math.log2(math.e)
# Scores of a block, rows that are brought to half precision at a time, and items of a group.
_SCORES, _ROWS, _GROUP = 1 << 28, 1 << 18, 8
# Which half, the upper or the lower, is in each part of split rows of either side.
_ITEMS, _BANK = (0, 1, 0), (0, 0, 1)
# Split rows are brought to this length: their lower halves are then no subnormal numbers.
_SPLIT_LENGTH = 2.0**8
_SHORTEST, _LONGEST = 2.0**-50, 2.0**50


def _usual(*lengths: Any) -> bool:
    """Whether half precision will do: not for float64, nor for lengths that float32 loses."""
    import torch  # the caller's: there are tensors

    for each in lengths:
        if each.dtype == torch.float64:
            return False
        least, most = (float(v) for v in torch.stack([each.min(), each.max()]))
        if not (least > _SHORTEST and most < _LONGEST):
            return False
    return True


class _Rows:
    """Rows, (n, d), and their lengths, (n,), brought to half precision as each use needs it."""

    def __init__(self, rows: Any, lengths: Any, order: tuple[int, int, int]) -> None:
        self.rows, self.lengths, self._order = rows, lengths, order

    def some(self, rows: slice) -> _Rows:
        """Some of them."""
        return _Rows(self.rows[rows], self.lengths[rows], self._order)

    @cached_property
    def whole(self) -> HalfRows | None:
        """In half precision, if that rounds nothing."""
        found = halved(self.rows, self.lengths)
        return found if found is not None and found.off is None else None

    @cached_property
    def split(self) -> tuple[Any, float] | None:
        """As two halves in the order of this side, and their scale; None if they do not fit."""
        import torch  # the caller's: there are tensors

        scale = 2.0 ** -round(math.log2(float(usual_length(self.lengths)))) * _SPLIT_LENGTH
        if float(self.lengths.max()) * scale > 2.0**15:
            return None
        wide = self.rows.float() * scale
        upper = wide.half()
        halves = upper, (wide - upper.float()).half()
        return torch.cat([halves[number] for number in self._order], dim=1), scale


def _pair(items: _Rows, bank: _Rows) -> tuple[Any, Any, float] | None:
    """Both in half precision, in one or in three parts, and the scale of their products."""
    first = items.whole
    second = bank.whole if first is not None else None
    if first is not None and second is not None:
        return first.rows, second.rows, first.scale * second.scale
    left, right = items.split, bank.split
    if left is None or right is None:
        return None
    return left[0], right[0], left[1] * right[1]


def log_mean_exponential(
    items: Any, bank: Any, beta: float, linear: Any, radius: float, weights: Any = None
) -> Any | None:
    """Log of the mean over j of exp(beta q_j . y - beta linear(y)), (n,) in float64.

    ``radius`` is the largest length of a centred row of the bank; ``weights``, (m,), those of its
    rows. None where these numbers are not for half precision, or an exponential may leave
    float32's range.
    """
    import torch  # the caller's: there are tensors

    left, right = _Rows(items, row_lengths(items), _ITEMS), _Rows(bank, row_lengths(bank), _BANK)
    if not _usual(left.lengths, right.lengths):
        return None
    most = beta * radius * float(left.lengths.max())
    more = None
    if weights is not None:
        more = torch.log2(weights)
        most += max(0.0, float(more.max()) / _LOG2E)
    if not most < 80:
        return None
    m, whole = len(bank), float(len(bank) if weights is None else weights.sum())
    more = None if more is None else more.float()
    parts = []
    step = min(_ROWS, max(1, _SCORES // m)) if kernels(items) is None else _ROWS

    def work(rows: slice) -> Any:
        pair = _pair(left.some(rows), right)
        if pair is None:
            return None
        factor = beta * _LOG2E / pair[2]
        less = (linear[rows].double() * (beta * _LOG2E)).float()
        return _exponential_sums(pair[0], pair[1], factor, less, more)

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

    first, second = _Rows(items, row_lengths(items), _ITEMS), _Rows(bank, row_lengths(bank), _BANK)
    if not _usual(first.lengths, second.lengths):
        return None
    m = len(bank)
    parts = []

    def work(rows: slice) -> Any:
        pair = _pair(first.some(rows), second)
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

"""Ranks counted where tensors are, with the formula and the order of `exact.counting`.

A block of scores is computed in float32 (float64 for rows in float64) on the device; items whose
score is nearer to s(q, p) than the bound of `exact.engines` are scored again in float64 there, and
those that float64's rounding cannot tell apart on the host, in the order of adding of
`exact.decision`. Copies of an item with its bias score alike and need not be.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from distnorm.arrays import as_working, blocks, to_numpy
from distnorm.device.operations import product, row_lengths
from distnorm.device.settings import in_blocks, in_memory
from distnorm.exact.decision import PairScores
from distnorm.exact.engines import FLOAT32, SLACK
from distnorm.exact.gallery import Gallery
from distnorm.system.progress import Progress

__all__ = ["DevicePairs", "count_on_device"]

_Float64 = npt.NDArray[np.float64]
_Places = npt.NDArray[np.intp]
# Scores of a block, and numbers in float64 of pairs that are scored at a time.
_SCORES, _NUMBERS = 1 << 26, 1 << 25


class DevicePairs(PairScores):
    """`PairScores` of queries and items that are tensors on one device."""

    def __init__(
        self,
        queries: Any,
        items: Any,
        bias: _Float64 | None,
        gate: npt.NDArray[np.bool_] | None = None,
    ) -> None:
        self.tensor, self.others = queries.detach(), items.detach()
        self.items, self.bias, self.gate = Gallery(self.others), bias, gate

    def __len__(self) -> int:
        """Number of queries."""
        return len(self.tensor)

    @cached_property
    def queries(self) -> npt.NDArray[Any]:  # type: ignore[override]
        """Queries on the host, for the few pairs that are decided there."""
        return to_numpy(as_working(self.tensor))

    def unbiased(self) -> DevicePairs:
        """The same pairs without a bias."""
        return DevicePairs(self.tensor, self.others, None)

    def of(self, row: _Places, column: _Places) -> _Float64:
        """Scores of pairs; those of pairs that `settled` is asked for may differ in a last bit."""
        with in_memory("scores of pairs"):
            bare = self.bare(*map(self.here, (row, column)))
        return self.biased(to_numpy(bare), row, column)

    def settled(self, row: _Places, column: _Places, scores: _Float64) -> _Float64:
        """Scores with those of one query that are too near to each other as the host has them."""
        order = np.lexsort((-scores, row))
        gap = scores[order[:-1]] - scores[order[1:]]
        same = row[order[:-1]] == row[order[1:]]
        near = np.flatnonzero(same & (gap <= to_numpy(self.slack)[row[order[:-1]]]))
        if not len(near):
            return scores
        some = np.unique(np.concatenate([order[near], order[near + 1]]))
        some = some[np.argsort(row[some], kind="stable")]
        result: _Float64 = scores.copy()
        result[some] = super().of(row[some], column[some])
        return result

    def decided(self, row: _Places, column: _Places) -> _Float64:
        """Scores of pairs, in any order, as the host has them."""
        order = np.argsort(row, kind="stable")
        result = np.empty(len(row))
        result[order] = super().of(row[order], column[order])
        return result

    def here(self, values: npt.NDArray[Any]) -> Any:
        """An array of the host's as a tensor on the device."""
        import torch  # the caller's: there are tensors

        return torch.from_numpy(np.ascontiguousarray(values)).to(self.tensor.device)

    def bare(self, row: Any, column: Any) -> Any:
        """Products of pairs in float64, of numbers that are tensors."""
        import torch  # the caller's: there are tensors

        parts = []
        for part in blocks(len(row), max(1, _NUMBERS // self.tensor.shape[1])):
            left = self.tensor[row[part]].to(torch.float64)
            parts.append(left.mul_(self.others[column[part]].to(torch.float64)).sum(dim=1))
        return torch.cat(parts) if parts else torch.zeros(0, dtype=torch.float64)

    @cached_property
    def lengths(self) -> Any:
        """Length of each query, (n,) float64."""
        return row_lengths(self.tensor).double() * SLACK

    @cached_property
    def longest(self) -> float:
        """Length of the longest item."""
        return float(row_lengths(self.others).max()) * SLACK

    @cached_property
    def heaviest(self) -> float:
        """Size of the largest bias."""
        return 0.0 if self.bias is None else float(np.abs(self.bias).max())

    @cached_property
    def slack(self) -> Any:
        """How far two orders of adding in float64 can differ, (n,)."""
        terms = 4 * (self.tensor.shape[1] + 16)
        return terms * 2.0**-53 * (self.lengths * self.longest + self.heaviest)

    def fits(self) -> bool:
        """Whether scores stay in float32's range, and no length is lost in it."""
        largest = float(self.lengths.max()) * self.longest + self.heaviest
        return largest < FLOAT32.largest and float(self.lengths.min()) > 2.0**-50


@dataclass(frozen=True)
class _Job:
    """Pairs whose ranks are counted along an axis of scores, as tensors, into ``ahead``."""

    pairs: DevicePairs
    row: Any
    column: Any
    own: Any
    error: Any
    bias: Any
    gate: Any
    axis: int
    one_each: bool
    ahead: Any

    @classmethod
    def of(cls, pairs: DevicePairs, asked: tuple[Any, ...], axis: int, dtype: Any) -> _Job:
        """The job of some pairs: query, item and own score of each."""
        import torch  # the caller's: there are tensors

        row, column, own = (pairs.here(x) for x in asked)
        terms = pairs.tensor.shape[1] + 16
        unit = 2.0**-52 if dtype == torch.float64 else FLOAT32.unit
        reach = pairs.lengths * pairs.longest + pairs.heaviest
        error = terms * (unit * reach + FLOAT32.underflow)
        bias = None if pairs.bias is None else pairs.here(pairs.bias).to(dtype)
        gate = None if pairs.gate is None else pairs.here(pairs.gate)
        one_each = np.array_equal(asked[0], np.arange(len(pairs)))
        ahead = torch.zeros_like(row)
        return cls(pairs, row, column, own, error, bias, gate, axis, one_each, ahead)

    def count(self, scores: Any, rows: slice) -> None:
        """Count in the bare scores of some rows of the product, which stay as they are."""
        if self.axis == 1:
            first, last = _range(self.row, rows)
            self._count(scores, slice(first, last), rows.start, slice(None), 0)
            return
        step = max(1, _SCORES // max(1, len(scores)))
        for pairs in blocks(len(self.row), step):
            self._count(scores.T, pairs, 0, rows, rows.start)

    def _count(self, scores: Any, pairs: slice, above: int, items: slice, left: int) -> None:
        """Count in lines of scores: of queries from ``above`` on, and items from ``left`` on."""
        import torch  # the caller's: there are tensors

        step = max(1, _SCORES // max(1, scores.shape[1]))
        for part in blocks(pairs.stop - pairs.start, step):
            here = slice(pairs.start + part.start, pairs.start + part.stop)
            row = self.row[here]
            if self.one_each:
                # Not copied: columns of scores, taken by number, are read in pieces.
                lines = scores[here.start - above : here.stop - above]
            else:
                lines = scores[row - above]
            if self.bias is not None:
                less = self.bias[items][None, :]
                lines = lines - (less if self.gate is None else less * self.gate[row][:, None])
            own, error = self.own[here], self.error[row]
            lower, upper = ((own + e).to(lines.dtype)[:, None] for e in (-error, error))
            ahead = lines > upper
            self.ahead[here] += ahead.sum(dim=1)
            pair, item = torch.nonzero((lines >= lower) & ~ahead, as_tuple=True)
            self._decide(pair + here.start, item + left)

    def _decide(self, pair: Any, item: Any) -> None:
        """Add what comes before the pair's item, by float64 scores."""
        keep = item != self.column[pair]
        pair, item = pair[keep], item[keep]
        if not len(pair):
            return
        row, column, own = self.row[pair], self.column[pair], self.own[pair]
        scores = self.pairs.bare(row, item)
        if self.pairs.bias is not None:
            less = self.pairs.here(self.pairs.bias)[item]
            scores = scores - (less if self.gate is None else less * self.gate[row])
        before = (scores > own) | ((scores == own) & (item < column))
        near = ((scores - own).abs() <= self.pairs.slack[row]).nonzero()[:, 0]
        if len(near):
            before[near] = self._of_near(row[near], item[near], column[near])
        self.ahead.index_add_(0, pair, before.to(self.ahead.dtype))

    def _of_near(self, row: Any, item: Any, column: Any) -> Any:
        """Which of two items that float64 can hardly tell apart comes first."""
        pairs = self.pairs
        before = item < column
        copies = (pairs.others[item] == pairs.others[column]).all(dim=1)
        if pairs.bias is not None:
            bias = pairs.here(pairs.bias)
            copies &= bias[item] == bias[column]
        open_ones = (~copies).nonzero()[:, 0]
        if len(open_ones):
            asked, one, other = (to_numpy(x[open_ones]) for x in (row, item, column))
            score, own = pairs.decided(asked, one), pairs.decided(asked, other)
            first = (score > own) | ((score == own) & (one < other))
            before[open_ones] = pairs.here(first)
        return before


def count_on_device(
    forth: tuple[DevicePairs, Any],
    back: tuple[DevicePairs, Any] | None,
    rows: int | None,
    progress: Progress | None,
) -> list[npt.NDArray[np.int64]]:
    """How many items come before each pair's own, for one or both directions of a product.

    Each is some pairs, which must fit, with query, item and own score of each, by query.
    """
    import torch  # the caller's: there are tensors

    pairs = forth[0]
    n, m = len(pairs.tensor), len(pairs.others)
    wide = torch.float64 in (pairs.tensor.dtype, pairs.others.dtype)
    dtype = torch.float64 if wide else torch.float32
    with in_memory("ranks"):
        jobs = [_Job.of(*forth, 1, dtype)]
        if back is not None:
            jobs.append(_Job.of(*back, 0, dtype))
        items = pairs.others.to(dtype)

        def work(some: slice) -> int:
            before = [job.ahead.clone() for job in jobs]
            try:
                scores = product(pairs.tensor[some].to(dtype), items)
                for job in jobs:
                    job.count(scores, some)
            except torch.cuda.OutOfMemoryError:
                # The block is done again in parts: nothing of it may be counted twice.
                for job, kept in zip(jobs, before, strict=True):
                    job.ahead.copy_(kept)
                raise
            return int(some.stop)

        for done in in_blocks(n, min(rows or n, max(1, _SCORES // m)), work, "ranks"):
            if progress is not None:
                progress(done * m, n * m)
    return [to_numpy(job.ahead) for job in jobs]


def _range(row: Any, rows: slice) -> tuple[int, int]:
    """Where pairs of some queries stand among all, which are in the order of queries."""
    import torch  # the caller's: there are tensors

    edges = torch.tensor([rows.start, rows.stop], device=row.device)
    first, last = torch.searchsorted(row, edges).tolist()
    return int(first), int(last)

"""Exact top-k on tensors, where they are: every step on their device, and proven.

1. Products in half precision give the largest score of each group of items, M_g, within e_g.
2. The groups of the largest M_g, some more than k, are scored in float64 from the rows as given.
3. With s the k-th best of those scores, every item of another group scores at most M_g + e_g: where
   that is below s for all of them, the k best are found. Where it is not, as many groups are
   scored as reach s - e_g; where these are too many, products in float32 begin anew (float64 for
   rows in float64), and what they cannot tell either is left to the host.

The proof is looked at for each query, and so is the bound itself: a scored group whose maximum is
not within e_g of M_g tells of a device that does not compute as assumed, and nothing of it is used.

Scores that lie within float64's own rounding of each other are scored again on the host, in the
order of adding of `exact.decision`: so lists are the same on every device. Copies of one item with
one bias score alike and need not be.

With q', x' as in `distnorm.device.operations`, c their common scale and u = 2^-24,

    e = |q'| off_x + |q' - c q| |x| + 4 (d + 16) u (|q'| |x'| + 2 c |b|)

where the factor 4 leaves room for units that truncate.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from distnorm.arrays import as_working, blocks, to_numpy
from distnorm.device.operations import (
    GroupMaxima,
    HalfRows,
    group_maxima,
    halved,
    pair_scores,
    plain_maxima,
    product,
    row_lengths,
)
from distnorm.device.settings import in_blocks
from distnorm.exact.decision import PairScores
from distnorm.exact.engines import FLOAT32, SLACK
from distnorm.exact.gallery import Gallery
from distnorm.system.progress import Progress

__all__ = ["DeviceSearch", "usual_rows"]

_Places = npt.NDArray[np.intp]
# Group maxima of a block of queries, scores in float64, and bytes of items on their way: at a time.
_MAXIMA, _SCORES, _BYTES = 1 << 28, 1 << 26, 1 << 30
# Queries of a tile of products.
_TILE = 128
# Groups of one query that are scored at most before a higher precision is asked.
_MOST_GROUPS = 1 << 12
# Candidates beyond k among which ties are looked for first.
_BEYOND = 6
# Lengths of rows whose squares float32 holds.
_SHORTEST, _LONGEST = 2.0**-50, 2.0**50
# Scores in half precision that are safe from infinity.
_HALF_RANGE = 2.0**15


@dataclass(frozen=True)
class _Piece:
    """Consecutive items as they are searched: as given, and in half precision if that holds."""

    start: int
    rows: Any
    longest: float
    half: HalfRows | None
    off: float


@dataclass(frozen=True)
class _Scored:
    """Group maxima of some queries, (h, groups), in units of ``scale``, and their error, (h,)."""

    maxima: GroupMaxima
    scale: float
    error: Any

    def some(self, rows: Any) -> _Scored:
        """Those of some of the queries."""
        maxima = replace(self.maxima, values=self.maxima.values[rows])
        return _Scored(maxima, self.scale, self.error[rows])

    def upper(self, values: Any) -> Any:
        """What groups of these maxima can hold, (h, ...), in true units."""
        wide = values.double()
        return (wide + self.off(wide)) / self.scale

    def reaching(self, scores: Any) -> Any:
        """How many groups of each query can hold its score, (h,) -> (h,), or a few more.

        Maxima are compared as they are: in float64 they would be several times their size.
        """
        import torch  # the caller's: there are tensors

        values, rounding = self.maxima.values, self.maxima.rounding
        least = scores * self.scale - self.maxima.absolute - self.error
        least = torch.where(least > 0, least / (1 + rounding), least / (1 - rounding))
        about = torch.finfo(values.dtype)
        least -= 2 * (about.eps * least.abs() + about.tiny)
        return (values >= least.to(values.dtype)[:, None]).sum(dim=1)

    def off(self, wide: Any) -> Any:
        """How far from the truth maxima can be."""
        size = wide.abs()
        size = size.masked_fill(size.isinf(), 0)
        return self.maxima.rounding * size + self.maxima.absolute + self.error[:, None]


class DeviceSearch:
    """The k best of items for queries, (n, d), a tensor on the device that computes.

    ``bias`` is (m,) float64 on that device, or None; ``low`` whether half precision comes first.
    """

    def __init__(
        self, queries: Any, items: Gallery, k: int, bias: Any = None, *, low: bool = True
    ) -> None:
        self._queries, self._items, self._k, self._bias, self._low = queries, items, k, bias, low
        self._lengths = row_lengths(queries)
        self._half = halved(queries, self._lengths) if low else None
        self._longest_query = float(self._lengths.max()) * SLACK
        self._heaviest = 0.0 if bias is None else float(bias.abs().max())
        self._longest = 0.0
        self._group = 32 if k <= 32 else 16

    def run(self, progress: Progress | None = None) -> tuple[Any, Any, _Places]:
        """Scores in float64 and places, (n, k), and the queries that are left to the host."""
        import torch  # the caller's: there are tensors

        n, m, k = len(self._queries), len(self._items), self._k
        best: tuple[Any, Any] | None = None
        sure = torch.ones(n, dtype=torch.bool, device=self._queries.device)
        for piece in self._pieces():
            if piece is None:
                return self._nothing()
            self._longest = max(self._longest, piece.longest)
            found = self._of_piece(piece)
            sure &= found[2]
            here = found[0], found[1] + piece.start
            if best is not None:
                scores, places = (torch.cat(both, dim=1) for both in zip(best, here, strict=True))
                here = self._ranked(slice(0, n), min(k, scores.shape[1]), scores, places)
            best = here
            if progress is not None:
                progress(min(m, piece.start + len(piece.rows)), m)
        assert best is not None
        left = torch.nonzero(~sure)[:, 0]
        return *best, left.cpu().numpy()

    def _nothing(self) -> tuple[Any, Any, _Places]:
        """All queries left to the host, as of items whose lengths floats cannot square."""
        import torch  # the caller's: there are tensors

        n = len(self._queries)
        scores = torch.zeros((n, self._k), dtype=torch.float64, device=self._queries.device)
        return scores, scores.to(torch.int64), np.arange(n)

    def _pieces(self) -> Iterator[_Piece | None]:
        """All items at once where they are, prepared once; else, or for want of memory, parts."""
        import torch  # the caller's: there are tensors

        items, device = self._items, self._queries.device
        key = ("pieces", str(device), self._low)
        m = len(items)
        step = m
        if items.on_device:
            try:
                if key not in items.memo:
                    items.memo[key] = self._piece(slice(0, m))
                yield items.memo[key]
                return
            except torch.cuda.OutOfMemoryError:
                step = -(-m // 4)
        else:
            step = max(1, _BYTES // (items.shape[1] * 4))
        yield from in_blocks(m, step, self._piece, "items")

    def _piece(self, columns: slice) -> _Piece | None:
        import torch  # the caller's: there are tensors

        rows = self._items.tensor(columns, self._queries.device)
        lengths = row_lengths(rows)
        least, longest = (float(v) for v in torch.stack([lengths.min(), lengths.max()]))
        if not (least > _SHORTEST and longest < _LONGEST):
            self._items.check(columns)
            return None
        half = halved(rows, lengths) if self._low else None
        off = 0.0 if half is None or half.off is None else float(half.off.max())
        return _Piece(columns.start, rows, longest * SLACK, half, off * SLACK)

    def _of_piece(self, piece: _Piece) -> tuple[Any, Any, Any]:
        """Scores, places within the piece, and which queries are sure."""
        import torch  # the caller's: there are tensors

        n, m = len(self._queries), len(piece.rows)
        k = min(self._k, m)
        step = min(_MAXIMA // max(1, -(-m // self._group)), _SCORES // (_take(k) * self._group))
        step = max(1, min(n, step))
        # Blocks of one size, and of whole tiles where that is little more.
        step = -(-n // -(-n // step))
        step = -(-step // _TILE) * _TILE if step > 8 * _TILE else step
        found = list(
            in_blocks(n, step, lambda rows: self._block(rows, piece, k), "scores of one query")
        )
        scores, places, sure = (torch.cat(part) for part in zip(*found, strict=True))
        return scores, places, sure

    def _block(self, rows: slice, piece: _Piece, k: int) -> tuple[Any, Any, Any]:
        import torch  # the caller's: there are tensors

        bias = self._bias
        if bias is not None:
            bias = bias[piece.start : piece.start + len(piece.rows)]
        h, device = rows.stop - rows.start, self._queries.device
        scores = torch.zeros((h, k), dtype=torch.float64, device=device)
        places = torch.zeros((h, k), dtype=torch.int64, device=device)
        sure = torch.zeros(h, dtype=torch.bool, device=device)
        left: Any = rows
        for scored_of in (self._in_half, self._in_single):
            scored = scored_of(left, piece, bias)
            if scored is None:
                continue
            *found, proven = self._settled(left, scored, piece, bias, k)
            if left is rows:
                scores, places, sure = *found, proven
            else:
                here = left[proven] - rows.start
                scores[here], places[here], sure[here] = *(x[proven] for x in found), True
            if bool(sure.all()):
                break
            left = torch.nonzero(~sure)[:, 0] + rows.start
        return scores, places, sure

    def _in_half(self, rows: Any, piece: _Piece, bias: Any) -> _Scored | None:
        """Products in half precision, if they stay in its range."""
        queries, items = self._half, piece.half
        if queries is None or items is None:
            return None
        scale = queries.scale * items.scale
        longest = piece.longest * items.scale + piece.off
        heaviest = self._heaviest * scale
        if not self._longest_query * queries.scale * longest + heaviest < _HALF_RANGE:
            return None
        d = self._queries.shape[1]
        sums = 4 * (d + 16) * FLOAT32.unit
        off = 0.0 if queries.off is None else queries.off[rows].double()
        lengths = self._lengths[rows].double() * queries.scale + off
        error = lengths * (piece.off + sums * longest) + off * longest + 2 * sums * heaviest
        less = None if bias is None else (bias * scale).float()
        maxima = group_maxima(queries.rows[rows], items.rows, less, self._group)
        return _Scored(maxima, scale, error * SLACK + (d + 16) * FLOAT32.underflow)

    def _in_single(self, rows: Any, piece: _Piece, bias: Any) -> _Scored | None:
        """Products in float32, or in float64 for rows in float64, if they stay in its range."""
        import torch  # the caller's: there are tensors

        wide = torch.float64 in (self._queries.dtype, piece.rows.dtype)
        dtype, unit = (torch.float64, 2.0**-52) if wide else (torch.float32, FLOAT32.unit)
        if not self._longest_query * piece.longest + self._heaviest < FLOAT32.largest:
            return None
        queries = self._queries[rows].to(dtype)
        less = None if bias is None else bias.to(dtype)

        def tile(columns: slice) -> Any:
            scores = product(queries, piece.rows[columns].to(dtype))
            return scores if less is None else scores.sub_(less[columns])

        maxima = plain_maxima(tile, queries, len(piece.rows), self._group)
        terms = queries.shape[1] + 16
        reach = self._lengths[rows].double() * SLACK * piece.longest + self._heaviest
        return _Scored(maxima, 1.0, terms * (unit * reach + FLOAT32.underflow))

    def _settled(
        self, rows: Any, scored: _Scored, piece: _Piece, bias: Any, k: int
    ) -> tuple[Any, Any, Any]:
        """The k best of some queries, from scores of their best groups, and which are proven."""
        import torch  # the caller's: there are tensors

        groups = scored.maxima.values.shape[1]
        taken = min(_take(k), groups)
        scores, places, sure, plain = self._from_groups(rows, scored, piece, bias, k, taken)
        if taken == groups or bool(sure.all()):
            return scores, places, sure
        more = torch.nonzero(plain & ~sure)[:, 0]
        wanted = scored.some(more).reaching(scores[more, k - 1])
        more, wanted = more[wanted <= _MOST_GROUPS], wanted[wanted <= _MOST_GROUPS]
        if not len(more):
            return scores, places, sure
        taken = int(wanted.max())
        numbers = rows if torch.is_tensor(rows) else torch.arange(rows.start, rows.stop)
        for piece_rows in blocks(len(more), max(1, _SCORES // (taken * scored.maxima.size))):
            part = more[piece_rows]
            here = numbers.to(part.device)[part]
            found = self._from_groups(here, scored.some(part), piece, bias, k, taken)
            scores[part], places[part], sure[part] = found[:3]
        return scores, places, sure

    def _from_groups(
        self, rows: Any, scored: _Scored, piece: _Piece, bias: Any, k: int, taken: int
    ) -> tuple[Any, Any, Any, Any]:
        """Scores, places, which queries are proven, and which the bound holds for."""
        import torch  # the caller's: there are tensors

        maxima = scored.maxima
        more = min(taken + 1, maxima.values.shape[1])
        top = maxima.values.topk(more, dim=1)
        groups = top.indices[:, :taken]
        found = pair_scores(
            self._queries[rows], piece.rows, bias, groups, maxima.size, maxima.width
        )
        member = torch.arange(maxima.size, device=groups.device) * maxima.width
        first = groups // maxima.width * (maxima.width * maxima.size) + groups % maxima.width
        places = (first[:, :, None] + member).view(len(found), -1)
        true = found.view(len(found), taken, maxima.size).amax(dim=2) * scored.scale
        seen = top.values[:, :taken].double()
        plain = (((true - seen).abs() <= scored.off(seen)) | (true == seen)).all(dim=1)
        scores, places = self._ranked(rows, k, found, places + piece.start)
        sure = plain
        if more > taken:
            sure = plain & (scored.upper(top.values[:, taken:])[:, 0] < scores[:, k - 1])
        return scores, places - piece.start, sure, plain

    def _ranked(self, rows: Any, k: int, scores: Any, places: Any) -> tuple[Any, Any]:
        """The k best of candidates, (h, c), as `exact.decision` orders them."""
        import torch  # the caller's: there are tensors

        queries = self._queries[rows]
        most = min(k + _BEYOND, scores.shape[1])
        top = scores.topk(most, dim=1)
        place, order = places.gather(1, top.indices).sort(dim=1)
        score, order = top.values.gather(1, order).sort(dim=1, descending=True, stable=True)
        place = place.gather(1, order)
        slack = self._slack(rows)
        least = (score[:, k - 1] - slack)[:, None]
        near = (score[:, :-1] - score[:, 1:] <= slack[:, None]) & (score[:, 1:] >= least)
        cut = score[:, -1] >= least[:, 0]
        if most == scores.shape[1]:
            cut = torch.zeros_like(cut)
        if bool((near.any(dim=1) | cut).any()):
            row, at = torch.nonzero(near, as_tuple=True)
            copies = self._copies(place[row, at], place[row, at + 1])
            cut[row[~(copies & (score[row, at] == score[row, at + 1]))]] = True
            left = torch.nonzero(cut)[:, 0]
            found = self._decided(queries[left], k, scores[left] >= least[left], places[left])
            score[left, :k], place[left, :k] = (torch.from_numpy(x).to(score.device) for x in found)
        return score[:, :k], place[:, :k]

    def _slack(self, rows: Any) -> Any:
        """How far two orders of adding the same products in float64 can differ, (h,)."""
        reach = self._lengths[rows].double() * SLACK * self._longest + self._heaviest
        return 4 * (self._queries.shape[1] + 16) * 2.0**-53 * reach

    def _copies(self, first: Any, second: Any) -> Any:
        """Which items are the same as others, bias included."""
        import torch  # the caller's: there are tensors

        same = torch.ones(len(first), dtype=torch.bool, device=first.device)
        if self._bias is not None:
            same = self._bias[first] == self._bias[second]
        left, right = (self._items.taken(x) for x in (first, second))
        return same & (left == right).all(dim=1)

    def _decided(self, queries: Any, k: int, candidates: Any, places: Any) -> tuple[Any, Any]:
        """Scores and places of the k best of each row's candidates, (h, c) bool, on the host."""
        bias = None if self._bias is None else to_numpy(self._bias)
        pairs = PairScores(to_numpy(as_working(queries)), self._items, bias)
        row, at = np.nonzero(to_numpy(candidates))
        column = to_numpy(places)[row, at]
        score = pairs.of(row, column)
        order = np.lexsort((column, -score, row))
        first = np.searchsorted(row, np.arange(len(queries)))[:, None] + np.arange(k)
        chosen = order[first]
        return score[chosen], column[chosen]


def _take(k: int) -> int:
    """Groups that are scored first: k, and some so that most lists are proven."""
    return k + 7 + k // 8


def usual_rows(queries: Any) -> npt.NDArray[np.bool_]:
    """Which rows, (n, d), are of a length that a device computes with, (n,)."""
    lengths = row_lengths(queries)
    usual: npt.NDArray[np.bool_] = to_numpy((lengths > _SHORTEST) & (lengths < _LONGEST))
    return usual

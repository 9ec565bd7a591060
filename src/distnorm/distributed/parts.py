"""What a worker of an exact search does: the best rows of a part, and how many come before others.

    score(q, x) = q . x - bias(x)

A part is ranked by `distnorm.exact`, with scores in float64, which decide. Of all parts the higher
score comes first, of equal ones the lowest row: the result is that of one search, whatever the
parts are and in whatever order they are done.

Methods compute biases in single precision, whose last bit may depend on which rows are computed
together: parts end where the local search's blocks of rows end.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from distnorm.arrays import check_rows, to_numpy
from distnorm.distributed.session import Shared
from distnorm.distributed.sources import Fragment
from distnorm.errors import DistnormError
from distnorm.exact import places, topk
from distnorm.normalization import ScoreNormalization
from distnorm.search.bias_file import BLOCK
from distnorm.system.shards import ShardedRows

__all__ = [
    "Asked",
    "Best",
    "Part",
    "Wanted",
    "ahead_in",
    "best_of",
    "best_of_block",
    "merged",
    "parts_of",
]

Float64 = npt.NDArray[np.float64]
Places = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Best:
    """The best rows of a part for each query, best first: scores and row numbers (n, k or less).

    ``wide`` says whether the part's vectors are float64.
    """

    scores: Float64
    rows: Places
    wide: bool = False

    @classmethod
    def none(cls, queries: int) -> Best:
        """Of no rows."""
        return cls(np.empty((queries, 0)), np.empty((queries, 0), dtype=np.int64))


def merged(found: Sequence[Best], k: int) -> Best:
    """The k best of several parts, which come in any order and have no row in common."""
    scores = np.concatenate([one.scores for one in found], axis=1)
    rows = np.concatenate([one.rows for one in found], axis=1)
    order = np.lexsort((rows, -scores), axis=1)[:, :k]
    wide = any(one.wide for one in found)
    return Best(np.take_along_axis(scores, order, 1), np.take_along_axis(rows, order, 1), wide)


@dataclass(frozen=True)
class Part:
    """Rows ``first`` to ``first + rows`` of all, read from the fragments that hold them."""

    first: int
    rows: int
    fragments: tuple[Fragment, ...]

    @property
    def place(self) -> str:
        """For messages."""
        return self.fragments[0].place

    def blocks(self, most: int) -> Iterator[tuple[int, npt.NDArray[Any], str]]:
        """Rows of at most ``most``, from each multiple of it on: first row, rows, where from."""
        last = self.first + self.rows
        waiting: list[npt.NDArray[Any]] = []
        at, held = self.first, 0
        for fragment in self.fragments:
            for start, block in fragment.blocks(most):
                rows = block[max(0, at + held - start) : max(0, last - start)]
                while len(rows):
                    end = min(last, (at // most + 1) * most)
                    part, rows = rows[: end - at - held], rows[end - at - held :]
                    waiting.append(part)
                    held += len(part)
                    if at + held == end:
                        whole = waiting[0] if len(waiting) == 1 else np.concatenate(waiting)
                        yield at, whole, fragment.place
                        at, held, waiting = end, 0, []


def parts_of(fragments: Sequence[Fragment], step: int = 1) -> list[Part]:
    """All rows in parts that begin and end with a fragment, or at the next multiple of ``step``."""
    parts: list[Part] = []
    total = max((one.first + one.rows for one in fragments), default=0)
    first = 0
    for fragment in fragments:
        end = min(total, -(-(fragment.first + fragment.rows) // step) * step)
        if end <= first:
            continue
        inside = tuple(f for f in fragments if f.first < end and f.first + f.rows > first)
        parts.append(Part(first, end - first, inside))
        first = end
    return parts


@dataclass(frozen=True)
class Asked:
    """What every worker is told once: the queries in float64, and what gives the biases."""

    queries: Float64
    k: int
    norm: ScoreNormalization | None = None
    side: str = ""


def best_of(part: Part, shared: Shared[Asked]) -> Best:
    """The best rows of a part."""
    asked = shared.get()
    best = Best.none(len(asked.queries))
    for first, block, place in part.blocks(BLOCK):
        best = merged([best, best_of_block(asked, first, block, place)], asked.k)
    return best


def best_of_block(
    asked: Asked, first: int, block: npt.NDArray[Any], place: str, bias: Float64 | None = None
) -> Best:
    """The best of rows whose first has number ``first``, by biases at hand or of what is asked."""
    try:
        if asked.norm is not None:
            bias = to_numpy(asked.norm.item_bias(block, modality=asked.side), np.float64)
        scores, rows = topk(asked.queries, block, asked.k, bias)
    except DistnormError:
        check_rows(block, place, first)  # names the fragment, and the row by its number in all
        raise
    return Best(scores, rows.astype(np.int64) + first, block.dtype == np.float64)


@dataclass(frozen=True)
class Wanted:
    """Rows (w, d) of rising numbers (w,) that are to be placed in the list of one query (d,)."""

    query: npt.NDArray[Any]
    numbers: Places
    rows: npt.NDArray[Any]
    counted: npt.NDArray[np.bool_] | None


def ahead_in(part: Part, shared: Shared[Wanted]) -> Places:
    """How many rows of a part come before each of the wanted rows."""
    wanted = shared.get()
    ahead = np.zeros(len(wanted.numbers), dtype=np.int64)
    for first, block, _ in part.blocks(BLOCK):
        # Those of lower number stand before the block, and the others behind it: ties go by place.
        low, high = np.searchsorted(wanted.numbers, (first, first + len(block)))
        inside = wanted.numbers[low:high] - first
        sides = wanted.rows[:low], block, wanted.rows[high:]
        counts = np.ones(len(block), dtype=bool)
        if wanted.counted is not None:
            counts = wanted.counted[first : first + len(block)]
        mask = np.concatenate([np.zeros(low, bool), counts, np.zeros(len(sides[2]), bool)])
        at = np.concatenate(
            [np.arange(low), low + inside, low + len(block) + np.arange(len(sides[2]))]
        )
        items = ShardedRows([rows for rows in sides if len(rows)])
        ahead += places(wanted.query, items, at.astype(np.intp), mask) - 1
    return ahead

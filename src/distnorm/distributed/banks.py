"""Random rows of a data set that no partition, order or death of a worker changes.

Row i with weight w_i has the key

    key_i = -log(u_i) / w_i,        u_i in (0, 1) from a hash of (seed, i)

and the rows of the smallest keys are drawn: a sample without replacement in which the next row is
always drawn with probability w / (sum of the weights that are left) (Efraimidis, Spirakis 2006).
Keys of parts need no look at other parts: the smallest of a union are among the smallest of each.

By density, w_i is that of `distnorm.moments.weights.weights_against` a random sample: rows of a
kind that comes a thousand times are drawn about as often as one that comes once.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from distnorm.arrays import check_rows, normalize
from distnorm.distributed.pieces import fetched
from distnorm.distributed.session import Session
from distnorm.distributed.sources import Fragment, Numbers, Vectors
from distnorm.errors import DistnormError
from distnorm.methods.base import positive_integer
from distnorm.methods.base import seed as check_seed
from distnorm.moments.weights import weights_against
from distnorm.system.progress import Progress

if TYPE_CHECKING:
    from distnorm.distributed.session import Shared

__all__ = ["Reservoir", "draw", "hashed", "row_keys"]

Float64 = npt.NDArray[np.float64]
UInt64 = npt.NDArray[np.uint64]
Rows = npt.NDArray[Any]

_COMPARED = 2000
"""Rows of the sample that tells how dense it is around each row."""

_CHUNK = 1 << 22


@dataclass(frozen=True)
class Reservoir:
    """The rows (m, d) of the smallest keys so far, at most ``size``, by rising key.

    ``numbers`` are those of the rows in the whole input; of equal keys the lower one comes first.
    """

    size: int
    keys: Float64
    numbers: Numbers
    rows: Rows | None = None

    @classmethod
    def empty(cls, size: int) -> Reservoir:
        """Of no rows."""
        return cls(size, np.zeros(0), np.zeros(0, np.int64))

    def add(self, keys: Float64, numbers: Numbers, rows: Rows) -> Reservoir:
        """These and more; rows of an infinite key, weight 0, never come in."""
        kept = np.flatnonzero(np.isfinite(keys))
        if len(self.keys) == self.size:
            kept = kept[keys[kept] <= self.keys[-1]]
        if len(kept) > self.size:
            kept = kept[np.lexsort((numbers[kept], keys[kept]))[: self.size]]
        if not len(kept):
            return self
        return self.merge(Reservoir(self.size, keys[kept], numbers[kept], np.asarray(rows[kept])))

    def merge(self, other: Reservoir) -> Reservoir:
        """Of both; a row that is in both, as its worker died, counts once."""
        if self.rows is None or other.rows is None:
            one = other if self.rows is None else self
            order = np.lexsort((one.numbers, one.keys))[: self.size]
            rows = None if one.rows is None else one.rows[order]
            return Reservoir(self.size, one.keys[order], one.numbers[order], rows)
        if self.rows.shape[1] != other.rows.shape[1]:
            raise DistnormError(
                f"rows of {other.rows.shape[1]} dimensions",
                f"{self.rows.shape[1]}, as in the fragments before",
                "keep vectors of one model in one input",
            )
        keys = np.concatenate([self.keys, other.keys])
        numbers = np.concatenate([self.numbers, other.numbers])
        order = np.lexsort((numbers, keys))
        fresh = np.ones(len(order), dtype=bool)
        fresh[1:] = numbers[order][1:] != numbers[order][:-1]
        order = order[fresh][: self.size]
        rows = np.concatenate([self.rows, other.rows])[order]
        return Reservoir(self.size, keys[order], numbers[order], rows)

    def in_order(self) -> tuple[Numbers, Rows]:
        """The drawn rows by rising number: a bank."""
        if self.rows is None:
            raise DistnormError("no rows to draw from", "some of a weight above 0", "mend them")
        order = np.argsort(self.numbers)
        return self.numbers[order], self.rows[order]


def row_keys(numbers: Numbers, seed: int, weights: Float64 | None = None) -> Float64:
    """The keys of rows, shape (n,), by their numbers; infinite where the weight is 0."""
    with np.errstate(over="ignore"):
        salt = _mixed(np.array([seed % (1 << 64)], np.uint64) + np.uint64(0x9E3779B97F4A7C15))
        bits = _mixed(_mixed(numbers.astype(np.uint64)) ^ salt)
    u = ((bits >> np.uint64(11)).astype(np.float64) + 0.5) * 2.0**-53
    keys: Float64 = -np.log(u)
    if weights is None:
        return keys
    with np.errstate(divide="ignore"):
        return keys / weights


def hashed(names: list[Any]) -> Numbers:
    """Numbers for rows that have names: 63 bits of a hash of each."""
    digests = (hashlib.blake2b(str(name).encode(), digest_size=8).digest() for name in names)
    return np.array([int.from_bytes(d, "little") >> 1 for d in digests], dtype=np.int64)


def draw(
    session: Session,
    vectors: Vectors,
    size: int,
    *,
    seed: int = 0,
    weights: str = "even",
    compared: int = _COMPARED,
    unit: bool = False,
    progress: Progress | None = None,
) -> tuple[Numbers, Rows]:
    """A bank: random rows of an input, the same for a seed whatever the partitions.

    Parameters
    ----------
    session : Session
    vectors : Vectors
    size : int
        Rows to draw; all if there are fewer.
    seed : int
    weights : {"even", "density"}
        Each row alike, or rows of one kind together about as often as one row.
    compared : int
        Rows of the even sample that each row is compared with, by density.
    unit : bool
        Give rows unit length first.
    progress : callable, optional
        Called with (rows done, rows in all); evenly drawn rows are found without reading.

    Returns
    -------
    numbers : ndarray, shape (m,), int64, rising
    rows : ndarray, shape (m, d)
    """
    positive_integer("size", size)
    check_seed("seed", seed)
    if weights not in ("even", "density"):
        raise DistnormError(f"weights {weights!r}", "'even' or 'density'", "pass one of them")
    if weights == "even":
        numbers = _lowest(len(vectors), size, seed)
        return numbers, _joined(fetched(session, vectors, numbers, unit=unit))
    # Another seed, or the sample would be what is drawn.
    own = _lowest(len(vectors), compared, seed + 1)
    sample = _joined(fetched(session, vectors, own, unit=unit))
    shared = session.share((own, sample))
    drawn = Reservoir.empty(size)
    work = partial(_drawn, shared, len(vectors), size, seed, unit)
    for _, part in session.each(
        vectors.fragments, work, name=_place, rows=_rows, progress=progress
    ):
        drawn = drawn.merge(part)
    return drawn.in_order()


def _mixed(values: UInt64) -> UInt64:
    """The finalizer of SplitMix64: every bit of the input moves about half of the output's."""
    z = values
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    mixed: UInt64 = z ^ (z >> np.uint64(31))
    return mixed


def _lowest(n: int, size: int, seed: int) -> Numbers:
    """Numbers of the rows with the smallest keys among n, rising."""
    keys, numbers = np.zeros(0), np.zeros(0, np.int64)
    for start in range(0, n, _CHUNK):
        more = np.arange(start, min(n, start + _CHUNK), dtype=np.int64)
        keys = np.concatenate([keys, row_keys(more, seed)])
        numbers = np.concatenate([numbers, more])
        if len(keys) > size:
            kept = np.lexsort((numbers, keys))[:size]
            keys, numbers = keys[kept], numbers[kept]
    return np.sort(numbers)


def _drawn(
    shared: Shared[tuple[Numbers, Rows]],
    n: int,
    size: int,
    seed: int,
    unit: bool,
    fragment: Fragment,
) -> Reservoir:
    """What one fragment has of a sample by density."""
    own, sample = shared.get()
    found = Reservoir.empty(size)
    for first, block in fragment.blocks():
        check_rows(block, fragment.place, first - fragment.first + fragment.offset)
        rows = normalize(block) if unit else block
        numbers = np.arange(first, first + len(rows), dtype=np.int64)
        weights = weights_against(rows, sample, n, numbers, own)
        found = found.add(row_keys(numbers, seed, weights), numbers, rows)
    return found


def _joined(parts: Iterator[Rows]) -> Rows:
    return np.concatenate(list(parts))


def _place(fragment: Fragment) -> str:
    return fragment.place


def _rows(fragment: Fragment) -> int:
    return fragment.rows

"""Which rows statistics come from: a small sketch of row hashes.

Every row has a hash h of 64 bits. Kept are the distinct hashes up to a limit L, each with how
often it came; L falls so that at most `SIZE` are kept (bottom-k, Cohen, Kaplan 2007). Up to
`SIZE` distinct rows L is the largest number there is and nothing is left out. As everything up
to L is there, sketches add and subtract: any chunks, order and shards give the same one.

Of other rows those with h <= L are looked at, a random part of them that no bank has chosen; the
share of these that is kept estimates the share of all.

What a hash sees does not change with the scale of a row. From 128 dimensions on it is the signs
of the first 256 components, which half precision keeps: float16, bfloat16, float32, float64 and
normalised copies of a row agree. Rows of fewer dimensions, or with fewer than 16 of either sign,
are normalised and rounded to 2^-12 (2^-16 below 16 dimensions): float32, float64 and normalised
copies agree in 99 of 100 rows, float16 ones do not. The leading 16 bits are those of the first 16
signs alone, so that of a large bank only these and the kept rows are looked at.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt

from distnorm.arrays import (
    Array,
    Bools,
    CheckedRows,
    Float32,
    Indices,
    Int64,
    NDArray,
    UInt64,
    as_working,
    blocks,
    rows_per_block,
    take_rows,
    to_numpy,
)
from distnorm.device.settings import on_device

__all__ = [
    "LEADING",
    "POINTS",
    "SIZE",
    "Overlap",
    "RowSketch",
    "content_hashes",
    "row_hashes",
]


SIZE = 2048
"""Distinct rows up to which every one is kept."""

POINTS = 128
"""Rows of which a folded copy is kept."""

_MOST_FOLDED = 128
_EVERY = np.uint64(2**64 - 1)
LEADING = 16
"""Components of which the leading bits of a hash are the signs."""

_BY_SIGNS, _MOST_SIGNS, _FEWEST = 128, 256, 16
_BLOCK, _DEVICE_BLOCK = 1 << 15, 1 << 20
_SHIFT = np.uint64(48)


@dataclass(frozen=True)
class Overlap:
    """How many of some evaluated rows were fitted: an estimate unless all were looked for."""

    fitted: int
    rows: int
    exact: bool  # whether all rows were looked for

    @property
    def share(self) -> float:
        """Share of the evaluated rows that were fitted."""
        return self.fitted / self.rows

    def __str__(self) -> str:
        """The sentence that results carry."""
        about = "" if self.exact else "about "
        return f"fitted on {about}{self.fitted} of the {self.rows} evaluated rows"

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return dict(vars(self))


@dataclass(frozen=True, eq=False)
class RowSketch:
    """Distinct hashes up to ``limit``, rising, and how often each came, (m,) both.

    ``points`` are the rows of the first `POINTS` hashes or fewer, folded to at most 128 dimensions
    (random signs, then sums): their inner products are those of the rows but for a random error.
    """

    hashes: UInt64
    counts: Int64
    limit: np.uint64 = _EVERY
    points: Float32 | None = None

    @classmethod
    def of(cls, rows: Array, signs: Bools | None = None) -> RowSketch:
        """Of rows, shape (n, d); which of their first 16 components are negative, if at hand."""
        found, numbers, limit = _lowest(rows, signs)
        hashes, first, counts = np.unique(found, return_index=True, return_counts=True)
        points = _folded(take_rows(rows, numbers[first[:POINTS]]))
        return cls(hashes, counts.astype(np.int64), limit, points)._trimmed()

    @classmethod
    def empty(cls) -> RowSketch:
        """Of no rows."""
        return cls(np.zeros(0, np.uint64), np.zeros(0, np.int64))

    def add(self, other: RowSketch, sign: int = 1) -> RowSketch:
        """Both together; with ``sign`` -1 without the other's rows, as far as they are here."""
        limit = min(self.limit, other.limit)
        both = np.concatenate([self.hashes, other.hashes])
        hashes, place = np.unique(both, return_inverse=True)
        counts = np.zeros(len(hashes), np.int64)
        np.add.at(counts, place, np.concatenate([self.counts, sign * other.counts]))
        kept = (counts > 0) & (hashes <= limit)
        hashes, counts = hashes[kept], counts[kept]
        return RowSketch(hashes, counts, limit, self._points_of(hashes, other))._trimmed()

    def overlap(self, rows: Array | CheckedRows) -> Overlap | None:
        """How many of ``rows``, shape (n, d), are here; None if none of them can be looked for."""
        if not isinstance(rows, CheckedRows):
            return self._overlap(rows)
        # Several methods fitted on the same rows ask the same.
        if rows.memo.get("overlap", (None,))[0] is not self:
            rows.memo["overlap"] = self, self._overlap(rows)
        found: Overlap | None = rows.memo["overlap"][1]
        return found

    def _overlap(self, rows: Array | CheckedRows) -> Overlap | None:
        hashes = row_hashes(rows)
        looked = hashes[hashes <= self.limit]
        if not len(looked):
            return None
        share = float(np.isin(looked, self.hashes).mean())
        exact = len(looked) == len(hashes)
        return Overlap(round(share * len(hashes)), len(hashes), exact)

    def to_dict(self) -> dict[str, Any]:
        """How many distinct rows are kept, and whether these are all, for JSON."""
        return {"rows": len(self.hashes), "exact": bool(self.limit == _EVERY)}

    def to_arrays(self) -> dict[str, NDArray]:
        """The state as named arrays, for a file; the limit is the last of ``sketch``."""
        arrays: dict[str, NDArray] = {
            "sketch": np.append(self.hashes, self.limit),
            "sketch_counts": self.counts.astype(np.uint32),
        }
        if self.points is not None:
            arrays["sketch_points"] = self.points
        return arrays

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray]) -> RowSketch:
        """Rebuild what `to_arrays` gave."""
        hashes, counts = arrays["sketch"], arrays["sketch_counts"]
        limit = np.uint64(hashes[-1])
        return cls(hashes[:-1], counts.astype(np.int64), limit, arrays.get("sketch_points"))

    @property
    def repeats(self) -> float:
        """How often a row comes that is drawn at random, from 1 on."""
        return float((self.counts**2).sum() / self.counts.sum()) if len(self.counts) else 1.0

    def _points_of(self, hashes: UInt64, other: RowSketch) -> Float32 | None:
        """Points of the first of the ``hashes``, as far as these or the other's have them."""
        if self.points is None or other.points is None:
            return self.points if other.points is None else other.points
        # Beyond the last point of either there may be rows whose points nobody has.
        reach = min(each.reach for each in (self, other))
        own = hashes[hashes <= reach][:POINTS]
        known = np.concatenate([self.hashes[: len(self.points)], other.hashes[: len(other.points)]])
        every = np.concatenate([self.points, other.points])
        order = np.argsort(known, kind="stable")
        place = np.searchsorted(known[order], own)
        return np.asarray(every[order][place])

    @property
    def reach(self) -> np.uint64:
        """The hash up to which every row has its point."""
        have = 0 if self.points is None else len(self.points)
        if have < len(self.hashes):
            last: np.uint64 = self.hashes[have - 1] if have else np.uint64(0)
            return last
        return self.limit

    def _trimmed(self) -> RowSketch:
        if len(self.hashes) < SIZE or (len(self.hashes) == SIZE and self.limit == _EVERY):
            return self
        last = self.hashes[SIZE - 1]
        return RowSketch(self.hashes[:SIZE], self.counts[:SIZE], last, self.points)


def row_hashes(rows: Array | CheckedRows) -> UInt64:
    """The hash of every row, (n,)."""
    if isinstance(rows, CheckedRows):
        if "hashes" not in rows.memo:
            rows.memo["hashes"] = row_hashes(rows.rows)
        kept: UInt64 = rows.memo["hashes"]
        return kept
    return _complete(rows, _keys(rows))


def content_hashes(rows: Array) -> UInt64:
    """One number for the exact values of every row, (n,), whatever their library and precision."""
    n, d = rows.shape
    hashes = np.empty(n, np.uint64)
    for part in blocks(n, rows_per_block(d, itemsize=8)):
        # 0.0 is added, as -0 is 0.
        hashes[part] = _mixed((_host(rows[part, ...]).astype(np.float64) + 0.0).view(np.uint64))
    return hashes


def _lowest(rows: Array, signs: Bools | None) -> tuple[UInt64, Indices, np.uint64]:
    """Hashes of the rows with the lowest keys, their numbers, what they are complete up to."""
    n = rows.shape[0]
    if n <= SIZE:
        return _complete(rows, _keys(rows, signs)), np.arange(n), _EVERY
    there = on_device(rows)
    keys: Any = _device_keys(rows) if there else _keys(rows, signs)
    counts = keys.bincount(minlength=1 << 16).cpu().numpy() if there else np.bincount(keys)
    last = int(np.searchsorted(np.cumsum(counts), SIZE))
    while True:
        kept = keys <= last
        numbers = to_numpy(kept.nonzero()[:, 0]) if there else np.flatnonzero(kept)
        own = to_numpy(keys[kept]).astype(np.uint16) if there else keys[numbers]
        found = _complete(rows, own, numbers)
        if len(numbers) == n:
            return found, numbers, _EVERY
        if len(np.unique(found)) >= SIZE:
            return found, numbers, np.uint64(((last + 1) << int(_SHIFT)) - 1)
        # Repeats: the rows looked at are too few different ones.
        last = min(2 * last + 1, (1 << 16) - 1)


def _device_keys(rows: Any) -> Any:
    """`_keys` of a tensor where it is, as integers there: millions need not come to the host."""
    import torch  # the caller's: there are tensors

    # Bits as NumPy packs them: of each eight the first is the highest, of two bytes the first low.
    places = [8 * (i // 8) + 7 - i % 8 for i in range(min(rows.shape[1], LEADING))]
    worth = torch.tensor([1 << place for place in places], dtype=torch.int32, device=rows.device)
    parts = []
    for part in blocks(len(rows), _DEVICE_BLOCK):
        negative = rows[part, : len(places)].detach() < 0
        parts.append((negative * worth).sum(dim=1))
    keys = torch.cat(parts)
    keys = (keys * 0x9E37) & 0xFFFF
    keys = keys ^ (keys >> 7)
    return (keys * 0x85EB) & 0xFFFF


def _keys(rows: Array, bits: Bools | None = None) -> npt.NDArray[np.uint16]:
    """The leading 16 bits of hashes from which of the first 16 components are negative, (n,)."""
    n, d = rows.shape
    if bits is None:
        bits = np.zeros((n, LEADING), dtype=bool)
        for part in blocks(n, _BLOCK):
            bits[part, :d] = _negative(_host(rows[part, : min(d, LEADING)]))
    keys = np.packbits(bits).view(np.uint16)
    # A permutation of the 16 bits: which rows are kept must not follow the signs.
    keys *= np.uint16(0x9E37)
    keys ^= keys >> np.uint16(7)
    keys *= np.uint16(0x85EB)
    return keys


def _complete(rows: Array, keys: npt.NDArray[np.uint16], numbers: Indices | None = None) -> UInt64:
    """Hashes of the rows with these numbers, all if left out, from the keys of these."""
    n, d = rows.shape if numbers is None else (len(numbers), rows.shape[1])
    hashes = np.empty(n, np.uint64)
    for part in blocks(n, _BLOCK):
        by_signs = np.zeros(part.stop - part.start, dtype=bool)
        if d >= _BY_SIGNS:
            most = rows[:, : min(d, _MOST_SIGNS)]
            chosen = most[part, :] if numbers is None else take_rows(most, numbers[part])
            packed = np.packbits(_negative(_host(chosen)), axis=1)
            words = np.pad(packed, ((0, 0), (0, -packed.shape[1] % 8))).view(np.uint64)
            ones = _ones(words).sum(axis=1)
            by_signs = (ones >= _FEWEST) & (ones <= min(d, _MOST_SIGNS) - _FEWEST)
            hashes[part] = _mixed(words)
        if not by_signs.all():
            others = part.start + np.flatnonzero(~by_signs)
            hashes[others] = _of_values(
                take_rows(rows, others if numbers is None else numbers[others])
            )
    hashes >>= np.uint64(16)
    hashes |= keys.astype(np.uint64) << _SHIFT
    return hashes


def _folded(rows: Array) -> Float32:
    """Rows of d dimensions folded to min(128, max(8, d / 2)), (n, p)."""
    x = to_numpy(as_working(rows), np.float32)
    n, d = x.shape
    p = min(_MOST_FOLDED, max(8, d // 2))
    signed = np.pad(x * _random_signs(d), ((0, 0), (0, -d % p)))
    folded: Float32 = signed.reshape(n, -1, p).sum(axis=1)
    return folded


@cache
def _random_signs(d: int) -> Float32:
    """+1 or -1 for each dimension, always the same."""
    return np.random.default_rng(1).choice(np.array([-1, 1], np.float32), d)


def _host(x: Array) -> NDArray:
    return x if isinstance(x, np.ndarray) else to_numpy(as_working(x))


def _negative(x: NDArray) -> Bools:
    """Whether x < 0, by the bits of half precision, whose comparison is slow."""
    if x.dtype != np.float16 or not x.dtype.isnative:
        return np.asarray(x < 0)
    return np.asarray(x.view(np.uint16) > 0x8000)


def _of_values(x: Array) -> UInt64:
    """Hashes of rows by their values at unit length."""
    wide = to_numpy(as_working(x)).astype(np.float64)
    wide /= np.abs(wide).max(axis=1, keepdims=True)
    wide /= np.linalg.norm(wide, axis=1, keepdims=True)
    steps = 2**12 if wide.shape[1] >= 16 else 2**16
    return _mixed(np.rint(steps * wide).astype(np.int64).view(np.uint64))


def _mixed(words: UInt64) -> UInt64:
    """One number for the words of each row, (n,): a sum with random odd factors, then mixed."""
    products = (words ^ (words >> np.uint64(32))) * _odd(words.shape[1])
    h: UInt64 = products.sum(axis=1, dtype=np.uint64)
    # The finaliser of splitmix64 (Steele, Lea, Flood 2014).
    h ^= h >> np.uint64(30)
    h *= np.uint64(0xBF58476D1CE4E5B9)
    h ^= h >> np.uint64(27)
    h *= np.uint64(0x94D049BB133111EB)
    h ^= h >> np.uint64(31)
    return h


@cache
def _odd(count: int) -> UInt64:
    """So many random odd factors, always the same."""
    factors: UInt64 = np.random.default_rng(0).integers(0, 2**63, count, np.uint64) * 2 + 1
    return factors


def _ones(words: UInt64) -> UInt64:
    """How many bits of each are 1."""
    two, four = np.uint64(0x3333333333333333), np.uint64(0x0F0F0F0F0F0F0F0F)
    x = words - ((words >> np.uint64(1)) & np.uint64(0x5555555555555555))
    x = (x & two) + ((x >> np.uint64(2)) & two)
    x = (x + (x >> np.uint64(4))) & four
    return np.asarray((x * np.uint64(0x0101010101010101)) >> np.uint64(56))

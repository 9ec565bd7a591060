"""A sample of a stream of images that any chunks give: the rows of the lowest hashes.

Of the distinct rows those with the `SIZE` lowest keys are kept (bottom-k, Cohen, Kaplan 2007), each
with how often it came and the place at which it came first. A key is the row's hash
(`distnorm.moments.sketch`) with its bits mixed, so that like rows are no more likely to be kept
together than others.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from distnorm.arrays import Array, CheckedRows, Float32, Int64, NDArray, UInt64, take_rows, to_numpy
from distnorm.moments import Overlap
from distnorm.moments.sketch import row_hashes

__all__ = ["SIZE", "ImageSample"]

SIZE = 4096
"""Distinct rows that are kept."""

_EVERY = np.uint64(2**64 - 1)


@dataclass(frozen=True, eq=False)
class ImageSample:
    """Rows, (k, d), by rising key, (k,); how often each came, (k,), and where first, (k,).

    ``seen`` rows came in all; of those with a key up to ``limit`` every one is here.
    """

    keys: UInt64
    rows: Float32
    counts: Int64
    places: Int64
    seen: int = 0
    limit: np.uint64 = _EVERY

    @classmethod
    def empty(cls) -> ImageSample:
        """Of no rows."""
        none = np.zeros(0, np.int64)
        return cls(np.zeros(0, np.uint64), np.zeros((0, 0), np.float32), none, none)

    def add(self, images: Array | CheckedRows) -> ImageSample:
        """With further rows, (n, d), of the stream."""
        given = images.rows if isinstance(images, CheckedRows) else images
        n = int(given.shape[0])
        keys = _mixed(row_hashes(images))
        looked = np.flatnonzero(keys <= self.limit)
        fresh, first, counts = np.unique(keys[looked], return_index=True, return_counts=True)
        known = np.isin(fresh, self.keys)
        added = np.zeros(len(self.keys), np.int64)
        added[np.searchsorted(self.keys, fresh[known])] = counts[known]
        numbers = looked[first[~known]]
        keys_now = np.concatenate([self.keys, fresh[~known]])
        order = np.argsort(keys_now, kind="stable")[:SIZE]
        # Only what stays is brought to the host.
        new = order[order >= len(self.keys)] - len(self.keys)
        place = np.full(len(numbers), -1)
        place[new] = np.arange(len(new))
        rows = to_numpy(take_rows(given, numbers[new]), np.float32) if len(new) else None
        width = int(given.shape[1])
        kept = np.empty((len(order), width), np.float32)
        old = order < len(self.keys)
        if old.any():
            kept[old] = self.rows[order[old]]
        if rows is not None:
            kept[~old] = rows[place[order[~old] - len(self.keys)]]
        every = np.concatenate([self.counts + added, counts[~known]])
        places = np.concatenate([self.places, self.seen + numbers])
        full = len(keys_now) > SIZE
        limit = keys_now[order[-1]] if full else self.limit
        return ImageSample(keys_now[order], kept, every[order], places[order], self.seen + n, limit)

    def overlap(self, images: Array | CheckedRows) -> Overlap | None:
        """How many of ``images`` are among the rows; None if none of them can be looked for."""
        keys = _mixed(row_hashes(images))
        looked = keys[keys <= self.limit]
        if not len(looked):
            return None
        share = float(np.isin(looked, self.keys).mean())
        return Overlap(round(share * len(keys)), len(keys), len(looked) == len(keys))

    def to_arrays(self) -> dict[str, NDArray]:
        """The state as named arrays, for a file."""
        return {
            "keys": self.keys,
            "rows": self.rows,
            "counts": self.counts,
            "places": self.places,
            "totals": np.array([self.limit, self.seen], np.uint64),
        }

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray]) -> ImageSample:
        """Rebuild what `to_arrays` gave."""
        limit, seen = arrays["totals"]
        keys, rows, counts, places = (arrays[n] for n in ("keys", "rows", "counts", "places"))
        return cls(keys, rows, counts, places, int(seen), np.uint64(limit))


def _mixed(hashes: UInt64) -> UInt64:
    """Bits of a hash spread over all others (the finaliser of SplitMix64)."""
    x = hashes.copy()
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        x ^= x >> np.uint64(shift)
        x *= np.uint64(factor)
    return np.asarray(x ^ (x >> np.uint64(31)))

"""`ShardedRows`: the shards of a store as one matrix, without bringing them together in memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from distnorm.arrays import NDArray
from distnorm.errors import DistnormError

__all__ = ["ShardedRows"]


class ShardedRows:
    """Matrices (n_i, d) one below the other, read where asked for; shape (sum of n_i, d).

    Slices of rows and lists of row numbers give NumPy arrays; a slice within one shard is a view.
    ``parts`` are usually memory-mapped; raises `DistnormError` for none, or different dimensions.

    Examples
    --------
    >>> rows = ShardedRows([np.eye(3)[:1], np.eye(3)[1:]])
    >>> rows.shape, rows[[2, 0]].tolist()
    ((3, 3), [[0.0, 0.0, 1.0], [1.0, 0.0, 0.0]])
    """

    ndim = 2

    def __init__(self, parts: Sequence[NDArray]) -> None:
        shapes = {part.shape[1:] for part in parts}
        if len(shapes) != 1 or any(part.ndim != 2 for part in parts):
            raise DistnormError(
                f"{len(parts)} shards of row shapes {sorted(shapes)}",
                "at least one, all of the same dimension",
                "use shards of one model",
            )
        self.parts = tuple(parts)
        self._starts = np.cumsum([0, *(len(part) for part in parts)])
        self.shape = (int(self._starts[-1]), int(parts[0].shape[1]))
        self.dtype = np.result_type(*(part.dtype for part in parts))

    def __len__(self) -> int:
        """Number of rows."""
        return self.shape[0]

    def __getitem__(self, rows: Any) -> NDArray:
        """Some rows: a slice, or whole numbers."""
        if isinstance(rows, slice):
            start, stop, step = rows.indices(len(self))
            if step != 1:
                return self[np.arange(start, stop, step)]
            found = [part[here] for part, here in self._within(start, stop)]
            if not found:
                return np.empty((0, self.shape[1]), dtype=self.dtype)
            rows_found = found[0] if len(found) == 1 else np.concatenate(found)
            return rows_found.astype(self.dtype, copy=False)
        wanted = np.asarray(rows, dtype=np.intp)
        if not wanted.size:
            return np.empty((0, self.shape[1]), dtype=self.dtype)
        if wanted.min() < 0 or wanted.max() >= len(self):
            raise IndexError(f"a row outside of 0 to {len(self) - 1}")
        owner = np.searchsorted(self._starts, wanted, side="right") - 1
        result = np.empty((*wanted.shape, self.shape[1]), dtype=self.dtype)
        for shard in np.unique(owner):
            here = owner == shard
            result[here] = self.parts[shard][wanted[here] - self._starts[shard]]
        return result

    def __repr__(self) -> str:
        """One line with the sizes."""
        return f"ShardedRows({len(self)} x {self.shape[1]} in {len(self.parts)} shards)"

    def _within(self, start: int, stop: int) -> Iterator[tuple[NDArray, slice]]:
        for part, begin in zip(self.parts, self._starts, strict=False):
            low, high = max(start - begin, 0), min(stop - begin, len(part))
            if low < high:
                yield part, slice(int(low), int(high))

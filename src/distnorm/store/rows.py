"""A store's distinct pictures or its texts, as rows of one commit that can be taken."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from distnorm.store.columns import read_tables
from distnorm.store.layout import Commit
from distnorm.store.vectors import open_embeddings
from distnorm.system.files import shared_name
from distnorm.system.shards import ShardedRows

__all__ = ["StoredRows"]


class StoredRows:
    """Rows of one side of a store, as of one commit; ``digest`` is of each row's content.

    ``added`` is the commit that each came with. ``rows`` numbers the distinct ones: a picture
    stands in a row for each of its captions.
    """

    embedded, failed, over_long = True, 0, 0

    def __init__(self, commit: Commit, side: str) -> None:
        self.commit, self.label = commit, str(commit.folder)
        rows = open_embeddings(commit, side)
        self._parts = rows.parts if isinstance(rows, ShardedRows) else (rows,)
        tables = [table for _, table in read_tables(commit, ("hash", "commit"))]
        self.digest = np.concatenate(
            [np.array(table.column("hash").to_pylist(), dtype="S64") for table in tables]
        )
        self.added = np.concatenate([table.column("commit").to_numpy() for table in tables])
        self._ends = np.cumsum([table.num_rows for table in tables])
        self.rows: npt.NDArray[np.intp] = np.arange(len(self.digest))
        if side == "image":
            self.rows = np.sort(np.unique(self.digest, return_index=True)[1])

    def __len__(self) -> int:
        """Distinct pictures, or texts."""
        return len(self.rows)

    def take(self, chosen: npt.NDArray[np.intp] | None) -> Iterator[npt.NDArray[Any]]:
        """The chosen ones of the distinct rows (sorted numbers), or all, in blocks."""
        yield from self.read(self.rows if chosen is None else self.rows[chosen])

    def note(self) -> dict[str, Any]:
        """What a later update needs to know of it."""
        name = shared_name(self.commit.folder)
        return {"store": name, "id": self.commit.id, "commit": self.commit.number}

    def read(self, rows: npt.NDArray[np.intp]) -> Iterator[npt.NDArray[Any]]:
        """Rows by their sorted numbers, shard by shard."""
        start = 0
        for part, end in zip(self._parts, self._ends, strict=True):
            inside = rows[(rows >= start) & (rows < end)] - start
            start = int(end)
            if len(inside):
                yield np.asarray(part[inside])

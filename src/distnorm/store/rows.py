"""A store's distinct pictures or its texts, as rows of one commit, and what came and left since.

Rows are added by commits that their metadata names. Vectors of rows that were taken out are kept
in a log per commit, with the commit that had added them and the hash of their content.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from distnorm.errors import DistnormError
from distnorm.store.columns import read_tables
from distnorm.store.layout import Commit, removed_path, sync
from distnorm.store.vectors import open_embeddings
from distnorm.system.files import atomic_write, shared_name
from distnorm.system.shards import ShardedRows

__all__ = ["StoredRows", "log_removed", "rows_changed"]

Rows = npt.NDArray[Any]


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


def rows_changed(rows: StoredRows, side: str, since: int) -> tuple[list[Rows], list[Rows]]:
    """Vectors of ``rows`` that came since a commit and that left; raises if these are lost."""
    logs = list(_removed(rows.commit, side, since))
    left = [vectors for vectors, _ in logs if len(vectors)]
    if side != "image":
        return list(rows.read(np.flatnonzero(rows.added > since))), left
    # Distinct pictures: what matters is which contents are there, not in how many rows.
    left_digest = np.concatenate([digest for _, digest in logs] or [rows.digest[:0]])
    before = np.concatenate([rows.digest[rows.added <= since], left_digest])
    came = rows.rows[~np.isin(rows.digest[rows.rows], before)]
    _, first = np.unique(left_digest, return_index=True)
    went = np.sort(first[~np.isin(left_digest[first], rows.digest)])
    return list(rows.read(came)), [np.concatenate(left)[went]] if len(went) else []


def log_removed(folder: Path, commit: int, log: Mapping[str, Rows]) -> None:
    """Keep vectors of each side that a commit takes out, their ``commit`` and ``hash``."""
    path = removed_path(folder, commit)
    path.parent.mkdir(exist_ok=True)
    with atomic_write(path) as file:
        np.savez(file, **log)  # type: ignore[arg-type]
    sync(path.parent)


def _removed(now: Commit, side: str, since: int) -> Iterator[tuple[Rows, npt.NDArray[np.bytes_]]]:
    """Vectors and hashes of rows that were there at a commit and are not now."""
    for commit in sorted(now.removed):
        if commit <= since:
            continue
        path = removed_path(now.folder, commit)
        if not path.is_file():
            raise DistnormError(f"no {path}", "the vectors of removed rows", "fit anew")
        with np.load(path, allow_pickle=False) as log:
            old = log["commit"] <= since
            yield log[side][old], log["hash"][old]

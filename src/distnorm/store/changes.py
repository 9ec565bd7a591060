"""What came into a store since a commit, and what left it.

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
from distnorm.store.layout import Commit, removed_path, sync
from distnorm.store.rows import StoredRows
from distnorm.system.files import atomic_write

__all__ = ["log_removed", "rows_changed"]

Rows = npt.NDArray[Any]


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

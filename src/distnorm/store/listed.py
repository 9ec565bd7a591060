"""Rows of a store in the order of the list that they were embedded from.

A store holds each sentence once, and what comes later stands last: row i is line i only where no
line was repeated, moved or taken out. ``in_order`` in ``store.json`` says whether it is so.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from distnorm.errors import DistnormError
from distnorm.store.columns import read_names
from distnorm.store.layout import METADATA, Commit, at_commit
from distnorm.store.vectors import read_embeddings

__all__ = ["IN_ORDER", "check_in_order", "read_listed"]

IN_ORDER = "in_order"


def check_in_order(path: str | os.PathLike[str] | Commit, remedy: str) -> None:
    """Raise for a store whose row i is not line i of the list that was embedded."""
    commit = path if isinstance(path, Commit) else Commit.read(path)
    if commit.others.get(IN_ORDER) is False:
        raise DistnormError(
            f"{commit.folder}, whose rows are not the lines of one list in their order (equal "
            "lines are one row, later ones stand last)",
            "row i for number i",
            remedy,
        )


def read_listed(
    path: str | os.PathLike[str],
    words: Sequence[str] | None,
    remedy: str,
    *,
    key: str | None = None,
) -> npt.NDArray[Any]:
    """A text side whose row i is meant by the number i.

    ``words`` are the texts of rows 0, 1, ...: a store that has all of them gives its row of each;
    without them one whose rows are in no such order is refused, with ``remedy``. Else as
    `read_embeddings`.
    """
    return at_commit(path, lambda commit: _read(commit, words, remedy, key))


def _read(
    commit: Commit, words: Sequence[str] | None, remedy: str, key: str | None
) -> npt.NDArray[Any]:
    rows = read_embeddings(commit, "text", key=key)
    if words is not None and commit.folder.is_dir() and commit.files(METADATA):
        place = {name: row for row, name in reversed(list(enumerate(read_names(commit, "text"))))}
        if all(word in place for word in words):
            return rows[np.array([place[word] for word in words], dtype=np.intp)]
    check_in_order(commit, remedy)
    return rows

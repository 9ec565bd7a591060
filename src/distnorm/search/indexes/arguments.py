"""What is handed in, checked: a spec's place, files that must be there, queries, counts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from distnorm.arrays import Array, as_working, check_embeddings, to_numpy
from distnorm.errors import DistnormError

__all__ = ["existing", "positive", "query_rows", "split_last"]


def split_last(target: str, system: str, what: str) -> tuple[str, str]:
    """``a/b/c`` as ``a/b`` and ``c``.

    Raises
    ------
    DistnormError
        If either part is empty.
    """
    head, _, tail = target.rpartition("/")
    if not head or not tail or head.endswith(":/"):
        raise DistnormError(
            f"{system}:{target}", f"{system}:PLACE/{what.upper()}", f"name the {what} at the end"
        )
    return head, tail


def existing(path: str, what: str, *, folder: bool = False) -> Path:
    """The path, if it is there.

    Raises
    ------
    DistnormError
        If it is not.
    """
    found = Path(path)
    try:
        there = found.is_dir() if folder else found.is_file()
    except (OSError, ValueError):
        there = False
    if not there:
        raise DistnormError(
            f"no {'folder' if folder else 'file'} {path}", what, "check the path in the spec"
        )
    return found


def query_rows(queries: Array, dimension: int) -> npt.NDArray[np.float64]:
    """Queries, shape (n, dimension), of any array library in float64.

    Raises
    ------
    DistnormError
        For unusable rows or other dimensions.
    """
    checked = check_embeddings(queries, "queries", dimension=dimension)
    return np.asarray(to_numpy(as_working(checked)), dtype=np.float64)


def positive(value: Any, name: str) -> int:
    """A whole number from 1 on.

    Raises
    ------
    DistnormError
        For anything else.
    """
    if not isinstance(value, (int, np.integer)) or isinstance(value, bool) or value < 1:
        raise DistnormError(
            f"{name} = {value!r}", "an integer from 1 on", "ask for one item at least"
        )
    return int(value)

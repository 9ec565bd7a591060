"""Fragments with some of their rows, or all: read on workers, and what comes back, in order."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from distnorm.arrays import normalize
from distnorm.distributed.session import Session
from distnorm.distributed.sources import Fragment, Numbers, Vectors
from distnorm.errors import DistnormError
from distnorm.system.progress import Progress

__all__ = ["Piece", "fetched", "in_order", "pieces"]

Rows = npt.NDArray[Any]
Piece = tuple[Fragment, Numbers | None]
R = TypeVar("R")

MOST = 1 << 33
"""Bytes of rows that one process is sent."""


def pieces(fragments: Sequence[Fragment], numbers: Numbers | None = None) -> list[Piece]:
    """The fragments that hold rows of these rising numbers, each with its own; None for all."""
    if numbers is None:
        return [(fragment, None) for fragment in fragments]
    found: list[Piece] = []
    for fragment in fragments:
        start, stop = np.searchsorted(numbers, [fragment.first, fragment.first + fragment.rows])
        if stop > start:
            whole = stop - start == fragment.rows
            found.append((fragment, None if whole else numbers[start:stop]))
    return found


def in_order(
    session: Session,
    parts: list[Piece],
    function: Callable[[Piece], R],
    progress: Progress | None = None,
) -> Iterator[R]:
    """What a function gives for each piece, in the order of the pieces."""
    waiting: dict[int, R] = {}
    following = 0
    for number, result in session.each(parts, function, name=_place, rows=_size, progress=progress):
        waiting[number] = result
        while following in waiting:
            yield waiting.pop(following)
            following += 1


def fetched(
    session: Session, vectors: Vectors, numbers: Numbers | None = None, *, unit: bool = False
) -> Iterator[Rows]:
    """Rows of these rising numbers, or all, brought to this process in their order.

    Raises
    ------
    DistnormError
        For more than one process should be sent.
    """
    count = len(vectors) if numbers is None else len(numbers)
    size = count * vectors.dimension * 4
    if size > MOST:
        raise DistnormError(
            f"{count:,} rows of {vectors.label}, {size / 1e9:.0f} GB, to bring to one machine",
            "a bank or a sample that fits there",
            "draw a sample: --samples 100000 (samples=100000)",
        )
    yield from in_order(session, pieces(vectors.fragments, numbers), partial(_taken, unit))


def _place(piece: Piece) -> str:
    return piece[0].place


def _size(piece: Piece) -> int:
    fragment, numbers = piece
    return fragment.rows if numbers is None else len(numbers)


def _taken(unit: bool, piece: Piece) -> Rows:
    """Rows of a piece, as they are or of unit length."""
    fragment, numbers = piece
    rows = fragment.read() if numbers is None else fragment.take(numbers)
    return normalize(rows) if unit else np.asarray(rows)

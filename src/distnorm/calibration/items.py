"""Items behind rows: an image in a row for each of its captions is one image.

Rows with one hash (`distnorm.moments.sketch`) are one item. With g(i) the item of image row i and
h(j) that of text row j, known pairs (i, j) say that item g(i) matches item h(j), wherever their
rows stand: the other captions of an image are matches, and so is every copy of a caption.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from distnorm.arrays import CheckedRows
from distnorm.moments.sketch import row_hashes

__all__ = ["Items", "matching"]

Indices = npt.NDArray[np.intp]


@dataclass(frozen=True)
class Items:
    """The first row of each item, in their order, and the item of each row."""

    first: Indices
    of_row: Indices

    @classmethod
    def of(cls, rows: CheckedRows) -> Items:
        """By equal rows."""
        _, first, group = np.unique(row_hashes(rows), return_index=True, return_inverse=True)
        order = np.argsort(first)
        place = np.empty_like(order)
        place[order] = np.arange(len(order))
        return cls(first[order], place[group.ravel()])


def matching(first: Items, second: Items, owner: Indices) -> tuple[Indices, Indices]:
    """Matching items of both sides, once each, from the first side's row of each second one."""
    rows = np.flatnonzero(owner >= 0)
    cells = first.of_row[owner[rows]], second.of_row[rows]
    once = np.unique(cells[0] * len(second.first) + cells[1])
    return np.divmod(once, len(second.first))

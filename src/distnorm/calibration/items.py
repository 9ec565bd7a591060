"""Items behind rows: an image in a row for each of its captions is one image.

Rows with one hash (`distnorm.moments.sketch`) are one item, and so are rows of one name, such as
the path of a picture in a store. With g(i) the item of image row i and h(j) that of text row j,
known pairs (i, j) say that item g(i) matches item h(j), wherever their rows stand: the other
captions of an image are matches, and so is every copy of a caption.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from distnorm.arrays import CheckedRows, Indices, NDArray
from distnorm.errors import DistnormError
from distnorm.moments.sketch import row_hashes

__all__ = ["Items", "items_of", "matching", "owner_of"]


@dataclass(frozen=True)
class Items:
    """The first row of each item, in their order, and the item of each row."""

    first: Indices
    of_row: Indices

    @classmethod
    def of(cls, rows: CheckedRows, names: Sequence[Any] | None = None) -> Items:
        """By equal rows, and by equal names where there are any, (n,)."""
        labels = [_groups(row_hashes(rows))]
        if names is not None:
            # A row without a name is its own.
            keys = [f"#{row}" if name is None else f"={name}" for row, name in enumerate(names)]
            labels.append(_groups(np.array(keys)))
        least = labels[0]
        while True:
            lower = least
            for label in labels:
                smallest = np.full(len(label), len(label))
                np.minimum.at(smallest, label, lower)
                lower = smallest[label]
            if np.array_equal(lower, least):
                break
            least = lower
        first, of_row = np.unique(least, return_inverse=True)
        return cls(first.astype(np.intp), of_row.ravel().astype(np.intp))


def _groups(keys: NDArray) -> Indices:
    """For each row the first one with the same key, (n,)."""
    _, first, group = np.unique(keys, return_index=True, return_inverse=True)
    return np.asarray(first[group.ravel()], dtype=np.intp)


def items_of(
    sides: Sequence[str], rows: Sequence[CheckedRows], names: Mapping[str, Any]
) -> tuple[Items, Items]:
    """Items of both sides, from the rows and from names by side where there are any."""
    found = []
    for side, x in zip(sides, rows, strict=True):
        called = names.get(side)
        if called is not None and len(called) != x.shape[0]:
            raise DistnormError(
                f"{len(called)} names of {side} rows",
                f"one for each of the {x.shape[0]}",
                "give None for a row that has none",
            )
        found.append(Items.of(x, called))
    return found[0], found[1]


def owner_of(pairs: Any, n: int, m: int) -> Indices | None:
    """First-side row of each second-side row, or None where no pair is known."""
    if pairs is None or (isinstance(pairs, str) and pairs in ("none", "best")):
        return None
    if isinstance(pairs, str):
        if pairs != "rows":
            raise DistnormError(
                f"pairs {pairs!r}",
                "None, 'none', 'rows', 'best' or the row of each",
                "see calibrate",
            )
        if n != m:
            raise DistnormError(f"pairs 'rows' of {n} and {m} rows", "equal numbers", "pass rows")
        return np.arange(n)
    owner = np.asarray(pairs)
    if owner.shape != (m,) or owner.dtype.kind not in "iu" or owner.min() < -1 or owner.max() >= n:
        raise DistnormError(
            f"pairs of shape {owner.shape} and dtype {owner.dtype}",
            f"({m},) rows from 0 to {n - 1}, -1 for none",
            "give the first side's row of each row of the second",
        )
    return owner.astype(np.intp)


def matching(first: Items, second: Items, owner: Indices) -> tuple[Indices, Indices]:
    """Matching items of both sides, once each, from the first side's row of each second one."""
    rows = np.flatnonzero(owner >= 0)
    cells = first.of_row[owner[rows]], second.of_row[rows]
    once = np.unique(cells[0] * len(second.first) + cells[1])
    return np.divmod(once, len(second.first))

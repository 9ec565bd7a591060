"""Pascal-50S: which of two captions people prefer (Vedantam et al. 2015).

Files under the root, or under its ``pyCIDErConsensus/``: ``pair_pascal.mat`` with ``new_input``
(image, two captions) and ``category`` of 4,000 pairs, and ``consensus_pascal.mat`` with
``triplets``, 48 per pair: a reference, the two captions, and 1 where the first was preferred, -1
where the second was. Needs SciPy.

Categories, a thousand pairs each: HC two human captions, both right; HI two human captions, one of
another image; HM a human's and a machine's; MM two machines'.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from distnorm.datasets.base import PreferredCaptions, check_counts, find_file, official
from distnorm.datasets.matlab import read_mat
from distnorm.errors import DistnormError

__all__ = ["CATEGORIES", "pascal50s"]

CATEGORIES = ("HC", "HI", "HM", "MM")
_REFERENCES = 48


@official
def pascal50s(root: str | Path, *, check: bool = True) -> PreferredCaptions:
    """Pairs with votes and all 48 references; evaluations draw 5 of them."""
    below = "pyCIDErConsensus/"
    pairs, votes = (
        find_file(root, name, below + name, what="the judgements")
        for name in ("pair_pascal.mat", "consensus_pascal.mat")
    )
    content = read_mat(pairs, "new_input", "category")
    rows, numbers = content["new_input"], np.atleast_1d(content["category"])
    triplets = read_mat(votes, "triplets")["triplets"]
    if len(triplets) != _REFERENCES * len(rows):
        raise DistnormError(
            f"{len(triplets)} triplets of {len(rows)} pairs", f"{_REFERENCES} each", "get both"
        )
    try:
        table = [tuple(_text(cell) for cell in _cells(row)[:3]) for row in rows]
        first, second = ([row[side] for row in table] for side in (1, 2))
        counts = np.zeros((len(table), 2), dtype=np.int64)
        references = []
        for number in range(len(table)):
            part = triplets[number * _REFERENCES : (number + 1) * _REFERENCES]
            cells = [_cells(triplet) for triplet in part]
            references.append(tuple(_text(cell[0]) for cell in cells))
            for cell in cells:
                preferred = _text(cell[1] if int(np.ravel(cell[3])[0]) == 1 else cell[2])
                counts[number] += (preferred == first[number], preferred == second[number])
        categories = tuple(CATEGORIES[int(number) - 1] for number in numbers)
    except (IndexError, TypeError, ValueError) as error:
        raise DistnormError(
            f"{votes} or {pairs}, unreadable", "the authors' files", "get"
        ) from error
    if check:
        sizes = {name: categories.count(name) for name in CATEGORIES}
        published = {name: [1000] for name in CATEGORIES}
        check_counts("Pascal-50S", {**sizes, "pairs": len(table)}, {**published, "pairs": [4000]})
    images = tuple(dict.fromkeys(row[0] for row in table))
    place = {image: row for row, image in enumerate(images)}
    return PreferredCaptions(
        "pascal50s",
        images,
        np.array([place[row[0]] for row in table], dtype=np.intp),
        tuple(first),
        tuple(second),
        counts,
        tuple(references),
        categories,
    )


def _cells(row: Any) -> list[Any]:
    """The fields of a struct, in their order, or the entries of a cell."""
    return list(row.tolist()) if isinstance(row, (np.void, np.ndarray)) else list(row)


def _text(cell: Any) -> str:
    """The string that a nest of cells of size one holds."""
    while isinstance(cell, (np.ndarray, np.void, tuple, list)):
        cell = cell.tolist() if isinstance(cell, np.void) else cell
        cell = cell.item() if isinstance(cell, np.ndarray) else cell
        cell = cell[0] if isinstance(cell, (tuple, list)) else cell
    return str(cell).strip()

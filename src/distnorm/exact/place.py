"""At which place some items stand in a query's list, without sorting the list.

    place(p) = 1 + #{y: s(y) > s(p)} + #{y < p: s(y) = s(p)}

with the scores and ties of `exact.top_k`: float64 sums rounded to float32. Items are
counted by float32 products; those nearer to an item asked for than these can tell are scored again.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from distnorm.arrays import blocks
from distnorm.exact.engines import NumpyEngine
from distnorm.exact.gallery import Gallery

__all__ = ["places"]

_BLOCK = 16384


def places(
    query: npt.NDArray[Any],
    items: Any,
    rows: npt.NDArray[np.intp],
    counted: npt.NDArray[np.bool_] | None = None,
) -> npt.NDArray[np.intp]:
    """The place of each of ``rows`` by q . x, from 1 on, shape (len(rows),).

    Parameters
    ----------
    query : array, shape (d,)
    items : array, ShardedRows or Gallery, shape (m, d)
    rows : array of int
    counted : array of bool, shape (m,), optional
        Which items have a place at all; the others are passed over.
    """
    gallery = items if isinstance(items, Gallery) else Gallery(items, len(query))
    wide = np.asarray(query, dtype=np.float64)
    engine = NumpyEngine(wide.astype(np.float32)[None])
    own = np.einsum("ij,j->i", gallery.wide(rows), wide)
    found = np.ones(len(rows), dtype=np.intp)
    for columns in blocks(len(gallery), _BLOCK):
        block = gallery.block(columns, engine)
        ready, error = engine.block(block, float(engine.lengths(block).max()), None)
        tile, _ = engine.scores(slice(0, 1), ready)
        line = tile[0, : len(block)].astype(np.float64)
        if counted is not None:
            line[~counted[columns]] = -np.inf
        order = np.argsort(line)
        # Twice the rounding of float32 beside the error: ties are those after rounding.
        margin = error[0] + 2.0**-22 * np.abs(own)
        low = np.searchsorted(line, own - margin, sorter=order)
        high = np.searchsorted(line, own + margin, side="right", sorter=order)
        found += len(line) - high
        for at in np.flatnonzero(high > low):
            near = order[low[at] : high[at]]
            scores = np.einsum("ij,j->i", gallery.wide(near + columns.start), wide)
            with np.errstate(over="ignore"):
                theirs, mine = scores.astype(np.float32), np.float32(own[at])
            before = (theirs == mine) & (near + columns.start < rows[at])
            found[at] += np.count_nonzero((theirs > mine) | before)
    return found

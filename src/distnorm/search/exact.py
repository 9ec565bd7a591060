"""Exact top-k by inner product, with an optional bias of each item."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from distnorm.arrays import Array, as_working, check_embeddings, to_numpy
from distnorm.errors import DistnormError
from distnorm.ranking import Ranking
from distnorm.ranks import top_items

__all__ = ["topk"]


def topk(
    queries: Array, items: Array, k: int = 10, bias: Any = None
) -> tuple[npt.NDArray[Any], npt.NDArray[np.intp]]:
    """The k items of highest q . x - bias, best first; the lowest index first on ties.

    Parameters
    ----------
    queries : array, shape (n, d)
    items : array, shape (m, d)
        Memory-mapped NumPy arrays are read block by block.
    k : int
        At least 1; k larger than m gives all m.
    bias : array, shape (m,), optional
        To subtract, e.g. of `ScoreNormalization.item_bias`.

    Returns
    -------
    scores : ndarray, shape (n, min(k, m))
    indices : ndarray of int, shape (n, min(k, m))

    Raises
    ------
    DistnormError
        For unusable rows, k below 1 or a bias of another shape.
    """
    queries = check_embeddings(queries, "queries")
    items = check_embeddings(items, "items", dimension=queries.shape[1])
    if not isinstance(k, (int, np.integer)) or isinstance(k, bool) or k < 1:
        raise DistnormError(f"k = {k!r}", "an integer from 1 on", "ask for one item at least")
    offset = None if bias is None else np.asarray(to_numpy(bias), dtype=np.float64)
    if offset is not None and (offset.shape != (items.shape[0],) or not np.isfinite(offset).all()):
        raise DistnormError(
            f"a bias of shape {offset.shape}", f"({items.shape[0]},) finite", "fit it to the items"
        )
    found = top_items(Ranking(queries, items, offset), int(k))
    left, right = to_numpy(as_working(queries)), to_numpy(as_working(items))
    scores = np.empty(found.shape, dtype=np.float64)
    for row, places in enumerate(found):
        scores[row] = right[places].astype(np.float64) @ left[row].astype(np.float64)
    return (scores if offset is None else scores - offset[found]), found

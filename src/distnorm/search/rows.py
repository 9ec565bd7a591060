"""`RowItems`: rows of an array or a store, searched for many queries as an index is.

Row numbers are the ids. Rows of one item, such as a picture that a store holds once per caption,
are listed by the first of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from distnorm.arrays import Array, to_numpy
from distnorm.calibration.score_kinds import score_kind
from distnorm.errors import DistnormError
from distnorm.exact import Gallery
from distnorm.normalization import ScoreNormalization
from distnorm.search.indexes import Found
from distnorm.search.items import Items, LocalItems
from distnorm.store.catalog import Catalog, Numbered
from distnorm.system.progress import Progress
from distnorm.system.shards import ShardedRows

__all__ = ["RowItems"]


class RowItems:
    """Items by their rows.

    Parameters
    ----------
    items : array, ShardedRows, Gallery or Items, shape (m, d)
    catalog : Catalog, optional
        Which rows of a store are one item.
    progress : callable, optional
        Called with (items read, items to read) of each search.
    """

    def __init__(
        self,
        items: Array | ShardedRows | Gallery | Items,
        catalog: Catalog | Numbered | None = None,
        progress: Progress | None = None,
    ) -> None:
        self._items = items if isinstance(items, Items) else LocalItems(items)
        self._first = None if catalog is None else catalog.first
        self._copies = 1 if catalog is None else catalog.copies
        self._progress = progress

    def count(self) -> int:
        """Number of items."""
        return self._items.shape[0] if self._first is None else int(self._first.sum())

    def search(
        self,
        queries: Array,
        k: int = 10,
        normalization: ScoreNormalization | None = None,
        *,
        query_side: str = "text",
        fields: Sequence[str] = (),
        bias: npt.NDArray[np.float64] | None = None,
    ) -> Found:
        """The k best items of each query, exactly; see `Index.search`.

        Parameters
        ----------
        queries : array, shape (n, d)
        k : int
        normalization : ScoreNormalization, optional
        query_side : str
        fields : sequence of str
            None: rows have no fields.
        bias : ndarray, shape (m,), optional
            Of each item, computed before; not along with a normalization.

        Returns
        -------
        Found

        Raises
        ------
        DistnormError
            For unusable rows, or a method that is no shift and has no bias of each item.
        """
        if fields:
            raise DistnormError(
                f"fields {', '.join(fields)} of rows", "none", "leave them out, or search an index"
            )
        norm, sent = normalization, queries
        if norm is not None and norm.spec.corrects:
            if norm.correction(query_side).shifts_queries:
                sent = norm.shift_queries(queries, modality=query_side)
            else:
                side = norm.names.other(norm.names.resolve(query_side))
                bias = self._items.bias(norm, side, self._progress)
        scores, rows = self._items.topk(sent, k * self._copies, bias, self._progress)
        values, places = to_numpy(scores, np.float64), to_numpy(rows)
        lists = [self._firsts(line, k) for line in places]
        return Found(
            tuple(tuple(line[keep].tolist()) for line, keep in zip(places, lists, strict=True)),
            tuple(line[keep] for line, keep in zip(values, lists, strict=True)),
            score_kind(norm, query=query_side).label,
            "dot" if norm is None else norm.method,
            0.0 if norm is None else norm.correction(query_side).strength,
            (True,) * len(lists),
        )

    def two_sided(
        self, query: Array, ids: Sequence[int], norm: ScoreNormalization, query_side: str
    ) -> Array:
        """Two-sided scores of one query, shape (1, d), with the items of some ids."""
        rows, places = np.unique(np.array(ids, dtype=np.intp), return_inverse=True)
        items = self._items[rows]
        first = norm.names.resolve(query_side) == norm.sides[0]
        scores = norm.similarity(*((query, items) if first else (items, query)))
        return to_numpy(scores, np.float64).reshape(-1)[places]

    def _firsts(self, rows: npt.NDArray[Any], k: int) -> npt.NDArray[np.intp]:
        """Places in a list of the k first items."""
        if self._first is None:
            return np.arange(len(rows))[:k]
        return np.flatnonzero(self._first[rows])[:k]

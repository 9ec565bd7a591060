"""Which items are relevant to which query, in compressed form."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from distnorm.arrays import to_numpy
from distnorm.errors import DistnormError

__all__ = ["Positives", "row_numbers"]

Indices = npt.NDArray[np.intp]


@dataclass(frozen=True)
class Positives:
    """Relevant items of each query: those of query i are ``indices[indptr[i]:indptr[i + 1]]``.

    Attributes
    ----------
    indptr : ndarray of int, shape (n_queries + 1,)
    indices : ndarray of int, ascending within a query, no repeats
    n_items : int

    Examples
    --------
    >>> Positives.of([[0, 2], [1]], n_queries=2, n_items=3)
    Positives(2 queries, 3 items, 3 pairs)
    """

    indptr: Indices
    indices: Indices
    n_items: int

    @classmethod
    def of(cls, positives: Any, n_queries: int, n_items: int) -> Positives:
        """Read one list of items a query, one item a query, or a boolean matrix.

        Parameters
        ----------
        positives : sequence of int sequences, int array (n_queries,), bool array
            (n_queries, n_items), or Positives
        n_queries, n_items : int

        Raises
        ------
        DistnormError
            For other sizes, an item out of range, or a query without any.
        """
        if isinstance(positives, Positives):
            if (positives.n_queries, positives.n_items) != (n_queries, n_items):
                raise _wrong_size(repr(positives), n_queries, n_items)
            return positives
        rows, columns = _pairs(positives, n_queries, n_items)
        outside = (columns < 0) | (columns >= n_items)
        if outside.any():
            at = int(np.flatnonzero(outside)[0])
            raise DistnormError(
                f"item {int(columns[at])} as positive of query {int(rows[at])}",
                f"0 to {n_items - 1}",
                "number the items by their rows",
            )
        return cls._from_pairs(rows, columns, n_queries, n_items)

    @classmethod
    def _from_pairs(
        cls, rows: Indices, columns: Indices, n_queries: int, n_items: int
    ) -> Positives:
        keys = rows.astype(np.int64) * n_items + columns
        if (np.diff(keys) <= 0).any():
            keys = np.unique(keys)
        counts = np.bincount(keys // n_items, minlength=n_queries)
        if (counts == 0).any():
            raise DistnormError(
                f"query {int(np.flatnonzero(counts == 0)[0])} without a positive",
                "at least one relevant item for each query",
                "leave such queries out",
            )
        indptr = np.concatenate([[0], np.cumsum(counts)]).astype(np.intp)
        return cls(indptr, (keys % n_items).astype(np.intp), n_items)

    @property
    def n_queries(self) -> int:
        """Number of queries."""
        return len(self.indptr) - 1

    @property
    def counts(self) -> Indices:
        """Number of positives of each query, shape (n_queries,)."""
        return np.diff(self.indptr)

    @property
    def rows(self) -> Indices:
        """Query of each pair, aligned with ``indices``."""
        return np.repeat(np.arange(self.n_queries), self.counts)

    def take(self, queries: Indices) -> Positives:
        """Those of some queries, in rising order, numbered anew."""
        if len(queries) == self.n_queries:
            return self
        keep = np.isin(self.rows, queries)
        indptr = np.concatenate([[0], np.cumsum(self.counts[queries])])
        return Positives(indptr.astype(np.intp), self.indices[keep], self.n_items)

    def transposed(self) -> Positives:
        """Queries as items and items as queries; every item must be some query's positive.

        Raises
        ------
        DistnormError
            Naming the first item that is nobody's positive.
        """
        return self._transposed

    @cached_property
    def _transposed(self) -> Positives:
        return Positives._from_pairs(self.indices, self.rows, self.n_items, self.n_queries)

    def __repr__(self) -> str:
        """One line with the sizes."""
        return (
            f"Positives({self.n_queries} queries, {self.n_items} items, {len(self.indices)} pairs)"
        )


def _pairs(positives: Any, n_queries: int, n_items: int) -> tuple[Indices, Indices]:
    if isinstance(positives, np.ndarray) and positives.dtype == bool:
        if positives.shape != (n_queries, n_items):
            raise _wrong_size(f"a boolean matrix of shape {positives.shape}", n_queries, n_items)
        rows, columns = np.nonzero(positives)
        return rows, columns
    if not isinstance(positives, (np.ndarray, Sequence)) or len(positives) != n_queries:
        size = len(positives) if hasattr(positives, "__len__") else type(positives).__name__
        raise _wrong_size(f"positives of {size}", n_queries, n_items)
    if isinstance(positives, np.ndarray) and positives.ndim == 1 and positives.dtype.kind in "iu":
        return np.arange(n_queries), positives.astype(np.intp)
    flat = [np.atleast_1d(np.asarray(p)) for p in positives]
    for query, items in enumerate(flat):
        if items.size and items.dtype.kind not in "iu":
            raise DistnormError(
                f"positives of dtype {items.dtype} for query {query}", "item indices", "pass ints"
            )
    rows = np.repeat(np.arange(n_queries), [len(p) for p in flat])
    columns = np.concatenate(flat) if flat else np.zeros(0, dtype=np.intp)
    return rows, columns.astype(np.intp)


def row_numbers(values: Any) -> Indices | None:
    """Whole numbers of any type, also kept as floats, as rows; None for anything else."""
    try:
        if hasattr(values, "__dlpack__"):
            values = to_numpy(values)
        found = np.asarray(values)
        if found.dtype.kind == "O":
            found = found.astype(np.float64)
    except (TypeError, ValueError, OverflowError):
        return None
    if found.dtype.kind == "f":
        with np.errstate(invalid="ignore"):
            whole = np.isfinite(found) & (found == np.floor(found)) & (np.abs(found) < 2**53)
        return found.astype(np.intp) if whole.all() else None
    return found.astype(np.intp) if found.dtype.kind in "biu" else None


def _wrong_size(got: str, n_queries: int, n_items: int) -> DistnormError:
    return DistnormError(
        got,
        f"relevant items of {n_queries} queries among {n_items} items",
        "pass a list of item indices for each query",
    )

"""Which items are relevant to which query, in compressed form."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from distnorm.arrays import Indices, NDArray, to_numpy
from distnorm.errors import DistnormError

__all__ = ["Positives", "row_numbers"]


@dataclass(frozen=True)
class Positives:
    """Relevant items of each query: those of query i are ``indices[indptr[i]:indptr[i + 1]]``.

    Examples
    --------
    >>> Positives.of([[0, 2], [1]], n_queries=2, n_items=3)
    Positives(2 queries, 3 items, 3 pairs)
    """

    indptr: Indices  # (n_queries + 1,)
    indices: Indices  # rising within a query, without repeats
    n_items: int

    @classmethod
    def of(
        cls, positives: Any, n_queries: int, n_items: int, *, partial: bool = False
    ) -> Positives:
        """Read one list of items per query, one item per query, or a boolean matrix.

        ``positives`` are int sequences, an int array (n_queries,), a bool array (n_queries,
        n_items), a mapping from query to its items, or Positives. If ``partial``, queries may be
        without any: they are not among those `asked`. Raises `DistnormError` for other sizes, a
        query or an item out of range, or a query without any.
        """
        if isinstance(positives, Positives):
            if (positives.n_queries, positives.n_items) != (n_queries, n_items):
                raise _wrong_size(repr(positives), n_queries, n_items)
            return positives
        return cls.of_pairs(*_pairs(positives, n_queries, n_items), n_queries, n_items, partial)

    @classmethod
    def of_pairs(
        cls, rows: Indices, columns: Indices, n_queries: int, n_items: int, partial: bool = False
    ) -> Positives:
        """From the query and the item of each pair, in any order; see `of`."""
        for what, numbers, count in (("item", columns, n_items), ("query", rows, n_queries)):
            outside = np.flatnonzero((numbers < 0) | (numbers >= count))
            if outside.size:
                at = int(outside[0])
                raise DistnormError(
                    f"{what} {int(numbers[at])} in the pair of query {int(rows[at])} and item "
                    f"{int(columns[at])}",
                    f"0 to {count - 1}",
                    "number queries and items by their rows, from 0",
                )
        keys = rows.astype(np.int64) * n_items + columns
        if (np.diff(keys) <= 0).any():
            keys = np.unique(keys)
        counts = np.bincount(keys // n_items, minlength=n_queries)
        if not partial and (counts == 0).any():
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

    @property
    def asked(self) -> Indices:
        """The queries that have any, ascending."""
        return np.flatnonzero(self.counts)

    @property
    def single(self) -> Indices | None:
        """The item of each query, if each has one and no more."""
        return self.indices if (self.counts == 1).all() else None

    def take(self, queries: Indices) -> Positives:
        """Those of some queries, in rising order, numbered anew."""
        if len(queries) == self.n_queries:
            return self
        keep = np.isin(self.rows, queries)
        indptr = np.concatenate([[0], np.cumsum(self.counts[queries])])
        return Positives(indptr.astype(np.intp), self.indices[keep], self.n_items)

    def within(self, queries: Indices, items: Indices) -> Positives:
        """Those of some queries among some items, both numbered anew; some may be left without."""
        row, column = np.full(self.n_queries, -1), np.full(self.n_items, -1)
        row[queries], column[items] = np.arange(len(queries)), np.arange(len(items))
        first, second = row[self.rows], column[self.indices]
        keep = (first >= 0) & (second >= 0)
        return Positives.of_pairs(first[keep], second[keep], len(queries), len(items), True)

    def transposed(self) -> Positives:
        """Queries as items and items as queries; items may be nobody's positive."""
        return self._transposed

    @cached_property
    def _transposed(self) -> Positives:
        return Positives.of_pairs(self.indices, self.rows, self.n_items, self.n_queries, True)

    def __repr__(self) -> str:
        """One line with the sizes."""
        return (
            f"Positives({self.n_queries} queries, {self.n_items} items, {len(self.indices)} pairs)"
        )


def _pairs(positives: Any, n_queries: int, n_items: int) -> tuple[Indices, Indices]:
    if hasattr(positives, "__dlpack__"):
        positives = to_numpy(positives)
    if isinstance(positives, np.ndarray) and _is_mask(positives, n_queries, n_items):
        if positives.shape != (n_queries, n_items):
            raise _wrong_size(f"a boolean matrix of shape {positives.shape}", n_queries, n_items)
        rows, columns = np.nonzero(positives)
        return rows, columns
    if isinstance(positives, np.ndarray) and positives.shape[:1] == (n_queries,):
        numbers = row_numbers(positives) if 0 < positives.ndim <= 2 else None
        if numbers is not None and numbers.size:
            each = numbers.size // n_queries
            return np.repeat(np.arange(n_queries), each), numbers.ravel()
    if isinstance(positives, Mapping):
        queries = row_numbers(list(positives))
        if queries is None:
            raise _wrong_size("positives of queries that are no row numbers", n_queries, n_items)
        lists = list(positives.values())
    elif not isinstance(positives, (np.ndarray, Sequence)) or len(positives) != n_queries:
        size = len(positives) if hasattr(positives, "__len__") else type(positives).__name__
        raise _wrong_size(f"positives of {size}", n_queries, n_items)
    else:
        queries, lists = np.arange(n_queries), list(positives)
    flat: list[Indices] = []
    for query, items in zip(queries, lists, strict=True):
        found = row_numbers(items)
        if found is None or found.ndim > 1:
            raise DistnormError(
                f"positives {items!r:.60} of query {query}", "item indices", "pass ints"
            )
        flat.append(np.atleast_1d(found))
    rows = np.repeat(queries, [len(p) for p in flat])
    columns = np.concatenate(flat) if flat else np.zeros(0, dtype=np.intp)
    return rows, columns


def _is_mask(matrix: NDArray, n_queries: int, n_items: int) -> bool:
    """Whether a matrix says yes or no: by its type, or by ones and noughts as no list has them."""
    if matrix.dtype == bool:
        return True
    fits = matrix.shape == (n_queries, n_items) and n_items > 2 and matrix.dtype.kind in "iuf"
    return fits and bool(np.isin(matrix, (0, 1)).all())


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

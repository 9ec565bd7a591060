"""Exact top-k on a cluster: parts are searched where they are read (`parts`), then merged.

Queries and normalization go to the workers once. `ClusterItems` stands where `distnorm.search` has
rows of its own, so that a store is searched, and its answer written, by one way for both.
"""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from operator import attrgetter
from typing import Any

import numpy as np
import numpy.typing as npt

from distnorm.arrays import Array, as_working, check_embeddings, in_library_of, to_numpy
from distnorm.distributed.clusters import plain_ray_errors
from distnorm.distributed.parts import (
    Asked,
    Best,
    Wanted,
    ahead_in,
    best_of,
    best_of_block,
    merged,
    parts_of,
)
from distnorm.distributed.session import Session, Shared, connected
from distnorm.distributed.sources import Vectors, open_vectors
from distnorm.errors import DistnormError, require
from distnorm.exact import check_k
from distnorm.normalization import ScoreNormalization
from distnorm.search.bias_file import BLOCK
from distnorm.search.items import Items, OpenItems
from distnorm.store.catalog import Catalog, Numbered
from distnorm.store.layout import METADATA, Commit
from distnorm.store.vector_files import arrow_rows
from distnorm.system.progress import Progress

__all__ = ["ClusterItems", "opening", "topk"]

Float64 = npt.NDArray[np.float64]


@dataclass(frozen=True)
class _Biases:
    """Biases that workers compute for what they read."""

    norm: ScoreNormalization
    side: str


def _require_item_by_item(norm: ScoreNormalization, side: str) -> None:
    if norm.spec.has_item_bias and norm.correction(norm.names.other(side)).item_by_item:
        return
    raise DistnormError(
        f"{norm.method!r}, which needs all items at once",
        "a method that corrects each item by itself",
        f"fit the {side} side, too, or search on one machine",
    )


class ClusterItems(Items):
    """Vectors that the workers of a session read and search.

    Parameters
    ----------
    session : Session
    vectors : Vectors
    """

    def __init__(self, session: Session, vectors: Vectors) -> None:
        self._session, self._vectors = session, vectors
        self.shape = len(vectors), vectors.dimension

    def __getitem__(self, rows: Any) -> npt.NDArray[Any]:
        """Some rows, read here: a slice, or whole numbers."""
        if isinstance(rows, slice):
            rows = np.arange(*rows.indices(len(self._vectors)))
        wanted, back = np.unique(np.asarray(rows, dtype=np.int64), return_inverse=True)
        found = []
        for fragment in self._vectors.fragments:
            low, high = np.searchsorted(wanted, (fragment.first, fragment.first + fragment.rows))
            if low < high:
                found.append(fragment.take(wanted[low:high]))
        if not found:
            return np.empty((0, self.shape[1]), dtype=np.float32)
        return np.concatenate(found)[back.ravel()]

    def bias(
        self, norm: ScoreNormalization, side: str, progress: Progress | None = None
    ) -> _Biases:
        """What `topk` takes for biases of a normalization, which the workers compute.

        Raises
        ------
        DistnormError
            For a method whose biases depend on all items at once.
        """
        del progress
        _require_item_by_item(norm, side)
        return _Biases(norm, side)

    def topk(
        self,
        queries: Array,
        k: int,
        bias: _Biases | None = None,
        progress: Progress | None = None,
    ) -> tuple[Array, Array]:
        """As `distnorm.exact.topk`; ``bias`` is of `bias`.

        Raises
        ------
        DistnormError
            For unusable rows, with the fragment that holds them.
        """
        queries = check_embeddings(queries, "queries")
        if queries.shape[1] != self.shape[1]:
            raise DistnormError(
                f"{self._vectors.label} of {self.shape[1]} dimensions",
                f"{queries.shape[1]} as the queries",
                "use embeddings of one and the same model on both sides",
            )
        k = min(check_k(k), len(self._vectors))
        left = to_numpy(as_working(queries))
        asked = Asked(left.astype(np.float64), k)
        if bias is not None:
            asked = Asked(asked.queries, k, bias.norm, bias.side)
        best = Best.none(len(left))
        # Merged as they come: what is kept does not grow with the parts.
        for one in self._each(best_of, asked, 1 if bias is None else BLOCK, progress):
            best = merged([best, one], k)
        return _given(best, queries, left)

    def places(
        self,
        query: npt.NDArray[Any],
        rows: npt.NDArray[np.intp],
        counted: npt.NDArray[np.bool_] | None = None,
    ) -> npt.NDArray[np.intp]:
        """As `distnorm.exact.places`."""
        numbers, back = np.unique(np.asarray(rows, dtype=np.int64), return_inverse=True)
        wanted = Wanted(np.asarray(query), numbers, self[numbers], counted)
        ranks = np.ones(len(numbers), dtype=np.intp)
        for ahead in self._each(ahead_in, wanted, 1, None):
            ranks += ahead
        return ranks[back.ravel()]

    def _each(
        self, function: Any, told: Any, step: int, progress: Progress | None
    ) -> Iterator[Any]:
        """What a function gives for each part, as they get ready."""
        shared = self._session.share(told)
        parts = parts_of(self._vectors.fragments, step)
        results = self._session.each(
            parts,
            partial(function, shared=shared),
            name=attrgetter("place"),
            rows=attrgetter("rows"),
            progress=progress,
        )
        return (result for _, result in results)


def _given(best: Best, queries: Array, left: npt.NDArray[Any]) -> tuple[Array, Array]:
    """Scores and rows as `distnorm.exact.topk` gives them."""
    wide = best.wide or left.dtype == np.float64
    with np.errstate(over="ignore"):
        scores = best.scores.astype(np.float64 if wide else np.float32)
    return in_library_of(queries, scores), in_library_of(queries, best.rows.astype(np.intp))


def opening(session: Session) -> OpenItems:
    """How `distnorm.search` opens stores and files that the workers of a session search."""

    def opened(
        commit: Commit, side: str, key: str | None
    ) -> tuple[ClusterItems, Catalog | Numbered]:
        vectors = open_vectors(commit.folder, side, key=key)
        now = vectors.commit or commit
        named = commit.folder.is_dir() and bool(now.files(METADATA))
        catalog = Catalog.read(now, side, key) if named else Numbered(len(vectors))
        return ClusterItems(session, vectors), catalog

    return opened


def topk(
    queries: Array,
    items: Any,
    k: int = 10,
    *,
    normalization: ScoreNormalization | None = None,
    query_side: str = "text",
    side: str = "image",
    key: str | None = None,
    on: str = "vector",
    row: str = "row",
    bias: str | None = None,
    address: str | None = None,
    workers: int | None = None,
    progress: Progress | None = None,
) -> tuple[Array, Array]:
    """The k items of highest score, best first, as `distnorm.topk` gives them.

    Parameters
    ----------
    queries : array, shape (n, d)
    items : path or ray.data.Dataset
        A file or folder of vectors, a store, a Lance data set; or a data set with a column of
        vectors and one of row numbers, which decide between equal scores.
    k : int
    normalization : ScoreNormalization, optional
        Shifts the queries, or is subtracted from the scores as a bias of each item.
    query_side : str
        Whose rows the queries are.
    side, key : str, str or None
        Which vectors of a path, as in `distnorm.distributed.sources.open_vectors`.
    on, row, bias : str, str, str or None
        Columns of a data set: vectors, row numbers, and biases computed before (not along with a
        normalization).
    address, workers : str or None, int or None
        As in `distnorm.distributed.session.connected`.
    progress : callable, optional
        Called with (rows done, rows in all).

    Returns
    -------
    scores, rows : array, shape (n, min(k, m))

    Raises
    ------
    DistnormError
        For unusable rows, with the fragment that holds them, and for a cluster that is not there.
    """
    with connected(address, workers=workers) as session:
        sent, norm = queries, normalization
        if norm is not None and not norm.spec.corrects:
            norm = None
        if norm is not None and norm.correction(query_side).shifts_queries:
            sent, norm = norm.shift_queries(queries, modality=query_side), None
        if hasattr(items, "map_batches"):
            return _topk_of_dataset(session, sent, items, k, norm, query_side, (on, row, bias))
        if bias is not None:
            raise DistnormError(
                f"biases in the column {bias!r} of a path", "a data set", "give a normalization"
            )
        found = ClusterItems(session, open_vectors(items, side, key=key))
        held = None
        if norm is not None:
            held = found.bias(norm, norm.names.other(norm.names.resolve(query_side)))
        return found.topk(sent, k, held, progress)


def _topk_of_dataset(
    session: Session,
    queries: Array,
    dataset: Any,
    k: int,
    norm: ScoreNormalization | None,
    query_side: str,
    columns: tuple[str, str, str | None],
) -> tuple[Array, Array]:
    """`topk` over the blocks of a data set, whose ``columns`` are vectors, rows and biases."""
    queries = check_embeddings(queries, "queries")
    left = to_numpy(as_working(queries))
    asked = Asked(left.astype(np.float64), check_k(k))
    if norm is not None:
        side = norm.names.other(norm.names.resolve(query_side))
        _require_item_by_item(norm, side)
        asked = Asked(asked.queries, k, norm, side)
    function = partial(_best_of_table, shared=session.share(asked), columns=columns)
    found = dataset.map_batches(function, batch_format="pyarrow", batch_size=None)
    best = Best.none(len(left))
    with plain_ray_errors():
        for batch in found.iter_batches(batch_size=None, batch_format="pyarrow"):
            for cell in batch["best"].to_pylist():
                one = pickle.loads(cell)
                if isinstance(one, DistnormError):
                    raise one
                best = merged([best, one], k)
    return _given(best, queries, left)


def _best_of_table(table: Any, shared: Shared[Asked], columns: tuple[str, str, str | None]) -> Any:
    """The best rows of a block of a data set, pickled: one cell."""
    arrow = require("pyarrow", "ray")
    try:
        found: Any = _best_of_columns(table, shared.get(), columns)
    except DistnormError as error:
        found = error
    return arrow.table({"best": arrow.array([pickle.dumps(found)], arrow.large_binary())})


def _best_of_columns(table: Any, asked: Asked, columns: tuple[str, str, str | None]) -> Best:
    for name in columns:
        if name is not None and name not in table.column_names:
            raise DistnormError(
                f"a data set without the column {name!r}",
                f"one of {', '.join(map(repr, table.column_names[:8]))}",
                "name the columns of vectors (on=), row numbers (row=) and biases (bias=)",
            )
    on, row, bias = columns
    if not len(table):
        return Best.none(len(asked.queries))
    numbers = np.asarray(table.column(row).to_numpy(zero_copy_only=False))
    if numbers.dtype.kind not in "iu":
        raise DistnormError(
            f"row numbers of {numbers.dtype} in column {row!r}",
            "a whole number in every row, each once",
            "number the rows: open_vectors(path).dataset() does",
        )
    # Of equal scores in one block the lowest number comes first, as in the whole.
    order = np.argsort(numbers, kind="stable")
    block = arrow_rows(table, [on], f"column {on!r}")[order]
    if block.shape[1] != asked.queries.shape[1]:
        raise DistnormError(
            f"vectors of {block.shape[1]} dimensions in column {on!r}",
            f"{asked.queries.shape[1]} as the queries",
            "use embeddings of one and the same model on both sides",
        )
    kept = None
    if bias is not None:
        kept = np.asarray(table.column(bias).to_numpy(zero_copy_only=False), np.float64)[order]
    best = best_of_block(asked, 0, block, f"column {on!r}", kept)
    return replace(best, rows=numbers[order][best.rows].astype(np.int64))

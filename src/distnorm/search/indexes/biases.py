"""One number an item, stored beside an index: upload that resumes, and a look at what is there.

A bias lives under a name made of the normalization's fingerprint: biases of several
normalizations lie side by side, and readers of one never see another's. A name becomes visible to
searches in one step, when every item has its number and `BiasStore.publish` has written it into
the list of what is complete. An upload asks, batch by batch, which items lack a number and
computes just those: stopped, it goes on by being run again, and items added later are mended the
same way.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from distnorm.arrays import Array, as_working, check_embeddings, normalize, to_numpy
from distnorm.errors import DistnormError
from distnorm.normalization import ScoreNormalization
from distnorm.search.indexes.base import Index

__all__ = ["BiasStore", "Check", "Upload", "check_index", "column_of", "upload_bias"]

Progress = Callable[[int, int], object]
_MEND = "distnorm index bias SPEC --normalization FILE"


class BiasStore(Protocol):
    """Where a system keeps a number an item; ``column`` names one normalization's."""

    def published(self) -> dict[str, dict[str, Any]]:
        """What is complete: column to what is known about it."""

    def publish(self, column: str, about: dict[str, Any] | None) -> None:
        """Add to that list in one step, or take away (None) with the numbers themselves."""

    def prepare(self, column: str) -> None:
        """Make room for a column; nothing to do if it is there."""

    def read(self, column: str, ids: Sequence[Any]) -> npt.NDArray[np.float64]:
        """Numbers of items, NaN where there is none."""

    def write(self, column: str, ids: Sequence[Any], values: npt.NDArray[np.float64]) -> None:
        """Store numbers of items, durably."""


@dataclass(frozen=True)
class Upload:
    """What an upload did."""

    column: str
    method: str
    written: int
    already: int
    lowest: float
    mean: float

    def __repr__(self) -> str:
        """One line."""
        return (
            f"Upload({self.method!r}: {self.written} biases written, {self.already} were there, "
            f"mean {self.mean:.4f}, as {self.column})"
        )

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


@dataclass(frozen=True)
class Check:
    """What a look at an index found.

    Attributes
    ----------
    items, dimension, metric, exact
        Of the index.
    unit_length : bool or None
        Whether the stored rows have length 1; None where the system keeps them to itself.
    mean_cosine : float or None
        Cosine of the stored rows' mean and the mean of the items' side in the normalization:
        near 1 for the same model and kind of items, near 0 for another model.
    method, column, published, with_bias, without_bias
        Stored biases of this normalization; None for methods that need none.
    agreement : float or None
        Share of the exact top-k, by distnorm itself, that the index returned, for sample queries.
    k, queries : int
    mend : str or None
        What to do about items without a bias.
    """

    items: int
    dimension: int
    metric: str
    exact: bool
    unit_length: bool | None
    mean_cosine: float | None
    method: str | None
    column: str | None
    published: bool | None
    with_bias: int | None
    without_bias: int | None
    agreement: float | None
    k: int
    queries: int
    mend: str | None

    @property
    def healthy(self) -> bool:
        """Nothing to mend: unit rows, no bias missing, vectors of the normalization's model."""
        stranger = self.mean_cosine is not None and self.mean_cosine < 0.5
        return self.mend is None and self.unit_length is not False and not stranger

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {**asdict(self), "healthy": self.healthy}


def column_of(norm: ScoreNormalization, side: str) -> str:
    """Name of the biases of ``side``'s items under ``norm``: a fingerprint of all they rest on."""
    digest = hashlib.sha256(f"{side} ".encode())
    digest.update(json.dumps(norm.to_dict(), sort_keys=True).encode())
    for name in norm.sides:
        moments = norm.moments(name)
        for key, values in sorted(moments.to_arrays().items()) if moments else ():
            digest.update(f"{name}.{key}".encode() + np.ascontiguousarray(values).tobytes())
        for part in norm._statistics[name].bank or ():
            digest.update(np.ascontiguousarray(to_numpy(part)).tobytes())
    return f"distnorm_bias_{digest.hexdigest()[:10]}"


def upload_bias(
    index: Index,
    norm: ScoreNormalization,
    *,
    modality: str = "image",
    batch: int = 1000,
    progress: Progress | None = None,
    ids: Sequence[Any] | None = None,
    items: Array | None = None,
    fresh: bool = False,
) -> Upload:
    """Store the bias of each item; run again, it goes on where it stopped.

    Parameters
    ----------
    index : Index
    norm : ScoreNormalization
        Of a method with an item bias that is no query shift.
    modality : str
        The side of the *items*.
    batch : int
        Items at a time.
    progress : callable, optional
        Called with (items done, items).
    ids, items : sequence and array, shape (n, d), optional
        The stored rows, for a system that does not give them back.
    fresh : bool
        Compute all anew: after rows were embedded again under their old ids.

    Returns
    -------
    Upload

    Raises
    ------
    DistnormError
        For a method without an item bias or that needs none stored, unusable rows, or a system
        that fails; what was written by then is kept and stays out of sight until all is there.
    """
    if norm.spec.is_query_shift:
        raise DistnormError(
            f"{norm.method!r}, a shift of the query",
            "a method with a bias an item (dn2, is, nnn, csls, sinkhorn)",
            "nothing needs to be stored: search with normalization=",
        )
    index._check_norm(norm)
    store = _store(index)
    column = column_of(norm, modality)
    with index.plain_errors("write biases"):
        if fresh:
            store.publish(column, None)
        store.prepare(column)
    total = len(ids) if ids is not None else index.count()
    written = already = 0
    lowest, sum_ = np.inf, 0.0
    for some, rows in _rows(index, batch, ids, items):
        with index.plain_errors("read biases"):
            values = store.read(column, some)
        lacking = np.flatnonzero(np.isnan(values))
        if len(lacking):
            found = norm.item_bias(_as_unit(index, rows[lacking]), modality=modality)
            values[lacking] = np.asarray(found, dtype=np.float64)
            with index.plain_errors("write biases"):
                store.write(column, [some[place] for place in lacking], values[lacking])
        written += len(lacking)
        already += len(some) - len(lacking)
        lowest, sum_ = min(lowest, float(values.min())), sum_ + float(values.sum())
        if progress is not None:
            progress(written + already, max(total, written + already))
    count = written + already
    if not count:
        raise DistnormError(f"no items in {index.place}", "items to store a bias for", "add some")
    # Stored as float32: a bound must hold for what is read back.
    lowest = float(np.nextafter(np.float32(lowest), np.float32(-np.inf)))
    about = {
        "method": norm.method,
        "strength": norm.strength,
        "params": norm.params,
        "model": norm.model,
        "side": modality,
        "count": count,
        "lowest": lowest,
        "mean": sum_ / count,
    }
    with index.plain_errors("write biases"):
        store.publish(column, about)
    return Upload(column, norm.method, written, already, lowest, sum_ / count)


def check_index(
    index: Index,
    norm: ScoreNormalization | None = None,
    *,
    modality: str = "image",
    queries: Array | None = None,
    k: int = 10,
    batch: int = 1000,
    progress: Progress | None = None,
) -> Check:
    """Go through an index once: what its rows are like, which lack a bias, whether it agrees.

    Parameters
    ----------
    index : Index
    norm : ScoreNormalization, optional
    modality : str
        The side of the *items*.
    queries : array, shape (n, d), optional
        Sample queries, to compare the index's lists with distnorm's own exact ones.
    k : int
        Length of those lists.
    batch : int
    progress : callable, optional

    Raises
    ------
    DistnormError
        As `Index.search`.
    """
    if norm is not None and norm.dimension not in (None, index.query_dimension):
        index._check_norm(norm)
    side = modality if norm is None else norm._names.resolve(modality)
    asker = "text" if norm is None else norm._names.other(side)
    needs = norm is not None and not norm.spec.is_query_shift and not index.bias_dimension
    column = column_of(norm, side) if norm is not None and needs else None
    store = _store(index) if column else None
    published = None
    if store is not None:
        with index.plain_errors("read biases"):
            published = column in store.published()
    asked = None
    if queries is not None:
        asked = check_embeddings(queries, "queries", dimension=index.query_dimension)
        asked = np.asarray(to_numpy(as_working(asked)), dtype=np.float64)
    best = _Best(k)
    seen, with_bias, sum_, unit = 0, 0, np.zeros(index.query_dimension), True
    total = index.count()
    for ids, stored in _rows(index, batch, None, None, required=False):
        rows = stored[:, : index.query_dimension].astype(np.float64)
        lengths = np.linalg.norm(rows, axis=1)
        unit = unit and bool(np.abs(lengths - 1).max() <= 5e-3)
        rows = rows / lengths[:, None] if index.metric == "cos" else rows
        seen, sum_ = seen + len(ids), sum_ + rows.sum(axis=0)
        if store is not None and column is not None:
            with index.plain_errors("read biases"):
                with_bias += int(np.isfinite(store.read(column, ids)).sum())
        if asked is not None:
            dot = norm is None or norm.method == "dot"
            bias = 0.0 if dot else np.asarray(_item_bias(norm, rows, side))
            best.see(ids, asked @ rows.T - bias)
        if progress is not None:
            progress(seen, max(total, seen))
    agreement = None
    if asked is not None and seen and (published is not False):
        found = index.search(asked, k, norm, modality=asker)
        agreement = best.agreement(found.ids)
    missing = seen - with_bias if column and seen else None
    moments = None if norm is None else norm.moments(side)
    cosine = None
    if moments is not None and seen:
        mean = np.asarray(moments.mean)
        cosine = float(mean @ sum_ / np.linalg.norm(mean) / np.linalg.norm(sum_))
    return Check(
        items=total,
        dimension=index.dimension,
        metric=index.metric,
        exact=index.exact,
        unit_length=unit if seen else None,
        mean_cosine=cosine,
        method=None if norm is None else norm.method,
        column=column,
        published=published,
        with_bias=with_bias if column and seen else None,
        without_bias=missing,
        agreement=agreement,
        k=k,
        queries=0 if asked is None else len(asked),
        mend=f"run: {_MEND}" if missing or published is False else None,
    )


def _item_bias(norm: Any, rows: npt.NDArray[np.float64], side: str) -> Any:
    return norm.item_bias(rows, modality=side)


def _store(index: Index) -> BiasStore:
    if index.biases is None:
        raise DistnormError(
            f"{index.place}, which has no place for biases", "a place", "pass biases=FOLDER"
        )
    store: BiasStore = index.biases
    return store


def _rows(
    index: Index,
    batch: int,
    ids: Sequence[Any] | None,
    items: Array | None,
    *,
    required: bool = True,
) -> Any:
    """Batches of (ids, rows): the caller's, or the index's own."""
    if (ids is None) != (items is None):
        raise DistnormError("ids or items alone", "both, of one length", "pass ids= and items=")
    if ids is not None and items is not None:
        rows = check_embeddings(items, "items", dimension=index.dimension)
        if len(ids) != rows.shape[0]:
            raise DistnormError(
                f"{len(ids)} ids for {rows.shape[0]} items", "as many", "pass the id of each row"
            )
        for start in range(0, len(ids), batch):
            part = slice(start, start + batch)
            yield list(ids[part]), to_numpy(as_working(rows[part, ...]))
        return
    with index.plain_errors("read vectors"):
        given = False
        for some, rows in index.vectors(batch):
            given = True
            yield some, rows
    if not given and required and index.count():
        raise DistnormError(
            f"{index.place}, which keeps its rows to itself",
            "the rows",
            "pass ids= and items=, from the store it was built of",
        )


def _as_unit(index: Index, rows: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """A cosine index ranks by direction whatever the stored length."""
    unit: npt.NDArray[Any] = normalize(rows) if index.metric == "cos" else rows
    return unit


class _Best:
    """The exact k best ids of each query, batch after batch."""

    def __init__(self, k: int) -> None:
        self._k = k
        self._ids: list[Any] = []
        self._places: npt.NDArray[np.intp] | None = None
        self._scores: npt.NDArray[np.float64] | None = None

    def see(self, ids: Sequence[Any], scores: npt.NDArray[np.float64]) -> None:
        places = np.broadcast_to(np.arange(len(ids)) + len(self._ids), scores.shape)
        self._ids.extend(ids)
        if self._scores is not None and self._places is not None:
            scores = np.concatenate([self._scores, scores], axis=1)
            places = np.concatenate([self._places, places], axis=1)
        order = np.argsort(-scores, axis=1, kind="stable")[:, : self._k]
        self._scores = np.take_along_axis(scores, order, axis=1)
        self._places = np.take_along_axis(places, order, axis=1)

    def agreement(self, found: Sequence[Sequence[Any]]) -> float:
        if self._places is None:
            return 1.0
        shares = [
            len({self._ids[place] for place in row} & set(got)) / len(row)
            for row, got in zip(self._places, found, strict=True)
        ]
        return float(np.mean(shares))

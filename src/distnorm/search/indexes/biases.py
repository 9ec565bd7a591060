"""A bias per item, stored beside an index: an upload that resumes, and biases inside the vectors.

A bias lives under a name made of the normalization's fingerprint: biases of several
normalizations lie side by side, and readers of one never see another's. A name becomes visible to
searches in one step, when every item has its bias and `BiasStore.publish` has written it into the
list of what is complete. An upload asks, batch by batch, which items lack a bias and computes just
those: stopped, it goes on by being run again, and items added later are mended the same way.

Inside the vectors, a bias takes one more dimension of an inner product index that is built anew:

    [q, -1] . [x, b(x)] = q.x - b(x)          [q, 0] . [x, b(x)] = q.x

The last number of the query switches between the normalized and the raw score, query by query.
Rows are no longer of unit length, so neither cosine nor L2 will do.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from distnorm.arrays import (
    Array,
    Float32,
    Float64,
    NDArray,
    as_working,
    check_embeddings,
    checked,
    normalize,
    to_numpy,
)
from distnorm.calibration.side_check import check_sides
from distnorm.errors import DistnormError, masked
from distnorm.normalization import ScoreNormalization
from distnorm.normalization.correction import Correction
from distnorm.search.indexes.bias_store import About, BiasStore, lower_bound, residual_of
from distnorm.search.indexes.keys import column_of, earlier_column_of, found_column
from distnorm.search.indexes.linear import LinearPart, about_linear, fitted, linear_part, some_rows
from distnorm.search.indexes.system import System
from distnorm.system.progress import Progress

__all__ = [
    "SAME_BIAS",
    "SAME_RESIDUAL",
    "Upload",
    "bias_of",
    "bias_store",
    "biased",
    "column_of",
    "items_with_bias",
    "published",
    "queries_for_bias",
    "read_stored",
    "stored_rows",
    "upload_bias",
]


SAME_BIAS = (1e-4, 1e-5)
"""How near stored numbers are to those of the rows that are there now: rtol, atol."""

SAME_RESIDUAL = (5e-7, 2e-7)
"""The same of residuals: all but the rounding, as lists rest on their last digits."""


@dataclass(frozen=True)
class Upload:
    """What an upload did.

    Attributes
    ----------
    column : str
        Name of the biases.
    method : str
    written, already : int
        Items whose bias was computed now, and before.
    lowest, mean : float
        Of all biases.
    """

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


def bias_store(system: System) -> BiasStore:
    """Where the biases of an index are kept."""
    if system.biases is None:
        got = f"{system.place}, which has no place for biases"
        raise DistnormError(got, "a place", "pass biases=FOLDER")
    system.biases.place = masked(system.place)
    return system.biases


def published(system: System) -> dict[str, About]:
    """What biases of an index are complete."""
    with system.plain_errors("read biases"):
        return bias_store(system).published()


def read_stored(system: System, column: str, ids: Sequence[Any]) -> Float64:
    """Stored biases of items, NaN where there is none."""
    with system.plain_errors("read biases"):
        return bias_store(system).read(column, ids)


def bias_of(system: System, norm: ScoreNormalization, side: str, rows: NDArray) -> Float64:
    """Biases of rows as the index ranks them."""
    # A cosine index ranks by direction, and a compressed one gives rows back at other lengths.
    turned = system.metric == "cos" or system.capabilities.compressed
    if norm.input == "unit" and not turned:
        system.check_unit_rows()
    unit = normalize(rows) if turned else rows
    return to_numpy(norm.item_bias(unit, modality=side), np.float64)


def upload_bias(
    system: System,
    norm: ScoreNormalization,
    side: str,
    *,
    batch: int = 1000,
    progress: Progress | None = None,
    ids: Sequence[Any] | None = None,
    items: Array | None = None,
    fresh: bool = False,
) -> Upload:
    """`Index.upload_bias` for items of ``side``."""
    biased(norm, side)
    system.offers("biases")
    system.check_normalization(norm)
    _check_side(system, norm, side, items)
    store, listing = bias_store(system), published(system)
    column = found_column(system, norm, side, listing)
    if column not in listing:
        column = _begun(system, norm, side, column)
    with store.alone(f"{column}.upload"):
        if fresh:
            with system.plain_errors("write biases"):
                store.publish(column, None)
            listing.pop(column, None)
            column = found_column(system, norm, side, listing)
        own = ids is None and items is None
        total = len(ids) if ids is not None else system.count()
        while True:
            batches = stored_rows(system, batch) if own else _handed_in(system, batch, ids, items)
            job = _Job(system, norm, side, column, listing.get(column))
            try:
                return job.run(batches, total, progress, part=not own, batch=batch)
            except _Overtaken as other:
                listing = {column: other.about}


def biased(norm: ScoreNormalization, side: str) -> Correction:
    """What gives the biases of ``side``'s items; raises for a shift of the query."""
    served = norm.correction(norm.names.other(side))
    if served.shifts_queries:
        chosen = f", which chose {served.method.name!r}" if norm.spec.chooses else ""
        raise DistnormError(
            f"{norm.method!r}{chosen}, a shift of the query",
            "a method with a bias per item (dn2, is, nnn, csls, sinkhorn)",
            "nothing needs to be stored: search with normalization=",
        )
    return served


def _check_side(system: System, norm: ScoreNormalization, side: str, items: Any) -> None:
    """Raise for rows that look like the side of the queries: their numbers would be of no use."""
    rows = system.seen[1][:, : system.capabilities.query_dimension] if items is None else items
    if len(rows) and not (items is None and system.capabilities.compressed):
        check_sides(norm, side, checked(normalize(rows), "items"))


class _Overtaken(Exception):
    """Another machine has published the same biases; its linear part is the one to go on with."""

    def __init__(self, about: About) -> None:
        super().__init__()
        self.about = about


def _begun(system: System, norm: ScoreNormalization, side: str, column: str) -> str:
    """The name to go on under: an earlier one, if an upload was begun under it."""
    ids = list(system.seen[0])
    if not ids or not system.one_vector or np.isfinite(read_stored(system, column, ids)).any():
        return column
    earlier = earlier_column_of(norm, side)
    return earlier if np.isfinite(read_stored(system, earlier, ids)).any() else column


@dataclass(frozen=True)
class _Job:
    """An upload: what of, under which name, and what was stated there before."""

    system: System
    norm: ScoreNormalization
    side: str
    column: str
    before: About | None

    def run(
        self,
        batches: Iterator[tuple[list[Any], NDArray]],
        total: int,
        progress: Progress | None,
        *,
        part: bool,
        batch: int,
    ) -> Upload:
        """Store what lacks; ``part`` of rows that the caller hands in, which may not be all."""
        system, store, norm, column = self.system, bias_store(self.system), self.norm, self.column
        with system.plain_errors("write biases"):
            store.prepare(column)
        content = system.content()
        # What rows there were when biases were stored is not known: each is computed again.
        anew = self.before is not None and not system.unchanged(self.before)
        written = already = 0
        lowest, sum_, left = np.inf, 0.0, 0.0
        linear = self._linear(part, batch)
        for names, rows in batches:
            values = read_stored(system, column, names)
            lacking = np.flatnonzero(np.isnan(values))
            self._usable(names, rows)
            if anew:
                right = bias_of(system, norm, self.side, rows)
                lacking = np.flatnonzero(~np.isclose(values, right, *SAME_BIAS))
                values[lacking] = right[lacking]
            elif len(lacking):
                values[lacking] = bias_of(system, norm, self.side, rows[lacking])
            residuals, changed = None, lacking
            if linear is not None:
                residuals = linear.residuals(system, rows, values)
                stored = read_stored(system, residual_of(column), names)
                differing = ~np.isclose(stored, residuals, *SAME_RESIDUAL)
                changed = np.union1d(lacking, np.flatnonzero(differing))
                linear, left = linear.lowered(residuals), left + float(residuals.sum())
            if len(changed):
                self._alone()
                with system.plain_errors("write biases"):
                    store.write(
                        column,
                        [names[place] for place in changed],
                        values[changed],
                        None if residuals is None else residuals[changed],
                    )
            written += len(lacking)
            already += len(names) - len(lacking)
            lowest, sum_ = min(lowest, lower_bound(values)), sum_ + float(values.sum())
            if progress is not None:
                progress(written + already, max(total, written + already))
        count = written + already
        if not count:
            raise self._nothing(total)
        mean = sum_ / count
        if part and self.before is not None:
            lowest = min(lowest, self.before["lowest"])
            if count < self.before["count"]:
                count, mean = self.before["count"], self.before["mean"]
        about: About = {"method": norm.method, "strength": norm.strength, "params": norm.params}
        about |= {"model": norm.model, "side": self.side}
        about |= {"count": count, "lowest": lowest, "mean": mean}
        if linear is not None:
            kept = linear.mean if part else left / (written + already)
            about = about_linear(about, replace(linear, mean=kept))
        if part:
            about["handed_in"] = True
        if content is not None:
            about["content"] = content
        self._alone()
        with system.plain_errors("write biases"):
            store.publish(column, about)
        return Upload(column, norm.method, written, already, lowest, mean)

    def _usable(self, names: list[Any], rows: NDArray) -> None:
        """Raise for vectors without a direction, by the ids of their items."""
        wide = rows.astype(np.float64)
        bad = np.flatnonzero(~np.isfinite(wide).all(axis=1) | ~wide.any(axis=1))
        if len(bad):
            kind = "zeros alone" if np.isfinite(wide[bad]).all() else "NaN, infinity or zeros alone"
            some = ", ".join(repr(names[at]) for at in bad[:5]) + (", ..." if len(bad) > 5 else "")
            raise DistnormError(
                f"vectors of {kind} in {self.system.place}, of the ids {some}",
                "a direction in every vector",
                "embed these items again, or take them out",
            )

    def _alone(self) -> None:
        """Raise if these biases were published with a linear part since the upload began."""
        if self.before is None or "linear" not in self.before:
            other = published(self.system).get(self.column, {})
            if "linear" in other:
                raise _Overtaken(other)

    def _linear(self, part: bool, batch: int) -> LinearPart | None:
        """The one that is published, or one that is fitted to some rows."""
        system, dimension = self.system, self.system.capabilities.query_dimension
        if part and system.capabilities.compressed:
            # What the index scores are not the rows that were handed in.
            return None
        if self.before is not None and "linear" in self.before:
            known = linear_part(self.before, dimension)
            # All are looked at again, unless these are only some.
            return known if known is None or part else replace(known, lowest=np.inf)
        if part or system.capabilities.bias_dimension or not system.seen[0]:
            return None
        rows = some_rows(system, batch)
        if not len(rows):
            return None
        return fitted(system, rows, bias_of(system, self.norm, self.side, rows))

    def _nothing(self, total: int) -> DistnormError:
        place = self.system.place
        if total:
            return DistnormError(
                f"{place}, which keeps its rows to itself",
                "the rows",
                "pass ids= and items=, from the store it was built of",
            )
        return DistnormError(f"no items in {place}", "items to store a bias for", "add some")


def stored_rows(system: System, batch: int) -> Iterator[tuple[list[Any], NDArray]]:
    """Batches of (ids, rows) that the index gives back; raises at the end if an id came twice."""
    met: list[npt.NDArray[np.int64]] = []
    with system.plain_errors("read vectors"):
        for ids, rows in system.vectors(batch):
            # Eight bytes per item; -1 and -2 have one hash.
            met.append(np.fromiter((hash(str(item)) for item in ids), np.int64, len(ids)))
            system.check_ids(ids)
            yield ids, rows
    hashes = np.concatenate(met) if met else np.zeros(0, np.int64)
    if len(np.unique(hashes)) < len(hashes):
        raise DistnormError(
            f"ids of several vectors in {system.place}", "an id per vector", system.apart
        )


def _handed_in(
    system: System, batch: int, ids: Sequence[Any] | None, items: Array | None
) -> Iterator[tuple[list[Any], NDArray]]:
    """Batches of the caller's own ids and rows."""
    if ids is None or items is None:
        raise DistnormError("ids or items alone", "both, of one length", "pass ids= and items=")
    rows = check_embeddings(items, "items", dimension=system.dimension)
    if len(ids) != rows.shape[0]:
        got = f"{len(ids)} ids for {rows.shape[0]} items"
        raise DistnormError(got, "as many", "pass the id of each row")
    system.check_ids(list(ids))
    for start in range(0, len(ids), batch):
        part = slice(start, start + batch)
        yield list(ids[part]), to_numpy(as_working(rows[part, ...]))


def items_with_bias(items: Array, bias: Any) -> Float32:
    """Rows to index, shape (n, d + 1), of items (n, d) and `item_bias` (n,).

    Raises
    ------
    DistnormError
        For unusable rows or another number of biases.
    """
    rows = to_numpy(as_working(check_embeddings(items, "items")), np.float32)
    column = np.asarray(to_numpy(bias), dtype=np.float32)
    if column.shape != (len(rows),) or not np.isfinite(column).all():
        raise DistnormError(
            f"a bias of shape {column.shape}", f"({len(rows)},) finite", "fit it to the items"
        )
    return np.concatenate([rows, column[:, None]], axis=1)


def queries_for_bias(queries: Array, *, normalized: bool = True) -> Float32:
    """Queries for such an index, shape (n, d + 1): normalized, or raw.

    Examples
    --------
    >>> queries_for_bias([[0.6, 0.8]]).tolist()[0][-1]
    -1.0
    """
    rows = to_numpy(as_working(check_embeddings(queries, "queries")), np.float32)
    last = np.full((len(rows), 1), -1.0 if normalized else 0.0, dtype=np.float32)
    return np.concatenate([rows, last], axis=1)

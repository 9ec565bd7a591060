"""What biases are stored beside an index, for which normalization; biases of items to be added."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from distnorm.arrays import Array, Float64, as_working, check_embeddings, to_numpy
from distnorm.errors import DistnormError
from distnorm.normalization import ScoreNormalization
from distnorm.search.indexes.bias_store import About, lower_bound, residual_of
from distnorm.search.indexes.biases import bias_of, bias_store, published, read_stored, stored_rows
from distnorm.search.indexes.keys import found_column
from distnorm.search.indexes.linear import linear_part
from distnorm.search.indexes.ranking import published_bias
from distnorm.search.indexes.system import System
from distnorm.system.progress import Progress

__all__ = ["ItemBiases", "StoredBiases", "drop_biases", "item_biases", "stored_biases"]


@dataclass(frozen=True)
class StoredBiases:
    """Biases of one normalization beside an index.

    Attributes
    ----------
    column : str
        Their name.
    where : str
        A key of each item, a table or a folder.
    method, strength, params, model, side
        Of the normalization.
    items : int
        Items when they were stored.
    lacking : int or None
        Items that are there now and have none; None where the system keeps its rows.
    unchanged : bool
        False where the index is another one since, as far as that can be told.
    asked_for : bool or None
        Whether they are those of the normalization that was asked for, if one was.
    """

    column: str
    where: str
    method: str
    strength: dict[str, float]
    params: dict[str, Any]
    model: str | None
    side: str
    items: int
    lacking: int | None
    unchanged: bool
    asked_for: bool | None

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


@dataclass(frozen=True)
class ItemBiases:
    """Biases of items that are about to be added.

    Attributes
    ----------
    key : str
        The name that searches read them under.
    where : str
        Where that is: a key of each item, a table of ids and biases, or a folder.
    values : ndarray, shape (n,)
    residual_key : str
        A second name, for what is left of the biases without their linear part.
    residuals : ndarray, shape (n,), or None
        To be written along; None where no linear part is stored.
    """

    key: str
    where: str
    values: Float64
    residual_key: str = ""
    residuals: Float64 | None = None


def stored_biases(
    system: System,
    norm: ScoreNormalization | None,
    side: str,
    *,
    batch: int = 1000,
    progress: Progress | None = None,
) -> list[StoredBiases]:
    """`Index.stored_biases`, the one that is asked for looked up for items of ``side``."""
    store, listing = bias_store(system), published(system)
    mine = None if norm is None else found_column(system, norm, side, listing)
    lacking = dict.fromkeys(listing, 0)
    seen, total = 0, system.count() if listing else 0
    for ids, _ in stored_rows(system, batch) if listing else ():
        seen += len(ids)
        for column in listing:
            lacking[column] += int(np.isnan(read_stored(system, column, ids)).sum())
        if progress is not None:
            progress(seen, max(total, seen))
    return [
        StoredBiases(
            column,
            store.where(column),
            about["method"],
            dict(about["strength"]),
            dict(about["params"]),
            about["model"],
            about["side"],
            about["count"],
            lacking[column] if seen else None,
            system.unchanged(about),
            None if mine is None else column == mine,
        )
        for column, about in sorted(listing.items())
    ]


def drop_biases(system: System, columns: Sequence[str]) -> None:
    """`Index.drop_biases`."""
    store, listing = bias_store(system), published(system)
    for column in columns:
        if column not in listing:
            raise DistnormError(
                f"no stored biases {column!r} in {system.place}",
                f"one of {', '.join(sorted(listing))}" if listing else "some",
                "see: distnorm index list SPEC",
            )
    for column in columns:
        with store.alone(f"{column}.upload"), system.plain_errors("write biases"):
            store.publish(column, None)


def item_biases(system: System, norm: ScoreNormalization, side: str, items: Array) -> ItemBiases:
    """`Index.item_biases` for items of ``side``."""
    system.check_normalization(norm)
    rows = check_embeddings(items, "items", dimension=system.capabilities.query_dimension)
    column, about = published_bias(system, norm, norm.names.other(side))
    if not norm.correction(norm.names.other(side)).item_by_item:
        raise DistnormError(
            f"{norm.method!r}, whose bias of an item depends on all other items",
            "a method that takes items one by one (dn2, nnn, csls)",
            "run distnorm index bias with --fresh after items were added",
        )
    store = bias_store(system)
    plain = to_numpy(as_working(rows))
    values, residuals = bias_of(system, norm, side, plain), None
    linear = linear_part(about, system.capabilities.query_dimension)
    if linear is not None:
        residuals = linear.residuals(system, plain, values)
    if _lowered(about, values, residuals) != about:
        # The bounds that certified lists rest on.
        with system.plain_errors("write biases"), store.alone(f"{column}.upload", timeout=60):
            about = store.published()[column]
            store.publish(column, _lowered(about, values, residuals))
    return ItemBiases(column, store.where(column), values, residual_of(column), residuals)


def _lowered(about: About, values: Float64, residuals: Float64 | None) -> About:
    """What is stated, with bounds for these numbers as well."""
    changed = {**about, "lowest": min(about["lowest"], lower_bound(values))}
    if residuals is not None and "linear" in about:
        lowest = min(about["linear"]["lowest"], lower_bound(residuals))
        changed["linear"] = {**about["linear"], "lowest": lowest}
    return changed

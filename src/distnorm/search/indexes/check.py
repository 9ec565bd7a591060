"""A look at an index: what its rows are like, which lack a bias, whether its lists agree."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, cast

import numpy as np

from distnorm.arrays import Array, CheckedRows, Float64
from distnorm.exact import KBest, topk
from distnorm.moments import Moments
from distnorm.normalization import ScoreNormalization
from distnorm.search.indexes.arguments import query_rows
from distnorm.search.indexes.bias_store import residual_of
from distnorm.search.indexes.biases import (
    SAME_BIAS,
    SAME_RESIDUAL,
    bias_of,
    read_stored,
    stored_rows,
)
from distnorm.search.indexes.biases import published as published_biases
from distnorm.search.indexes.keys import found_column
from distnorm.search.indexes.linear import linear_part
from distnorm.search.indexes.ranking import Request, search
from distnorm.search.indexes.results import Found
from distnorm.search.indexes.system import System
from distnorm.system.progress import Progress

__all__ = ["Check", "check_index"]

_MEND = "distnorm index bias SPEC --normalization FILE"
# Biases that are computed again unless all are.
_SAMPLE = 1000


@dataclass(frozen=True)
class Check:
    """What a look at an index found.

    Attributes
    ----------
    items, dimension, metric, exact
        Of the index.
    unit_length : bool or None
        Whether the stored rows have length 1; None where the system keeps them to itself, or gives
        them back at another length than they had.
    mean_cosine : float or None
        Cosine of the stored rows' mean and the mean of the items' side in the normalization:
        near 1 for the same model and kind of items, near 0 for another model.
    other_cosine : float or None
        The same of the queries' side; `swapped` if it is that one which fits.
    method, column, published, with_bias, without_bias
        Stored biases of this normalization; None for methods that need none.
    recomputed, changed : int or None
        Stored biases that were computed again, and those that are not of the row that is there
        now; None where none are stored, or where rows come back changed by the index.
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
    other_cosine: float | None
    method: str | None
    column: str | None
    published: bool | None
    with_bias: int | None
    without_bias: int | None
    recomputed: int | None
    changed: int | None
    agreement: float | None
    k: int
    queries: int
    mend: str | None

    @property
    def healthy(self) -> bool:
        """Nothing to mend: unit rows, no bias missing, vectors of the normalization's model."""
        stranger = self.mean_cosine is not None and self.mean_cosine < 0.5
        well = self.mend is None and self.unit_length is not False
        return well and not stranger and not self.swapped

    @property
    def swapped(self) -> bool:
        """Whether the rows are far more like the side of the queries than like that of items."""
        own, other = self.mean_cosine, self.other_cosine
        if own is None or other is None:
            return False
        # As lengths on the sphere: a quarter of the way is left to the other side's mean.
        return other > 0.5 and 1 - other < (1 - own) / 16

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {**asdict(self), "swapped": self.swapped, "healthy": self.healthy}


def check_index(
    system: System,
    norm: ScoreNormalization | None,
    side: str,
    *,
    queries: Array | None = None,
    k: int = 10,
    batch: int = 1000,
    everything: bool = False,
    progress: Progress | None = None,
) -> Check:
    """`Index.check` for items of ``side``."""
    system.offers("raw")
    dimension = system.capabilities.query_dimension
    if norm is not None and norm.dimension not in (None, dimension):
        system.check_normalization(norm)
    served = None if norm is None else norm.correction(norm.names.other(side))
    biased = served is not None and not served.shifts_queries
    column = published = None
    recomputed = changed = linear = None
    if norm is not None and biased and not system.capabilities.bias_dimension:
        listing = published_biases(system)
        column = found_column(system, norm, side, listing)
        published = column in listing
        linear = linear_part(listing.get(column, {}), dimension)
        given = listing.get(column, {}).get("handed_in") and system.capabilities.compressed
        if served is not None and served.item_by_item and not given:
            recomputed = changed = 0
    asked = None if queries is None else query_rows(queries, dimension)
    if norm is not None and norm.input == "unit" and not system.unit_rows:
        asked = None  # what such an index finds is refused, and the check says why
    best = [] if asked is None else [KBest(k) for _ in asked]
    names: list[Any] = []
    seen, with_bias, sum_, unit = 0, 0, np.zeros(dimension), True
    total, sampler = system.count(), np.random.default_rng()
    for ids, stored in stored_rows(system, batch):
        kept = rows = stored[:, :dimension].astype(np.float64)
        lengths = np.linalg.norm(rows, axis=1)
        unit = unit and bool(np.abs(lengths - 1).max() <= 5e-3)
        rows = rows / lengths[:, None] if system.metric == "cos" else rows
        seen, sum_ = seen + len(ids), sum_ + rows.sum(axis=0)
        if column is not None:
            biases = read_stored(system, column, ids)
            with_bias += int(np.isfinite(biases).sum())
            if norm is not None and recomputed is not None and changed is not None:
                share = 1.0 if everything else min(1.0, _SAMPLE / max(total, 1))
                tried = sampler.random(len(ids)) < share
                places = np.flatnonzero(np.isfinite(biases) & tried)
                if len(places):
                    right = bias_of(system, norm, side, stored[places])
                    recomputed += len(places)
                    same = np.isclose(biases[places], right, *SAME_BIAS)
                    if linear is not None:
                        some = [ids[at] for at in places]
                        left = read_stored(system, residual_of(column), some)
                        wanted = linear.residuals(system, stored[places], biases[places])
                        same &= np.isnan(left) | np.isclose(left, wanted, *SAME_RESIDUAL)
                    changed += int((~same).sum())
        if asked is not None:
            bias = None
            if norm is not None and norm.spec.corrects:
                bias = bias_of(system, norm, side, kept)
                if system.capabilities.compressed and system.metric != "cos" and not biased:
                    bias *= lengths  # a shift, on rows at the lengths they came back at
            if system.metric == "l2":
                # An index by L2 subtracts half of the squared lengths that it keeps.
                bias = (0.0 if bias is None else bias) + (lengths**2 - 1) / 2
            lists = topk(CheckedRows(asked, "queries"), CheckedRows(rows, "items"), k, bias)
            for one, scores, places in zip(best, *lists, strict=True):
                # In rising order, as a tie goes to the lowest.
                order = np.argsort(places)
                one.add(scores[order], places[order] + len(names))
            names.extend(ids)
        if progress is not None:
            progress(seen, max(total, seen))
    agreement = None
    if asked is not None and seen and published is not False:
        asker = "text" if norm is None else norm.names.other(side)
        lists_of_index = cast(Found, search(system, asked, norm, None, Request(asker, k))).ids
        agreement = _agreement(best, names, lists_of_index)
    cosine = other_cosine = None
    if norm is not None and seen and not system.capabilities.orders_only:
        cosine = _cosine(norm.moments(side), sum_)
        other_cosine = _cosine(norm.moments(norm.names.other(side)), sum_)
    missing = seen - with_bias if column and seen else None
    return Check(
        items=total,
        dimension=system.dimension,
        metric=system.metric,
        exact=system.exact,
        unit_length=unit if seen and not system.capabilities.compressed else None,
        mean_cosine=cosine,
        other_cosine=other_cosine,
        method=None if norm is None else norm.method,
        column=column,
        published=published,
        with_bias=with_bias if column and seen else None,
        without_bias=missing,
        recomputed=recomputed if seen else None,
        changed=changed if seen else None,
        agreement=agreement,
        k=k,
        queries=0 if asked is None else len(asked),
        mend=f"run: {_MEND} --fresh"
        if changed
        else (f"run: {_MEND}" if missing or published is False else None),
    )


def _cosine(moments: Moments | None, sum_: Float64) -> float | None:
    """Of a mean in the statistics and that of rows, by their sum."""
    if moments is None:
        return None
    mean = np.asarray(moments.mean)
    length = float(np.linalg.norm(mean) * np.linalg.norm(sum_))
    cosine = float(mean @ sum_) / length if length else math.nan
    return cosine if math.isfinite(cosine) else None


def _agreement(best: Sequence[KBest], ids: Sequence[Any], lists: Sequence[Sequence[Any]]) -> float:
    """Share of the exact lists that an index's lists hold."""
    shares = [
        len({ids[place] for place in exact.places.tolist()} & set(got)) / len(exact.places)
        for exact, got in zip(best, lists, strict=True)
    ]
    return float(np.mean(shares))

"""What is kept of one side: its moments, and for bank methods its rows."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from distnorm.arrays import (
    Array,
    as_working,
    blocks,
    copied,
    like_array,
    namespace,
    rows_per_block,
    to_numpy,
)
from distnorm.errors import DistnormError
from distnorm.methods.bank import (
    NearestNeighborBias,
    inverted_softmax_bias,
    nearest_neighbor_bias,
)
from distnorm.methods.quadratic import QuadraticBias, query_spread, shrunk_covariance
from distnorm.methods.registry import MethodSpec
from distnorm.methods.ridge import RidgeBias
from distnorm.methods.sinkhorn import sinkhorn_bias
from distnorm.moments import Moments

__all__ = ["SideStatistics", "item_bias", "popular_items", "query_direction", "renormalized"]


@dataclass(frozen=True)
class SideStatistics:
    """Moments and, for bank methods, the rows themselves; replaced whole, never changed."""

    moments: Moments
    bank: tuple[Array, ...] | None

    @classmethod
    def empty(cls, spec: MethodSpec, params: Mapping[str, Any]) -> SideStatistics:
        """Statistics of no rows, of the kind ``spec`` needs."""
        moments = Moments(order=spec.order, rank=params.get("rank"))
        return cls(moments, () if spec.keeps_bank else None)

    def with_rows(self, rows: Array, name: str) -> SideStatistics:
        """These statistics and ``rows``, shape (n, d)."""
        added = Moments(order=self.moments.order, rank=self.moments.rank).update(rows, name)
        bank = None if self.bank is None else (*self.bank, copied(rows))
        return SideStatistics(self.moments.merge(added), bank)

    def without_rows(self, rows: Array, name: str) -> SideStatistics:
        """These statistics less ``rows``, shape (n, d), which must be among them."""
        taken = Moments(order=self.moments.order, rank=self.moments.rank).update(rows, name)
        moments = copy.deepcopy(self.moments).remove(taken)
        if self.bank is None:
            return SideStatistics(moments, None)
        bank = self.bank_rows()
        places: dict[bytes, list[int]] = {}
        for place, row in enumerate(to_numpy(as_working(bank)).astype(np.float32)):
            places.setdefault(row.tobytes(), []).append(place)
        keep = np.ones(bank.shape[0], dtype=bool)
        for number, row in enumerate(to_numpy(as_working(rows)).astype(np.float32)):
            found = places.get(row.tobytes())
            if not found:
                raise DistnormError(
                    f"{name} with row {number}, which the bank does not hold",
                    "rows that were fitted",
                    "fit anew on the rows that stay",
                )
            keep[found.pop()] = False
        return SideStatistics(moments, (bank[keep],))

    def merge(self, other: SideStatistics) -> SideStatistics:
        """Both together."""
        both = self.moments.merge(other.moments)
        if self.bank is None or other.bank is None:
            return SideStatistics(both, None)
        return SideStatistics(both, (*self.bank, *other.bank))

    def decay(self, factor: float) -> SideStatistics:
        """Moments that count for less; of a bank only the latest rows stay, as many."""
        moments = self.moments.decay(factor)
        if not self.bank:
            return SideStatistics(moments, self.bank)
        rows = self.bank_rows()
        kept = rows[rows.shape[0] - moments.count :, ...]
        # A bank is its rows: their moments, not shrunken ones of rows that have gone.
        fresh = Moments(order=moments.order, rank=moments.rank).update(kept)
        return SideStatistics(fresh, (copied(kept),))

    def bank_rows(self) -> Array:
        """The bank as one array."""
        if not self.bank:
            raise DistnormError("no bank", "a bank method that was fitted", "call fit first")
        first = self.bank[0]
        if len(self.bank) == 1:
            return first
        return namespace(first).concat([like_array(part, first) for part in self.bank])

    def came_from(self, queries: Array) -> bool:
        """Whether these are statistics of exactly ``queries`` (rows in any order)."""
        if self.moments.count != queries.shape[0]:
            return False
        theirs = Moments().update(queries)
        return bool(np.allclose(self.moments.mean, theirs.mean, rtol=0, atol=1e-9))


def query_direction(
    spec: MethodSpec, params: Mapping[str, Any], queries: SideStatistics, others: SideStatistics
) -> npt.NDArray[np.float64]:
    """The w of a linear method, whose bias of an item y is w . y, strength not applied; (d,).

    Raises
    ------
    DistnormError
        For ``ridge`` without rows of the items' side, which it is fitted over.
    """
    if spec.name != "ridge":
        return queries.moments.mean
    if not others.bank:
        raise DistnormError(
            "'ridge' without rows of the items' side",
            "a fit with both sides: it is fitted over the items",
            "call fit with the gallery's rows as well, or use 'dn'",
        )
    return (
        RidgeBias(params["k"], params["weight"])
        .fit(queries.bank_rows(), others.bank_rows())
        .direction
    )


def item_bias(
    spec: MethodSpec,
    params: Mapping[str, Any],
    queries: SideStatistics,
    others: Moments,
    items: Array,
) -> Array:
    """Bias of ``items`` under a quadratic, bank or transport method, strength not applied.

    ``others`` are the moments of the items' own side; where there are some, they set the
    inverse temperature, so that an item's bias does not depend on its neighbours in a call.
    """
    known = others if others.count else None
    if spec.family == "quadratic":
        settings = {key: params[key] for key in ("beta", "scale", "shrinkage", "rank")}
        return QuadraticBias(**settings).from_moments(queries.moments, known)(items)
    bank = queries.bank_rows()
    if "k" in params:
        k = params["k"] or NearestNeighborBias.default_k(bank.shape[0])
        return nearest_neighbor_bias(items, bank, k)
    beta = params["beta"]
    if beta is None:
        covariance = shrunk_covariance(queries.moments, 0.0)
        spread = query_spread(covariance, items if known is None else known)
        if spread <= 0:
            # All queries score an item alike: every temperature gives the mean.
            return NearestNeighborBias(bank.shape[0]).fit(bank)(items)
        beta = params["scale"] / spread
    if spec.family == "transport":
        return sinkhorn_bias(
            items, bank, beta, iterations=params["iterations"], tolerance=params["tolerance"]
        )
    return inverted_softmax_bias(items, bank, beta)


def popular_items(items: Array, bank: Array) -> npt.NDArray[np.bool_]:
    """Which items, (n, d), are the best item by dot product of some bank row; (n,) bool.

    QB-Norm's activation set (Bogolin et al., CVPR 2022), with one nearest item a row.
    """
    chosen = np.zeros(items.shape[0], dtype=bool)
    working = as_working(items)
    for rows in blocks(bank.shape[0], rows_per_block(items.shape[0])):
        queries = like_array(as_working(bank[rows, ...]), working)
        scores = namespace(working).matmul(queries, working.T)
        chosen[to_numpy(namespace(working).argmax(scores, axis=1))] = True
    return chosen


def renormalized(x: Array, name: str) -> Array:
    """Rows of ``x`` at unit length.

    Raises
    ------
    DistnormError
        If a row is exactly the subtracted mean.
    """
    xp = namespace(x)
    lengths = xp.sqrt(xp.sum(x * x, axis=1, keepdims=True))
    if not bool(xp.all(lengths > 0)):
        raise DistnormError(
            f"{name} with a row equal to the subtracted mean",
            "rows that differ from it",
            "fit on more than one row, or lower the strength",
        )
    return x / lengths

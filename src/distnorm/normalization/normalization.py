"""`ScoreNormalization`: two item biases, the statistics they rest on, and how to apply them.

With x, y unit rows of the two sides (image and text unless named otherwise), s_X, s_Y the
strengths of the two query sides and b_X, b_Y item biases taken from the statistics of each side:

    score(x, y) = x.y - s_Y b_Y(x) - s_X b_X(y) + constant

For order 1 the constant s_X s_Y mu_X.mu_Y makes this (x - s_X mu_X).(y - s_Y mu_Y), the paper's
formula at 1/2. Ranking items for queries of one side needs that side's statistics only: texts
rank images by x.y - s_text b_text(x). The transforms (``centered``, ``dn-renorm``) change both
vectors instead: cos(x - s_X mu_X, y - s_Y mu_Y).
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt

from distnorm.arrays import Array, as_working, from_numpy, namespace
from distnorm.errors import DistnormError
from distnorm.methods.linear import linear_bias
from distnorm.methods.statistics import (
    SideStatistics,
    item_bias,
    popular_items,
    query_direction,
    renormalized,
)
from distnorm.metrics.ranking import Ranking
from distnorm.normalization.auto import Automatic
from distnorm.normalization.calibrated import Calibrated

__all__ = ["Ranking", "ScoreNormalization"]

Float64 = npt.NDArray[np.float64]


class ScoreNormalization(Calibrated, Automatic):
    """A method with its statistics: fit on unlabelled, unpaired embeddings, apply to scores.

    Parameters
    ----------
    method : str
        A key of `distnorm.METHODS`.
    strength : float or mapping from side to float, optional
        Coefficient of the bias for queries of each side; the method's default if left out.
    sides : tuple of two str
        Names of the two sides; keywords of `fit` and ``modality=`` take these names.
    model, prompt : str, optional
        Which model's embeddings these are and how texts were worded; kept in the file, and
        merging different ones is refused.
    input : {"unit", "raw", "any"}, optional
        What rows must be like; the method's own requirement if left out.
    **params
        The method's parameters, see `distnorm.METHODS`.

    Examples
    --------
    >>> import numpy as np, distnorm
    >>> rng = np.random.default_rng(0)
    >>> X = distnorm.normalize(rng.normal(1, 1, (50, 8)))
    >>> Y = distnorm.normalize(rng.normal(-1, 1, (60, 8)))
    >>> norm = distnorm.make("dn").fit(images=X, texts=Y)
    >>> norm.similarity(X[:2], Y[:3]).shape
    (2, 3)
    """

    _directions: Mapping[str, tuple[SideStatistics, SideStatistics, Float64]] = MappingProxyType({})

    def item_bias(self, items: Array, modality: str = "image") -> Array:
        """What to subtract from q . y to rank these items for queries of the other side.

        Parameters
        ----------
        items : array, shape (n, d)
        modality : str
            The side the *items* belong to.

        Returns
        -------
        array, shape (n,)
            Strength included; float32 for half-precision items, else the items' dtype.

        Raises
        ------
        DistnormError
            If the method has no item bias (transforms, the gated ``qbnorm``) or the other
            side was not fitted.
        """
        side = self._names.resolve(modality)
        if self.spec.family == "transform" or self.method == "qbnorm":
            raise DistnormError(
                f"item_bias of {self.method!r}",
                "a method whose score is q.y minus a bias of each item",
                "use ranking(queries, items), or pick dn, dn2, is or nnn",
            )
        items = self._check(items, self._names.plural(side))
        return self._bias(items, self._names.other(side))

    def shift_queries(self, queries: Array, modality: str = "text") -> Array:
        """Q - s m: queries for an index of raw vectors; ranks exactly like the full DN.

        Parameters
        ----------
        queries : array, shape (n, d)
        modality : str
            The side the *queries* belong to.

        Returns
        -------
        array, shape (n, d)
            Same library, dtype and device. Do not normalise them again.

        Raises
        ------
        DistnormError
            For methods that are no query shift.
        """
        side = self._names.resolve(modality)
        applied = self.applied(side)
        if not applied.spec.is_query_shift:
            raise DistnormError(
                f"shift_queries of {self._called(applied)}",
                "a linear method (dot, dn, dn*, ridge)",
                "use item_bias and store it beside each item, or re-rank an over-fetched list",
            )
        queries = self._check(queries, self._names.plural(side))
        if applied.strength == 0:
            return queries
        shifted = self._shifted(queries, side)
        return namespace(queries).astype(shifted, queries.dtype)

    def similarity(self, first: Array, second: Array, *, query: str | None = None) -> Array:
        """Full two-sided scores of every row of one side with every row of the other.

        Parameters
        ----------
        first, second : array, shape (n, d) and (m, d)
            Rows of the first and of the second side.
        query : str, optional
            Leave out the term that is constant for each query of this side: the score that
            ranks, and the only one that the gated ``qbnorm`` has.

        Returns
        -------
        array, shape (n, m)
        """
        first, second = self._check_pair(first, second)
        if query is not None:
            side = self._names.resolve(query)
            if side == self.sides[0]:
                return self.spec.factor * self.ranking(first, second, side).scores()
            return self.spec.factor * self.ranking(second, first, side).scores().T
        left, right, left_bias, right_bias = self._two_sided(first, second)
        scores = namespace(left).matmul(left, right.T)
        if left_bias is not None:
            scores = scores - left_bias[:, None]
        if right_bias is not None:
            scores = scores - right_bias[None, :]
        return self.spec.factor * scores if self.spec.factor != 1 else scores

    def paired_similarity(self, first: Array, second: Array) -> Array:
        """Two-sided scores row by row: shapes (n, d), (n, d) give (n,)."""
        first, second = self._check_pair(first, second)
        if first.shape[0] != second.shape[0]:
            raise DistnormError(
                f"{first.shape[0]} and {second.shape[0]} rows", "as many on both sides", "pair them"
            )
        left, right, left_bias, right_bias = self._two_sided(first, second)
        scores = namespace(left).sum(left * right, axis=1)
        for bias in (left_bias, right_bias):
            scores = scores if bias is None else scores - bias
        return self.spec.factor * scores if self.spec.factor != 1 else scores

    def ranking(self, queries: Array, items: Array, modality: str = "text") -> Ranking:
        """How to rank ``items`` for ``queries``; ``modality`` is the side of the *queries*.

        Raises
        ------
        DistnormError
            For unusable rows or a side that is needed and was not fitted.
        """
        side = self._names.resolve(modality)
        first, second = self._check_pair(queries, items, (side, self._names.other(side)))
        transductive = self._statistics[side].came_from(first) and self.spec.family != "dot"
        if self.spec.family == "transform":
            return Ranking(
                self._shifted(first, side, renormalize=True),
                self._shifted(second, self._names.other(side), renormalize=True),
                transductive=transductive,
            )
        if not self.applied(side).strength:
            return Ranking(first, second, transductive=transductive)
        # A linear method is a shift of the query and just as well a bias of the item; as a bias
        # both directions rank the same product.
        bias = self._bias(second, side)
        gate = None
        if self.method == "qbnorm":
            gate = popular_items(second, self._fitted(side).bank_rows())
        return Ranking(first, second, bias, gate, transductive)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write one safetensors file, whole or not at all; see `distnorm.storage`."""
        from distnorm.storage import save

        save(self, path)

    def _two_sided(self, first: Array, second: Array) -> tuple[Array, Array, Any, Any]:
        one, two = self.sides
        if self.method == "qbnorm":
            raise DistnormError(
                "a two-sided score of 'qbnorm'",
                "a query side: it gates each query on its own",
                f"use similarity(..., query={two!r}), or method 'is' without the gate",
            )
        families = {self.applied(side).spec.family for side in self.sides}
        if families <= {"transform", "linear", "dot"}:
            renormalize = self.spec.family == "transform"
            return (
                self._shifted(first, one, renormalize=renormalize),
                self._shifted(second, two, renormalize=renormalize),
                None,
                None,
            )
        left, right = as_working(first), as_working(second)
        return left, right, self._bias(first, two), self._bias(second, one)

    def _bias(self, items: Array, query_side: str) -> Array:
        """Strength times bias of ``items`` for queries of ``query_side``."""
        spec, params, strength = self.applied(query_side)
        working = as_working(items)
        if strength == 0:
            return namespace(working).zeros_like(working[:, 0])
        statistics = self._fitted(query_side)
        if spec.family == "linear":
            return strength * linear_bias(items, self._direction(query_side))
        others = self._statistics[self._names.other(query_side)].moments
        return strength * item_bias(spec, params, statistics, others, items)

    def _direction(self, side: str) -> Float64:
        """What a linear method subtracts from queries of ``side``; kept for these statistics."""
        spec, params, _ = self.applied(side)
        own, others = self._fitted(side), self._statistics[self._names.other(side)]
        if spec.name != "ridge":
            return query_direction(spec, params, own, others)
        kept = self._directions.get(side)
        if kept is None or kept[0] is not own or kept[1] is not others:
            kept = (own, others, query_direction(spec, params, own, others))
            self._directions = {**self._directions, side: kept}
        return kept[2]

    def _shifted(self, x: Array, side: str, *, renormalize: bool = False) -> Array:
        working = as_working(x)
        strength = self.applied(side).strength
        if strength:
            working = working - from_numpy(strength * self._direction(side), working)
        return renormalized(working, self._names.plural(side)) if renormalize else working

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

import copy
import os
from collections.abc import Mapping
from typing import Any

from distnorm.arrays import (
    Array,
    as_working,
    check_embeddings,
    check_form,
    check_same_kind,
    from_numpy,
    namespace,
)
from distnorm.biases.linear import linear_bias
from distnorm.errors import DistnormError
from distnorm.lengths import REQUIREMENTS, check_lengths
from distnorm.methods import check_params, find_method, resolve_strength
from distnorm.moments import Moments
from distnorm.ranking import Ranking
from distnorm.side_statistics import SideStatistics, item_bias, popular_items, renormalized
from distnorm.sides import Sides

__all__ = ["Ranking", "ScoreNormalization"]


class ScoreNormalization:
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

    def __init__(
        self,
        method: str = "dn",
        *,
        strength: float | Mapping[str, float] | None = None,
        sides: tuple[str, str] = ("image", "text"),
        model: str | None = None,
        prompt: str | None = None,
        input: str | None = None,
        **params: Any,
    ) -> None:
        spec = find_method(method)
        self._names = Sides.of(sides)
        if input is not None and input not in REQUIREMENTS:
            raise DistnormError(f"input {input!r}", "'unit', 'raw' or 'any'", "leave it out")
        self.spec = spec
        self.method = spec.name
        self.sides = (self._names.first, self._names.second)
        self.strength = resolve_strength(strength, spec.strength, self.sides)
        self.params = check_params(spec, params)
        self.input = input or spec.input
        self.model = model
        self.prompt = prompt
        self._statistics = self._empty()

    def _empty(self) -> dict[str, SideStatistics]:
        return {side: SideStatistics.empty(self.spec, self.params) for side in self.sides}

    def fit(self, **embeddings: Array | None) -> ScoreNormalization:
        """Forget everything and take statistics of unlabelled, unpaired rows.

        Parameters
        ----------
        **embeddings
            Under each side's name or its plural (``images=``, ``texts=``): array, shape
            (n, d), or None. Either side may be left out.

        Raises
        ------
        DistnormError
            For unusable rows, different dimensions or array libraries, unknown sides.
        """
        before, self._statistics = self._statistics, self._empty()
        try:
            return self.partial_fit(**embeddings)
        except BaseException:
            self._statistics = before
            raise

    def partial_fit(self, **embeddings: Array | None) -> ScoreNormalization:
        """Add rows to the statistics; any chunking gives the same result as one `fit`.

        Raises
        ------
        DistnormError
            As `fit`; on an error nothing is added.
        """
        given = {self._names.resolve(key): x for key, x in embeddings.items() if x is not None}
        if not given:
            raise DistnormError(
                "no embeddings",
                f"{self._names.plural(self.sides[0])}= or {self._names.plural(self.sides[1])}=",
                "pass at least one side",
            )
        checked = {}
        dimension = self.dimension
        for side, x in given.items():
            rows = check_form(x, self._names.plural(side), dimension)
            dimension = rows.shape[1]
            checked[side] = rows
        if len(checked) == 2:
            first, second = (checked[side] for side in self.sides)
            check_same_kind(
                first,
                second,
                (self._names.plural(self.sides[0]), self._names.plural(self.sides[1])),
            )
        updated = {}
        for side, rows in checked.items():
            updated[side] = self._statistics[side].with_rows(rows, self._names.plural(side))
            check_lengths(rows, self._names.plural(side), self.method, self.input)
        self._statistics.update(updated)
        return self

    def merge(self, other: ScoreNormalization) -> ScoreNormalization:
        """Statistics of both as a new object; the order does not matter.

        Raises
        ------
        DistnormError
            If method, strength, parameters, sides, model, prompt style or dimensions differ.
        """
        for key in ("method", "sides", "strength", "params", "input"):
            mine, theirs = getattr(self, key), getattr(other, key)
            if mine != theirs:
                raise DistnormError(
                    f"{key} {theirs!r}", f"{mine!r} as in the other shard", "fit both shards alike"
                )
        for key in ("model", "prompt"):
            mine, theirs = getattr(self, key), getattr(other, key)
            if None not in (mine, theirs) and mine != theirs:
                raise DistnormError(
                    f"statistics of {key} {theirs!r}",
                    f"{key} {mine!r}",
                    "statistics of different models or prompts cannot be merged",
                )
        result = self.clone()
        result.model = self.model if self.model is not None else other.model
        result.prompt = self.prompt if self.prompt is not None else other.prompt
        for side in self.sides:
            result._statistics[side] = self._statistics[side].merge(other._statistics[side])
        return result

    def clone(self) -> ScoreNormalization:
        """The same settings without statistics."""
        result = copy.copy(self)
        result.strength, result.params = dict(self.strength), dict(self.params)
        result._statistics = self._empty()
        return result

    @property
    def counts(self) -> dict[str, int]:
        """Rows the statistics of each side rest on."""
        return {side: s.moments.count for side, s in self._statistics.items()}

    @property
    def dimension(self) -> int | None:
        """The d of the embeddings, None before fitting."""
        known = [s.moments.dimension for s in self._statistics.values()]
        return next((d for d in known if d is not None), None)

    def moments(self, side: str) -> Moments | None:
        """Moments of a side, None if nothing was fitted there."""
        found = self._statistics[self._names.resolve(side)].moments
        return found if found.count else None

    def to_dict(self) -> dict[str, Any]:
        """Everything that affects ranking, for JSON."""
        return {
            "method": self.method,
            "strength": dict(self.strength),
            "params": dict(self.params),
            "sides": list(self.sides),
            "input": self.input,
            "model": self.model,
            "prompt": self.prompt,
            "dimension": self.dimension,
            "counts": self.counts,
        }

    def __repr__(self) -> str:
        """One line: method, strengths, counts."""
        strength = ", ".join(f"{side}={value:g}" for side, value in self.strength.items())
        counts = ", ".join(f"{n} {side} rows" for side, n in self.counts.items())
        return f"ScoreNormalization({self.method!r}, strength: {strength}; fitted on {counts})"

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
        if not self.spec.is_query_shift:
            raise DistnormError(
                f"shift_queries of {self.method!r}",
                "a linear method (dot, dn, dn*)",
                "use item_bias and store it beside each item, or re-rank an over-fetched list",
            )
        queries = self._check(queries, self._names.plural(side))
        if self.strength[side] == 0:
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
        if not self.strength[side]:
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
        if self.spec.family in ("transform", "linear"):
            renormalize = self.spec.family == "transform"
            return (
                self._shifted(first, one, renormalize=renormalize),
                self._shifted(second, two, renormalize=renormalize),
                None,
                None,
            )
        left, right = as_working(first), as_working(second)
        if self.spec.family == "dot":
            return left, right, None, None
        return left, right, self._bias(first, two), self._bias(second, one)

    def _bias(self, items: Array, query_side: str) -> Array:
        """Strength times bias of ``items`` for queries of ``query_side``."""
        strength = self.strength[query_side]
        working = as_working(items)
        if strength == 0:
            return namespace(working).zeros_like(working[:, 0])
        statistics = self._fitted(query_side)
        if self.spec.family == "linear":
            return strength * linear_bias(items, statistics.moments.mean)
        others = self._statistics[self._names.other(query_side)].moments
        return strength * item_bias(self.spec, self.params, statistics, others, items)

    def _shifted(self, x: Array, side: str, *, renormalize: bool = False) -> Array:
        working = as_working(x)
        if self.strength[side]:
            mean = self.strength[side] * self._fitted(side).moments.mean
            working = working - from_numpy(mean, working)
        return renormalized(working, self._names.plural(side)) if renormalize else working

    def _fitted(self, side: str) -> SideStatistics:
        found = self._statistics[side]
        if not found.moments.count:
            rows = self._names.plural(side)
            raise DistnormError(
                f"no statistics of the {side} side",
                f"a fit with {rows}=",
                f"call fit({rows}=...) first, or set the strength of {side!r} to 0",
            )
        return found

    def _check_pair(
        self, first: Array, second: Array, sides: tuple[str, str] | None = None
    ) -> tuple[Array, Array]:
        names = [self._names.plural(side) for side in sides or self.sides]
        first = self._check(first, names[0])
        second = self._check(second, names[1])
        if first.shape[1] != second.shape[1]:
            raise DistnormError(
                f"{names[0]} of {first.shape[1]} and {names[1]} of {second.shape[1]} dimensions",
                "the same on both sides",
                "use embeddings of one model",
            )
        check_same_kind(first, second, (names[0], names[1]))
        return first, second

    def _check(self, x: Array, name: str) -> Array:
        x = check_embeddings(x, name, dimension=self.dimension)
        check_lengths(x, name, self.method, self.input)
        return x

"""`Fitted`: a method's settings and the statistics of both sides, before any score.

State is two `SideStatistics`; fitting in any chunks gives the same result as at once, and merging
is exact and commutative.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any, TypeVar

from distnorm.arrays import Array, check_embeddings, check_form, check_same_kind
from distnorm.errors import DistnormError
from distnorm.lengths import REQUIREMENTS, check_lengths
from distnorm.methods.registry import check_params, find_method, resolve_strength
from distnorm.methods.sides import Sides
from distnorm.methods.statistics import SideStatistics
from distnorm.moments import Moments

__all__ = ["Fitted"]

Self = TypeVar("Self", bound="Fitted")


class Fitted:
    """What `ScoreNormalization` knows; see there for the parameters."""

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
        # What is known about these statistics beside themselves (a choice and its reasons, a
        # calibration), by name, in values that JSON holds; new statistics make it void.
        self.notes: dict[str, Any] = {}
        self._statistics = self._empty()

    def _empty(self) -> dict[str, SideStatistics]:
        return {side: SideStatistics.empty(self.spec, self.params) for side in self.sides}

    def fit(self: Self, **embeddings: Array | None) -> Self:
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

    def partial_fit(self: Self, **embeddings: Array | None) -> Self:
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
        self.notes = {}
        return self

    def remove(self: Self, **embeddings: Array | None) -> Self:
        """Take rows out of the statistics again; what is left is as if they had never been there.

        Parameters
        ----------
        **embeddings
            As `fit`: rows that were fitted.

        Raises
        ------
        DistnormError
            For as many rows as there are, rows that a bank does not hold, or statistics of low
            rank, which cannot be subtracted from; nothing is taken out then.
        """
        given = {self._names.resolve(key): x for key, x in embeddings.items() if x is not None}
        without = {
            side: self._fitted(side).without_rows(x, self._names.plural(side))
            for side, x in given.items()
        }
        self._statistics.update(without)
        self.notes = {}
        return self

    def forget(self: Self, keep: float) -> Self:
        """Let what was fitted so far count for a share ``keep``, in (0, 1], of its rows.

        Means and covariances stay until new rows come (`partial_fit`); a bank loses its oldest
        rows. Called before every batch this is exponential forgetting.

        Raises
        ------
        DistnormError
            For a share outside (0, 1].
        """
        self._statistics = {side: s.decay(keep) for side, s in self._statistics.items()}
        self.notes = {}
        return self

    def merge(self: Self, other: Self) -> Self:
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

    def clone(self: Self) -> Self:
        """The same settings without statistics."""
        result = copy.copy(self)
        result.strength, result.params, result.notes = dict(self.strength), dict(self.params), {}
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
        return f"{type(self).__name__}({self.method!r}, strength: {strength}; fitted on {counts})"

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

"""`State`: a method's settings and the statistics of both sides; every change is a new one.

Fitting in any chunks gives the same result as at once, and statistics merge exactly in any order.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from distnorm.arrays import (
    REQUIREMENTS,
    Array,
    CheckedRows,
    check_form,
    check_lengths,
    check_same_kind,
    checked,
)
from distnorm.errors import DistnormError
from distnorm.methods.base import Method
from distnorm.methods.registry import find_method, resolve_strength
from distnorm.methods.sides import Sides
from distnorm.methods.statistics import SideStatistics, check_weighting

__all__ = ["PRIORS", "Rows", "State", "check_prior"]

Rows = Array | CheckedRows

_EVEN = "even", "density"  # weights of some rows, and those of the others
PRIORS = ("none", "balance", "shift", "auto")
"""What may be made of how often classes come; see `distnorm.tasks.class_prior`."""


@dataclass(frozen=True, eq=False)
class State:
    """Settings and statistics; see `ScoreNormalization` for what each means."""

    spec: Method
    names: Sides
    strength: dict[str, float]
    params: dict[str, Any]
    input: str
    model: str | None
    prompt: str | None
    statistics: dict[str, SideStatistics]
    weights: str = "even"
    sketch: bool = True
    prior: str = "none"

    @classmethod
    def of(
        cls,
        method: str,
        strength: float | Mapping[str, float] | None,
        sides: tuple[str, str],
        model: str | None,
        prompt: str | None,
        input: str | None,
        params: Mapping[str, Any],
        weights: str | None = None,
        sketch: bool = True,
        prior: str = "none",
    ) -> State:
        """Checked settings, without statistics."""
        spec = find_method(method)
        check_prior(prior)
        names = Sides.of(sides)
        weights = spec.weights if weights is None else weights
        check_weighting(weights)
        if input is not None and input not in REQUIREMENTS:
            raise DistnormError(f"input {input!r}", "'unit', 'raw' or 'any'", "leave it out")
        both = (names.first, names.second)
        strengths = resolve_strength(strength, spec.strength, both)
        values = spec.check_params(params)
        empty = {side: spec.empty_statistics(values, sketch=sketch) for side in both}
        required = input or spec.rows
        about = (required, model, prompt, empty, weights, sketch, prior)
        return cls(spec, names, strengths, values, *about)

    @property
    def method(self) -> str:
        """The method's name."""
        return self.spec.name

    @property
    def sides(self) -> tuple[str, str]:
        """Names of the two sides."""
        return self.names.first, self.names.second

    @property
    def dimension(self) -> int | None:
        """The d of the embeddings, None before fitting."""
        dimensions = (s.moments.dimension for s in self.statistics.values())
        return next((d for d in dimensions if d is not None), None)

    @property
    def counts(self) -> dict[str, int]:
        """Rows the statistics of each side rest on."""
        return {side: s.moments.count for side, s in self.statistics.items()}

    def emptied(self) -> State:
        """The same settings, in objects of their own, without statistics."""
        kind = self.spec.empty_statistics
        empty = {side: kind(self.params, sketch=self.sketch) for side in self.sides}
        return replace(
            self, strength=dict(self.strength), params=dict(self.params), statistics=empty
        )

    def with_statistics(self, statistics: Mapping[str, SideStatistics]) -> State:
        """The same settings, in objects of their own, with other statistics of some sides."""
        return replace(
            self,
            strength=dict(self.strength),
            params=dict(self.params),
            statistics={**self.statistics, **statistics},
        )

    def weighted(self, weights: Any) -> State:
        """The same, with rows added from now on weighed as ``weights`` names, if it is a name."""
        if not isinstance(weights, str):
            return self
        check_weighting(weights)
        return replace(self, weights=weights)

    @property
    def settings(self) -> dict[str, Any]:
        """Parameters, weights that are not the method's own, and a prior: what a table names."""
        weights = {} if self.weights == self.spec.weights else {"weights": self.weights}
        return {**self.params, **weights, **self._prior}

    @property
    def weighting(self) -> str:
        """How rows count: even, density, or given where numbers were passed for them."""
        weighted = any(s.weighted for s in self.statistics.values()) and self.weights == "even"
        given = any(s.given for s in self.statistics.values())
        return "given" if given or weighted else self.weights

    @property
    def effective(self) -> dict[str, float]:
        """Rows that those of each side are worth by their weights."""
        return {side: s.moments.weight for side, s in self.statistics.items()}

    def with_rows(self, embeddings: Mapping[str, Rows | None], weights: Any = None) -> State:
        """Rows added, under each side's name or plural; see `ScoreNormalization.fit`."""
        by_side = self._by_side(embeddings)
        if not by_side:
            one, two = (self.names.plural(side) for side in self.sides)
            raise DistnormError("no embeddings", f"{one}= or {two}=", "pass at least one side")
        forms = {}
        dimension = self.dimension
        for side, x in by_side.items():
            forms[side] = check_form(x, self.names.plural(side), dimension)
            dimension = forms[side].shape[1]
        if len(forms) == 2:
            one, two = self.sides
            names = self.names.plural(one), self.names.plural(two)
            check_same_kind(forms[one], forms[two], names)
        updated = {}
        of_side = self._weights_by_side(weights, list(by_side))
        for side, rows in by_side.items():
            name = self.names.plural(side)
            # The values are looked at while they are added up.
            rows = rows if isinstance(rows, CheckedRows) else forms[side]
            found = self.statistics[side].with_rows(rows, name, of_side[side])
            even = isinstance(of_side[side], str) and (of_side[side], self.weights) == _EVEN
            updated[side] = replace(found, given=True) if even else found
            self._check_lengths(rows, name)
        return replace(self, statistics={**self.statistics, **updated})

    def without_rows(self, embeddings: Mapping[str, Rows | None]) -> State:
        """Rows taken out again, under each side's name or plural."""
        without = {
            side: self._weighed(self.fitted(side).without_rows(x, self.names.plural(side)), side)
            for side, x in self._by_side(embeddings).items()
        }
        return replace(self, statistics={**self.statistics, **without})

    def decayed(self, keep: float) -> State:
        """Statistics that count for a share ``keep`` of their rows."""
        decayed = {side: self._weighed(s.decay(keep), side) for side, s in self.statistics.items()}
        return replace(self, statistics=decayed)

    def merged(self, other: State) -> State:
        """Statistics of both."""
        for key in ("method", "sides", "strength", "params", "input", "weights", "prior"):
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
        return replace(
            self.with_statistics(
                {
                    side: self._weighed(s.merge(other.statistics[side]), side)
                    for side, s in self.statistics.items()
                }
            ),
            sketch=self.sketch and other.sketch,
            model=self.model if self.model is not None else other.model,
            prompt=self.prompt if self.prompt is not None else other.prompt,
        )

    def fitted(self, side: str) -> SideStatistics:
        """Statistics of a side; an error that names the remedy if there are none."""
        statistics = self.statistics[self.names.resolve(side)]
        if not statistics.moments.count:
            rows = self.names.plural(side)
            raise DistnormError(
                f"no statistics of the {side} side",
                f"a fit with {rows}=",
                f"call fit({rows}=...) first (of a classifier partial_fit), on the command line "
                f"distnorm fit with a file of that side, or set the strength of {side!r} to 0",
            )
        return statistics

    def check(self, x: Rows, side: str) -> CheckedRows:
        """Rows of ``side`` that these statistics can be used with."""
        name = self.names.plural(side)
        rows = checked(x, name, dimension=self.dimension)
        self._check_lengths(rows, name)
        return rows

    def check_pair(
        self, first: Rows, second: Rows, sides: tuple[str, str] | None = None
    ) -> tuple[CheckedRows, CheckedRows]:
        """Rows of both sides (the first and the second one unless named) that fit together."""
        one, two = sides or self.sides
        names = self.names.plural(one), self.names.plural(two)
        left, right = self.check(first, one), self.check(second, two)
        if left.shape[1] != right.shape[1]:
            raise DistnormError(
                f"{names[0]} of {left.shape[1]} and {names[1]} of {right.shape[1]} dimensions",
                "the same on both sides",
                "use embeddings of one model",
            )
        check_same_kind(left.rows, right.rows, names)
        return left, right

    def both_sides(self, embeddings: Mapping[str, Rows]) -> tuple[CheckedRows, CheckedRows]:
        """`check_pair` of rows under each side's name or plural."""
        by_side = {self.names.resolve(key): x for key, x in embeddings.items()}
        for side in self.sides:
            if by_side.get(side) is None:
                rows = self.names.plural(side)
                raise DistnormError(f"no {rows}", f"{rows}=", "pass both sides")
        first, second = (by_side[side] for side in self.sides)
        return self.check_pair(first, second)

    def one_side(
        self,
        call: str,
        rows: Rows | None,
        modality: str | None,
        named: Mapping[str, Rows],
        default: str,
    ) -> tuple[str, Rows]:
        """The side of rows that are given by position and ``modality``, or by keyword."""
        example = f"{call}({self.names.plural(default)}=...)"
        if (rows is None) != (len(named) == 1) or (named and modality is not None):
            raise DistnormError(
                f"{call} of {len(named) + (rows is not None)} sets of rows",
                "the rows of one side",
                f"e.g. {example}",
            )
        if rows is None:
            ((name, x),) = named.items()
            return self.names.resolve(name), x
        if modality is None and not self._sides_alike():
            raise DistnormError(
                f"{call} of rows whose side is not named",
                f"a name, as {self.sides[0]} and {self.sides[1]} are corrected differently",
                f"call {example} or pass modality=",
            )
        return self.names.resolve(default if modality is None else modality), rows

    def to_dict(self) -> dict[str, Any]:
        """Everything that affects ranking, for JSON."""
        settings = {
            "method": self.spec.name,
            "strength": dict(self.strength),
            "params": dict(self.params),
            "sides": list(self.sides),
            "input": self.input,
            "model": self.model,
            "prompt": self.prompt,
            "dimension": self.dimension,
            "counts": self.counts,
        }
        if self.weighting != "even":
            settings["weights"] = self.weighting
            settings["effective"] = self.effective
        settings = settings if self.sketch else {**settings, "sketch": False}
        return {**settings, **self._prior}

    @property
    def _prior(self) -> dict[str, str]:
        return {} if self.prior == "none" else {"prior": self.prior}

    def _weighed(self, statistics: SideStatistics, side: str) -> SideStatistics:
        """A bank of other rows than before, weighed anew if it is by density."""
        anew = self.weights == "density" and statistics.bank
        return statistics.weighed(self.names.plural(side)) if anew else statistics

    def _weights_by_side(self, weights: Any, sides: list[str]) -> dict[str, Any]:
        if isinstance(weights, Mapping):
            named = {self.names.resolve(key): values for key, values in weights.items()}
            foreign = [side for side in named if side not in sides]
            if foreign:
                rows = self.names.plural(foreign[0])
                raise DistnormError(f"weights of {rows}", f"{rows}= too", "pass both or neither")
            for value in named.values():
                if isinstance(value, str):
                    check_weighting(value)
            found = {side: named.get(side) for side in sides}
            return {side: self.weights if w is None else w for side, w in found.items()}
        if weights is None or isinstance(weights, str):
            return dict.fromkeys(sides, self.weights)
        if len(sides) > 1:
            one, two = map(self.names.plural, self.sides)
            raise DistnormError(
                "one array of weights for two sides",
                f"{{{one!r}: ..., {two!r}: ...}}",
                "say whose weights they are",
            )
        return dict.fromkeys(sides, weights)

    def _by_side(self, embeddings: Mapping[str, Rows | None]) -> dict[str, Rows]:
        return {self.names.resolve(key): x for key, x in embeddings.items() if x is not None}

    def _check_lengths(self, rows: Rows, name: str) -> None:
        check_lengths(rows, name, self.spec.name, self.input)

    def _sides_alike(self) -> bool:
        """Whether both sides have the same strength and statistics."""
        if not self.spec.corrects or not any(self.strength.values()):
            return True
        one, two = (self.statistics[side].moments for side in self.sides)
        same_rows = one.count == two.count and np.array_equal(one.sum, two.sum)
        return len(set(self.strength.values())) == 1 and same_rows


def check_prior(name: object) -> None:
    """Raise unless ``name`` is one of `PRIORS`."""
    if name not in PRIORS:
        raise DistnormError(
            f"prior {name!r}", f"one of {', '.join(PRIORS)}", "'none' leaves classes as they score"
        )

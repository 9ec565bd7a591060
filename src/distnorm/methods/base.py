"""A method: what it is called, what it needs, and what it computes from two sides' statistics.

With x, y rows of the two sides, b_X, b_Y item biases and s_X, s_Y strengths, a method's score is

    score(x, y) = x.y - s_Y b_Y(x) - s_X b_X(y) + constant

A `Method` holds whichever of these functions it has: ``direction`` where b(y) = w . y, so that
subtracting s w from the queries does the same; ``bias`` for any other b; ``gate`` where b counts
for some queries only; ``transform`` where both vectors change instead. What others may ask
follows from that.
"""

from __future__ import annotations

import math
import numbers
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from distnorm.arrays import Array, Bools, Float64
from distnorm.errors import DistnormError
from distnorm.methods.statistics import SideStatistics
from distnorm.moments import Moments

__all__ = [
    "Method",
    "Parameter",
    "flag",
    "flag_or_none",
    "positive",
    "positive_integer",
    "real",
    "seed",
    "share",
]

Params = Mapping[str, Any]

LARGEST = 1e6
"""Strengths and parameters beyond it leave nothing of a score but rounding, or overflow."""


@dataclass(frozen=True)
class Parameter:
    """A parameter's default and what values it may have; a ``quiet`` default is not stated."""

    default: Any
    check: Callable[[str, Any], None]
    quiet: bool = False


@dataclass(frozen=True)
class Method:
    """One method; strengths are applied outside, in `distnorm.normalization`.

    Q and I are the statistics of the queries' and of the items' side.
    """

    name: str
    title: str
    reference: str
    strength: float = 0.5  # default, for both query sides
    parameters: Mapping[str, Parameter] = field(default_factory=dict)  # by name
    # (Q, I, params) -> w, (d,) float64
    direction: Callable[[SideStatistics, SideStatistics, Params], Float64] | None = None
    # (items, Q, I, params) -> (n,)
    bias: Callable[[Array, SideStatistics, SideStatistics, Params], Array] | None = None
    # (Q, I, params) -> what parameters that are left open come to; None where that depends on the
    # items of a call
    in_force: Callable[[SideStatistics, SideStatistics, Params], Params] | None = None
    # (scores of a bank with the items, (m, n), params) -> (n,): the bias where there are no vectors
    of_scores: Callable[[Float64, Params], Float64] | None = None
    # (items, Q) -> (n,) bool: items whose bias counts for a query that likes them best
    gate: Callable[[Array, SideStatistics], Bools] | None = None
    # (rows, mean to subtract with its strength or None, their name) -> rows
    transform: Callable[[Array, Float64 | None, str], Array] | None = None
    needs_bank: bool = False  # whether fitted rows are kept
    order: int = 1  # of the moments kept
    rows: str = "unit"  # what they must be like: unit or raw
    factor: float = 1.0  # what makes the two-sided score the published one
    corrects: bool = True  # False for the dot product, the same at every strength
    chooses: bool = False  # whether another method serves the queries of each side
    # whether a temperature is set from the scores' spread over the items' side
    scale_aware: bool = False
    whole_gallery: bool = False  # whether an item's bias depends on all items of a call
    weights: str = "even"  # how fitted rows count unless said otherwise

    @property
    def params(self) -> dict[str, Any]:
        """Default of each parameter."""
        return {
            name: parameter.default
            for name, parameter in self.parameters.items()
            if not parameter.quiet
        }

    @property
    def shifts_queries(self) -> bool:
        """Whether the ranking needs nothing but a change of the query vector."""
        return self.direction is not None or not self.corrects

    @property
    def has_item_bias(self) -> bool:
        """Whether the score is q . y minus a bias of each item."""
        return not self.gated and not self.transforms

    @property
    def two_sided(self) -> bool:
        """Whether there is a score that compares pairs of different queries."""
        return not self.gated

    @property
    def gated(self) -> bool:
        """Whether the bias counts for some queries only."""
        return self.gate is not None

    @property
    def transforms(self) -> bool:
        """Whether both vectors change, and not the query alone."""
        return self.transform is not None

    def check_params(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """Parameters with defaults filled in."""
        for key in params:
            if key not in self.parameters:
                raise DistnormError(
                    f"parameter {key!r} for {self.name}",
                    f"one of {', '.join(self.parameters)}" if self.parameters else "no parameters",
                    "see distnorm.METHODS",
                )
        values = {**self.params, **params}
        for key in list(values):
            parameter = self.parameters[key]
            parameter.check(key, values[key])
            if parameter.quiet and values[key] == parameter.default:
                del values[key]
        return values

    def empty_statistics(self, params: Mapping[str, Any], *, sketch: bool = True) -> SideStatistics:
        """Statistics of no rows, of the kind this method needs."""
        moments = Moments(order=self.order, rank=params.get("rank"), sketch=sketch)
        return SideStatistics(moments, () if self.needs_bank else None)

    def item_by_item(
        self, params: Mapping[str, Any], queries: SideStatistics, others: SideStatistics
    ) -> bool:
        """Whether an item's bias is the same whatever other items it is computed with."""
        by_call = self.scale_aware and params["beta"] is None and not others.moments.count
        own = params.get("own") or (queries.weights is not None and params.get("own") is None)
        matched_by_call = "own" in self.parameters and own and not others.bank
        return not (self.whole_gallery or by_call or matched_by_call)


def real(name: str, value: object) -> float:
    """``value`` as a float if it is a real number within `LARGEST`, else raise."""
    number = math.nan
    if isinstance(value, numbers.Real) and not isinstance(value, bool):
        try:
            number = float(value)
        except OverflowError:
            value = math.inf  # a whole number may be larger than any float, and long to write
    if not abs(number) <= LARGEST:
        raise DistnormError(
            f"{name} = {value!r}",
            f"a finite real number, at most {LARGEST:g} either way",
            "0 is the dot product, 0.5 the paper's DN"
            if name.startswith("strength")
            else "leave it out for the default",
        )
    return number


def positive(name: str, value: object) -> None:
    """Raise unless ``value`` is None or a number above 0."""
    if value is not None and real(name, value) <= 0:
        raise DistnormError(f"{name} = {value!r}", "a number above 0", "see the method's docs")


def positive_integer(name: str, value: object) -> None:
    """Raise unless ``value`` is None or an integer from 1 on."""
    whole = isinstance(value, numbers.Integral) and not isinstance(value, bool)
    if value is not None and not (whole and int(value) >= 1):  # type: ignore[call-overload]
        raise DistnormError(f"{name} = {value!r}", "a positive integer", "see the method's docs")


def share(name: str, value: object) -> None:
    """Raise unless ``value`` is None or a number in [0, 1]."""
    if value is not None and not 0 <= real(name, value) <= 1:
        raise DistnormError(f"{name} = {value!r}", "a number in [0, 1]", "leave it out for auto")


def seed(name: str, value: object) -> None:
    """Raise unless ``value`` is an integer from 0 on."""
    if isinstance(value, bool) or not isinstance(value, numbers.Integral) or value < 0:
        raise DistnormError(f"{name} = {value!r}", "an integer from 0 on", "leave it out for 0")


def flag_or_none(name: str, value: object) -> None:
    """Raise unless ``value`` is None, True or False."""
    if value is not None:
        flag(name, value)


def flag(name: str, value: object) -> None:
    """Raise unless ``value`` is True or False."""
    if value not in (False, True):
        raise DistnormError(f"{name} = {value!r}", "True or False", "leave it out")

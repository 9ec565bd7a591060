"""What calibration asks of a normalization, which stands above it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from distnorm.arrays import Array, CheckedRows
from distnorm.methods.base import Method
from distnorm.methods.sides import Sides
from distnorm.methods.statistics import SideStatistics
from distnorm.moments import Moments

__all__ = ["Scorer"]


class Corrected(Protocol):
    """What serves the queries of one side."""

    @property
    def strength(self) -> float: ...


class Noted(Protocol):
    """Tables that were made for the present scores."""

    @property
    def calibration(self) -> Mapping[str, Any] | None: ...

    @property
    def probability(self) -> Mapping[str, Any] | None: ...


class Scorer(Protocol):
    """A fitted `distnorm.ScoreNormalization`."""

    @property
    def spec(self) -> Method: ...  # noqa: D102

    @property
    def method(self) -> str: ...  # noqa: D102

    @property
    def names(self) -> Sides: ...  # noqa: D102

    @property
    def sides(self) -> tuple[str, str]: ...  # noqa: D102

    @property
    def strength(self) -> Mapping[str, float]: ...  # noqa: D102

    @property
    def params(self) -> Mapping[str, Any]: ...  # noqa: D102

    @property
    def input(self) -> str: ...  # noqa: D102

    @property
    def counts(self) -> Mapping[str, int]: ...  # noqa: D102

    @property
    def statistics(self) -> Mapping[str, SideStatistics]: ...  # noqa: D102

    @property
    def notes(self) -> Noted: ...  # noqa: D102

    def moments(self, side: str) -> Moments | None: ...  # noqa: D102

    def correction(self, side: str) -> Corrected: ...  # noqa: D102

    def check_pair(  # noqa: D102
        self, first: Array | CheckedRows, second: Array | CheckedRows
    ) -> tuple[CheckedRows, CheckedRows]: ...

    def similarity(  # noqa: D102
        self, first: Array | CheckedRows, second: Array | CheckedRows
    ) -> Array: ...

    def paired_similarity(  # noqa: D102
        self, first: Array | CheckedRows, second: Array | CheckedRows
    ) -> Array: ...

    def clone(self) -> Scorer: ...  # noqa: D102

    def partial_fit(self, **embeddings: Array | CheckedRows) -> Scorer: ...  # noqa: D102

    def with_statistics(self, statistics: Mapping[str, SideStatistics]) -> Scorer: ...  # noqa: D102

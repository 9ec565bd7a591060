"""What calibration asks of a normalization, which stands above it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from distnorm.arrays import Array, CheckedRows
from distnorm.methods.base import Method
from distnorm.methods.sides import Sides
from distnorm.methods.statistics import SideStatistics
from distnorm.metrics.ranking import Ranking
from distnorm.moments import Moments

__all__ = ["Scorer"]

Rows = Array | CheckedRows
CheckedPair = tuple[CheckedRows, CheckedRows]


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

    @property
    def dropped(self) -> tuple[str, ...]: ...


class Scorer(Protocol):
    """A fitted `distnorm.ScoreNormalization`."""

    spec: Method
    method: str
    names: Sides
    sides: tuple[str, str]
    strength: dict[str, float]
    params: dict[str, Any]
    input: str
    counts: dict[str, int]
    statistics: dict[str, SideStatistics]

    @property
    def notes(self) -> Noted: ...  # noqa: D102

    def moments(self, side: str) -> Moments | None: ...  # noqa: D102

    def correction(self, side: str) -> Corrected: ...  # noqa: D102

    def check_pair(self, first: Rows, second: Rows) -> CheckedPair: ...  # noqa: D102

    def similarity(self, first: Rows, second: Rows) -> Array: ...  # noqa: D102

    def ranking(self, queries: Rows, items: Rows, modality: str = ...) -> Ranking: ...  # noqa: D102

    def paired_similarity(self, first: Rows, second: Rows) -> Array: ...  # noqa: D102

    def clone(self) -> Scorer: ...  # noqa: D102

    def partial_fit(self, *, weights: Any = None, **embeddings: Rows) -> Scorer: ...  # noqa: D102

    def with_statistics(self, statistics: Mapping[str, SideStatistics]) -> Scorer: ...  # noqa: D102

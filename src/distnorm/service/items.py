"""What is searched by a service: a store held in memory, or a running index, by one interface.

All of it runs in one thread (`Batches`): some systems' connections belong to the thread that opened
them. Lists are fetched to a depth beyond k, so that an item has its place in the other lists too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from distnorm.arrays import Float32, Float64
from distnorm.normalization import ScoreNormalization
from distnorm.service.rankings import Ranking, Rankings

__all__ = ["DEPTH", "Items", "Line", "Wish", "frozen"]

DEPTH = 100


@dataclass(frozen=True)
class Wish:
    """A query row (d,), the rankings it is wanted in, and how many items of each."""

    row: Float32
    rankings: tuple[Ranking, ...]
    k: int
    side: str
    filter: Any = None


@dataclass(frozen=True)
class Line:
    """One list of one query, to its depth: ids and scores, best first."""

    ids: tuple[Any, ...]
    scores: Float64
    label: str
    exact: bool
    without_bias: int = 0


class Items(Protocol):
    """A store or an index that is open."""

    name: str
    side: str
    dimension: int
    filters: str
    commit: Any
    shared: bool
    """Whether several threads may search at once."""

    @property
    def count(self) -> int | None:
        """Number of items, None where the system does not say."""

    def lines(self, wishes: Sequence[Wish], rankings: Rankings) -> list[list[Line]]:
        """For each wish its lists, in the order of its rankings."""

    def scores(self, wish: Wish, ids: Sequence[Any], rankings: Rankings) -> list[Float64] | None:
        """Scores of items in each of a wish's rankings, None where only lists have them."""

    def two_sided(
        self, lists: Sequence[tuple[Wish, Line]], norm: ScoreNormalization
    ) -> Float64 | None:
        """Two-sided scores of the first k items of lists, one after the other; None for none."""

    def told(self, ids: Sequence[Any]) -> list[dict[str, Any]]:
        """Name, row, caption and fields of items."""

    def names_row(self, row: int) -> bool:
        """Whether there is a row of this number that has a name."""

    def sample(self, n: int) -> Float32 | None:
        """Unit rows of up to n items, evenly spaced; None where there are none to be had."""

    def check_filter(self, filter: Any) -> None:
        """Raise for what is no filter of these items."""

    def picture(self, row: int) -> Path | None:
        """The file of a row's picture, if it is one of the collection's."""

    def close(self) -> None:
        """Let go of it."""


def frozen(value: Any) -> Any:
    """A filter as a key."""
    if isinstance(value, dict):
        return tuple((key, frozen(entry)) for key, entry in value.items())
    return tuple(map(frozen, value)) if isinstance(value, list) else (type(value).__name__, value)

"""A saved normalization as a search uses it."""

from __future__ import annotations

from dataclasses import dataclass, replace

from distnorm.errors import DistnormError
from distnorm.normalization import ScoreNormalization, load
from distnorm.search.query import Query
from distnorm.storage import read

__all__ = ["NormalizationFile"]


@dataclass(frozen=True)
class NormalizationFile:
    """A normalization and the checksum of its file; neither where no file is named."""

    norm: ScoreNormalization | None = None
    checksum: str = ""

    @classmethod
    def load(cls, path: str | None) -> NormalizationFile:
        """What a file holds."""
        return cls() if path is None else cls(load(path), read(path)[2])

    @property
    def correcting(self) -> ScoreNormalization | None:
        """The normalization, unless it is the dot product."""
        return self.norm if self.norm is not None and self.norm.spec.corrects else None

    @property
    def prompt(self) -> str | None:
        """How the texts of the statistics were worded, where that is known."""
        return None if self.norm is None else self.norm.prompt

    def called(self, query: Query, side: str) -> Query:
        """The query under its side's name here: the one opposite to the items' ``side``."""
        if self.norm is None or side == "both" or query.side in self.norm.sides:
            return query
        return replace(query, side=self.norm.names.other(self.norm.names.resolve(side)))

    def check(self, query: Query, side: str) -> None:
        """Raise unless it serves this query among items of ``side`` (or "both")."""
        if self.norm is None:
            return
        if query.side == side:
            raise DistnormError(
                f"a normalization for {side} queries among {side} items",
                "a query of the other side",
                "leave --normalization out, or search the other --side",
            )
        if self.norm.model not in (None, query.model):
            raise DistnormError(
                f"a normalization of {self.norm.model!r}",
                f"one of {query.model!r}",
                "fit one on this model's embeddings",
            )

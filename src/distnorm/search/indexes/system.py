"""`System`: what an adapter translates, and what an index can serve. It knows no lists of results.

An adapter gives raw answers in its own unit; `ranking` makes lists of them, `biases` stores a bias
per item, `check` looks at what is stored. `base.Index` puts all of it behind one front.
"""

from __future__ import annotations

import abc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt

from distnorm.arrays import is_unit_length
from distnorm.errors import DistnormError
from distnorm.normalization import ScoreNormalization
from distnorm.search.indexes.bias_store import BiasStore
from distnorm.search.indexes.recovery import metric_of

__all__ = ["Capabilities", "Hits", "System"]

Self = TypeVar("Self", bound="System")


class Hits(NamedTuple):
    """One query's answer as the system gives it: ids, values in its unit, stored biases."""

    ids: list[Any]
    values: Any
    biases: Any = None


@dataclass(frozen=True)
class Capabilities:
    """What an index can serve: its answers' unit, the rows' dimensions, exactness and limits.

    With ``bias_dimension`` the last stored dimension holds the bias: [q, -1] ranks by q.x - b(x).
    """

    unit: str
    dimension: int
    exact: bool
    max_k: int | None = None
    bias_dimension: bool = False

    @property
    def metric(self) -> str:
        """ip, cos or l2."""
        return metric_of(self.unit)

    @property
    def query_dimension(self) -> int:
        """Dimensions of a query."""
        return self.dimension - self.bias_dimension

    def at_most(self, k: int) -> int:
        """So many items, or as many as the system returns."""
        return k if self.max_k is None else min(k, self.max_k)


class System(abc.ABC):
    """What one adapter says of its index, and how it is asked.

    ``failures`` are what the system raises, ``closing`` lets go of what `open` made.
    """

    system: ClassVar[str]
    failures: tuple[type[BaseException], ...] = ()
    place: str
    capabilities: Capabilities
    model: str | None = None
    biases: BiasStore | None = None
    _seen_unit: bool = False
    closing: Callable[[], object] | None = None

    @abc.abstractmethod
    def count(self) -> int:
        """Number of items."""

    @abc.abstractmethod
    def nearest(
        self, queries: npt.NDArray[np.float32], k: int, column: str | None = None
    ) -> list[Hits]:
        """The raw answer to each query, nearest first, with biases of ``column`` if at hand."""

    @abc.abstractmethod
    def vectors(self, batch: int) -> Iterator[tuple[list[Any], npt.NDArray[np.float32]]]:
        """All items in batches of (ids, rows), to be iterated while biases are written."""

    @classmethod
    def owning(
        cls: type[Self], closing: Callable[[], object], *arguments: Any, **options: Any
    ) -> Self:
        """An index that lets go of what was opened for it, at once if it cannot be made."""
        try:
            index = cls(*arguments, **options)
        except BaseException:
            closing()
            raise
        index.closing = closing
        return index

    def close(self) -> None:
        """Let go of files and connections that `open` made; what was handed in stays open."""
        if self.closing is not None:
            self.closing()
            self.closing = None

    def __enter__(self: Self) -> Self:
        """Itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close."""
        self.close()

    def __repr__(self) -> str:
        """One line."""
        kind = "exact" if self.exact else "approximate"
        return f"{type(self).__name__}({self.place!r}, {self.dimension} dimensions, {kind})"

    @property
    def dimension(self) -> int:
        """Of the stored rows."""
        return self.capabilities.dimension

    @property
    def exact(self) -> bool:
        """Whether a query is compared with every item."""
        return self.capabilities.exact

    @property
    def metric(self) -> str:
        """ip, cos or l2."""
        return self.capabilities.metric

    @contextmanager
    def plain_errors(self, doing: str) -> Iterator[None]:
        """Turn what the system raises into one line."""
        try:
            yield
        except DistnormError:
            raise
        except Exception as error:
            if not isinstance(error, (*self.failures, OSError)):
                raise
            lines = str(error).strip().splitlines() or [type(error).__name__]
            slow = isinstance(error, TimeoutError) or "timed out" in str(error).lower()
            raise DistnormError(
                f"{lines[0][:200]!r} from {self.system} on {doing} in {self.place}",
                "an answer in time" if slow else "an answer",
                "raise timeout= or look at the server" if slow else "look at the index and its log",
            ) from error

    def check_normalization(self, norm: ScoreNormalization) -> None:
        """Raise for other dimensions, another model, or rows that the statistics do not fit."""
        dimension = self.capabilities.query_dimension
        if norm.dimension not in (None, dimension):
            raise DistnormError(
                f"a normalization of {norm.dimension} dimensions for {self.place}",
                f"{dimension} dimensions",
                "use one fitted on the embeddings of the index's model",
            )
        if None not in (norm.model, self.model) and norm.model != self.model:
            raise DistnormError(
                f"a normalization of {norm.model!r} for {self.place}",
                f"one of {self.model!r}",
                "fit one on embeddings of the index's model",
            )
        if norm.input == "unit" and self.metric == "ip":
            self.check_unit_rows()

    def check_unit_rows(self) -> None:
        """Look at some stored rows, once: L2 and DN both rest on rows of unit length."""
        if self._seen_unit:
            return
        with self.plain_errors("read vectors"):
            sample = next(iter(self.vectors(64)), None)
        # What cannot be looked at, such as a server that keeps its rows, is taken on trust.
        rows = None if sample is None else sample[1][:, : self.capabilities.query_dimension]
        if rows is not None and len(rows) and not is_unit_length(rows):
            raise DistnormError(
                f"rows in {self.place} that are not of unit length",
                "unit rows",
                "index normalised embeddings, or use a cosine index",
            )
        self._seen_unit = True

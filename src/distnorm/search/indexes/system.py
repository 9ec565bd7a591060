"""`System`: what an adapter translates, and what an index can serve. It knows no lists of results.

An adapter gives raw answers in its own unit; `ranking` makes lists of them, `biases` stores a bias
per item, `check` looks at what is stored. `base.Index` puts all of it behind one front.
"""

from __future__ import annotations

import abc
import json
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, ClassVar, NamedTuple, TypeVar

import numpy as np

from distnorm.arrays import Float32, NDArray, is_unit_length
from distnorm.errors import DistnormError, first_line, masked
from distnorm.normalization import ScoreNormalization
from distnorm.search.indexes.bias_store import BiasStore
from distnorm.search.indexes.probe import Probe, Trial, judge, trial_queries
from distnorm.search.indexes.recovery import metric_of

__all__ = ["Batch", "Capabilities", "Hits", "System"]

Batch = tuple[list[Any], Float32]
"""Ids and rows of some items."""

Self = TypeVar("Self", bound="System")
_SAMPLE, _TRIED = 64, 16
# What a client's own code may raise beside what it says: all of it becomes one line.
_USUAL = (
    *(ArithmeticError, AssertionError, LookupError, OSError),
    *(RuntimeError, TypeError, ValueError),
)
_CLIENTS = frozenset(
    {
        *("chromadb", "grpc", "httpcore", "httpx", "lance", "lancedb", "pyarrow", "pydantic_core"),
        *("pymilvus", "qdrant_client", "requests", "sqlite3", "urllib3"),
    }
)
_UNREACHED = re.compile("connection refused|fail connecting|failed to connect|unavailable", re.I)
# Mean length of what a compressed index makes of unit rows, and what its scores need.
_LONGEST, _LOST = 1.1, 0.8


class Hits(NamedTuple):
    """One query's answer as the system gives it: ids, values in its unit, stored biases."""

    ids: list[Any]
    values: Any
    biases: Any = None


@dataclass(frozen=True)
class Capabilities:
    """What an index can serve: its answers' unit, the rows' dimensions, exactness and limits.

    With ``bias_dimension`` the last stored dimension holds the bias: [q, -1] ranks by q.x - b(x).
    ``compressed`` rows come back roughly, and not at the length they had. Scores of an index that
    ``orders_only`` and keeps its rows are not taken for those of the rows that were added.
    """

    unit: str
    dimension: int
    exact: bool
    max_k: int | None = None
    bias_dimension: bool = False
    compressed: bool = False
    orders_only: bool = False

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

    ``counts_items`` says whether `count` knows, ``failures`` are what the system raises,
    ``closing`` lets go of what `open` made, ``vector`` names the vectors where items may have
    several.
    """

    system: ClassVar[str]
    counts_items: ClassVar[bool] = True
    filters: ClassVar[str] = ""
    """What ``filter=`` of a search takes, in words; empty where the system has no filters."""
    failures: tuple[type[BaseException], ...] = ()
    place: str
    capabilities: Capabilities
    model: str | None = None
    biases: BiasStore | None = None
    rebuild: str = "build the index of float32 rows, by inner product, cosine or L2"
    """What to do where its scores are not those of its rows."""
    apart: str = "give each vector an id of its own"
    """What to do where several vectors share an id."""
    vector: str = ""
    one_vector: bool = True
    """Whether its items have no other vector than this one."""
    told_by: ClassVar[int] = 2
    """How many last parts of its place tell it from others: a file may be moved."""
    shelf: str = ""
    """What tells its biases from another index's in a folder that both may use."""
    closing: Callable[[], object] | None = None
    subtracts: bool = False
    """Whether `subtracting` works: the system ranks by stored numbers itself."""

    @abc.abstractmethod
    def count(self) -> int:
        """Number of items."""

    @abc.abstractmethod
    def nearest(
        self, queries: Float32, k: int, column: str | None = None, filter: Any = None
    ) -> list[Hits]:
        """The raw answer to each query, nearest first, with biases of ``column`` if at hand.

        ``filter`` is what the caller passed, as `filters` describes it.
        """

    @abc.abstractmethod
    def vectors(self, batch: int) -> Iterator[Batch]:
        """All items in batches of (ids, rows), to be iterated while biases are written."""

    def subtracting(
        self, queries: Float32, k: int, first: int, column: str, mean: float, filter: Any = None
    ) -> list[Hits]:
        """The k best of the ``first`` nearest by q.x less their number, or the mean without one.

        Values are q.x, biases the numbers under ``column``.
        """
        # Asked only of systems that say they subtract: the others are ranked again here.
        raise NotImplementedError

    def sample(self, n: int) -> Batch | None:
        """Ids and rows of a few items; None where the system keeps its rows."""
        return next(iter(self.vectors(n)), None)

    def rows_of(self, ids: Sequence[Any]) -> Mapping[Any, NDArray]:
        """Rows of items by id; those that cannot be had are left out. By default, of those seen."""
        return dict(zip(*self.seen, strict=True))

    def payloads(self, ids: Sequence[Any], fields: Sequence[str]) -> Mapping[Any, dict[str, Any]]:
        """Fields of items by id; a field that an item lacks is left out."""
        raise DistnormError(
            f"fields= for {self.place}",
            "a system that keeps more than ids and vectors",
            "leave fields out, and look the ids up where the rest is kept",
        )

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

    @property
    def bias_target(self) -> str:
        """Which vectors of which index the biases are of, as far as their place does not say."""
        parts = [self.vector, self.shelf]
        return json.dumps(parts) if any(parts) else ""

    @cached_property
    def bias_names(self) -> dict[str, tuple[Any, str]]:
        """For each side the correction last asked for, and the name of its biases."""
        return {}

    def content(self) -> dict[str, Any] | None:
        """What tells this state of the index from a later one; None where it cannot be told."""
        return None

    def unchanged(self, about: Mapping[str, Any]) -> bool:
        """Whether the index is as it was when biases were published."""
        return True

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
        return f"{type(self).__name__}({masked(self.place)!r}, {self.dimension} dimensions, {kind})"

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
        except BaseException as error:
            # What libraries of Rust raise where they give up is no Exception.
            panic = type(error).__name__ in ("PanicException", "RustPanic")
            if not isinstance(error, Exception) and not panic:
                raise
            client = panic or type(error).__module__.partition(".")[0] in _CLIENTS
            if not client and not isinstance(error, (*self.failures, *_USUAL)):
                raise
            usual = ("an answer", "look at the index and its log")
            got = f"{first_line(error)!r} from {self.system} on {doing} in {self.place}"
            raise DistnormError(got, *(self.remedy(error, doing) or usual)) from error

    def remedy(self, error: BaseException, doing: str) -> tuple[str, str] | None:
        """What was expected and what to do about a failure, where more can be said than usual."""
        if isinstance(error, TimeoutError) or "timed out" in str(error).lower():
            return "an answer in time", "raise timeout= or look at the server"
        if isinstance(error, ConnectionError) or _UNREACHED.search(str(error)):
            return "a running server", "check the address, and whether the server runs"
        if doing == "write biases":
            return (
                "a place for biases that may be written",
                "keep them in a folder: biases=FOLDER, or --biases FOLDER",
            )
        return None

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

    @cached_property
    def seen(self) -> tuple[list[Any], NDArray]:
        """Some items, looked at once; none where the system keeps its rows or has none."""
        with self.plain_errors("read vectors"):
            sample = self.sample(_SAMPLE)
        if sample is None or not len(sample[0]):
            return [], np.empty((0, self.dimension), np.float32)
        self.check_ids(sample[0])
        return sample

    def check_ids(self, ids: Sequence[Any]) -> None:
        """Raise for an id of several vectors: a bias would not know which of them it is of."""
        try:
            several = len(set(ids)) < len(ids)
        except TypeError as error:
            kind = next(type(item).__name__ for item in ids if isinstance(item, (list, dict, set)))
            raise DistnormError(
                f"ids of type {kind} in {self.place}",
                "numbers, texts or UUIDs",
                "name another column of ids with id=",
            ) from error
        if several:
            item = Counter(ids).most_common(1)[0][0]
            raise DistnormError(
                f"the id {item!r} of several vectors in {self.place}",
                "an id per vector",
                self.apart,
            )

    @cached_property
    def probe(self) -> Probe:
        """What the system's scores are worth; `capabilities` takes the unit that was seen."""
        ids, rows = self.seen
        unit = self.capabilities.unit
        if not len(ids):
            return Probe(unit, scores=not self.capabilities.orders_only)
        queries = trial_queries(rows)
        trials = []
        with self.plain_errors("search"):
            answers = self.nearest(queries, self.capabilities.at_most(_TRIED))
        for hits in answers:
            self.check_ids(hits.ids)
        for query, hits in zip(queries.astype(np.float64), answers, strict=True):
            with self.plain_errors("read vectors"):
                known = self.rows_of(hits.ids)
            met = [at for at, item in enumerate(hits.ids) if item in known]
            read = [np.asarray(known[hits.ids[at]], np.float64) for at in met]
            values = np.asarray(hits.values, np.float64)[met]
            trials.append(Trial(query, values, np.reshape(read, (len(met), self.dimension))))
        probe = judge(unit, trials)
        if self.capabilities.compressed:
            # Much of a row is lost where what is left of its length is short.
            probe = replace(probe, scores=probe.scores and _mean_length(rows) >= _LOST)
        self.capabilities = replace(self.capabilities, unit=probe.unit)
        return probe

    def offers(self, what: str) -> None:
        """Raise unless the probe found that ``raw``, ``shift`` or ``biases`` come out right."""
        if not getattr(self.probe, what):
            ids, rows = self.seen
            for item in (ids[at] for at in np.flatnonzero(~np.isfinite(rows).all(axis=1))):
                raise DistnormError(
                    f"NaN or infinity in the vector of {item!r} in {self.place}",
                    "finite numbers",
                    "embed such items again, or take them out",
                )
            raise DistnormError(
                f"scores of {self.place} that are not those of the rows it gives back",
                "inner product, cosine or L2 of its rows",
                self.rebuild,
            )

    @cached_property
    def certifies(self) -> bool:
        """Whether lists may be called exact: all items are compared, as they are stored."""
        return self.exact and not self.capabilities.compressed and self.probe.certifies

    def check_unit_rows(self) -> None:
        """L2 and DN both rest on rows of unit length."""
        if not self.unit_rows:
            lengths = np.linalg.norm(self.seen[1][:, : self.capabilities.query_dimension], axis=1)
            worst = int(np.argmax(np.abs(np.nan_to_num(lengths, nan=np.inf) - 1)))
            raise DistnormError(
                f"rows in {self.place} that are not of unit length, such as that of "
                f"{self.seen[0][worst]!r} of length {lengths[worst]:.3g}",
                "unit rows",
                "index normalised embeddings, or use a cosine index",
            )

    @property
    def unit_rows(self) -> bool:
        """Whether rows have length 1, or are those of a cosine index; on trust if not seen."""
        rows = self.seen[1][:, : self.capabilities.query_dimension]
        if not len(rows) or self.metric == "cos":
            return True
        if self.capabilities.compressed:
            return 0 < _mean_length(rows) <= _LONGEST
        return is_unit_length(rows)


def _mean_length(rows: NDArray) -> float:
    return float(np.mean(np.linalg.norm(rows.astype(np.float64), axis=1)))

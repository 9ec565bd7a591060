"""`Index`: one running index, searched by dot or normalized; adapters only translate.

A linear method changes the query and nothing else. Any other method needs one number an item,
which is stored beside it: the list of highest q.x is fetched longer than asked for and ranked
again by q.x - b(x). With m the lowest stored bias and v the last q.x of the fetched list, no item
outside it scores above v - m: where the system compares with every item, a list whose k-th score
reaches that is surely the exact one, and with ``certify`` it grows until it is.
"""

from __future__ import annotations

import abc
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, ClassVar, Literal, NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt

from distnorm.arrays import Array, is_unit_length
from distnorm.calibration.score_kinds import score_kind
from distnorm.errors import DistnormError
from distnorm.normalization import ScoreNormalization
from distnorm.search.indexes.arguments import positive, query_rows
from distnorm.search.indexes.recovery import (
    inner_products,
    linear_queries,
    metric_of,
    own_biases,
)
from distnorm.search.indexes.results import Both, Found

__all__ = ["Hits", "Index", "Mode"]

Mode = Literal["dot", "normalized", "both"]
Self = TypeVar("Self", bound="Index")
_MODES = ("dot", "normalized", "both")


class Hits(NamedTuple):
    """One query's answer as the system gives it: ids, values in its unit, stored biases."""

    ids: list[Any]
    values: Any
    biases: Any = None


class Index(abc.ABC):
    """A system's index behind one front.

    Each adapter has a classmethod ``open(target, ...)`` too, whose keywords are its options in a
    spec, and a constructor that takes what is open already.

    Attributes
    ----------
    system : str
        Its name in specs.
    place : str
        Which index this is, for messages.
    unit : str
        What the system answers in, a key of `recovery.UNITS`.
    dimension : int
        Of the stored rows.
    exact : bool
        Whether it compares a query with every item.
    max_k : int or None
        Most items it returns.
    model : str or None
        Model of the stored rows where that is known.
    biases : BiasStore or None
        Where numbers an item are kept.
    bias_dimension : bool
        Whether the last stored dimension holds the bias, so that [q, -1] ranks by q.x - b(x).
    failures : tuple of exception types
        What the system raises.
    """

    system: ClassVar[str]
    failures: tuple[type[BaseException], ...] = ()
    place: str
    unit: str
    dimension: int
    exact: bool
    max_k: int | None = None
    model: str | None = None
    biases: Any = None
    bias_dimension: bool = False
    _seen_unit: bool = False
    _owned: bool = False

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

    def close(self) -> None:
        """Let go of files and connections that `open` made; what was handed in stays open."""
        if self._owned:
            self._release()
            self._owned = False

    def _release(self) -> None:
        """Close what `open` made."""
        return

    def _own(self: Self) -> Self:
        self._owned = True
        return self

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
    def metric(self) -> str:
        """ip, cos or l2."""
        return metric_of(self.unit)

    @property
    def query_dimension(self) -> int:
        """Dimensions of a query."""
        return self.dimension - 1 if self.bias_dimension else self.dimension

    def search(
        self,
        queries: Array,
        k: int = 10,
        normalization: ScoreNormalization | None = None,
        mode: Mode | None = None,
        *,
        modality: str = "text",
        overfetch: int | None = None,
        certify: bool = False,
    ) -> Any:
        """The k best items of each query.

        Parameters
        ----------
        queries : array, shape (n, d)
            Unit rows of the model whose items are stored.
        k : int
            At least 1; all items if there are fewer.
        normalization : ScoreNormalization, optional
            A linear method shifts the queries; any other one that has an item bias needs
            `upload_bias` once.
        mode : {"dot", "normalized", "both"}, optional
            "normalized" with a normalization and "dot" without one, if left out: every call
            is free to go back to the raw scores.
        modality : str
            The side of the *queries*.
        overfetch : int, optional
            Items to fetch before ranking again by bias; the larger of 100 and 10 k.
        certify : bool
            Fetch more, four times as many each time, until the list is surely the exact one.
            Only where the system compares with every item.

        Returns
        -------
        Found, or Both for mode "both"

        Raises
        ------
        DistnormError
            For unusable queries, another model's or an unfitted normalization, a missing
            bias, or a system that fails or does not answer.
        """
        mode = mode or ("dot" if normalization is None else "normalized")
        if mode not in _MODES:
            raise DistnormError(f"mode {mode!r}", "'dot', 'normalized' or 'both'", "pick one")
        rows = query_rows(queries, self.query_dimension)
        k = positive(k, "k")
        if self.max_k is not None and k > self.max_k:
            raise DistnormError(
                f"k = {k}", f"at most {self.max_k}: {self.system}'s limit", "ask for fewer"
            )
        first = max(k, positive(overfetch, "overfetch") if overfetch else max(100, 10 * k))
        if self.metric == "l2":
            self._check_unit()
        if mode == "dot":
            return self._dot(rows, k)
        if normalization is None:
            raise DistnormError(
                f"mode {mode!r} without a normalization", "normalization=", "fit or load one"
            )
        self._check_norm(normalization)
        found = self._normalized(rows, k, normalization, modality, (first, certify))
        return found if mode == "normalized" else Both(self._dot(rows, k), found)

    def _normalized(
        self,
        rows: npt.NDArray[np.float64],
        k: int,
        norm: ScoreNormalization,
        modality: str,
        fetching: tuple[int, bool],
    ) -> Found:
        if norm.applied(modality).spec.is_query_shift:
            shifted, constants, score = linear_queries(norm, rows, modality)
            found = self._products(shifted, k, 0.0)
            scores = [row - c for (_, row, _), c in zip(found, constants, strict=True)]
            missing = 0
            ids = [row[0] for row in found]
            sure = [self.exact] * len(ids)
        else:
            own, factor, score = own_biases(norm, rows, modality)
            ids, parts, sure, missing = self._ranked_again(rows, k, norm, modality, *fetching)
            scores = [factor * (row - b) for row, b in zip(parts, own, strict=True)]
        strength = norm.strength[modality if modality in norm.strength else norm.sides[1]]
        return Found(
            tuple(map(tuple, ids)),
            tuple(scores),
            score,
            norm.method,
            strength,
            tuple(sure),
            missing,
        )

    def _dot(self, rows: npt.NDArray[np.float64], k: int) -> Found:
        found = self._products(rows, k, 0.0)
        return Found(
            tuple(tuple(ids) for ids, _, _ in found),
            tuple(products for _, products, _ in found),
            score_kind(None).label,
            "dot",
            0.0,
            (self.exact,) * len(found),
        )

    def _products(
        self, rows: npt.NDArray[np.float64], k: int, last: float, column: str | None = None
    ) -> list[tuple[list[Any], npt.NDArray[np.float64], Any]]:
        """Ids, inner products and stored biases of the nearest items.

        ``last`` is a query's last number where a dimension holds the bias.
        """
        if self.bias_dimension:
            rows = np.concatenate([rows, np.full((len(rows), 1), last)], axis=1)
        asked = np.ascontiguousarray(rows, dtype=np.float32)
        lengths = np.linalg.norm(asked.astype(np.float64), axis=1)
        with self.plain_errors("search"):
            answers = self.nearest(asked, k, column)
        found = []
        for hits, length in zip(answers, lengths, strict=True):
            products = inner_products(hits.values, self.unit, float(length))
            found.append((list(hits.ids), products, hits.biases))
        return found

    def _ranked_again(
        self,
        rows: npt.NDArray[np.float64],
        k: int,
        norm: ScoreNormalization,
        modality: str,
        first: int,
        certify: bool,
    ) -> tuple[list[list[Any]], list[npt.NDArray[np.float64]], list[bool], int]:
        if self.bias_dimension:
            found = self._products(rows, k, -1.0)
            return [r[0] for r in found], [r[1] for r in found], [self.exact] * len(found), 0
        if norm.method == "qbnorm" or norm.spec.family == "transform":
            # Says which methods do.
            norm.item_bias(rows[:1], modality=modality)
        column, about = self._stored(norm, modality)
        want = first if self.max_k is None else min(first, self.max_k)
        ids: list[list[Any]] = [[] for _ in rows]
        scores: list[npt.NDArray[np.float64]] = [np.empty(0) for _ in rows]
        sure = [False] * len(rows)
        missing: set[Any] = set()
        open_rows = np.arange(len(rows))
        while len(open_rows):
            found = self._products(rows[open_rows], want, 0.0, column)
            known = self._read_biases(column, [hits[0] for hits in found if hits[2] is None])
            still = []
            for row, (items, products, given) in zip(open_rows, found, strict=True):
                numbers = [known[item] for item in items] if given is None else given
                stored = np.asarray(numbers, dtype=np.float64)
                unknown = np.isnan(stored)
                missing.update(item for item, gone in zip(items, unknown, strict=True) if gone)
                new = products - np.where(unknown, about["mean"], stored)
                order = np.argsort(-new, kind="stable")[:k]
                ids[row] = [items[place] for place in order]
                scores[row] = new[order]
                whole = len(items) < want
                reach = products[-1] - about["lowest"] if len(items) else -np.inf
                settled = whole or (len(order) == k and new[order[-1]] >= reach)
                sure[row] = self.exact and settled
                if self.exact and not settled:
                    still.append(row)
            if want == self.max_k or not certify:
                break
            want = 4 * want if self.max_k is None else min(4 * want, self.max_k)
            open_rows = np.asarray(still, dtype=np.intp)
        return ids, scores, sure, len(missing)

    def _read_biases(self, column: str, lists: list[list[Any]]) -> dict[Any, float]:
        """Stored numbers of the items of all queries, asked for once."""
        items = list(dict.fromkeys(item for one in lists for item in one))
        if not items:
            return {}
        with self.plain_errors("read biases"):
            return dict(zip(items, self.biases.read(column, items).tolist(), strict=True))

    def _stored(self, norm: ScoreNormalization, modality: str) -> tuple[str, dict[str, Any]]:
        from distnorm.search.indexes.biases import column_of

        side = next((name for name in norm.sides if name != modality), norm.sides[0])
        column = column_of(norm, side)
        with self.plain_errors("read biases"):
            published = self.biases.published() if self.biases is not None else {}
        if column not in published:
            others = ", ".join(sorted(a["method"] for a in published.values()))
            raise DistnormError(
                f"no stored bias of this {norm.method!r} normalization in {self.place}"
                + (f" (there are some of: {others})" if others else ""),
                "one number an item",
                "run index.upload_bias(normalization) or: distnorm index bias SPEC "
                "--normalization FILE",
            )
        return column, published[column]

    def upload_bias(self, norm: ScoreNormalization, **options: Any) -> Any:
        """Store the bias of each item; see `distnorm.search.indexes.biases.upload_bias`."""
        from distnorm.search.indexes.biases import upload_bias

        return upload_bias(self, norm, **options)

    def check(self, norm: ScoreNormalization | None = None, **options: Any) -> Any:
        """Look at what is stored; see `distnorm.search.indexes.biases.check_index`."""
        from distnorm.search.indexes.biases import check_index

        return check_index(self, norm, **options)

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

    def _check_norm(self, norm: ScoreNormalization) -> None:
        if norm.dimension not in (None, self.query_dimension):
            raise DistnormError(
                f"a normalization of {norm.dimension} dimensions for {self.place}",
                f"{self.query_dimension} dimensions",
                "use one fitted on the embeddings of the index's model",
            )
        if None not in (norm.model, self.model) and norm.model != self.model:
            raise DistnormError(
                f"a normalization of {norm.model!r} for {self.place}",
                f"one of {self.model!r}",
                "fit one on embeddings of the index's model",
            )
        if norm.input == "unit" and self.metric == "ip":
            self._check_unit()

    def _check_unit(self) -> None:
        """Look at some stored rows, once: L2 and DN both rest on rows of unit length."""
        if self._seen_unit:
            return
        with self.plain_errors("read vectors"):
            some = next(iter(self.vectors(64)), None)
        # What cannot be looked at, such as a server that keeps its rows, is taken on trust.
        rows = None if some is None else some[1][:, : self.query_dimension]
        if rows is not None and len(rows) and not is_unit_length(rows):
            raise DistnormError(
                f"rows in {self.place} that are not of unit length",
                "unit rows",
                "index normalised embeddings, or use a cosine index",
            )
        self._seen_unit = True

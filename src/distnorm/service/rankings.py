"""Which rankings a service has: the dot product, its normalizations, and what follows from them.

A `Rankings` is never changed: a reload makes another one, and requests that have begun keep theirs.
A method at another strength s ranks by q . y - s b(y): biases are computed once, at the strength of
the file, and scaled. Methods that need no other statistics than a file holds are offered as well.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from distnorm.arrays import Float64, NDArray, to_numpy
from distnorm.errors import DistnormError
from distnorm.methods.registry import METHODS, find_method
from distnorm.normalization import ScoreNormalization, make
from distnorm.search.bias_file import bias_of

__all__ = ["DOT", "Ranking", "Rankings"]

DOT = "dot"


@dataclass(frozen=True)
class Ranking:
    """One way to rank: ``norm`` is None for the dot product.

    ``own`` says whether the strength is the file's, to which thresholds and P(match) belong.
    """

    method: str
    strength: float
    norm: ScoreNormalization | None = None
    own: bool = False

    @property
    def key(self) -> tuple[str, float]:
        """What tells it from the others."""
        return self.method, self.strength


@dataclass(frozen=True, eq=False)
class Rankings:
    """The rankings of one set of statistics."""

    # by method; the first one is used unless another is asked for
    norms: Mapping[str, ScoreNormalization] = field(default_factory=dict)
    side: str = "image"  # of the items
    source: str = "none"  # ``file``, ``learned`` or ``none``: where the statistics are from
    version: int = 0  # counts the reloads
    note: str = ""  # what people should know of the statistics
    kept: dict[Any, Any] = field(default_factory=dict, repr=False)
    lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    @classmethod
    def of(
        cls,
        norms: list[ScoreNormalization],
        side: str,
        source: str,
        version: int = 0,
        note: str = "",
    ) -> Rankings:
        """Of saved normalizations, the first the default; raises where one ranks in no index."""
        named: dict[str, ScoreNormalization] = {}
        for norm in norms:
            asking = norm.names.other(norm.names.resolve(side))
            if not norm.spec.corrects:
                continue
            if not norm.spec.has_item_bias:
                raise DistnormError(
                    f"a normalization of {norm.method!r}",
                    "a method that shifts queries or has a bias of each item",
                    "fit another one: dn, dn2, is, nnn",
                )
            norm.fitted(asking)
            named.setdefault(norm.method, norm)
        for norm in list(named.values()):
            for name in METHODS:
                if name not in named and (other := _derived(norm, name, side)) is not None:
                    named[name] = other
        return cls(named, side, source if named else "none", version, note)

    def anew(self, version: int) -> Rankings:
        """The same without biases that were computed, for other items."""
        return Rankings(self.norms, self.side, self.source, version, self.note)

    @property
    def asking(self) -> str:
        """The side of the queries that are corrected."""
        for norm in self.norms.values():
            return norm.names.other(norm.names.resolve(self.side))
        return "image" if self.side == "text" else "text"

    @property
    def default(self) -> Ranking:
        """What ranks unless something else is asked for."""
        for method in self.norms:
            return self.ranking(method)
        return Ranking(DOT, 0.0)

    def choices(self) -> list[dict[str, Any]]:
        """Methods to choose from, with the strength that each has unless told otherwise."""
        found: list[dict[str, Any]] = [{"method": DOT, "strength": 0.0, "title": _title(DOT)}]
        for method in self.norms:
            own = self.ranking(method)
            found.append({"method": method, "strength": own.strength, "title": _title(method)})
        return found

    def ranking(self, method: str | None = None, strength: float | None = None) -> Ranking:
        """A method, the default if left out, at a strength, its own if left out; or an error."""
        if method is None:
            if not self.norms:
                return Ranking(DOT, 0.0)
            method = next(iter(self.norms))
        find_method(method)
        if method == DOT:
            return Ranking(DOT, 0.0)
        if method not in self.norms:
            raise DistnormError(
                f"method {method!r} without statistics for it",
                f"one of {', '.join([DOT, *self.norms])}",
                "choose one of these, or serve with a normalization of that method",
            )
        norm = self.norms[method]
        own = norm.correction(self.asking).strength
        if strength is None or strength == own:
            return Ranking(method, own, norm, True)
        if not strength:
            return Ranking(method, 0.0)
        return Ranking(method, strength, self._at(method, norm, strength))

    def bias(self, ranking: Ranking, items: Any, key: Any = None) -> Float64 | None:
        """Biases (m,) of all items, None where the query is shifted instead."""
        if ranking.norm is None or ranking.norm.correction(self.asking).shifts_queries:
            return None
        base = self.ranking(ranking.method)
        norm = base.norm if base.strength else ranking.norm
        own = base.strength or ranking.strength
        assert norm is not None
        name = ("bias", ranking.method, key, own if not base.strength else None)
        with self.lock:
            if name not in self.kept:
                self.kept[name] = bias_of(norm, items, self.side)
            kept: Float64 = self.kept[name]
        return kept if own == ranking.strength else kept * (ranking.strength / own)

    def shifted(self, ranking: Ranking, rows: NDArray) -> NDArray:
        """Queries (n, d) as they are sent: shifted by a linear method, else as they are."""
        if ranking.norm is None or not ranking.norm.correction(self.asking).shifts_queries:
            return rows
        return to_numpy(ranking.norm.shift_queries(rows, modality=self.asking))

    def _at(self, method: str, norm: ScoreNormalization, strength: float) -> ScoreNormalization:
        """A normalization at another strength for these queries; the last ones are kept."""
        name = ("norm", method, strength)
        with self.lock:
            if name not in self.kept:
                old = [key for key in self.kept if key[0] == "norm"]
                for key in old[: max(0, len(old) - 31)]:
                    del self.kept[key]
                chosen, asking = norm.correction(self.asking), self.asking
                strengths = {**norm.strength, asking: strength}
                self.kept[name] = make(
                    chosen.method.name,
                    strength=strengths,
                    sides=norm.sides,
                    model=norm.model,
                    prompt=norm.prompt,
                    input=norm.input,
                    **chosen.params,
                ).with_statistics(norm.statistics)
            kept: ScoreNormalization = self.kept[name]
            return kept


def _derived(norm: ScoreNormalization, name: str, side: str) -> ScoreNormalization | None:
    """Another method with the statistics of one, if they are enough for it."""
    method, asking = METHODS[name], norm.names.other(norm.names.resolve(side))
    held = norm.statistics[asking]
    lacks = method.order > held.moments.order or (method.needs_bank and held.bank is None)
    if lacks or not method.corrects or not method.has_item_bias or method.chooses:
        return None
    if method.scale_aware and norm.moments(norm.names.other(asking)) is None:
        return None
    if method.rows not in (norm.input, "any"):
        return None
    made = make(name, sides=norm.sides, model=norm.model, prompt=norm.prompt, input=norm.input)
    return made.with_statistics(norm.statistics)


def _title(name: str) -> str:
    return METHODS[name].title

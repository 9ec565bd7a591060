"""`answer`: a sentence or a picture looked for in a store or an index, by one way for both.

The model of the items encodes the query, a saved normalization must be one for it, the place gives
its lists (`in_store`, `in_index`), and the results are judged where a score has a threshold.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

from distnorm.arrays import Array
from distnorm.errors import DistnormError
from distnorm.normalization import ScoreNormalization
from distnorm.search.judge import judged
from distnorm.search.query import NormalizationFile, Query, encode_query
from distnorm.store.models import other_resizer
from distnorm.text import columns

__all__ = ["Answer", "Lists", "Place", "Settings", "answer", "entries"]


@dataclass(frozen=True)
class Settings:
    """How is searched: see `distnorm search`; ``side`` may be both in a store only.

    ``certify`` and ``biases``, a folder, are of an index, ``bias``, a file, of a store.
    """

    k: int = 10
    side: str = "image"
    normalization: str | None = None
    model: str | None = None
    both: bool = False
    bias: Path | None = None
    scale: str = "standard"
    threshold: float | None = None
    false_alarm_rate: float | None = None
    certify: bool = False
    biases: Path | None = None


@dataclass(frozen=True)
class Lists:
    """What a place finds for one query.

    ``facts`` are more that is said of the search, ``two_sided`` gives the results' scores.
    """

    n_items: int
    score: str
    results: list[dict[str, Any]]
    dot: list[dict[str, Any]] | None = None
    notes: tuple[str, ...] = ()
    facts: Mapping[str, Any] = field(default_factory=dict)
    two_sided: Callable[[ScoreNormalization], Array] | None = None

    def __repr__(self) -> str:
        """One line."""
        return f"Lists({len(self.results)} of {self.n_items} items, score: {self.score})"


class Place(Protocol):
    """A store or an index, before it is searched."""

    name: str
    model: str | None
    model_id: str | None
    prompt: str | None
    resizer: str | None

    def check(self, settings: Settings) -> None:
        """Raise for settings that it does not have."""

    def sizes(self) -> set[tuple[int, int]]:
        """Widths and heights of some of its pictures, where it knows them."""

    def lists(self, query: Query, normalization: NormalizationFile, settings: Settings) -> Lists:
        """The best items, by the normalization if it corrects anything."""


@dataclass(frozen=True)
class Answer:
    """What a search says: the query, what ranked, the results, and the verdict on them."""

    place: str
    query: Query
    side: str
    method: str
    strength: float
    lists: Lists
    verdict: Mapping[str, Any] = field(default_factory=dict)

    def __repr__(self) -> str:
        """One line: the query, where, what ranked, how many results."""
        return (
            f"Answer({self.query.text!r} in {self.place}, {self.method!r} {self.strength:g}: "
            f"{len(self.lists.results)} of {self.lists.n_items} items, score: {self.lists.score})"
        )

    def __str__(self) -> str:
        """The results as a table."""
        rows = [(each["rank"], each["name"], each["value"]) for each in self.lists.results]
        return f"{self!r}\n{columns(('rank', 'item', 'score'), rows)}"

    def to_dict(self) -> dict[str, Any]:
        """For JSON, the table and the page."""
        lists = self.lists
        return {
            "schema": 1,
            "task": "search",
            "store": self.place,
            "query": self.query.text,
            "query_side": self.query.side,
            "model": self.query.model,
            "n_items": lists.n_items,
            "side": self.side,
            **lists.facts,
            "method": self.method,
            "strength": self.strength,
            "notes": list(lists.notes),
            "score": lists.score,
            "results": lists.results,
            **({} if lists.dot is None else {"dot": lists.dot}),
            **self.verdict,
        }


def answer(place: Place, query: str, settings: Settings) -> Answer:
    """The first k items of a place for a sentence, or the picture of a path."""
    from distnorm.encoders import load_encoder

    place.check(settings)
    name = settings.model or place.model
    if name is None:
        raise DistnormError(
            f"{place.name}, which names no model", "--model", "say which model made its vectors"
        )
    encoder = load_encoder(name)
    if place.model_id not in (None, encoder.model_id):
        raise DistnormError(
            f"a query of {encoder.model_id!r}",
            f"{place.model_id!r} as {place.name}",
            "leave --model",
        )
    saved = NormalizationFile.load(settings.normalization)
    prompt = place.prompt if saved.prompt is None else saved.prompt
    encoded = encode_query(encoder, query, prompt)
    if encoded.side == "image" and place.resizer not in (None, encoder.resizer):
        raise other_resizer(place.name, place.resizer, encoder.resizer)
    encoded = saved.called(encoded, settings.side)
    saved.check(encoded, settings.side)
    lists = place.lists(encoded, saved, settings)
    sizes = sorted(place.sizes() | ({encoded.size} if encoded.size else set()))
    cautions = (encoder.caution(*size) for size in sizes)
    caution = next((words for words in cautions if words), None)
    if caution is not None:
        lists = replace(lists, notes=(*lists.notes, caution))
    norm, verdict = saved.correcting, dict[str, Any]()
    if lists.two_sided is not None:
        kept, verdict = judged(
            lists.results,
            saved.norm,
            lists.two_sided,
            threshold=settings.threshold,
            false_alarm_rate=settings.false_alarm_rate,
        )
        lists = replace(lists, results=kept)
    return Answer(
        place.name,
        encoded,
        settings.side,
        "dot" if norm is None else norm.method,
        0.0 if norm is None else norm.correction(encoded.side).strength,
        lists,
        verdict,
    )


def entries(names: Any, rows: Any, scores: Any, **more: Any) -> list[dict[str, Any]]:
    """Results in the order of a list, from rank 1 on."""
    items = enumerate(zip(names, rows, scores, strict=True), start=1)
    return [
        {"rank": rank, "row": row, "name": str(name), "value": float(score), **more}
        for rank, (name, row, score) in items
    ]

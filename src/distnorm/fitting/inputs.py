"""What statistics can come from, each as a number of rows that can be taken, all or some.

A file of vectors has its rows; a store its distinct pictures or its texts; photos and sentences
are embedded when they are taken, and not before they are chosen.
"""

from __future__ import annotations

import glob
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np

from distnorm import encoders
from distnorm.arrays import Indices, NDArray, normalize
from distnorm.embedding.batches import Batches
from distnorm.embedding.feed import Feed
from distnorm.embedding.items import Item
from distnorm.embedding.pipeline import decoders
from distnorm.embedding.sources import Source, open_source
from distnorm.encoders.registry import stated_id
from distnorm.errors import DistnormError
from distnorm.moments import Moments
from distnorm.store.known import KeySet, Known, key_of
from distnorm.store.layout import PARTS, Commit, at_commit, is_store
from distnorm.store.models import model_of, prompt_of
from distnorm.store.rows import StoredRows
from distnorm.store.vector_choice import check_names, without_key
from distnorm.store.vectors import has_vectors, read_embeddings
from distnorm.system.files import shared_name

__all__ = ["Input", "Inputs", "Reading", "SourceRows", "SummedRows", "VectorRows", "Wanted"]

_BLOCK = 1 << 14


class Input(Protocol):
    """Rows of one side: ``embedded`` ones, or what a model is needed for."""

    label: str
    embedded: bool
    failed: int
    over_long: int

    def __len__(self) -> int:
        """How many there are."""

    def take(self, chosen: Indices | None) -> Iterator[NDArray]:
        """The chosen ones (sorted numbers), or all, in blocks; less what cannot be read."""

    def note(self) -> dict[str, Any]:
        """What a later update needs to know of it."""


@dataclass(frozen=True)
class Wanted:
    """Moments that are wanted of rows, and what the rows must be like."""

    name: str  # what messages call them
    order: int
    rank: int | None
    method: str  # whose demand ``length`` is; see `check_lengths`
    length: str
    dimension: int | None


@runtime_checkable
class SummedRows(Protocol):
    """An `Input` whose rows are added up where they are."""

    def moments(self, wanted: Wanted) -> Iterator[Moments]:
        """Moments of all its rows, part by part in their order."""


@dataclass(frozen=True)
class Reading:
    """How vectors are read: the array or column by side, and whether rows get unit length."""

    keys: Mapping[str, str] = field(default_factory=dict)
    normalize: bool = False


class VectorRows:
    """A file or folder of vectors."""

    embedded, failed, over_long = True, 0, 0

    def __init__(self, path: str, side: str, reading: Reading) -> None:
        self.label, self._reading = path, reading
        self._rows = read_embeddings(path, side, key=reading.keys.get(side))

    def __len__(self) -> int:
        """Rows."""
        return len(self._rows)

    def take(self, chosen: Indices | None) -> Iterator[NDArray]:
        """As `Input.take`."""
        ready = normalize if self._reading.normalize else np.asanyarray
        if chosen is not None:
            yield ready(np.asarray(self._rows[chosen]))
        elif self._rows.ndim != 2:
            yield self._rows  # for the error that says so
        else:
            for start in range(0, max(1, len(self._rows)), _BLOCK):
                yield ready(self._rows[start : start + _BLOCK])

    def note(self) -> dict[str, Any]:
        """As `Input.note`."""
        return {"name": shared_name(self.label)}


class SourceRows:
    """Photos or sentences, embedded when they are taken.

    A picture counts once however many rows of a table name it; a sentence as often as it comes.
    """

    embedded = False

    def __init__(
        self, name: str, side: str, encoder: Any, prompt: str | None, **options: Any
    ) -> None:
        self.label, self.failed, self.over_long = name, 0, 0
        self._source = open_source(name)
        self._encoder, self._prompt, self._options = encoder, prompt, options
        sides = self._source.sides
        self._side = side if side in sides else sides[0]
        if side in PARTS and side not in sides:
            raise DistnormError(
                f"{name} without {'pictures' if side == 'image' else 'texts'}",
                f"some for the {side} side",
                "pass it to the other option",
            )
        self._count: int | None = None

    def __len__(self) -> int:
        """Distinct pictures, or sentences."""
        if self._count is None:
            self._count = sum(1 for _ in self._items())
        return self._count

    def take(self, chosen: Indices | None) -> Iterator[NDArray]:
        """As `Input.take`."""
        picked = Source(self.label, lambda _: _at(self._items(), chosen))
        size, workers = self._options.get("batch_size", 64), self._options.get("workers")
        pool = decoders(self._encoder, (self._side,), size, workers, full=False)
        batches = Batches(self._encoder, (self._side,), size, pool, self._prompt)
        with pool or nullcontext(), Feed(picked, Known(), pool, distinct=False) as feed:
            for entry in feed:
                if entry.verdict == "failed":
                    self.failed += 1
                else:
                    batches.add(entry)
                if len(batches) >= _BLOCK:
                    yield from self._encoded(batches)
            batches.finish()
            yield from self._encoded(batches)
        self.over_long += batches.over_long

    def note(self) -> dict[str, Any]:
        """As `Input.note`."""
        return {"name": shared_name(self.label)}

    @property
    def notes(self) -> tuple[str, ...]:
        """What the source left out."""
        problems = self._source.problems
        if not problems:
            return self._source.notes
        (name, reason), n = problems[0], len(problems)
        left = f"{n:,} samples of {self.label} were left out, such as {name}: {reason}"
        return (*self._source.notes, left)

    def _encoded(self, batches: Batches) -> Iterator[NDArray]:
        entries, rows = batches.take()
        self.failed += sum(entry.verdict == "failed" for entry in entries)
        if rows and len(rows[self._side]):
            yield rows[self._side]

    def _items(self) -> Iterator[Item]:
        pictures = KeySet()
        for item in self._source:
            if self._side == "text":
                yield Item(item.text or "", None, item.text)
            elif pictures.add(key_of(item.path, str(item.offset))):
                yield replace(item, text=None)


def _at(items: Iterator[Item], chosen: Indices | None) -> Iterator[Item]:
    if chosen is None:
        yield from items
        return
    numbers = iter([*chosen.tolist(), -1])
    following = next(numbers)
    for number, item in enumerate(items):
        if number == following:
            yield item
            following = next(numbers)
            if following < 0:
                return


class Inputs:
    """Everything that statistics are to come from.

    ``names`` are by side stores, files of vectors, and sources as `distnorm.embedding.open_source`
    takes them. ``model`` is a name for `load_encoder`, needed where something is to be embedded and
    no store says, or a model id where all are vectors; ``prompt`` stands around every sentence that
    is embedded, ``reading`` is of files of vectors. ``opened`` opens each name, its side and the
    reading given, instead of what reads it here; nothing is embedded then. ``options`` are
    ``device`` of the model, ``batch_size`` and ``workers``.

    ``sides`` are then the inputs of each side, ``model_id`` and ``prompt`` what statistics belong
    to. Raises `DistnormError` for different models or prompts, naming both, or a source without a
    model.
    """

    def __init__(
        self,
        names: dict[str, Sequence[str]],
        *,
        model: str | None = None,
        prompt: str | None = None,
        device: str | None = None,
        reading: Reading | None = None,
        opened: Callable[[str, str, Reading], Input] | None = None,
        **options: Any,
    ) -> None:
        self._reading = Reading() if reading is None else reading
        self._opened = opened
        keys = self._reading.keys
        vectors = {s: [n for n in group if not _is_source(n)] for s, group in names.items()}
        check_names({s: [keys.get(s, n) for n in group] for s, group in vectors.items()})
        paths = [name for group in names.values() for name in group]
        texts = [name for side, group in names.items() if side != "image" for name in group]
        stores = list(filter(is_store, paths))
        sources = list(filter(_is_source, paths)) if opened is None else []
        self.prompt = prompt_of(*filter(is_store, texts), stated=prompt)
        self.model_id = model_of(*stores, stated=stated_id(model))
        self.encoder: Any = None  # loaded only where something is to be embedded
        if sources:
            name = model or next((Commit.read(store).model for store in stores), None)
            self.encoder = _loaded(name, device, sources[0])
            self.model_id = model_of(*stores, stated=self.encoder.model_id)
        self.sides = {
            side: [self._open(name, side, options) for name in group]
            for side, group in names.items()
            if group
        }

    @property
    def notes(self) -> list[str]:
        """What was left out of sources, as far as they were gone through."""
        sources = [x for group in self.sides.values() for x in group if isinstance(x, SourceRows)]
        return list(dict.fromkeys(note for source in sources for note in source.notes))

    def rows(self) -> dict[str, NDArray]:
        """All rows of each side at once; embeds what is not embedded."""
        return {
            side: np.concatenate([part for x in group for part in x.take(None)])
            for side, group in self.sides.items()
        }

    def _open(self, name: str, side: str, options: dict[str, Any]) -> Input:
        if self._opened is not None:
            return self._opened(name, side, self._reading)
        key = self._reading.keys.get(side)
        if _is_source(name):
            if key is not None:
                raise without_key(key, name, side)
            return SourceRows(name, side, self.encoder, self.prompt, **options)
        commit = Commit.read(name)
        if side in PARTS and commit.number is not None:
            if key is not None:
                raise without_key(key, name, side)
            return at_commit(name, lambda commit: StoredRows(commit, side))
        return VectorRows(name, side, self._reading)


def _is_source(name: str) -> bool:
    """Whether it has to be embedded: neither a store nor vectors nor missing."""
    if name == "-":
        return True
    return not has_vectors(name) if Path(name).exists() else glob.has_magic(name)


def _loaded(model: str | None, device: str | None, source: str) -> Any:
    if model is None:
        raise DistnormError(
            f"{source}, which is to be embedded, and no model",
            "--model, such as builtin",
            "say which model embeds it",
        )
    return encoders.load_encoder(model, **({} if device is None else {"device": device}))

"""Where biases of items are kept: what every such place offers, and a folder of files.

A bias lies under a column, a name made of the normalization's fingerprint (see `biases`). A column
is used by searches from the moment it is published.

In a folder, ``published.json`` lists what is complete and ``<column>/part-000000-<hash>.npz`` holds
ids and numbers, the hash that of the ids. Every file is written whole or not at all.

Beside a bias may lie its residual (see `linear`), under the column's name with ``_residual``. Both
are written together: a bias that is written alone takes the residual away.

One process at a time writes a column, and lists are changed one at a time: by locks in the folder,
or in this machine's folder for temporary files where a server keeps the biases. Two machines that
use one server do not see each other's locks: there each column has a note of its own where the
server changes one without the others (`KeyedBiases`); a list is read again after it was written.
"""

from __future__ import annotations

import abc
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock, Timeout

from distnorm.arrays import Float64
from distnorm.errors import DistnormError
from distnorm.search.indexes.ids import arrays_of_ids, ids_of_arrays
from distnorm.system import schema
from distnorm.system.files import ARRAY_ERRORS, atomic_write, plain_errors, remove_stale

__all__ = [
    "About",
    "BiasFolder",
    "BiasStore",
    "KeyedBiases",
    "ListedBiases",
    "Residuals",
    "lower_bound",
    "numbers",
    "read_about",
    "read_listing",
    "residual_of",
]

Residuals = Float64 | None
_RESIDUAL = "_residual"

About = dict[str, Any]
"""What is stated about the biases of one column."""

_ABOUT = schema.record(
    {
        "method": schema.text,
        "strength": schema.table(schema.number()),
        "params": schema.table(schema.scalar),
        "side": schema.text,
        "count": schema.whole(1),
        "lowest": schema.number(),
        "mean": schema.number(),
    },
    {
        "model": schema.optional(schema.text),
        "handed_in": schema.flag,
        "content": schema.record(
            {"size": schema.whole(0), "mtime_ns": schema.whole(), "sha256": schema.text}
        ),
        "linear": schema.record(
            {"vector": schema.text, "lowest": schema.number(), "mean": schema.number()}
        ),
    },
)
_REMEDY = "delete these biases and upload them again"


def read_listing(content: str | bytes, place: str) -> dict[str, About]:
    """The list of what is complete, from its JSON; raises a DistnormError for anything else."""
    form = schema.table(_ABOUT)
    listing: dict[str, About] = schema.parse(content, form, file=place, remedy=_REMEDY)
    return listing


def read_about(content: str | bytes, place: str) -> About:
    """What is stated about one column, from its JSON; raises as `read_listing`."""
    about: About = schema.parse(content, _ABOUT, file=place, remedy=_REMEDY)
    return about


def residual_of(column: str) -> str:
    """The name that residuals of these biases lie under."""
    return column + _RESIDUAL


def numbers(column: str, values: Float64, residuals: Residuals) -> list[dict[str, float | None]]:
    """What is written of each item: its bias and its residual, or None for that."""
    left = [None] * len(values) if residuals is None else residuals.tolist()
    pairs = zip(values.tolist(), left, strict=True)
    return [{column: value, residual_of(column): residual} for value, residual in pairs]


def lower_bound(values: Float64) -> float:
    """A number below all that is stored of these as float32."""
    return float(np.nextafter(np.float32(values.min()), np.float32(-np.inf)))


class BiasStore(abc.ABC):
    """Where a system keeps a bias per item; ``column`` names one normalization's.

    ``place`` says of which index.
    """

    place: str = ""

    @abc.abstractmethod
    def published(self) -> dict[str, About]:
        """What is complete: column to what is stated about it."""

    @abc.abstractmethod
    def publish(self, column: str, about: About | None) -> None:
        """Add to that list in one step, or take away (None) with the biases themselves."""

    def prepare(self, column: str) -> None:
        """Make room for a column; nothing to do if it is there."""
        return

    def where(self, column: str) -> str:
        """Where the biases of a column lie, for messages and for whoever writes some himself."""
        return f"key {column}"

    @contextmanager
    def alone(self, name: str, timeout: float = 0.0) -> Iterator[None]:
        """Hold the lock of this name, or raise after so many seconds."""
        lock = None
        try:
            path = self.lock(name)
            if path is not None:
                lock = FileLock(path)
                lock.acquire(timeout=timeout)
        except Timeout as error:
            raise DistnormError(
                f"another process that writes biases of {self.place or 'this folder'}",
                "one writer",
                "wait for it, and run again",
            ) from error
        except OSError as error:
            raise DistnormError(
                f"{error.strerror or error} for {error.filename or 'a lock'}",
                "a folder for biases that may be written",
                "name another: biases=FOLDER, or --biases FOLDER",
            ) from error
        try:
            yield
        finally:
            if lock is not None:
                lock.release()

    def lock(self, name: str) -> Path | None:
        """The file of a lock; None where nobody else can write."""
        user = os.getuid() if hasattr(os, "getuid") else ""
        digest = hashlib.sha256(f"{user} {self.place} {name}".encode()).hexdigest()
        return Path(tempfile.gettempdir()) / f"distnorm-{digest[:24]}.lock"

    def read(self, column: str, ids: Sequence[Any]) -> Float64:
        """Biases of items, NaN where there is none."""
        values = self.values(column, list(ids))
        return np.array([values.get(item) for item in ids], dtype=np.float64)

    @abc.abstractmethod
    def values(self, column: str, ids: list[Any]) -> Mapping[Any, float | None]:
        """Biases by id; items without one may be missing or None."""

    @abc.abstractmethod
    def write(
        self, column: str, ids: Sequence[Any], values: Float64, residuals: Residuals = None
    ) -> None:
        """Store biases of items, durably, with their residuals; without, none are left of these."""


class ListedBiases(BiasStore):
    """A place that keeps its list of what is complete as one text of JSON."""

    def publish(self, column: str, about: About | None) -> None:
        """Change the list, again if others have undone it; then drop what is no longer in it."""
        with self.changing():
            for _ in range(5):
                self.state(column, about)
                if (column in self.published()) == (about is not None):
                    break
            else:
                raise DistnormError(
                    f"a list of biases of {self.place} that others change at the same time",
                    "one writer",
                    "wait for them, and run again",
                )
        if about is None:
            self.drop(column)

    def changing(self) -> AbstractContextManager[None]:
        """What is held while the list is changed."""
        return self.alone("list", timeout=60)

    def state(self, column: str, about: About | None) -> None:
        """Put what is stated of a column into the list, or take it out (None)."""
        listing = self.published()
        listing.pop(column, None)
        if about is not None:
            listing[column] = about
        self.keep(listing)

    @abc.abstractmethod
    def keep(self, listing: dict[str, About]) -> None:
        """Put this list in the place of the one that is there."""

    @abc.abstractmethod
    def drop(self, column: str) -> None:
        """Delete the biases of a column."""


class KeyedBiases(ListedBiases):
    """A place with named notes, one per column: whoever writes one leaves the others alone.

    A list in one note, under ``key`` itself, is what earlier versions kept.
    """

    key: str = "distnorm"

    def published(self) -> dict[str, About]:
        """The notes, and the earlier list."""
        notes, place = self.notes(), f"the list of biases of {self.place or 'a collection'}"
        listing = read_listing(notes.get(self.key) or "{}", place)
        for name, text in notes.items():
            if name.startswith(f"{self.key}.") and text:
                listing[name.removeprefix(f"{self.key}.")] = read_about(text, place)
        return listing

    def changing(self) -> AbstractContextManager[None]:
        """Nothing: each column has a note of its own."""
        return nullcontext()

    def state(self, column: str, about: About | None) -> None:
        """Write its note, or take it away."""
        earlier = self.notes().get(self.key)
        listing = read_listing(earlier, self.place) if earlier else {}
        self.note(f"{self.key}.{column}", None if about is None else json.dumps(about))
        if column in listing:
            # It stands in a note of its own by now.
            del listing[column]
            self.keep(listing)

    def keep(self, listing: dict[str, About]) -> None:
        """What is left of the earlier list."""
        self.note(self.key, json.dumps(listing) if listing else None)

    @abc.abstractmethod
    def notes(self) -> Mapping[str, Any]:
        """All notes, those of others too."""

    @abc.abstractmethod
    def note(self, name: str, text: str | None) -> None:
        """Write one note, or take it away."""


class BiasFolder(ListedBiases):
    """Biases in a folder, made when something is written; in memory without one."""

    def __init__(self, folder: Path | None) -> None:
        self.folder = folder
        self._columns: dict[str, dict[Any, float]] = {}
        self._residuals: dict[str, dict[Any, float]] = {}
        self._listing: dict[str, About] = {}

    def published(self) -> dict[str, About]:
        """What is complete."""
        if self.folder is None:
            return dict(self._listing)
        path = self.folder / "published.json"
        with plain_errors(path):
            content = path.read_bytes() if path.exists() else b"{}"
        return read_listing(content, str(path))

    def keep(self, listing: dict[str, About]) -> None:
        """Write the list; nothing is made only to say that it is empty."""
        self._listing = listing
        if self.folder is not None and (listing or self.folder.is_dir()):
            self.folder.mkdir(parents=True, exist_ok=True)
            with atomic_write(self.folder / "published.json") as file:
                file.write(json.dumps(listing, indent=1).encode())

    def lock(self, name: str) -> Path | None:
        """A file beside the list."""
        if self.folder is None:
            return None
        self.folder.mkdir(parents=True, exist_ok=True)
        return self.folder / f".{name}.lock"

    def where(self, column: str) -> str:
        """Its folder."""
        return "memory" if self.folder is None else f"folder {self.folder / column}"

    def drop(self, column: str) -> None:
        """Delete the column's folder."""
        self._columns.pop(column, None)
        if self.folder is not None:
            shutil.rmtree(self.folder / column, ignore_errors=True)

    def prepare(self, column: str) -> None:
        """Make the column's folder, and read what is in it anew."""
        if self.folder is not None:
            (self.folder / column).mkdir(parents=True, exist_ok=True)
            remove_stale((self.folder / column).glob(".*.tmp"))
            self._columns.pop(column, None)

    def values(self, column: str, ids: list[Any]) -> Mapping[Any, float | None]:
        """Biases of all items, or their residuals."""
        if column.endswith(_RESIDUAL):
            self._load(column.removesuffix(_RESIDUAL))
            return self._residuals[column.removesuffix(_RESIDUAL)]
        return self._load(column)

    def write(
        self, column: str, ids: Sequence[Any], values: Float64, residuals: Residuals = None
    ) -> None:
        """One more part."""
        left = np.full(len(ids), np.nan) if residuals is None else residuals
        left = left.astype(np.float32)
        if self.folder is not None:
            place = self.folder / column
            number = len(list(place.glob("part-*.npz")))
            # Two writers take one name for the same items alone.
            name = f"part-{number:06d}-{hashlib.sha256(repr(list(ids)).encode()).hexdigest()[:8]}"
            with atomic_write(place / f"{name}.npz") as file:
                arrays = {"values": values.astype(np.float32), **arrays_of_ids(ids)}
                if residuals is not None:
                    arrays["residuals"] = left
                np.savez(file, allow_pickle=False, **arrays)
        rounded = values.astype(np.float32).tolist()
        self._load(column).update(zip(ids, rounded, strict=True))
        self._residuals[column].update(zip(ids, left.tolist(), strict=True))

    def _load(self, column: str) -> dict[Any, float]:
        if column not in self._columns:
            values: dict[Any, float] = {}
            residuals: dict[Any, float] = {}
            parts = sorted((self.folder / column).glob("part-*.npz")) if self.folder else []
            for part in parts:
                try:
                    with part.open("rb") as raw, np.load(raw, allow_pickle=False) as file:
                        ids, biases = ids_of_arrays(file), file["values"].tolist()
                        none = [np.nan] * len(ids)
                        left = file["residuals"].tolist() if "residuals" in file else none
                    values.update(zip(ids, biases, strict=True))
                    residuals.update(zip(ids, left, strict=True))
                except ARRAY_ERRORS as error:
                    raise DistnormError(
                        f"{part}, which cannot be read", "biases as they were written", _REMEDY
                    ) from error
            self._columns[column], self._residuals[column] = values, residuals
        return self._columns[column]

"""What statistics can come from, each as a number of rows that can be taken, all or some.

A file of vectors has its rows; a store its distinct pictures or its texts; photos and sentences
are embedded when they are taken, and not before they are chosen.
"""

from __future__ import annotations

import glob
import os
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from distnorm.errors import DistnormError, require
from distnorm.store.models import model_of, prompt_of
from distnorm.store.vectors import PARTS, read_embeddings, shard_files, stored

__all__ = ["Input", "Inputs", "SourceRows", "StoredRows", "VectorRows"]

Rows = npt.NDArray[Any]
Chosen = npt.NDArray[np.intp]
_VECTORS = (".npy", ".npz", ".safetensors")
_BLOCK = 1 << 14


class Input(Protocol):
    """Rows of one side."""

    label: str
    failed: int

    def __len__(self) -> int:
        """How many there are."""

    def take(self, chosen: Chosen | None) -> Iterator[Rows]:
        """The chosen ones (sorted numbers), or all, in blocks; less what cannot be read."""


class VectorRows:
    """A file or folder of vectors."""

    def __init__(self, path: str, side: str) -> None:
        self.label, self.failed = path, 0
        self._rows = read_embeddings(path, side)

    def __len__(self) -> int:
        """Rows."""
        return len(self._rows)

    def take(self, chosen: Chosen | None) -> Iterator[Rows]:
        """As `Input.take`."""
        if chosen is not None:
            yield np.asarray(self._rows[chosen])
        elif self._rows.ndim != 2:
            yield self._rows  # for the error that says so
        else:
            for start in range(0, max(1, len(self._rows)), _BLOCK):
                yield self._rows[start : start + _BLOCK]


class StoredRows:
    """A store's distinct pictures, or its texts.

    Attributes
    ----------
    path : str
    digest : ndarray of bytes, shape (n,)
        Hash of each row's content.
    commit : ndarray of int64, shape (n,)
        The commit that added it.
    as_of : int
        The store's last commit.
    """

    def __init__(self, path: str, side: str) -> None:
        self.label = self.path = path
        self.failed = 0
        parquet = require("pyarrow.parquet", "embed")
        self.as_of = int(stored(path)["commit"])
        self._files = shard_files(path, PARTS[side])
        if not self._files:
            read_embeddings(path, side)  # for the error that says what is missing
        tables = [
            parquet.read_table(file, columns=["hash", "commit"])
            for file in shard_files(path, "metadata")
        ]
        self.digest = np.concatenate(
            [np.array(table.column("hash").to_pylist(), dtype="S64") for table in tables]
        )
        self.commit = np.concatenate([table.column("commit").to_numpy() for table in tables])
        self._ends = np.cumsum([table.num_rows for table in tables])
        self.rows: Chosen = np.arange(len(self.digest))
        if side == "image":
            # A picture stands in a row for each of its captions.
            self.rows = np.sort(np.unique(self.digest, return_index=True)[1])

    def __len__(self) -> int:
        """Distinct pictures, or texts."""
        return len(self.rows)

    def take(self, chosen: Chosen | None) -> Iterator[Rows]:
        """As `Input.take`."""
        yield from self.read(self.rows if chosen is None else self.rows[chosen])

    def read(self, rows: Chosen) -> Iterator[Rows]:
        """Rows by their sorted numbers, shard by shard."""
        start = 0
        for file, end in zip(self._files, self._ends, strict=True):
            here = rows[(rows >= start) & (rows < end)] - start
            start = int(end)
            if len(here):
                yield np.asarray(np.load(file, mmap_mode="r", allow_pickle=False)[here])


class SourceRows:
    """Photos or sentences, embedded when they are taken.

    A picture counts once however many rows of a table name it; a sentence as often as it comes.
    """

    def __init__(
        self, name: str, side: str, encoder: Any, prompt: str | None, **options: Any
    ) -> None:
        from distnorm.embedding.sources import open_source

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

    def take(self, chosen: Chosen | None) -> Iterator[Rows]:
        """As `Input.take`."""
        from distnorm.embedding.batches import Rows as Encoded
        from distnorm.embedding.feed import Feed
        from distnorm.embedding.pipeline import decoders
        from distnorm.embedding.sources import Source
        from distnorm.store.known import Known

        picked = Source(self.label, lambda _: _at(self._items(), chosen))
        size, workers = self._options.get("batch_size", 64), self._options.get("workers")
        pool = decoders(self._encoder, (self._side,), size, workers, full=False)
        rows = Encoded(self._encoder, (self._side,), size, pool, self._prompt)
        with pool or nullcontext(), Feed(picked, Known(), pool, distinct=False) as feed:
            for entry in feed:
                if entry.verdict == "failed":
                    self.failed += 1
                else:
                    rows.add(entry)
                if len(rows) >= _BLOCK:
                    yield from self._taken(rows)
            rows.finish()
            yield from self._taken(rows)
        self.over_long += rows.over_long

    def _taken(self, rows: Any) -> Iterator[Rows]:
        entries, found = rows.take()
        self.failed += sum(entry.verdict == "failed" for entry in entries)
        if found and len(found[self._side]):
            yield found[self._side]

    def _items(self) -> Iterator[Any]:
        from distnorm.embedding.items import Item
        from distnorm.store.known import KeySet, key_of

        met = KeySet()
        for item in self._source:
            if self._side == "text":
                yield Item(item.text or "", None, item.text)
            elif met.add(key_of(item.path, str(item.offset))):
                yield item._replace(text=None)


def _at(items: Iterator[Any], chosen: Chosen | None) -> Iterator[Any]:
    if chosen is None:
        yield from items
        return
    wanted = iter([*chosen.tolist(), -1])
    next_one = next(wanted)
    for number, item in enumerate(items):
        if number == next_one:
            yield item
            next_one = next(wanted)
            if next_one < 0:
                return


class Inputs:
    """Everything that statistics are to come from.

    Parameters
    ----------
    names : mapping from side to sequence of str
        Stores, files of vectors, and sources as `distnorm.embedding.open_source` takes them.
    model : str, optional
        Name for `load_encoder`, needed where something is to be embedded and no store says; a
        model id where all are vectors.
    prompt : str, optional
        Around every sentence that is embedded.
    **options
        ``device`` for the model, ``batch_size`` and ``workers``.

    Attributes
    ----------
    sides : dict from side to list of Input
    model_id, prompt : str or None
        What the statistics belong to.

    Raises
    ------
    DistnormError
        For different models or prompts, naming both, or a source without a model.
    """

    def __init__(
        self,
        names: dict[str, Sequence[str]],
        *,
        model: str | None = None,
        prompt: str | None = None,
        device: str | None = None,
        **options: Any,
    ) -> None:
        paths = [name for given in names.values() for name in given]
        texts = [name for side, given in names.items() if side != "image" for name in given]
        stores = [path for path in paths if _is_store(path)]
        self.prompt = prompt_of(*filter(_is_store, texts), stated=prompt)
        self.model_id = model_of(*stores, stated=model)
        self.encoder: Any = None  # loaded only where something is to be embedded
        if any(_is_source(path) for path in paths):
            name = model or next((stored(path)["model"] for path in stores), None)
            self.encoder = _loaded(name, device, next(p for p in paths if _is_source(p)))
            self.model_id = model_of(*stores, stated=self.encoder.model_id)
        self.sides = {
            side: [self._open(name, side, options) for name in given]
            for side, given in names.items()
            if given
        }

    def rows(self) -> dict[str, Rows]:
        """All rows of each side at once; embeds what is not embedded."""
        return {
            side: np.concatenate([part for x in given for part in x.take(None)])
            for side, given in self.sides.items()
        }

    def _open(self, name: str, side: str, options: dict[str, Any]) -> Input:
        if _is_source(name):
            return SourceRows(name, side, self.encoder, self.prompt, **options)
        if side in PARTS and "commit" in stored(name):
            return StoredRows(name, side)
        return VectorRows(name, side)


def _is_store(name: str) -> bool:
    return Path(name, "store.json").is_file()


def _is_source(name: str) -> bool:
    """Whether it has to be embedded: neither a store nor vectors nor missing."""
    path = Path(name)
    if name == "-":
        return True
    if path.is_dir():
        return not (_is_store(name) or any(path.glob("*_emb/*.npy")))
    if not path.exists():
        return glob.has_magic(name)
    end = path.suffix.lower()
    if end == ".parquet":
        from distnorm.embedding.tables import has_vectors

        return not has_vectors(path)
    return end not in _VECTORS


def _loaded(model: str | None, device: str | None, source: str) -> Any:
    from distnorm.encoders import load_encoder

    if model is None:
        raise DistnormError(
            f"{os.fspath(source)}, which is to be embedded, and no model",
            "--model, such as builtin",
            "say which model embeds it",
        )
    return load_encoder(model, **({} if device is None else {"device": device}))

"""Chroma: a collection of a folder or of a server. Its search walks a graph.

Biases are a metadata key per normalization; what is complete stands in the collection's metadata.
Chroma's telemetry is switched off for clients made here.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import urlsplit
from urllib.request import urlopen

import numpy as np

from distnorm.arrays import Float32, Float64, NDArray
from distnorm.errors import DistnormError, first_line, require
from distnorm.search.indexes.arguments import existing, no_connection, not_there, split_last
from distnorm.search.indexes.base import Index
from distnorm.search.indexes.bias_store import (
    About,
    ListedBiases,
    Residuals,
    numbers,
    read_listing,
    residual_of,
)
from distnorm.search.indexes.system import Batch, Capabilities, Hits

__all__ = ["ChromaIndex"]

_UNITS = {"ip": "1-ip", "cosine": "1-cos", "l2": "l2sq"}
_KEY = "distnorm"


class ChromaIndex(Index):
    """A collection.

    Parameters
    ----------
    client : chromadb client
    collection : str
    place : str, optional
    """

    system: ClassVar[str] = "chroma"
    filters: ClassVar[str] = "a dict, Chroma's where"

    def __init__(self, client: Any, collection: str, place: str | None = None) -> None:
        errors = require("chromadb.errors", "chroma")
        self.failures = (errors.ChromaError, ValueError)
        self._client = client
        self.place = place or f"chroma collection {collection!r}"
        with self.plain_errors("open"):
            try:
                self._collection = client.get_collection(collection, embedding_function=None)
            except errors.NotFoundError as error:
                there = client.list_collections
                raise not_there("collection", collection, self.place, there) from error
        space = ((self._collection.configuration or {}).get("hnsw") or {}).get("space", "l2")
        if space not in _UNITS:
            raise DistnormError(f"{self.place} of space {space}", ", ".join(_UNITS), "use such")
        with self.plain_errors("open"):
            sample = self._collection.get(limit=1, include=["embeddings"])["embeddings"]
        if sample is None or not len(sample):
            raise DistnormError(f"{self.place}, which is empty", "items", "add some first")
        self.capabilities = Capabilities(_UNITS[space], len(sample[0]), exact=False)
        self.biases = _MetadataBiases(self._collection)

    @classmethod
    def open(cls, target: str, timeout: float = 10.0) -> ChromaIndex:
        """``folder/collection`` or ``http://host:port/collection``."""
        require("chromadb", "chroma")
        place, collection = split_last(target, "chroma", "collection")
        if "://" in place:
            client = _connected(place, timeout)
        else:
            folder = existing(place, "a folder of Chroma", folder=True)
            existing(str(folder / "chroma.sqlite3"), f"a Chroma database in {place}")
            client = _local(folder)
        closing = getattr(client, "close", lambda: None)
        return cls.owning(closing, client, collection, f"chroma:{target}")

    def count(self) -> int:
        """Number of items."""
        with self.plain_errors("count"):
            return int(self._collection.count())

    def nearest(
        self, queries: Float32, k: int, column: str | None = None, filter: Any = None
    ) -> list[Hits]:
        """All queries in one request, biases with the answer."""
        include = ["distances", "metadatas"] if column else ["distances"]
        k = min(k, self.count())
        answer = self._collection.query(
            query_embeddings=queries, n_results=k, where=filter, include=include
        )
        found = []
        for row, (ids, values) in enumerate(zip(answer["ids"], answer["distances"], strict=True)):
            stored = None
            if column:
                notes = answer["metadatas"][row]
                stored = [(note or {}).get(column, np.nan) for note in notes]
            found.append(Hits(ids, values, stored))
        return found

    def vectors(self, batch: int) -> Iterator[Batch]:
        """By ids that are listed first."""
        ids = self._collection.get(include=[])["ids"]
        for start in range(0, len(ids), batch):
            found = self._collection.get(ids=ids[start : start + batch], include=["embeddings"])
            yield list(found["ids"]), np.asarray(found["embeddings"], dtype=np.float32)

    def sample(self, n: int) -> Batch | None:
        """The first ones."""
        found = self._collection.get(limit=n, include=["embeddings"])
        return list(found["ids"]), np.asarray(found["embeddings"], dtype=np.float32)

    def rows_of(self, ids: Sequence[Any]) -> Mapping[Any, NDArray]:
        """By id."""
        found = self._collection.get(ids=list(ids), include=["embeddings"])
        return dict(zip(found["ids"], np.asarray(found["embeddings"]), strict=True))

    def payloads(self, ids: Sequence[Any], fields: Sequence[str]) -> Mapping[Any, dict[str, Any]]:
        """Metadata keys; ``document`` and ``uri`` are the item's own."""
        answer = self._collection.get(ids=list(ids), include=["metadatas", "documents", "uris"])
        nothing = [None] * len(answer["ids"])
        columns = [answer[name] or nothing for name in ("metadatas", "documents", "uris")]
        read = {}
        for item, notes, document, uri in zip(answer["ids"], *columns, strict=True):
            held = {"document": document, "uri": uri, **(notes or {})}
            read[item] = {name: held[name] for name in fields if held.get(name) is not None}
        return read


def _local(folder: Path) -> Any:
    """A client of a folder; one with other settings may be open in this process already."""
    chromadb = require("chromadb", "chroma")
    quiet = require("chromadb.config", "chroma").Settings(anonymized_telemetry=False)
    try:
        return chromadb.PersistentClient(str(folder), settings=quiet)
    except Exception as error:
        # Chroma raises bare errors of SQLite and of its own kernel here as well.
        raise DistnormError(
            f"{folder}, which does not open: {first_line(error)}",
            "a folder that no client with other settings has open",
            "pass that client to ChromaIndex(client, collection), or close it",
        ) from error


def _connected(url: str, timeout: float) -> Any:
    """A client of a server that answers; Chroma's own waits without end for one that does not."""
    chromadb = require("chromadb", "chroma")
    settings = require("chromadb.config", "chroma").Settings(anonymized_telemetry=False)
    parts = urlsplit(url)
    try:
        with urlopen(f"{url}/api/v2/heartbeat", timeout=timeout) as answer:
            answer.read()
        client = chromadb.HttpClient(
            host=parts.hostname or "localhost",
            port=parts.port or 8000,
            ssl=parts.scheme == "https",
            settings=settings,
        )
    except Exception as error:
        # Chroma's client raises whatever its transport raises.
        raise no_connection(url, error, "check it, or raise timeout=") from error
    session = getattr(getattr(client, "_server", None), "_session", None)
    if session is not None:
        session.timeout = timeout
    return client


class _MetadataBiases(ListedBiases):
    """A metadata key per normalization."""

    def __init__(self, collection: Any) -> None:
        self._collection = collection

    def published(self) -> dict[str, About]:
        content = (self._collection.metadata or {}).get(_KEY, "{}")
        return read_listing(content, f"the list of biases in {self._collection.name}")

    def keep(self, listing: dict[str, About]) -> None:
        # Chroma refuses its own setting in a change of metadata; it stays in the configuration.
        kept = (self._collection.metadata or {}).items()
        metadata = {key: value for key, value in kept if not key.startswith("hnsw:")}
        self._collection.modify(metadata={**metadata, _KEY: json.dumps(listing)})

    def drop(self, column: str) -> None:
        ids = self._collection.get(where={column: {"$gt": -1e30}}, include=[])["ids"]
        for start in range(0, len(ids), 1000):
            part = ids[start : start + 1000]
            self._collection.update(
                ids=part, metadatas=[{column: None, residual_of(column): None} for _ in part]
            )

    def values(self, column: str, ids: list[Any]) -> Mapping[Any, float | None]:
        answer = self._collection.get(ids=ids, include=["metadatas"])
        notes = zip(answer["ids"], answer["metadatas"], strict=True)
        return {item: (note or {}).get(column) for item, note in notes}

    def write(
        self, column: str, ids: Sequence[Any], values: Float64, residuals: Residuals = None
    ) -> None:
        notes = numbers(column, values, residuals)
        self._collection.update(ids=list(ids), metadatas=notes)

"""Chroma: a collection of a folder or of a server. Its search walks a graph.

Biases are a metadata key a normalization; what is complete stands in the collection's metadata.
Chroma's telemetry is switched off for clients made here.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any, ClassVar
from urllib.parse import urlsplit
from urllib.request import urlopen

import numpy as np
import numpy.typing as npt

from distnorm.errors import DistnormError, require
from distnorm.search.indexes.arguments import existing, split_last
from distnorm.search.indexes.base import Hits, Index

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

    def __init__(self, client: Any, collection: str, place: str | None = None) -> None:
        errors = require("chromadb.errors", "chroma")
        self.failures = (errors.ChromaError, ValueError)
        self._client = client
        self.place = place or f"chroma collection {collection!r}"
        with self.plain_errors("open"):
            self._collection = client.get_collection(collection, embedding_function=None)
        space = ((self._collection.configuration or {}).get("hnsw") or {}).get("space", "l2")
        if space not in _UNITS:
            raise DistnormError(f"{self.place} of space {space}", ", ".join(_UNITS), "use such")
        self.unit, self.exact = _UNITS[space], False
        with self.plain_errors("open"):
            some = self._collection.get(limit=1, include=["embeddings"])["embeddings"]
        if some is None or not len(some):
            raise DistnormError(f"{self.place}, which is empty", "items", "add some first")
        self.dimension = len(some[0])
        self.biases = _MetadataBiases(self._collection)

    @classmethod
    def open(cls, target: str, timeout: float = 10.0) -> ChromaIndex:
        """``folder/collection`` or ``http://host:port/collection``."""
        chromadb = require("chromadb", "chroma")
        settings = require("chromadb.config", "chroma").Settings
        place, collection = split_last(target, "chroma", "collection")
        if "://" in place:
            client = _connected(place, timeout)
        else:
            folder = existing(place, "a folder of Chroma", folder=True)
            existing(str(folder / "chroma.sqlite3"), f"a Chroma database in {place}")
            quiet = settings(anonymized_telemetry=False)
            client = chromadb.PersistentClient(str(folder), settings=quiet)
        return cls(client, collection, f"chroma:{target}")._own()

    def _release(self) -> None:
        if hasattr(self._client, "close"):
            self._client.close()

    def count(self) -> int:
        """Number of items."""
        with self.plain_errors("count"):
            return int(self._collection.count())

    def nearest(
        self, queries: npt.NDArray[np.float32], k: int, column: str | None = None
    ) -> list[Hits]:
        """All queries in one request, biases with the answer."""
        include = ["distances", "metadatas"] if column else ["distances"]
        k = min(k, self.count())
        answer = self._collection.query(query_embeddings=queries, n_results=k, include=include)
        found = []
        for row, (ids, values) in enumerate(zip(answer["ids"], answer["distances"], strict=True)):
            stored = None
            if column:
                notes = answer["metadatas"][row]
                stored = [(note or {}).get(column, np.nan) for note in notes]
            found.append(Hits(ids, values, stored))
        return found

    def vectors(self, batch: int) -> Iterator[tuple[list[Any], npt.NDArray[np.float32]]]:
        """By ids that are listed first."""
        ids = self._collection.get(include=[])["ids"]
        for start in range(0, len(ids), batch):
            found = self._collection.get(ids=ids[start : start + batch], include=["embeddings"])
            yield list(found["ids"]), np.asarray(found["embeddings"], dtype=np.float32)


def _connected(url: str, timeout: float) -> Any:
    """A client of a server that answers; Chroma's own would wait without end for one that not."""
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
        why = (str(error).splitlines() or [type(error).__name__])[0]
        raise DistnormError(
            f"no connection to {url}: {why}", "a running server", "check it, or raise timeout="
        ) from error
    session = getattr(getattr(client, "_server", None), "_session", None)
    if session is not None:
        session.timeout = timeout
    return client


class _MetadataBiases:
    """A metadata key for each normalization."""

    def __init__(self, collection: Any) -> None:
        self._collection = collection

    def published(self) -> dict[str, dict[str, Any]]:
        metadata = self._collection.metadata or {}
        found: dict[str, dict[str, Any]] = json.loads(metadata.get(_KEY, "{}"))
        return found

    def publish(self, column: str, about: dict[str, Any] | None) -> None:
        listing = self.published()
        listing.pop(column, None)
        if about is not None:
            listing[column] = about
        # Chroma refuses its own setting in a change of metadata; it stays in the configuration.
        kept = {
            key: value
            for key, value in (self._collection.metadata or {}).items()
            if not key.startswith("hnsw:")
        }
        self._collection.modify(metadata={**kept, _KEY: json.dumps(listing)})
        if about is None:
            held = self._collection.get(where={column: {"$gt": -1e30}}, include=[])["ids"]
            for start in range(0, len(held), 1000):
                some = held[start : start + 1000]
                self._collection.update(ids=some, metadatas=[{column: None} for _ in some])

    def prepare(self, column: str) -> None:
        return

    def read(self, column: str, ids: Sequence[Any]) -> npt.NDArray[np.float64]:
        found = self._collection.get(ids=list(ids), include=["metadatas"])
        notes = zip(found["ids"], found["metadatas"], strict=True)
        known = {item: (note or {}).get(column, np.nan) for item, note in notes}
        return np.array([known.get(item, np.nan) for item in ids], dtype=np.float64)

    def write(self, column: str, ids: Sequence[Any], values: npt.NDArray[np.float64]) -> None:
        self._collection.update(
            ids=list(ids), metadatas=[{column: float(value)} for value in values]
        )

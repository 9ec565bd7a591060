"""Milvus: a collection of Milvus Lite (a file) or of a server.

Biases are a dynamic field per normalization, written by partial upserts (Milvus 2.6, Lite 3); what
is complete stands in the collection's properties.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from distnorm.arrays import Float32, Float64, NDArray
from distnorm.errors import DistnormError, require
from distnorm.search.indexes.arguments import existing, no_connection, not_there, split_last, text
from distnorm.search.indexes.base import Index
from distnorm.search.indexes.bias_store import (
    BiasFolder,
    KeyedBiases,
    Residuals,
    numbers,
    residual_of,
)
from distnorm.search.indexes.system import Batch, Capabilities, Hits

__all__ = ["MilvusIndex"]

_UNITS = {"IP": "ip", "COSINE": "cos", "L2": "l2sq"}
_MOST = 16384
_ESCAPES = str.maketrans({"\\": "\\\\", '"': '\\"', "\n": "\\n", "\r": "\\r", "\t": "\\t"})


class MilvusIndex(Index):
    """A collection.

    Parameters
    ----------
    client : pymilvus.MilvusClient
    collection : str
    place : str, optional
    column : str
        The vector field, where there are several.
    timeout : float
        In seconds, of every request; loading and flushing may take a minute each at least.
    """

    system: ClassVar[str] = "milvus"
    filters: ClassVar[str] = "a text, Milvus's boolean expression"

    def __init__(
        self,
        client: Any,
        collection: str,
        place: str | None = None,
        *,
        column: str = "",
        timeout: float = 10.0,
    ) -> None:
        module = require("pymilvus", "milvus")
        self.failures = (module.MilvusException,)
        client = _Limited(client, timeout)
        self._client, self.collection = client, collection
        self.place = place or f"milvus collection {collection!r}"
        with self.plain_errors("open"):
            try:
                about = client.describe_collection(collection)
            except module.MilvusException as error:
                if not re.search("not exist|not found|can't find", str(error)):
                    raise
                names = client.list_collections
                raise not_there("collection", collection, self.place, names) from error
            client.load_collection(collection)
            kinds = {f["name"]: getattr(f["type"], "name", str(f["type"])) for f in about["fields"]}
            vectors = [name for name, kind in kinds.items() if kind == "FLOAT_VECTOR"]
            self._column = column or next(iter(vectors), "")
            if self._column not in vectors:
                kind, few = kinds.get(self._column, ""), "a field of FLOAT_VECTOR"
                kind = f"of type {kind} " if kind else ""
                raise DistnormError(
                    f"vector field {column or 'none'!r} {kind}of {self.place}",
                    ", ".join(vectors) or few,
                    "name it with column=" if vectors else "store the rows as FLOAT_VECTOR",
                )
            index = client.describe_index(collection, self._column)
        self.vector, self.one_vector = self._column, len(vectors) == 1
        field = next(f for f in about["fields"] if f["name"] == self._column)
        self._id = next(f["name"] for f in about["fields"] if f.get("is_primary"))
        if not index or index["metric_type"] not in _UNITS:
            raise DistnormError(f"{self.place} of {index}", "IP, COSINE or L2", "index it so")
        self.capabilities = Capabilities(
            _UNITS[index["metric_type"]],
            int(field["params"]["dim"]),
            exact=index["index_type"] == "FLAT",
            max_k=_MOST,
        )
        # An upsert gives an entity of such a collection another key.
        room = "" if about.get("enable_dynamic_field") else "without a dynamic field"
        self.renumbers = any(each.get("auto_id") for each in (about, *about["fields"]))
        if self.renumbers:
            room = "with automatic ids, which a server replaces when a bias is written"
        self.biases = _FieldBiases(client, collection, self._id, room, self.place)

    @classmethod
    def open(
        cls, target: str, timeout: float = 10.0, token: str = "", **options: Any
    ) -> MilvusIndex:
        """``file.db/collection`` or ``http://host:19530/collection``."""
        module = require("pymilvus", "milvus")
        place, collection = split_last(target, "milvus", "collection")
        if "://" not in place:
            require("milvus_lite", "milvus")
            # A file up to Lite 2, a folder from 3 on; the client would make one of any name.
            if Path(place).is_dir():
                existing(f"{place}/databases", f"a store of Milvus Lite in {place}", folder=True)
            else:
                existing(place, "a file of Milvus Lite")
        try:
            with _quiet():
                client = module.MilvusClient(uri=place, timeout=timeout, token=token)
        except module.MilvusException as error:
            raise no_connection(place, error, "check the address") from error
        options["timeout"] = timeout
        index = cls.owning(client.close, client, collection, f"milvus:{target}", **options)
        if index.renumbers and "://" not in place:
            index.biases = BiasFolder(Path(f"{place}.bias") / collection)
        return index

    @contextmanager
    def plain_errors(self, doing: str) -> Iterator[None]:
        """As `Index.plain_errors`, without pymilvus's own log of the same."""
        with super().plain_errors(doing), _quiet():
            yield

    def remedy(self, error: BaseException, doing: str) -> tuple[str, str] | None:
        """For keys that the client's own paging does not quote."""
        if "string literal" in str(error):
            return (
                "keys without quotation marks and backslashes, to go through all",
                "hand the rows in: ids= and items=, or --items STORE",
            )
        return super().remedy(error, doing)

    def count(self) -> int:
        """Number of entities."""
        with self.plain_errors("count"):
            found = self._client.query(self.collection, filter="", output_fields=["count(*)"])
        return int(found[0]["count(*)"])

    def nearest(
        self, queries: Float32, k: int, column: str | None = None, filter: Any = None
    ) -> list[Hits]:
        """All queries in one request, biases with the answer."""
        answers = self._client.search(
            self.collection,
            data=queries.tolist(),
            anns_field=self._column,
            limit=k,
            filter="" if filter is None else text(filter, "filter", self.filters),
            output_fields=[column] if column else [],
        )
        return [
            Hits(
                [hit[self._id] for hit in hits],
                [hit["distance"] for hit in hits],
                [hit["entity"].get(column, np.nan) for hit in hits] if column else None,
            )
            for hits in answers
        ]

    def sample(self, n: int) -> Batch | None:
        """Some entities."""
        fields = [self._id, self._column]
        found = self._client.query(self.collection, filter="", output_fields=fields, limit=n)
        return self._rows(found)

    def rows_of(self, ids: Sequence[Any]) -> Mapping[Any, NDArray]:
        """By primary key."""
        fields = [self._id, self._column]
        found = _entities(self._client, self.collection, self._id, ids, fields)
        return dict(zip(*self._rows(found), strict=True))

    def payloads(self, ids: Sequence[Any], fields: Sequence[str]) -> Mapping[Any, dict[str, Any]]:
        """Fields, those of a dynamic field as well."""
        names = [self._id, *fields]
        found = _entities(self._client, self.collection, self._id, ids, names)
        return {row[self._id]: {name: row[name] for name in fields if name in row} for row in found}

    def _rows(self, found: Sequence[Any]) -> Batch:
        """Ids and vectors; an entity may have none."""
        rows = {row[self._id]: row[self._column] for row in found if row.get(self._column)}
        read = np.asarray(list(rows.values()), dtype=np.float32)
        return list(rows), read.reshape(len(rows), self.dimension)

    def vectors(self, batch: int) -> Iterator[Batch]:
        """By ids that are listed first, since writing biases moves entities."""
        with _quiet():
            pages = self._client.query_iterator(
                self.collection, batch_size=min(batch, _MOST), output_fields=[self._id]
            )
            ids: list[Any] = []
            while page := pages.next():
                ids += [row[self._id] for row in page]
            pages.close()
        for start in range(0, len(ids), batch):
            some = ids[start : start + batch]
            fields = [self._id, self._column]
            found = _entities(self._client, self.collection, self._id, some, fields)
            read = dict(zip(*self._rows(found), strict=True))
            some = [item for item in some if item in read]
            if some:
                yield some, np.stack([read[item] for item in some])


class _FieldBiases(KeyedBiases):
    """A dynamic field per normalization."""

    key = "distnorm.biases"

    def __init__(self, client: Any, collection: str, id: str, room: str, place: str) -> None:
        self._client, self._collection, self._id = client, collection, id
        self._room, self._place = room, place

    def notes(self) -> Mapping[str, Any]:
        return self._client.describe_collection(self._collection).get("properties") or {}

    def note(self, name: str, text: str | None) -> None:
        # Properties that are not named stay.
        if text is None and name in self.notes():
            self._client.drop_collection_properties(self._collection, property_keys=[name])
        elif text is not None:
            self._client.alter_collection_properties(self._collection, properties={name: text})
        # Searches of what was not flushed are many times slower in Lite.
        self._client.flush(self._collection)

    def drop(self, column: str) -> None:
        # A dynamic field cannot be dropped: a null counts as not there.
        while rows := self._client.query(
            self._collection, filter=f"{column} > -1e30", output_fields=[self._id], limit=1000
        ):
            empty = [
                {self._id: row[self._id], column: None, residual_of(column): None} for row in rows
            ]
            self._client.upsert(self._collection, empty, partial_update=True)

    def prepare(self, column: str) -> None:
        if self._room:
            raise DistnormError(
                f"{self._place} {self._room}",
                "a place for biases",
                "keep them in a folder: biases=FOLDER of open_index, or --biases FOLDER",
            )

    def values(self, column: str, ids: list[Any]) -> Mapping[Any, float | None]:
        rows = _entities(self._client, self._collection, self._id, ids, [self._id, column])
        return {row[self._id]: row.get(column) for row in rows}

    def write(
        self, column: str, ids: Sequence[Any], values: Float64, residuals: Residuals = None
    ) -> None:
        both = zip(ids, numbers(column, values, residuals), strict=True)
        rows = [{self._id: item, **fields} for item, fields in both]
        self._client.upsert(self._collection, rows, partial_update=True)


def _entities(
    client: Any, collection: str, id: str, ids: Sequence[Any], fields: list[str]
) -> list[Any]:
    """Entities by primary key; the client's own `get` does not quote texts."""
    found: list[Any] = []
    for start in range(0, len(ids), 1000):
        keys = ", ".join(map(_literal, ids[start : start + 1000]))
        found += client.query(collection, filter=f"{id} in [{keys}]", output_fields=fields)
    return found


def _literal(key: Any) -> str:
    """A key in an expression; JSON's escape of a control character is not known there."""
    return f'"{key.translate(_ESCAPES)}"' if isinstance(key, str) else str(key)


class _Limited:
    """A client whose requests end in time: its own wait and try again for minutes."""

    def __init__(self, client: Any, timeout: float) -> None:
        self._client, self._timeout = client, timeout

    def __getattr__(self, name: str) -> Any:
        long = name in ("flush", "load_collection")
        return partial(getattr(self._client, name), timeout=max(self._timeout, 60 * long))


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep pymilvus and Milvus Lite from logging what is raised as well."""
    loggers = [logging.getLogger(name) for name in ("pymilvus", "milvus_lite")]
    before = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        for logger, level in zip(loggers, before, strict=True):
            logger.setLevel(level)

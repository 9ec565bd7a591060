"""Qdrant: a collection of a server, or of local mode (``:memory:`` or a folder).

Biases are a payload key per normalization; what is complete stands in the collection's metadata.
A server's search walks a graph unless asked ``exact``; local mode compares with every item. A
server from 1.14 on ranks by the key itself (`FormulaQuery`) where lists could not be certain
anyway; local mode can as well, in twice the time.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np

from distnorm.arrays import Float32, Float64, NDArray
from distnorm.errors import DistnormError, first_line, require
from distnorm.search.indexes.arguments import existing, not_there, split_last
from distnorm.search.indexes.base import Index
from distnorm.search.indexes.bias_store import KeyedBiases, Residuals, numbers, residual_of
from distnorm.search.indexes.system import Batch, Capabilities, Hits

__all__ = ["QdrantIndex", "knows_formulas"]

_UNITS = {"Dot": "ip", "Cosine": "cos", "Euclid": "l2"}


class QdrantIndex(Index):
    """A collection.

    Parameters
    ----------
    client : qdrant_client.QdrantClient
    collection : str
    place : str, optional
    vector : str
        Name of the vector, where the collection has several.
    exact : bool
        Ask a server to compare with every item.
    """

    system: ClassVar[str] = "qdrant"
    filters: ClassVar[str] = "a qdrant_client.models.Filter, or a dict of one"

    def __init__(
        self,
        client: Any,
        collection: str,
        place: str | None = None,
        *,
        vector: str = "",
        exact: bool = False,
    ) -> None:
        module = require("qdrant_client", "qdrant")
        exceptions = require("qdrant_client.http.exceptions", "qdrant")
        self.failures = (ValueError, RuntimeError, exceptions.ApiException)
        self._client, self._models = client, module.models
        self.collection, self.place = collection, place or f"qdrant collection {collection!r}"
        with self.plain_errors("open"):
            try:
                params = client.get_collection(collection).config.params
            except Exception as error:
                if "not found" not in str(error).lower() and "doesn't exist" not in str(error):
                    raise
                there = client.get_collections
                raise not_there(
                    "collection", collection, self.place, lambda: there().collections
                ) from error
        if not vector and isinstance(params.vectors, dict) and len(params.vectors) == 1:
            # The only one need not be named.
            vector = next(iter(params.vectors))
        found = _described(params, vector, self.place)
        if isinstance(params.vectors, dict):
            self.vector, self.one_vector = vector, len(params.vectors) == 1
        local = type(getattr(client, "_client", None)).__name__ == "QdrantLocal"
        unit = _UNITS[found.distance.value]
        self.capabilities = Capabilities(unit, int(found.size), exact or local)
        self._vector = vector or None
        self._settings = None
        if exact and not local:
            rows = module.models.QuantizationSearchParams(ignore=True)
            self._settings = module.models.SearchParams(exact=True, quantization=rows)
        self.subtracts = unit != "l2" and not local and knows_formulas(client)
        self.biases = _PayloadBiases(client, module.models, collection)

    @classmethod
    def open(
        cls, target: str, timeout: int = 10, api_key: str | None = None, **options: Any
    ) -> QdrantIndex:
        """``http://host:port/collection``, ``folder/collection`` or ``:memory:/collection``."""
        module = require("qdrant_client", "qdrant")
        place, collection = split_last(target, "qdrant", "collection")
        if "://" in place:
            client = module.QdrantClient(
                url=place, timeout=timeout, api_key=api_key, check_compatibility=False
            )
        elif place == ":memory:":
            client = module.QdrantClient(":memory:")
        else:
            folder = existing(place, "a folder of Qdrant's local mode", folder=True)
            # The client would make a store of any folder.
            existing(str(folder / "meta.json"), f"a store of Qdrant's local mode in {place}")
            try:
                client = module.QdrantClient(path=str(folder))
            except (RuntimeError, ValueError) as error:
                raise DistnormError(
                    f"{place}, which does not open: {first_line(error)}",
                    "a folder of local mode that nobody else has open",
                    "close the other client, or run a server",
                ) from error
        place = f"qdrant:{target}"
        return cls.owning(client.close, client, collection, place, **options)

    def count(self) -> int:
        """Number of points with the vector."""
        models, some = self._models, None
        if self._vector:
            some = models.Filter(must=[models.HasVectorCondition(has_vector=self._vector)])
        with self.plain_errors("count"):
            found = self._client.count(self.collection, count_filter=some, exact=True)
            return int(found.count)

    def nearest(
        self, queries: Float32, k: int, column: str | None = None, filter: Any = None
    ) -> list[Hits]:
        """All queries in one request, biases with the answer."""
        filter = self._filter(filter)
        requests = [
            self._models.QueryRequest(
                query=row.tolist(),
                limit=k,
                using=self._vector,
                filter=filter,
                params=self._settings,
                with_payload=[column] if column else False,
            )
            for row in queries
        ]
        answers = self._client.query_batch_points(self.collection, requests)
        return [
            Hits(
                [point.id for point in answer.points],
                [point.score for point in answer.points],
                [(point.payload or {}).get(column, np.nan) for point in answer.points]
                if column
                else None,
            )
            for answer in answers
        ]

    def subtracting(
        self, queries: Float32, k: int, first: int, column: str, mean: float, filter: Any = None
    ) -> list[Hits]:
        """A formula over the points that are fetched first; one without the key takes the mean."""
        models, filter = self._models, self._filter(filter)
        cosine = self.metric == "cos"
        lengths = np.linalg.norm(queries.astype(np.float64), axis=1).tolist()
        factors = lengths if cosine else [1.0] * len(queries)
        requests = [
            models.QueryRequest(
                prefetch=models.Prefetch(
                    query=row.tolist(),
                    limit=first,
                    using=self._vector,
                    filter=filter,
                    params=self._settings,
                ),
                query=models.FormulaQuery(
                    formula=models.SumExpression(
                        sum=[
                            models.MultExpression(mult=[factor, "$score"]),
                            models.NegExpression(neg=column),
                        ]
                    ),
                    defaults={column: mean},
                ),
                limit=k,
                with_payload=[column],
            )
            for row, factor in zip(queries, factors, strict=True)
        ]
        found = []
        for answer in self._client.query_batch_points(self.collection, requests):
            ids = [point.id for point in answer.points]
            stored = [(point.payload or {}).get(column) for point in answer.points]
            biases = np.array(stored, dtype=np.float64)
            scores = np.array([point.score for point in answer.points], dtype=np.float64)
            found.append(Hits(ids, scores + np.where(np.isnan(biases), mean, biases), biases))
        return found

    def _filter(self, filter: Any) -> Any:
        """What is passed on, made of a dict if it is one."""
        if not isinstance(filter, Mapping):
            return filter
        try:
            return self._models.Filter(**filter)
        except ValueError as error:
            got = f"filter={str(dict(filter))[:80]!r}"
            remedy = 'write {"must": [{"key": ..., "match": {"value": ...}}]}'
            raise DistnormError(got, self.filters, remedy) from error

    def vectors(self, batch: int) -> Iterator[Batch]:
        """Scroll through the points."""
        offset = None
        while True:
            points, offset = self._client.scroll(
                self.collection,
                limit=batch,
                offset=offset,
                with_payload=False,
                with_vectors=[self._vector] if self._vector else True,
            )
            rows = self._rows(points)
            if rows:
                yield list(rows), np.asarray(list(rows.values()), dtype=np.float32)
            if offset is None:
                return

    def rows_of(self, ids: Sequence[Any]) -> Mapping[Any, NDArray]:
        """By id."""
        vectors = [self._vector] if self._vector else True
        points = self._client.retrieve(
            self.collection, list(ids), with_payload=False, with_vectors=vectors
        )
        return {item: np.asarray(row) for item, row in self._rows(points).items()}

    def payloads(self, ids: Sequence[Any], fields: Sequence[str]) -> Mapping[Any, dict[str, Any]]:
        """Payload keys; ``a.b`` is a key inside one."""
        points = self._client.retrieve(self.collection, list(ids), with_payload=list(fields))
        return {point.id: dict(point.payload or {}) for point in points}

    def _rows(self, points: Sequence[Any]) -> dict[Any, list[float]]:
        """Vectors by id; points may lack the one that is searched."""
        name, rows = self._vector, {}
        for point in points:
            row = (point.vector or {}).get(name) if name else point.vector
            if row:
                rows[point.id] = row
        return rows


def knows_formulas(client: Any) -> bool:
    """Whether a server is of version 1.14 at least, as it says itself."""
    try:
        numbers = re.findall(r"\d+", str(client.info().version))
    except Exception:
        # Of what an old or guarded server does with this, nothing hinders a search.
        return False
    return [int(number) for number in numbers[:2]] >= [1, 14]


def _described(params: Any, vector: str, place: str) -> Any:
    """What a collection says of the vector that is to be searched."""
    dense, sparse = params.vectors, list(params.sparse_vectors or {})
    several = isinstance(dense, dict)
    if not dense or (several and vector in sparse):
        raise DistnormError(
            f"{place} of sparse vectors", "dense vectors of an image-text model", "search by those"
        )
    if several and vector not in dense:
        raise DistnormError(f"vector {vector!r} of {place}", ", ".join(dense), "pass vector=")
    if vector and not several:
        raise DistnormError(
            f"vector {vector!r} of {place}, whose vector has no name", "none", "leave vector= out"
        )
    found = dense[vector] if several else dense
    if getattr(found, "multivector_config", None) is not None:
        raise DistnormError(
            f"{place} with several rows per point (a multivector)",
            "one row per point",
            "search a vector that is none, with vector=",
        )
    if found.distance.value not in _UNITS:
        raise DistnormError(
            f"{place} of distance {found.distance.value}", "Dot, Cosine or Euclid", "use such"
        )
    return found


class _PayloadBiases(KeyedBiases):
    """A payload key per normalization."""

    def __init__(self, client: Any, models: Any, collection: str) -> None:
        self._client, self._models, self._collection = client, models, collection

    def notes(self) -> Mapping[str, Any]:
        return self._client.get_collection(self._collection).config.metadata or {}

    def note(self, name: str, text: str | None) -> None:
        # Keys that are not named stay, and a null takes one away.
        self._client.update_collection(self._collection, metadata={name: text})

    def drop(self, column: str) -> None:
        keys = [column, residual_of(column)]
        self._client.delete_payload(self._collection, keys, self._models.Filter())

    def values(self, column: str, ids: list[Any]) -> Mapping[Any, float | None]:
        points = self._client.retrieve(self._collection, ids, with_payload=[column])
        return {point.id: (point.payload or {}).get(column) for point in points}

    def write(
        self, column: str, ids: Sequence[Any], values: Float64, residuals: Residuals = None
    ) -> None:
        models, changes = self._models, list[Any]()
        for item, both in zip(ids, numbers(column, values, residuals), strict=True):
            payload = {name: number for name, number in both.items() if number is not None}
            change = models.SetPayload(payload=payload, points=[item])
            changes.append(models.SetPayloadOperation(set_payload=change))
        if residuals is None:
            gone = models.DeletePayload(keys=[residual_of(column)], points=list(ids))
            changes.append(models.DeletePayloadOperation(delete_payload=gone))
        self._client.batch_update_points(self._collection, changes, wait=True)

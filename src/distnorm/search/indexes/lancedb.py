"""LanceDB: a table with a vector column, in a folder.

Without an index it compares with every row and takes the metric with the query; with one, the
index's. Biases lie in a table of their own, ``distnorm_bias_<fingerprint>_<table>``, and what is
complete in ``distnorm_biases``: the vector table keeps its version.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import date, datetime
from typing import Any, ClassVar

import numpy as np

from distnorm.arrays import Float32, Float64, NDArray
from distnorm.errors import DistnormError, require
from distnorm.search.indexes.arguments import (
    existing,
    known_columns,
    not_there,
    one_of,
    split_last,
    text,
)
from distnorm.search.indexes.base import Index
from distnorm.search.indexes.bias_store import About, BiasStore, Residuals, read_about, residual_of
from distnorm.search.indexes.system import Batch, Capabilities, Hits

__all__ = ["LanceDBIndex"]

_UNITS = {"dot": "1-ip", "cosine": "1-cos", "l2": "l2sq"}
# How many times as many rows as asked for are compared again.
_REFINE = 10
_REGISTRY = "distnorm_biases"


class LanceDBIndex(Index):
    """A table.

    Parameters
    ----------
    database : lancedb connection
    table : str
    place : str, optional
    column, id : str
        Columns of the vectors and of unique ids.
    metric : {"", "dot", "cosine", "l2"}
        The index's if left out; dot where there is none.
    exact : bool
        Compare with every row though there is an index.
    """

    system: ClassVar[str] = "lancedb"
    filters: ClassVar[str] = "a condition in SQL, such as \"year > 2020 AND genre = 'cat'\""
    failures = (ValueError, RuntimeError)

    def __init__(
        self,
        database: Any,
        table: str,
        place: str | None = None,
        *,
        column: str = "vector",
        id: str = "id",
        metric: str = "",
        exact: bool = False,
    ) -> None:
        self.place = place or f"table {table!r}"
        with self.plain_errors("open"):
            try:
                self._table = database.open_table(table)
            except ValueError as error:
                if "not found" not in str(error):
                    raise
                raise not_there("table", table, self.place, lambda: _tables(database)) from error
        self._column, self._id = column, id
        with self.plain_errors("open"):
            schema = self._table.schema
        self.vector = column
        self.one_vector = sum(hasattr(field.type, "list_size") for field in schema) == 1
        known_columns(schema.names, self.place, column, id)
        kind = schema.field(column).type
        if not hasattr(kind, "list_size") or "int" in str(kind.value_type):
            packed = hasattr(kind, "list_size")
            raise DistnormError(
                f"column {column!r} of type {kind} in {self.place}",
                "a list of fixed size, such as FixedSizeList(float32, d)",
                "keep the vectors themselves too: codes and packed bits have no inner product"
                if packed
                else "name the column of vectors with column=, or cast this one",
            )
        with self.plain_errors("open"):
            indexed = [each for each in self._table.list_indices() if column in each.columns]
            self._nameless = bool(self._table.count_rows(f"`{id}` IS NULL"))
            stats = self._table.index_stats(indexed[0].name) if indexed else None
        own = str(stats.distance_type).lower() if stats is not None else ""
        self._metric = metric or own or "dot"
        one_of("metric", self._metric, _UNITS)
        exact = exact or not indexed
        self.capabilities = Capabilities(_UNITS[self._metric], int(kind.list_size), exact)
        self.biases = _TableBiases(database, table, schema.field(id).type)

    @classmethod
    def open(cls, target: str, **options: Any) -> LanceDBIndex:
        """``folder/table``."""
        lancedb = require("lancedb", "lancedb")
        folder, table = split_last(target, "lancedb", "table")
        if "://" not in folder:
            existing(folder, "a LanceDB folder", folder=True)
        return cls(lancedb.connect(folder), table, f"lancedb:{target}", **options)

    def count(self) -> int:
        """Number of rows with a vector."""
        with self.plain_errors("count"):
            return int(self._table.count_rows(self._there))

    def nearest(
        self, queries: Float32, k: int, column: str | None = None, filter: Any = None
    ) -> list[Hits]:
        """One search per query."""
        found, conditions = [], []
        if filter is not None:
            conditions.append(f"({text(filter, 'filter', self.filters)})")
        if self._nameless:
            conditions.append(self._there)
        where = " AND ".join(conditions)
        for row in queries:
            search = self._table.search(row, vector_column_name=self._column)
            search = search.distance_type(self._metric).select([self._id, "_distance"]).limit(k)
            if where:
                search = search.where(where, prefilter=True)
            # Quantised indexes report distances of another kind unless rows are compared again.
            search = search.bypass_vector_index() if self.exact else search.refine_factor(_REFINE)
            answer = search.to_arrow()
            found.append(Hits(answer[self._id].to_pylist(), answer["_distance"].to_numpy()))
        return found

    def vectors(self, batch: int) -> Iterator[Batch]:
        """One pass over the table as it is now; rows without a vector are passed over."""
        search = self._table.search().where(self._there).select([self._id, self._column])
        for part in search.to_batches(batch):
            if part.num_rows:
                yield part[self._id].to_pylist(), self._rows(part[self._column])

    def sample(self, n: int) -> Batch | None:
        """The first ones."""
        search = self._table.search().where(self._there).select([self._id, self._column])
        part = search.limit(n).to_arrow()
        return part[self._id].to_pylist(), self._rows(part[self._column].combine_chunks())

    def rows_of(self, ids: Sequence[Any]) -> Mapping[Any, NDArray]:
        """By id."""
        part = self._of(ids, [self._column], f" AND {self._there}")
        names = part[self._id].to_pylist()
        self.check_ids(names)
        return dict(zip(names, self._rows(part[self._column].combine_chunks()), strict=True))

    def payloads(self, ids: Sequence[Any], fields: Sequence[str]) -> Mapping[Any, dict[str, Any]]:
        """Columns of the table."""
        known_columns(self._table.schema.names, self.place, *fields)
        rows = self._of(ids, [name for name in fields if name != self._id]).to_pylist()
        return {row[self._id]: {name: row[name] for name in fields} for row in rows}

    def _of(self, ids: Sequence[Any], columns: list[str], more: str = "") -> Any:
        names = ", ".join(_literal(item) for item in ids if item is not None) or "NULL"
        search = self._table.search().where(f"`{self._id}` IN ({names}){more}")
        return search.select([self._id, *columns]).limit(max(1, 2 * len(ids))).to_arrow()

    @property
    def _there(self) -> str:
        return f"`{self._column}` IS NOT NULL AND `{self._id}` IS NOT NULL"

    def _rows(self, column: Any) -> Float32:
        rows = column.flatten().to_numpy(zero_copy_only=False)
        return np.asarray(rows, np.float32).reshape(len(column), self.dimension)


class _TableBiases(BiasStore):
    """Tables beside the vectors."""

    def __init__(self, database: Any, table: str, id_type: Any) -> None:
        self._database, self._target, self._id_type = database, table, id_type

    def _open(self, name: str) -> Any | None:
        try:
            return self._database.open_table(name)
        except ValueError:
            return None

    def published(self) -> dict[str, About]:
        table = self._open(_REGISTRY)
        rows = [] if table is None else table.to_arrow().to_pylist()
        mine = [row for row in rows if row["target"] == self._target]
        place = f"{_REGISTRY} of {self._target}"
        return {row["column"]: read_about(row["about"], place) for row in mine}

    def publish(self, column: str, about: About | None) -> None:
        pyarrow = require("pyarrow", "lancedb")
        table = self._open(_REGISTRY)
        row = {"key": f"{self._target} {column}", "target": self._target, "column": column}
        if about is None:
            if table is not None:
                table.delete(f"key = {_literal(row['key'])}")
            for name in (self._name(column), self._name(residual_of(column))):
                if self._open(name) is not None:
                    self._database.drop_table(name)
            return
        if table is None:
            names = ("key", "target", "column", "about")
            schema = pyarrow.schema([(name, pyarrow.string()) for name in names])
            table = self._database.create_table(_REGISTRY, schema=schema)
        _merge(table, "key", [{**row, "about": json.dumps(about)}])

    def prepare(self, column: str) -> None:
        pyarrow = require("pyarrow", "lancedb")
        for name in (self._name(column), self._name(residual_of(column))):
            if self._open(name) is not None:
                continue
            schema = pyarrow.schema([("id", self._id_type), ("bias", pyarrow.float32())])
            self._database.create_table(name, schema=schema)

    def values(self, column: str, ids: list[Any]) -> Mapping[Any, float | None]:
        table = self._open(self._name(column))
        values: dict[Any, float] = {}
        for start in range(0, len(ids) if table is not None else 0, 500):
            names = ", ".join(map(_literal, ids[start : start + 500]))
            rows = table.search().where(f"id IN ({names})").limit(500).to_arrow()  # type: ignore[union-attr]
            values.update(zip(rows["id"].to_pylist(), rows["bias"].to_pylist(), strict=True))
        return values

    def write(
        self, column: str, ids: Sequence[Any], values: Float64, residuals: Residuals = None
    ) -> None:
        pyarrow = require("pyarrow", "lancedb")
        names = pyarrow.array(list(ids), self._id_type)
        for name, numbers in ((column, values), (residual_of(column), residuals)):
            table = self._open(self._name(name))
            if numbers is not None:
                biases = pyarrow.array(numbers.astype(np.float32))
                _merge(table, "id", pyarrow.table({"id": names, "bias": biases}))
            elif table is not None:
                for start in range(0, len(ids), 500):
                    some = ", ".join(map(_literal, ids[start : start + 500]))
                    table.delete(f"id IN ({some})")

    def _name(self, column: str) -> str:
        return f"{column}_{self._target}"


def _merge(table: Any, key: str, rows: Any) -> None:
    merging = table.merge_insert(key).when_matched_update_all().when_not_matched_insert_all()
    merging.execute(rows)


def _tables(database: Any) -> list[str]:
    """Names of its tables, but not of those that hold biases."""
    found = database.list_tables()
    names = list(getattr(found, "tables", found))
    return [name for name in names if not name.startswith("distnorm_bias")]


def _literal(item: Any) -> str:
    if isinstance(item, bytes):
        return f"X'{item.hex()}'"
    if isinstance(item, (datetime, date)):
        return f"{'timestamp' if isinstance(item, datetime) else 'date'} '{item}'"
    return str(item) if isinstance(item, (int, float)) else "'" + str(item).replace("'", "''") + "'"

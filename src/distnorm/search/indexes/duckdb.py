"""DuckDB: a table of vectors, compared row by row with ``array_inner_product``.

Vectors are arrays (FLOAT[d], DOUBLE[d]) or lists (FLOAT[], DOUBLE[]) of one length. A database
file is opened for reading only, so that other readers may have it open too; writing biases opens it
again for writing. Biases lie in a table of their own (see `sql`).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, ClassVar

import numpy as np

from distnorm.arrays import Float32
from distnorm.errors import DistnormError, first_line, require
from distnorm.search.indexes.arguments import existing, known_columns, not_there, split_last
from distnorm.search.indexes.sql import SqlBiases, SqlIndex, named
from distnorm.search.indexes.system import Capabilities

__all__ = ["DuckDBIndex"]


_VECTORS = re.compile(r"(FLOAT|DOUBLE)\[(\d*)\]")


class DuckDBIndex(SqlIndex):
    """A table.

    Parameters
    ----------
    connection : duckdb.DuckDBPyConnection
    table : str
        May be ``schema.table`` or, of an attached database, ``database.schema.table``.
    place : str, optional
    path : str, optional
        Of the database, if the connection is for reading only and ours to open again.
    column, id : str
        Columns of the vectors and of unique ids.
    """

    system: ClassVar[str] = "duckdb"
    descending: ClassVar[bool] = True

    def __init__(
        self,
        connection: Any,
        table: str,
        place: str | None = None,
        path: str | None = None,
        *,
        column: str = "embedding",
        id: str = "id",
    ) -> None:
        self._duckdb = require("duckdb", "duckdb")
        self.failures = (self._duckdb.Error,)
        self._path = path
        parts = named(table, 3)
        super().__init__(connection, parts, place, id, column)
        with self.plain_errors("open"):
            try:
                described = self.run(f"DESCRIBE {self._table}")
            except (self._duckdb.CatalogException, self._duckdb.BinderException) as error:
                raise not_there("table", table, self.place, self._tables) from error
            types = {row[0]: row[1] for row in described}
            # SQL's own names know no large and small letters here.
            spelled = {name.lower(): name for name in reversed(types)}
            column, id = (spelled.get(name.lower(), name) for name in (column, id))
            self._id, self._column, self.vector = self.name_of(id), self.name_of(column), column
            known_columns(types, self.place, column, id)
            number, size = self._kind(types[column])
            schema = parts[-2] if len(parts) > 1 else self.run("SELECT current_schema()")[0][0]
        self._as = f"{self._column}::{number}[{size}]"
        self.value = f"array_inner_product({self._as}, ?::{number}[{size}])"
        self.capabilities = Capabilities("ip", size, exact=True)
        self.one_vector = sum(bool(_VECTORS.fullmatch(kind)) for kind in types.values()) == 1
        inside = (parts[0], "main") if len(parts) == 3 else ()
        alone = len(parts) == 1 and len(table) < 39 and self.one_vector
        self.biases = SqlBiases(
            [schema.lower(), parts[-1].lower()],
            column.lower(),
            types[id],
            self.run,
            self.change,
            lambda name: self._there_is(name, inside),
            inside=inside,
            earlier=table if alone and re.fullmatch(r"\w+", table) else "",
        )

    @classmethod
    def open(cls, target: str, **options: Any) -> DuckDBIndex:
        """``file.db/table``."""
        duckdb = require("duckdb", "duckdb")
        path, table = split_last(target, "duckdb", "table")
        existing(path, "a DuckDB database")
        try:
            connection = duckdb.connect(path, read_only=True)
        except duckdb.Error as error:
            raise DistnormError(
                f"{path}, which does not open: {first_line(error)}",
                "a DuckDB database that nobody is writing",
                "close the writer, pass its connection to DuckDBIndex(connection, table), or check "
                "the file",
            ) from error
        place = f"duckdb:{target}"
        return cls.owning(connection.close, connection, table, place, path, **options)

    def remedy(self, error: BaseException, doing: str) -> tuple[str, str] | None:
        """For a null among the numbers of a vector."""
        if "can not contain NULL" in str(error):
            clean = f"list_count({self._column}::DOUBLE[]) = len({self._column}::DOUBLE[])"
            return "vectors without nulls in them", f"search a view of the rows WHERE {clean}"
        if "already closed" in str(error):
            return "an open connection", "connect again, and pass the new one"
        return super().remedy(error, doing)

    def run(self, statement: str, values: Sequence[Any] = ()) -> list[Any]:
        """Rows."""
        return list(self._connection.execute(statement, list(values)).fetchall())

    def change(self, statement: str, values: Sequence[Any] = ()) -> list[Any]:
        """Rows, of a database that is opened again for writing."""
        if self._path is not None:
            self._connection.close()
            try:
                self._connection = self._duckdb.connect(self._path)
            except self._duckdb.Error:
                # Reading goes on.
                self._connection = self._duckdb.connect(self._path, read_only=True)
                self.closing = self._connection.close
                raise
            self.closing, self._path = self._connection.close, None
        return self.run(statement, values)

    def sent(self, query: Float32) -> Any:
        """A list of numbers."""
        return query.tolist()

    def read(self, value: Any) -> Any:
        """A sequence of numbers."""
        return np.asarray(value, dtype=np.float32)

    def _kind(self, shown: str) -> tuple[str, int]:
        """Type of a number, and how many there are."""
        shape = _VECTORS.fullmatch(shown)
        if not shape:
            raise DistnormError(
                f"column {self.vector!r} of type {shown} in {self.place}",
                "FLOAT[d] or DOUBLE[d], or a list of these",
                self._cast(shown),
            )
        if shape[2]:
            return shape[1], int(shape[2])
        sizes = self.run(
            f"SELECT min(len({self._column})), max(len({self._column})) FROM {self._table}"
        )[0]
        if sizes[0] is None:
            raise DistnormError(f"no vectors in {self.place}", "some", "add rows first")
        if sizes[0] != sizes[1] or not sizes[0]:
            raise DistnormError(
                f"vectors of {sizes[0]} to {sizes[1]} numbers in {self.place}",
                "one length",
                "make a view of the rows of one length",
            )
        return shape[1], int(sizes[0])

    def _cast(self, shown: str) -> str:
        """What makes vectors of a column of another type, if it holds some."""
        size = None
        if shown.endswith("]") or shown == "VARCHAR":
            statement = (
                f"SELECT len({self._column}::DOUBLE[]) FROM {self._table} "
                f"WHERE {self._column} IS NOT NULL LIMIT 1"
            )
            with suppress(self._duckdb.Error):
                size = next(iter(self.run(statement)), [None])[0]
        if size:
            return f"run: ALTER TABLE {self._table} ALTER {self._column} TYPE FLOAT[{size}]"
        way = "numpy.frombuffer(v, 'float32').tolist() of each v, in a new column of FLOAT[d]"
        bytes_ = f", or write {way}" if shown == "BLOB" else ""
        return f"name the vector column: column={bytes_}"

    def _tables(self) -> list[str]:
        """Tables and views, but not those that hold biases; by the schema where it is another."""
        rows = self.run(
            "SELECT database_name, schema_name, table_name FROM duckdb_tables() WHERE NOT internal "
            "UNION SELECT database_name, schema_name, view_name FROM duckdb_views() "
            "WHERE NOT internal"
        )
        here = self.run("SELECT current_database(), current_schema()")[0]
        found = []
        for *place, name in rows:
            away = 0 if place == list(here) else 1 if place[0] == here[0] else 2
            if not name.startswith("distnorm_bias"):
                found.append(".".join([*place[2 - away :], name]))
        return found

    def _there_is(self, table: str, inside: tuple[str, ...]) -> bool:
        database = "?" if inside else "current_database()"
        statement = (
            f"SELECT 1 FROM duckdb_tables() WHERE database_name = {database} AND table_name = ?"
        )
        return bool(self.run(statement, [*inside[:1], table]))

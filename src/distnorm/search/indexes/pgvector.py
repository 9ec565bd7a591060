"""PostgreSQL with pgvector: a table with a vector column.

Without an index the server compares with every row; with HNSW or IVFFlat it walks. As
``hnsw.ef_search`` also bounds how many rows HNSW returns, it is raised to k for each search. Biases
lie in a table of their own (see `sql`); the vector table is never written to.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar
from urllib.parse import urlsplit, urlunsplit

import numpy as np
import numpy.typing as npt

from distnorm.errors import DistnormError, require
from distnorm.search.indexes.arguments import known_columns, no_connection, one_of
from distnorm.search.indexes.sql import SqlBiases, SqlIndex
from distnorm.search.indexes.system import Capabilities, Hits

__all__ = ["PgvectorIndex"]

# Metric: pgvector's operator, what it answers, its operator class.
_OPERATORS = {
    "ip": ("<#>", "-ip", "vector_ip_ops"),
    "cosine": ("<=>", "1-cos", "vector_cosine_ops"),
    "l2": ("<->", "l2", "vector_l2_ops"),
}


class PgvectorIndex(SqlIndex):
    """A table.

    Parameters
    ----------
    connection : psycopg.Connection
        Set to autocommit.
    table : str
        May be ``schema.table``.
    place : str, optional
    column, id : str
        Columns of the vectors and of unique ids.
    metric : {"", "ip", "cosine", "l2"}
        Of the index on the column if left out; inner product where there is none.
    exact : bool
        Do not use the index.
    ef : int
        Smallest ``hnsw.ef_search``; the server's own if 0.
    """

    system: ClassVar[str] = "pgvector"
    mark: ClassVar[str] = "%s"

    def __init__(
        self,
        connection: Any,
        table: str,
        place: str | None = None,
        *,
        column: str = "embedding",
        id: str = "id",
        metric: str = "",
        exact: bool = False,
        ef: int = 0,
    ) -> None:
        psycopg = require("psycopg", "pgvector")
        self.failures = (psycopg.Error,)
        connection.autocommit = True
        super().__init__(connection, table, place, id, column)
        with self.plain_errors("open"):
            types = dict(
                self.run(
                    "SELECT attname, format_type(atttypid, atttypmod) FROM pg_attribute "
                    "WHERE attrelid = %s::regclass AND attnum > 0 AND NOT attisdropped",
                    [self._table],
                )
            )
            indexes = self.run(
                "SELECT am.amname, opc.opcname FROM pg_index x "
                "JOIN pg_class c ON c.oid = x.indexrelid JOIN pg_am am ON am.oid = c.relam "
                "JOIN pg_opclass opc ON opc.oid = x.indclass[0] "
                "JOIN pg_attribute a ON a.attrelid = x.indrelid AND a.attnum = x.indkey[0] "
                "WHERE x.indrelid = %s::regclass AND a.attname = %s AND x.indisvalid",
                [self._table, column],
            )
        known_columns(types, self.place, column, id)
        kind, _, size = types[column].partition("(")
        if kind != "vector" or not size:
            raise DistnormError(
                f"column {column!r} of type {types[column]}", "vector(d)", "name the vector column"
            )
        found = {ops: am for am, ops in indexes if am in ("hnsw", "ivfflat")}
        if not metric:
            fits = (name for name, (_, _, ops) in _OPERATORS.items() if ops in found)
            metric = next(fits, "ip")
        one_of("metric", metric, _OPERATORS)
        operator, unit, ops = _OPERATORS[metric]
        self.value = f"{self._column} {operator} %s::vector"
        self._walks, self._ef = found.get(ops), ef
        exact = exact or self._walks is None
        self.capabilities = Capabilities(unit, int(size.rstrip(")")), exact)
        self.biases = SqlBiases(table, types[id], self.run, self.mark)

    @classmethod
    def open(
        cls,
        target: str,
        column: str = "embedding",
        id: str = "id",
        metric: str = "",
        exact: bool = False,
        ef: int = 0,
        timeout: int = 10,
    ) -> PgvectorIndex:
        """``postgresql://user@host/database/table``; ``timeout`` in seconds, of every statement."""
        psycopg = require("psycopg", "pgvector")
        parts = urlsplit(target)
        database, _, table = parts.path.strip("/").rpartition("/")
        if parts.scheme not in ("postgresql", "postgres") or not database or not table:
            raise DistnormError(
                f"pgvector:{target}",
                "pgvector:postgresql://user@host/database/table",
                "name database and table",
            )
        url = urlunsplit((*parts[:2], f"/{database}", *parts[3:]))
        try:
            connection = psycopg.connect(
                url,
                connect_timeout=max(2, timeout),
                options=f"-c statement_timeout={timeout * 1000}",
            )
        except psycopg.Error as error:
            remedy = "check the address, or raise timeout="
            raise no_connection(parts.hostname or "PostgreSQL", error, remedy) from error
        options = {"column": column, "id": id, "metric": metric, "exact": exact, "ef": ef}
        place = f"pgvector table {table!r}"
        return cls.owning(connection.close, connection, table, place, **options)

    def nearest(
        self,
        queries: npt.NDArray[np.float32],
        k: int,
        column: str | None = None,
        filter: Any = None,
    ) -> list[Hits]:
        """All in one transaction, for its settings."""
        with self._connection.transaction():
            if self.exact and self._walks:
                self.run("SET LOCAL enable_indexscan = off")
            elif self._walks == "hnsw":
                own = int(self.run("SELECT current_setting('hnsw.ef_search', true)")[0][0] or 40)
                self.run(f"SET LOCAL hnsw.ef_search = {min(1000, max(own, self._ef, k))}")
            return super().nearest(queries, k, column, filter)

    def sent(self, query: npt.NDArray[np.float32]) -> Any:
        """Numbers in brackets."""
        return "[" + ",".join(map(repr, query.tolist())) + "]"

    @property
    def stored(self) -> str:
        """As text, since psycopg does not know the type."""
        return f"{self._column}::text"

    def read(self, value: Any) -> Any:
        """Numbers in brackets."""
        return np.fromstring(value[1:-1], np.float32, sep=",")

    def run(self, statement: str, values: Sequence[Any] = ()) -> list[Any]:
        """Rows, for a statement that has some."""
        cursor = self._connection.execute(statement, values or None)
        return list(cursor.fetchall()) if cursor.description else []

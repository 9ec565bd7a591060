"""PostgreSQL with pgvector: a table with a vector column.

Without an index the server compares with every row; with HNSW or IVFFlat it walks. As
``hnsw.ef_search`` also bounds how many rows HNSW returns, it is raised to k for each search. Biases
lie in a table of their own (see `sql`); the vector table is never written to.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, ClassVar
from urllib.parse import urlsplit, urlunsplit

import numpy as np
import numpy.typing as npt

from distnorm.errors import DistnormError, require
from distnorm.search.indexes.base import Hits, Index
from distnorm.search.indexes.sql import SqlBiases, quoted

__all__ = ["PgvectorIndex"]

# Metric: pgvector's operator, what it answers, its operator class.
_OPERATORS = {
    "ip": ("<#>", "-ip", "vector_ip_ops"),
    "cosine": ("<=>", "1-cos", "vector_cosine_ops"),
    "l2": ("<->", "l2", "vector_l2_ops"),
}


class PgvectorIndex(Index):
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
        self._connection, self._psycopg = connection, psycopg
        self.place = place or f"table {table!r}"
        self._table, self._column, self._id = quoted(table), quoted(column), quoted(id)
        with self.plain_errors("open"):
            types = dict(
                self._run(
                    "SELECT attname, format_type(atttypid, atttypmod) FROM pg_attribute "
                    "WHERE attrelid = %s::regclass AND attnum > 0 AND NOT attisdropped",
                    [self._table],
                )
            )
            indexes = self._run(
                "SELECT am.amname, opc.opcname FROM pg_index x "
                "JOIN pg_class c ON c.oid = x.indexrelid JOIN pg_am am ON am.oid = c.relam "
                "JOIN pg_opclass opc ON opc.oid = x.indclass[0] "
                "JOIN pg_attribute a ON a.attrelid = x.indrelid AND a.attnum = x.indkey[0] "
                "WHERE x.indrelid = %s::regclass AND a.attname = %s AND x.indisvalid",
                [self._table, column],
            )
        for name in (column, id):
            if name not in types:
                raise DistnormError(
                    f"no column {name!r} in {self.place}", f"one of {', '.join(types)}", "name it"
                )
        kind, _, size = types[column].partition("(")
        if kind != "vector" or not size:
            raise DistnormError(
                f"column {column!r} of type {types[column]}", "vector(d)", "name the vector column"
            )
        found = {ops: am for am, ops in indexes if am in ("hnsw", "ivfflat")}
        if not metric:
            fits = (name for name, (_, _, ops) in _OPERATORS.items() if ops in found)
            metric = next(fits, "ip")
        if metric not in _OPERATORS:
            raise DistnormError(f"metric {metric!r}", ", ".join(_OPERATORS), "pick one")
        self._operator, self.unit, ops = _OPERATORS[metric]
        self.dimension = int(size.rstrip(")"))
        self._walks = found.get(ops)
        self.exact = exact or self._walks is None
        self._ef = ef
        self.biases = SqlBiases(table, types[id], self._run, "%s")

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
        url = urlunsplit(parts._replace(path=f"/{database}"))
        try:
            connection = psycopg.connect(
                url,
                connect_timeout=max(2, timeout),
                options=f"-c statement_timeout={timeout * 1000}",
            )
        except psycopg.Error as error:
            raise DistnormError(
                f"no connection to {parts.hostname or 'PostgreSQL'}: "
                f"{str(error).strip().splitlines()[0]}",
                "a running server",
                "check the address, or raise timeout=",
            ) from error
        try:
            settings: dict[str, Any] = {
                "column": column,
                "id": id,
                "metric": metric,
                "exact": exact,
                "ef": ef,
            }
            return cls(connection, table, f"pgvector table {table!r}", **settings)._own()
        except BaseException:
            connection.close()
            raise

    def _release(self) -> None:
        self._connection.close()

    def count(self) -> int:
        """Number of rows with a vector."""
        with self.plain_errors("count"):
            return int(self._run(f"SELECT count({self._column}) FROM {self._table}")[0][0])

    def nearest(
        self, queries: npt.NDArray[np.float32], k: int, column: str | None = None
    ) -> list[Hits]:
        """One statement a query, in one transaction."""
        statement = (
            f"SELECT {self._id}, {self._column} {self._operator} %s::vector AS value "
            f"FROM {self._table} WHERE {self._column} IS NOT NULL ORDER BY value LIMIT {k}"
        )
        found = []
        with self._connection.transaction():
            if self.exact and self._walks:
                self._run("SET LOCAL enable_indexscan = off")
            elif self._walks == "hnsw":
                own = int(self._run("SELECT current_setting('hnsw.ef_search', true)")[0][0] or 40)
                self._run(f"SET LOCAL hnsw.ef_search = {min(1000, max(own, self._ef, k))}")
            for row in queries:
                rows = self._run(statement, [_text(row)])
                found.append(Hits([item for item, _ in rows], [value for _, value in rows]))
        return found

    def vectors(self, batch: int) -> Iterator[tuple[list[Any], npt.NDArray[np.float32]]]:
        """Pages in the order of ids: no transaction stays open, later rows do no harm."""
        head = f"SELECT {self._id}, {self._column}::text FROM {self._table} "
        tail = f"ORDER BY {self._id} LIMIT {batch}"
        present = f"{self._column} IS NOT NULL"
        rows = self._run(f"{head} WHERE {present} {tail}")
        while rows:
            values = [np.fromstring(text[1:-1], np.float32, sep=",") for _, text in rows]
            yield [item for item, _ in rows], np.stack(values)
            rows = self._run(f"{head} WHERE {present} AND {self._id} > %s {tail}", [rows[-1][0]])

    def _run(self, statement: str, values: Sequence[Any] = ()) -> list[Any]:
        cursor = self._connection.execute(statement, values or None)
        return list(cursor.fetchall()) if cursor.description else []


def _text(row: npt.NDArray[np.float32]) -> str:
    return "[" + ",".join(map(repr, row.tolist())) + "]"

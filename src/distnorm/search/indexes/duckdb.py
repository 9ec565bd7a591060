"""DuckDB: a table with a column of type FLOAT[d], compared row by row with ``array_inner_product``.

A database file is opened for reading only, so that other readers may have it open too; writing
biases opens it again for writing. Biases lie in a table of their own (see `sql`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from distnorm.errors import DistnormError, require
from distnorm.search.indexes.arguments import existing, split_last
from distnorm.search.indexes.base import Hits, Index
from distnorm.search.indexes.sql import SqlBiases, quoted

__all__ = ["DuckDBIndex"]


class DuckDBIndex(Index):
    """A table.

    Parameters
    ----------
    connection : duckdb.DuckDBPyConnection
    table : str
    place : str, optional
    column, id : str
        Columns of the vectors and of unique ids.
    path : str, optional
        Of the database, if the connection is for reading only and ours to open again.
    """

    system: ClassVar[str] = "duckdb"

    def __init__(
        self,
        connection: Any,
        table: str,
        place: str | None = None,
        *,
        column: str = "embedding",
        id: str = "id",
        path: str | None = None,
    ) -> None:
        self._duckdb = require("duckdb", "duckdb")
        self.failures = (self._duckdb.Error,)
        self._connection, self._path = connection, path
        self.place = place or f"table {table!r}"
        self._table, self._column, self._id = quoted(table), quoted(column), quoted(id)
        with self.plain_errors("open"):
            types = {row[0]: row[1] for row in self._run(f"DESCRIBE {self._table}")}
        for name in (column, id):
            if name not in types:
                raise DistnormError(
                    f"no column {name!r} in {self.place}", f"one of {', '.join(types)}", "name it"
                )
        shape = re.fullmatch(r"FLOAT\[(\d+)\]", types[column])
        if not shape:
            raise DistnormError(
                f"column {column!r} of type {types[column]}", "FLOAT[d]", "name the vector column"
            )
        self.unit, self.dimension, self.exact = "ip", int(shape[1]), True
        self.biases = SqlBiases(table, types[id], self._run, writable=self._writable)

    @classmethod
    def open(cls, target: str, column: str = "embedding", id: str = "id") -> DuckDBIndex:
        """``file.db/table``."""
        duckdb = require("duckdb", "duckdb")
        path, table = split_last(target, "duckdb", "table")
        existing(path, "a DuckDB database")
        try:
            connection = duckdb.connect(path, read_only=True)
        except duckdb.Error as error:
            raise DistnormError(
                f"{path}, which does not open: {str(error).splitlines()[0]}",
                "a DuckDB database that nobody is writing",
                "close the writer, or check the file",
            ) from error
        try:
            index = cls(connection, table, f"duckdb:{target}", column=column, id=id, path=path)
            return index._own()
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
        """One statement a query."""
        statement = (
            f"SELECT {self._id}, array_inner_product({self._column}, ?::FLOAT[{self.dimension}]) "
            f"AS value FROM {self._table} WHERE {self._column} IS NOT NULL "
            f"ORDER BY value DESC LIMIT {k}"
        )
        found = []
        for row in queries:
            rows = self._run(statement, [row.tolist()])
            found.append(Hits([item for item, _ in rows], [value for _, value in rows]))
        return found

    def vectors(self, batch: int) -> Iterator[tuple[list[Any], npt.NDArray[np.float32]]]:
        """Pages in the order of ids."""
        head = f"SELECT {self._id}, {self._column} FROM {self._table}"
        tail = f"ORDER BY {self._id} LIMIT {batch}"
        present = f"{self._column} IS NOT NULL"
        rows = self._run(f"{head} WHERE {present} {tail}")
        while rows:
            yield [item for item, _ in rows], np.asarray([row for _, row in rows], np.float32)
            rows = self._run(f"{head} WHERE {present} AND {self._id} > ? {tail}", [rows[-1][0]])

    def _run(self, statement: str, values: Sequence[Any] = ()) -> list[Any]:
        return list(self._connection.execute(statement, list(values)).fetchall())

    def _writable(self) -> None:
        if self._path is None:
            return
        self._connection.close()
        self._connection = self._duckdb.connect(self._path)
        self._path = None

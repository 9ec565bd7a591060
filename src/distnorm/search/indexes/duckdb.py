"""DuckDB: a table with a column of type FLOAT[d], compared row by row with ``array_inner_product``.

A database file is opened for reading only, so that other readers may have it open too; writing
biases opens it again for writing. Biases lie in a table of their own (see `sql`).
"""

from __future__ import annotations

import re
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from distnorm.errors import DistnormError, require
from distnorm.search.indexes.arguments import existing, known_columns, split_last
from distnorm.search.indexes.sql import SqlBiases, SqlIndex
from distnorm.search.indexes.system import Capabilities

__all__ = ["DuckDBIndex"]


class DuckDBIndex(SqlIndex):
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
    descending: ClassVar[bool] = True

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
        self._path = path
        super().__init__(connection, table, place, id, column)
        with self.plain_errors("open"):
            types = {row[0]: row[1] for row in self.run(f"DESCRIBE {self._table}")}
        known_columns(types, self.place, column, id)
        shape = re.fullmatch(r"FLOAT\[(\d+)\]", types[column])
        if not shape:
            raise DistnormError(
                f"column {column!r} of type {types[column]}", "FLOAT[d]", "name the vector column"
            )
        self.value = f"array_inner_product({self._column}, ?::FLOAT[{shape[1]}])"
        self.capabilities = Capabilities("ip", int(shape[1]), exact=True)
        self.biases = SqlBiases(table, types[id], self.run, writable=self._writable)

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
        place = f"duckdb:{target}"
        options = {"column": column, "id": id, "path": path}
        return cls.owning(connection.close, connection, table, place, **options)

    def sent(self, query: npt.NDArray[np.float32]) -> Any:
        """A list of numbers."""
        return query.tolist()

    def read(self, value: Any) -> Any:
        """A sequence of numbers."""
        return np.asarray(value, dtype=np.float32)

    def _writable(self) -> None:
        """Open the database again, for writing."""
        if self._path is not None:
            self._connection.close()
            self._connection = self._duckdb.connect(self._path)
            self.closing, self._path = self._connection.close, None

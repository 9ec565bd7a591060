"""SQLite with sqlite-vec: a ``vec0`` table, compared row by row (L2 or cosine).

Python's own ``sqlite3`` is used where it can load extensions, else ``pysqlite3``. sqlite-vec
returns 4,096 items at most. Biases lie in a table of their own (see `sql`).
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Iterator, Sequence
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from distnorm.errors import DistnormError, MissingExtraError, require
from distnorm.search.indexes.arguments import existing, known_columns, split_last
from distnorm.search.indexes.sql import SqlBiases, SqlIndex, named, quoted
from distnorm.search.indexes.system import Capabilities, Hits

__all__ = ["SqliteVecIndex", "connect"]

_MOST = 4096


def connect(path: str, timeout: float = 10) -> Any:
    """A connection with sqlite-vec loaded, of a module of SQLite that can load extensions."""
    extension = require("sqlite_vec", "sqlite-vec")
    for name in ("sqlite3", "pysqlite3"):
        try:
            module = importlib.import_module(name)
        except ImportError:
            continue
        connection = module.connect(path, timeout=timeout)
        if not hasattr(connection, "enable_load_extension"):
            connection.close()
            continue
        connection.enable_load_extension(True)
        extension.load(connection)
        connection.enable_load_extension(False)
        return connection
    raise MissingExtraError(
        "a Python whose sqlite3 loads no extensions",
        "pysqlite3",
        "run: pip install pysqlite3-binary",
    )


class SqliteVecIndex(SqlIndex):
    """A ``vec0`` table.

    Parameters
    ----------
    connection
        Of `connect`.
    table : str
    place : str, optional
    column : str
        The vector column.
    """

    system: ClassVar[str] = "sqlite-vec"

    def __init__(
        self, connection: Any, table: str, place: str | None = None, *, column: str = "embedding"
    ) -> None:
        module = importlib.import_module(type(connection).__module__.partition(".")[0])
        self.failures = (module.Error,)
        (name,) = named(table, 1)
        self._name = name
        super().__init__(connection, [name], place, "rowid", column)
        with self.plain_errors("open"):
            rows = self.run("SELECT sql FROM sqlite_master WHERE name = ?", [name])
        text = rows[0][0] if rows else ""
        shape = re.search(rf"\b{re.escape(column)}\b\s+float\s*\[(\d+)\]([^,]*)", text, re.I)
        if "vec0" not in text.lower() or not shape:
            raise DistnormError(
                f"{self.place} with no column {column!r} of float[d]"
                if rows
                else f"no {self.place}",
                "a vec0 table",
                "check table and column=",
            )
        metric = re.search(r"distance_metric\s*=\s*(\w+)", shape[2], re.I)
        distance = metric[1].lower() if metric else "l2"
        if distance not in ("l2", "cosine"):
            raise DistnormError(
                f"{self.place} of distance {distance}", "L2 or cosine", "build it so"
            )
        key = re.search(r"(\w+)\s+(text|integer)\s+primary\s+key", text, re.I)
        if key:
            self._id = quoted(key[1])
        unit = "l2" if distance == "l2" else "1-cos"
        self.value = f"vec_distance_{distance}({self._column}, ?)"
        self.capabilities = Capabilities(unit, int(shape[1]), exact=True, max_k=_MOST)
        kind = key[2].upper() if key else "INTEGER"
        vectors = re.findall(r"\b(?:float|int8|bit)\s*\[\d+\]", text, re.I)
        self.one_vector = len(vectors) == 1
        alone = self.one_vector and len(name) < 39 and re.fullmatch(r"\w+", name)
        self.biases = SqlBiases(
            [name.lower()],
            column.lower(),
            kind,
            self.run,
            self.change,
            lambda table: bool(self.run("SELECT 1 FROM sqlite_master WHERE name = ?", [table])),
            earlier=name if alone else "",
        )

    @classmethod
    def open(cls, target: str, column: str = "embedding", timeout: float = 10.0) -> SqliteVecIndex:
        """``file.db/table``; ``timeout`` in seconds, for a locked database."""
        path, table = split_last(target, "sqlite-vec", "table")
        existing(path, "an SQLite database")
        connection = connect(path, timeout)
        place = f"sqlite-vec:{target}"
        return cls.owning(connection.close, connection, table, place, column=column)

    def count(self) -> int:
        """Number of rows."""
        with self.plain_errors("count"):
            return int(self.run(f"SELECT count(*) FROM {self._table}")[0][0])

    def nearest(
        self,
        queries: npt.NDArray[np.float32],
        k: int,
        column: str | None = None,
        filter: Any = None,
    ) -> list[Hits]:
        """One statement per query, in the form of a virtual table where nothing is filtered."""
        if filter is None:
            statement = (
                f"SELECT {self._id}, distance FROM {self._table} "
                f"WHERE {self._column} MATCH ? AND k = {k} ORDER BY distance"
            )
            return [self.hits(statement, query) for query in queries]
        # A condition beside MATCH may be looked at after the k nearest are found.
        return super().nearest(queries, k, column, filter)

    def sent(self, query: npt.NDArray[np.float32]) -> Any:
        """Bytes."""
        return query.tobytes()

    def read(self, value: Any) -> Any:
        """Bytes."""
        return np.frombuffer(value, np.float32)

    def vectors(self, batch: int) -> Iterator[tuple[list[Any], npt.NDArray[np.float32]]]:
        """One pass over the table."""
        cursor = self._plain_rows(f"SELECT {self._id}, {self._column} FROM {self._table}")
        while rows := cursor.fetchmany(batch):
            yield [item for item, _ in rows], np.stack([self.read(value) for _, value in rows])

    def payloads(self, ids: Sequence[Any], fields: Sequence[str]) -> list[dict[str, Any]]:
        """Columns; SQLite would take a name that it does not know for a text."""
        rows = self.run("SELECT name FROM pragma_table_info(?)", [self._name])
        known_columns([row[0] for row in rows], self.place, *fields)
        return super().payloads(ids, fields)

    def run(self, statement: str, values: Sequence[Any] = ()) -> list[Any]:
        """Rows."""
        return list(self._plain_rows(statement, values).fetchall())

    def change(self, statement: str, values: Sequence[Any] = ()) -> list[Any]:
        """Rows; committed, unless a transaction was open already."""
        within = self._connection.in_transaction
        rows = self.run(statement, values)
        if self._connection.in_transaction and not within:
            self._connection.commit()
        return rows

    def _plain_rows(self, statement: str, values: Sequence[Any] = ()) -> Any:
        """A cursor of tuples, whatever the connection makes of rows for its owner."""
        cursor = self._connection.cursor()
        cursor.row_factory = None
        return cursor.execute(statement, list(values))

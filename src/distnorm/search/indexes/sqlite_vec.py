"""SQLite with sqlite-vec: a ``vec0`` table, compared row by row (L2 or cosine).

Python's own ``sqlite3`` is used where it can load extensions, else ``pysqlite3``. sqlite-vec
returns 4,096 items at most. Biases lie in a table of their own (see `sql`).
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np

from distnorm.arrays import Float32
from distnorm.errors import DistnormError, MissingExtraError, require
from distnorm.search.indexes.arguments import existing, known_columns, not_there, split_last
from distnorm.search.indexes.sql import SqlBiases, SqlIndex, named, quoted
from distnorm.search.indexes.system import Batch, Capabilities, Hits

__all__ = ["SqliteVecIndex", "connect"]

_MOST = 4096
_VEC0 = re.compile(r"\busing\s+vec0\b", re.IGNORECASE)
_VECTORS = re.compile(r"(\w+)\W?\s+((?:float|int8|bit)\s*\[\d+\])", re.IGNORECASE)


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
            rows = self.run(
                "SELECT sql FROM sqlite_master WHERE name = ? COLLATE NOCASE AND type <> 'index'",
                [name],
            )
            if not rows:
                raise not_there("table", name, self.place, self._tables)
            text = rows[0][0] or ""
            shape = re.search(rf"\b{re.escape(column)}\b\s+float\s*\[(\d+)\]([^,]*)", text, re.I)
            if not _VEC0.search(text):
                raise self._plain_table(column)
        if not shape:
            there = [f"{each[1]} ({each[2]})" for each in _VECTORS.finditer(text)]
            raise DistnormError(
                f"{self.place} without a column {column!r} of float[d]",
                f"a column of vectors, here {', '.join(there)}" if there else "float[d]",
                "name it with column=; int8 and bit columns have lost what a shift needs: "
                "keep the vectors as float[d] too",
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
        self.one_vector = len(_VECTORS.findall(text)) == 1
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
    def open(cls, target: str, timeout: float = 10.0, **options: Any) -> SqliteVecIndex:
        """``file.db/table``; ``timeout`` in seconds, for a locked database."""
        path, table = split_last(target, "sqlite-vec", "table")
        existing(path, "an SQLite database")
        connection = connect(path, timeout)
        place = f"sqlite-vec:{target}"
        return cls.owning(connection.close, connection, table, place, **options)

    def remedy(self, error: BaseException, doing: str) -> tuple[str, str] | None:
        """For a damaged file, and for one that others are writing."""
        if "not a database" in str(error) or "malformed" in str(error):
            return "a whole SQLite database", "check the path, or restore the file from a copy"
        if "locked" in str(error):
            return "a database that nobody is writing", "wait for the writer, or raise timeout="
        return super().remedy(error, doing)

    def _tables(self) -> list[str]:
        rows = self.run("SELECT name, sql FROM sqlite_master WHERE type = 'table'")
        return [name for name, text in rows if _VEC0.search(text or "")]

    def _plain_table(self, column: str) -> DistnormError:
        """The error for a table or view that is not of vec0, with what makes one of it."""
        found = self.run("SELECT name, type, pk FROM pragma_table_info(?)", [self._name])
        known_columns([row[0] for row in found], self.place, column)
        try:
            sized = self.run(
                f"SELECT vec_length({self._column}) FROM {self._table} "
                f"WHERE {self._column} IS NOT NULL LIMIT 1"
            )
        except self.failures:
            sized = []
        keys = [row for row in found if row[2]]
        texts = len(keys) == 1 and "INT" not in keys[0][1].upper()
        key, old = ("id", f"CAST({quoted(keys[0][0])} AS text)") if texts else ("rowid", "rowid")
        # vec0 knows no quotes in names of columns.
        own = column if re.fullmatch(r"[a-zA-Z]\w*", column, re.ASCII) else "embedding"
        size, table = (sized[0][0] if sized else "d"), quoted(f"{self._name}_vec")
        what = "vectors in BLOBs or texts" if sized else "no vectors that sqlite-vec reads"
        return DistnormError(
            f"{self.place}, a plain table with {what} in {column!r}",
            "a vec0 table",
            f"run: CREATE VIRTUAL TABLE {table} USING vec0({'id text primary key, ' * texts}"
            f"{own} float[{size}] distance_metric=cosine); INSERT INTO {table}({key}, {own}) "
            f"SELECT {old}, {self._column} FROM {self._table} WHERE {self._column} IS NOT NULL; "
            f"then search {self._name}_vec",
        )

    def count(self) -> int:
        """Number of rows."""
        with self.plain_errors("count"):
            return int(self.run(f"SELECT count(*) FROM {self._table}")[0][0])

    def nearest(
        self, queries: Float32, k: int, column: str | None = None, filter: Any = None
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

    def sent(self, query: Float32) -> Any:
        """Bytes."""
        return query.tobytes()

    def read(self, value: Any) -> Any:
        """Bytes."""
        return np.frombuffer(value, np.float32)

    def vectors(self, batch: int) -> Iterator[Batch]:
        """One pass over the table."""
        cursor = self._plain_rows(f"SELECT {self._id}, {self._column} FROM {self._table}")
        while rows := cursor.fetchmany(batch):
            yield [item for item, _ in rows], np.stack([self.read(value) for _, value in rows])

    def payloads(self, ids: Sequence[Any], fields: Sequence[str]) -> Mapping[Any, dict[str, Any]]:
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

"""Systems that speak SQL: a table of vectors, and biases in a table beside it.

``distnorm_bias_<fingerprint>_<target>(id primary key, bias)`` holds the biases and
``distnorm_biases(name primary key, about)`` what is complete. The user's own table and its
vector index are left as they are: updating rows there would write into the index again.
"""

from __future__ import annotations

import abc
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from distnorm.errors import DistnormError
from distnorm.search.indexes.base import Index
from distnorm.search.indexes.bias_store import About, BiasStore
from distnorm.search.indexes.system import Hits

__all__ = ["SqlBiases", "SqlIndex", "quoted"]

_REGISTRY = "distnorm_biases"
_AT_ONCE = 500
Float32 = npt.NDArray[np.float32]
Run = Callable[..., list[Any]]


def quoted(name: str) -> str:
    """An identifier in SQL, ``schema.table`` included; letters, digits and underscores only."""
    if not re.fullmatch(r"\w+(\.\w+)?", name):
        raise DistnormError(
            f"the name {name!r}", "letters, digits and underscores, or schema.table", "rename it"
        )
    return ".".join(f'"{part}"' for part in name.split("."))


class SqlIndex(Index):
    """A table with a column of ids and one of vectors; statements differ by system.

    An adapter names the columns and the value to order by, and turns rows into numbers.
    """

    mark: ClassVar[str] = "?"
    """What stands for a value in a statement."""
    value: str
    """What a statement computes for a row and a query, lowest first unless ``descending``."""
    descending: ClassVar[bool] = False

    def __init__(
        self, connection: Any, table: str, place: str | None, id: str, column: str
    ) -> None:
        self._connection = connection
        self.place = place or f"table {table!r}"
        self._table, self._id, self._column = quoted(table), quoted(id), quoted(column)

    def run(self, statement: str, values: Sequence[Any] = ()) -> list[Any]:
        """Rows of a statement; what it writes is durable then."""
        return list(self._connection.execute(statement, list(values)).fetchall())

    def count(self) -> int:
        """Number of rows with a vector."""
        with self.plain_errors("count"):
            return int(self.run(f"SELECT count({self._column}) FROM {self._table}")[0][0])

    @abc.abstractmethod
    def sent(self, query: Float32) -> Any:
        """A query as a value of a statement."""

    @abc.abstractmethod
    def read(self, value: Any) -> Any:
        """A vector of a row as numbers."""

    def nearest(
        self, queries: Float32, k: int, column: str | None = None, filter: Any = None
    ) -> list[Hits]:
        """One statement per query."""
        order = "DESC" if self.descending else "ASC"
        statement = (
            f"SELECT {self._id}, {self.value} AS value FROM {self._table} "
            f"WHERE {self._column} IS NOT NULL ORDER BY value {order} LIMIT {k}"
        )
        return [self.hits(statement, query) for query in queries]

    def hits(self, statement: str, query: Float32) -> Hits:
        """The answer to one query."""
        rows = self.run(statement, [self.sent(query)])
        return Hits([item for item, _ in rows], [value for _, value in rows])

    def vectors(self, batch: int) -> Iterator[tuple[list[Any], Float32]]:
        """Pages in the order of ids: nothing stays open, rows that come later do no harm."""
        head = (
            f"SELECT {self._id}, {self.stored} FROM {self._table} WHERE {self._column} IS NOT NULL"
        )
        tail = f"ORDER BY {self._id} LIMIT {batch}"
        rows = self.run(f"{head} {tail}")
        while rows:
            yield [item for item, _ in rows], np.stack([self.read(value) for _, value in rows])
            rows = self.run(f"{head} AND {self._id} > {self.mark} {tail}", [rows[-1][0]])

    @property
    def stored(self) -> str:
        """The vectors in a statement."""
        return self._column


class SqlBiases(BiasStore):
    """A table of biases per normalization.

    ``run`` takes a statement and its values, ``mark`` stands for a value in it, ``writable`` is
    called before anything is written, and ``catalog`` is where names of tables are listed.
    """

    def __init__(
        self,
        target: str,
        id_type: str,
        run: Run,
        mark: str = "?",
        writable: Callable[[], None] = lambda: None,
        catalog: str = "information_schema.tables WHERE table_name",
    ) -> None:
        self._target = re.sub(r"\W", "_", target)
        self._id_type = id_type
        self._run, self._mark, self._writable = run, mark, writable
        self._catalog = catalog
        self._known: set[str] = set()

    def table(self, column: str) -> str:
        """Name of the table that holds a column; PostgreSQL cuts names at 63 characters."""
        return f"{column}_{self._target}"[:63]

    def published(self) -> dict[str, About]:
        """What is complete."""
        if not self._exists(_REGISTRY):
            return {}
        prefix = self._target + " "
        rows = self._run(f"SELECT name, about FROM {_REGISTRY}")
        return {
            name.removeprefix(prefix): json.loads(about)
            for name, about in rows
            if name.startswith(prefix)
        }

    def publish(self, column: str, about: About | None) -> None:
        """Add to what is complete, or take away."""
        self._writable()
        name = f"{self._target} {column}"
        mark = self._mark
        if about is None:
            if self._exists(_REGISTRY):
                self._run(f"DELETE FROM {_REGISTRY} WHERE name = {mark}", [name])
            self._run(f"DROP TABLE IF EXISTS {quoted(self.table(column))}")
            self._known.discard(self.table(column))
            return
        self._run(f"CREATE TABLE IF NOT EXISTS {_REGISTRY} (name TEXT PRIMARY KEY, about TEXT)")
        self._run(
            f"INSERT INTO {_REGISTRY} (name, about) VALUES ({mark}, {mark}) "
            "ON CONFLICT (name) DO UPDATE SET about = excluded.about",
            [name, json.dumps(about)],
        )

    def prepare(self, column: str) -> None:
        """Create the table."""
        self._writable()
        self._run(
            f"CREATE TABLE IF NOT EXISTS {quoted(self.table(column))} "
            f"(id {self._id_type} PRIMARY KEY, bias REAL NOT NULL)"
        )

    def values(self, column: str, ids: list[Any]) -> Mapping[Any, float | None]:
        """Biases of items, some hundred per statement."""
        values: dict[Any, float] = {}
        if self._exists(self.table(column)):
            for start in range(0, len(ids), _AT_ONCE):
                part = ids[start : start + _AT_ONCE]
                marks = ", ".join([self._mark] * len(part))
                table = quoted(self.table(column))
                values.update(
                    self._run(f"SELECT id, bias FROM {table} WHERE id IN ({marks})", part)
                )
        return values

    def write(self, column: str, ids: Sequence[Any], values: npt.NDArray[np.float64]) -> None:
        """Store biases of items, some hundred per statement."""
        self._writable()
        numbers = values.tolist()
        for start in range(0, len(ids), _AT_ONCE):
            part = slice(start, start + _AT_ONCE)
            pairs = [value for pair in zip(ids[part], numbers[part], strict=True) for value in pair]
            rows = ", ".join([f"({self._mark}, {self._mark})"] * (len(pairs) // 2))
            self._run(
                f"INSERT INTO {quoted(self.table(column))} (id, bias) VALUES {rows} "
                "ON CONFLICT (id) DO UPDATE SET bias = excluded.bias",
                pairs,
            )

    def _exists(self, table: str) -> bool:
        if table not in self._known:
            if not self._run(f"SELECT 1 FROM {self._catalog} = {self._mark}", [table]):
                return False
            self._known.add(table)
        return True

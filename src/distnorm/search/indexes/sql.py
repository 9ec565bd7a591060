"""Systems that speak SQL: a table of vectors, and biases in a table beside it.

``distnorm_bias_<fingerprint>_<target>_<hash>(id primary key, bias)`` holds the biases and
``distnorm_biases(name primary key, about)`` what is complete. The user's own table and its
vector index are left as they are: updating rows there would write into the index again.
"""

from __future__ import annotations

import abc
import hashlib
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, ClassVar

import numpy as np

from distnorm.arrays import Float32, Float64
from distnorm.errors import DistnormError
from distnorm.search.indexes.base import Index
from distnorm.search.indexes.bias_store import About, BiasStore, Residuals, read_about, residual_of
from distnorm.search.indexes.system import Batch, Hits

__all__ = ["SqlBiases", "SqlIndex", "named", "quoted"]

_REGISTRY = "distnorm_biases"
_AT_ONCE = 500
_OTHER_TYPE = re.compile(
    "operator does not exist|invalid input syntax|is of type|Conversion Error|Cannot compare"
    "|datatype mismatch"
)
_PART = r'"(?:[^"\0]|"")+"|[^".\0\s](?:[^".\0]*[^".\0\s])?'
Run = Callable[..., list[Any]]


def named(name: str, most: int = 2) -> list[str]:
    """Parts of a table's name, ``schema.table``; in double quotes a part may hold a dot."""
    if not re.fullmatch(rf"(?:{_PART})(?:\.(?:{_PART})){{0,{most - 1}}}", name):
        form = "table, schema.table" + (" or database.schema.table" if most > 2 else "")
        raise DistnormError(
            f"the name {name!r}", form, 'put a part with a dot in it into double quotes: "a.b"'
        )
    parts = re.findall(_PART, name)
    return [part[1:-1].replace('""', '"') if part[0] == '"' else part for part in parts]


def quoted(*parts: str) -> str:
    """An identifier in SQL, whatever its parts hold."""
    return ".".join('"' + part.replace('"', '""') + '"' for part in parts)


class SqlIndex(Index):
    """A table with a column of ids and one of vectors; statements differ by system.

    An adapter names the columns and the value to order by, and turns rows into numbers. Rows
    without an id or without a vector count as absent.
    """

    filters: ClassVar[str] = (
        'what may follow WHERE, as text, or (text with ?, values): "price < 10"'
    )
    apart = "name a column of unique ids: id="
    mark: ClassVar[str] = "?"
    """What stands for a value in a statement."""
    value: str
    """What a statement computes for a row and a query, lowest first unless ``descending``."""
    descending: ClassVar[bool] = False

    def __init__(
        self, connection: Any, parts: Sequence[str], place: str | None, id: str, column: str
    ) -> None:
        self._connection = connection
        self.place = place or f"table {'.'.join(parts)!r}"
        self._table = ".".join(self.name_of(part) for part in parts)
        self._id, self._column = self.name_of(id), self.name_of(column)
        self.vector = column

    @abc.abstractmethod
    def run(self, statement: str, values: Sequence[Any] = ()) -> list[Any]:
        """Rows of a statement that reads."""

    @abc.abstractmethod
    def change(self, statement: str, values: Sequence[Any] = ()) -> list[Any]:
        """Rows of a statement that writes; it is durable then, unless the caller holds it open."""

    def remedy(self, error: BaseException, doing: str) -> tuple[str, str] | None:
        """For biases of ids that were of another type, before the table was made anew."""
        if doing.endswith("biases") and _OTHER_TYPE.search(str(error)):
            return (
                "biases of ids of the type that they have now",
                "the table was made anew: distnorm index drop SPEC --all, then distnorm index bias",
            )
        return super().remedy(error, doing)

    def count(self) -> int:
        """Number of rows with an id and a vector."""
        with self.plain_errors("count"):
            return int(self.run(f"SELECT count(*) FROM {self._table} WHERE {self._there}")[0][0])

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
        where, values = self.narrowed(filter)
        return [self.hits(self.listing(k, where), query, values) for query in queries]

    def narrowed(self, filter: Any) -> tuple[str, list[Any]]:
        """A filter as a condition and its values."""
        if filter is None:
            return self._there, []
        text, values = (filter, None) if isinstance(filter, str) else (None, None)
        if isinstance(filter, (tuple, list)) and len(filter) == 2:
            text, values = filter
        listed = values is None or isinstance(values, (tuple, list))
        if not isinstance(text, str) or not text.strip() or not listed:
            raise DistnormError(f"filter={filter!r}", self.filters, "leave WHERE out")
        if values is None and self.mark == "%s":
            text = text.replace("%", "%%")
        # A line of its own, for a filter that ends in a comment.
        return f"{self._there} AND ({text}\n)", list(values or ())

    def listing(self, k: int, where: str = "") -> str:
        """The statement that lists k items for a query."""
        order = "DESC" if self.descending else "ASC"
        # Where every row is compared, the lowest ids of a tie are kept.
        tail = f", {self._id}" if self.exact else ""
        return (
            f"SELECT {self._id}, {self.value} AS distnorm_value FROM {self._table} "
            f"WHERE {where or self._there} ORDER BY distnorm_value {order}{tail} LIMIT {k}"
        )

    def hits(self, statement: str, query: Float32, values: Sequence[Any] = ()) -> Hits:
        """The answer to one query."""
        rows = self.run(statement, [self.sent(query), *values])
        ids = [item for item, _ in rows]
        self.check_ids(ids)
        return Hits(ids, [value for _, value in rows])

    def rows_of(self, ids: Sequence[Any]) -> Mapping[Any, Float32]:
        """By id."""
        found = self._of(ids, self.stored)
        return {item: np.asarray(self.read(value)) for item, value in found if value is not None}

    def payloads(self, ids: Sequence[Any], fields: Sequence[str]) -> Mapping[Any, dict[str, Any]]:
        """Columns of the same table, None where they are null."""
        columns = ", ".join(self.name_of(field) for field in fields)
        return {row[0]: dict(zip(fields, row[1:], strict=True)) for row in self._of(ids, columns)}

    def name_of(self, name: str) -> str:
        """A table or a column in a statement."""
        name = quoted(name)
        return name.replace("%", "%%") if self.mark == "%s" else name

    def _of(self, ids: Sequence[Any], columns: str) -> list[Any]:
        rows = []
        for start in range(0, len(ids), _AT_ONCE):
            part = list(ids[start : start + _AT_ONCE])
            marks = ", ".join([self.mark] * len(part))
            statement = f"SELECT {self._id}, {columns} FROM {self._table}"
            rows += self.run(f"{statement} WHERE {self._id} IN ({marks})", part)
        return rows

    def vectors(self, batch: int) -> Iterator[Batch]:
        """Pages in the order of ids: nothing stays open, rows that come later do no harm."""
        head = f"SELECT {self._id}, {self.stored} FROM {self._table} WHERE {self._there}"
        # One more than asked for: a repeated id may lie on the border of two pages.
        tail = f"ORDER BY {self._id} LIMIT {batch + 1}"
        rows = self.run(f"{head} {tail}")
        while rows:
            self.check_ids([item for item, _ in rows])
            page = rows[:batch]
            yield [item for item, _ in page], np.stack([self.read(value) for _, value in page])
            rows = self.run(f"{head} AND {self._id} > {self.mark} {tail}", [page[-1][0]])

    @property
    def stored(self) -> str:
        """The vectors in a statement."""
        return self._column

    @property
    def _there(self) -> str:
        return f"{self._column} IS NOT NULL AND {self._id} IS NOT NULL"


class SqlBiases(BiasStore):
    """A table of biases per normalization.

    ``target`` is the table's full name, the same whatever way it was asked for, ``vector`` its
    column of vectors. ``run`` and ``change`` take a statement that reads or writes, and its values,
    for which ``mark`` stands; ``exists`` says whether there is a table of a name, and ``writing``
    gives a context in which tables are made and listed, one at a time. ``inside`` are database and
    schema that the tables are made in; where the connection makes them if empty. ``earlier`` is
    what the names of tables that hold this target's biases alone ended in before they had a hash;
    empty where they may be another's.
    """

    def __init__(
        self,
        target: Sequence[str],
        vector: str,
        id_type: str,
        run: Run,
        change: Run,
        exists: Callable[[str], bool],
        *,
        mark: str = "?",
        writing: Callable[[], AbstractContextManager[Any]] = nullcontext,
        inside: tuple[str, ...] = (),
        earlier: str = "",
    ) -> None:
        self._key = hashlib.sha256(json.dumps([*target, vector]).encode()).hexdigest()
        self._slug = re.sub(r"\W", "_", target[-1], flags=re.ASCII)[:20]
        self._id_type, self._inside, self._earlier = id_type, inside, earlier
        self._run, self._change, self._exists = run, change, exists
        self._mark, self._writing = mark, writing
        self._known: set[str] = set()
        self._old: set[str] = set()

    def table(self, column: str) -> str:
        """Name of the table that holds a column, within PostgreSQL's 63 characters."""
        if column in self._old:
            return f"{column}_{self._earlier}"
        digest = hashlib.sha256(f"{self._key} {column}".encode()).hexdigest()
        return f"{column[:24]}_{self._slug}_{digest[:16]}"

    def where(self, column: str) -> str:
        """The table."""
        return f"table {self.table(column)}"

    def published(self) -> dict[str, About]:
        """What is complete."""
        if not self._is_there(_REGISTRY):
            return {}
        found: dict[str, About] = {}
        rows = self._run(f"SELECT name, about FROM {self._named(_REGISTRY)}")
        for name, about in rows:
            target, _, column = name.rpartition(" ")
            if target == self._key:
                found[column] = read_about(about, f"the list of biases of {target}")
                self._old.discard(column)
            elif target == self._earlier and column not in found:
                found[column] = read_about(about, f"the list of biases of {target}")
                self._old.add(column)
        return found

    def publish(self, column: str, about: About | None) -> None:
        """Add to what is complete, or take away."""
        mark, registry = self._mark, self._named(_REGISTRY)
        target = self._earlier if column in self._old else self._key
        with self._writing():
            if about is None:
                if self._is_there(_REGISTRY):
                    delete = f"DELETE FROM {registry} WHERE name = {mark}"
                    self._change(delete, [f"{target} {column}"])
                for name in (self.table(column), self.table(residual_of(column))):
                    self._change(f"DROP TABLE IF EXISTS {self._named(name)}")
                    self._known.discard(name)
                self._old.discard(column)
                return
            columns = "(name TEXT PRIMARY KEY, about TEXT)"
            self._change(f"CREATE TABLE IF NOT EXISTS {registry} {columns}")
            self._change(
                f"INSERT INTO {registry} (name, about) VALUES ({mark}, {mark}) "
                "ON CONFLICT (name) DO UPDATE SET about = excluded.about",
                [f"{target} {column}", json.dumps(about)],
            )

    def prepare(self, column: str) -> None:
        """Create the table."""
        with self._writing():
            for name in (column, residual_of(column)):
                self._change(
                    f"CREATE TABLE IF NOT EXISTS {self._named(self.table(name))} "
                    f"(id {self._id_type} PRIMARY KEY, bias REAL NOT NULL)"
                )

    def values(self, column: str, ids: list[Any]) -> Mapping[Any, float | None]:
        """Biases of items, some hundred per statement."""
        values: dict[Any, float] = {}
        if self._is_there(self.table(column)):
            table = self._named(self.table(column))
            for start in range(0, len(ids), _AT_ONCE):
                part = ids[start : start + _AT_ONCE]
                marks = ", ".join([self._mark] * len(part))
                values.update(
                    self._run(f"SELECT id, bias FROM {table} WHERE id IN ({marks})", part)
                )
        return values

    def write(
        self, column: str, ids: Sequence[Any], values: Float64, residuals: Residuals = None
    ) -> None:
        """Store biases of items, some hundred per statement."""
        self._put(column, ids, values.tolist())
        if residuals is not None:
            self._put(residual_of(column), ids, residuals.tolist())
            return
        left = self.table(residual_of(column))
        for start in range(0, len(ids) if self._is_there(left) else 0, _AT_ONCE):
            part = list(ids[start : start + _AT_ONCE])
            marks = ", ".join([self._mark] * len(part))
            self._change(f"DELETE FROM {self._named(left)} WHERE id IN ({marks})", part)

    def _put(self, column: str, ids: Sequence[Any], numbers: Sequence[float]) -> None:
        for start in range(0, len(ids), _AT_ONCE):
            part = slice(start, start + _AT_ONCE)
            pairs = [value for pair in zip(ids[part], numbers[part], strict=True) for value in pair]
            rows = ", ".join([f"({self._mark}, {self._mark})"] * (len(pairs) // 2))
            self._change(
                f"INSERT INTO {self._named(self.table(column))} (id, bias) VALUES {rows} "
                "ON CONFLICT (id) DO UPDATE SET bias = excluded.bias",
                pairs,
            )

    def _named(self, table: str) -> str:
        return quoted(*self._inside, table)

    def _is_there(self, table: str) -> bool:
        if table not in self._known and self._exists(table):
            self._known.add(table)
        return table in self._known

"""PostgreSQL with pgvector: a table, a partitioned table or a view with a vector column.

What the server's plan says decides: where it can walk a vector index, through a view or in
partitions too, lists are approximate and ``hnsw.ef_search``, ``ivfflat.probes`` and the iterative
scans (pgvector 0.8) are raised for each search; a list that is short all the same is fetched again
without the index. Everything runs in transactions of its own, or in savepoints of the one that is
open, and their settings end with them: a connection stays as it was, and a pooler such as
PgBouncer will do. Biases lie in a table of their own (see `sql`).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, ClassVar
from urllib.parse import unquote, urlsplit, urlunsplit

import numpy as np

from distnorm.arrays import Float32
from distnorm.errors import DistnormError, require
from distnorm.search.indexes.arguments import known_columns, no_connection, one_of, quoted_password
from distnorm.search.indexes.sql import SqlBiases, SqlIndex, named, quoted
from distnorm.search.indexes.system import Capabilities, Hits

__all__ = ["PgvectorIndex"]

# Metric: pgvector's operator and what it answers.
_OPERATORS = {"ip": ("<#>", "-ip"), "cosine": ("<=>", "1-cos"), "l2": ("<->", "l2")}
# Steps of a plan that lose no row.
_PLAIN = {
    "Aggregate", "Append", "Bitmap Heap Scan", "Bitmap Index Scan", "BitmapAnd", "BitmapOr",
    "CTE Scan", "Gather", "Gather Merge", "Group", "Hash", "Hash Join", "Incremental Sort",
    "Index Only Scan", "Index Scan", "Limit", "Materialize", "Memoize", "Merge Append",
    "Merge Join", "Nested Loop", "ProjectSet", "Result", "Seq Scan", "SetOp", "Sort",
    "Subquery Scan", "Unique", "Values Scan", "WindowAgg",
}  # fmt: skip
_NO_INDEX = {"enable_indexscan": "off"}
_ANY_INDEX = {"enable_seqscan": "off", "enable_sort": "off", "enable_bitmapscan": "off"}
_CAST = (
    "ALTER TABLE {0} ALTER COLUMN {1} TYPE vector(d) USING {1}::vector(d), or a view with that cast"
)
_COLUMNS = """
SELECT a.attname, format_type(a.atttypid, a.atttypmod), coalesce(b.typname, t.typname),
       CASE WHEN b.oid IS NULL THEN a.atttypmod ELSE t.typtypmod END
FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid
LEFT JOIN pg_type b ON b.oid = t.typbasetype AND t.typtype = 'd'
WHERE a.attrelid = to_regclass(%s) AND a.attnum > 0 AND NOT a.attisdropped
"""
_TABLES = """
SELECT c.oid::regclass::text FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
JOIN pg_type t ON t.oid = a.atttypid
WHERE t.typname IN ('vector', 'halfvec') AND c.relkind IN ('r', 'p', 'v', 'm', 'f')
GROUP BY c.oid ORDER BY c.relnamespace::regnamespace::text <> %s, 1 LIMIT 10
"""


class PgvectorIndex(SqlIndex):
    """A table or view.

    Parameters
    ----------
    connection : psycopg.Connection
        Stays as it is: what is read leaves no transaction open, what is written is part of the
        one that is open, if any.
    table : str
        May be ``schema.table``.
    place : str, optional
    column, id : str
        Columns of the vectors and of unique ids.
    metric : {"", "ip", "cosine", "l2"}
        Of the index on the column if left out; inner product where there is none.
    exact : bool
        Do not use the index.
    ef, probes : int
        Smallest ``hnsw.ef_search`` and ``ivfflat.probes``; the session's own if 0.
    timeout : int
        In seconds, of every statement; the session's own if 0.
    """

    system: ClassVar[str] = "pgvector"
    filters: ClassVar[str] = (
        'what may follow WHERE, as text, or (text with %s, values): "price < 10"'
    )
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
        probes: int = 0,
        timeout: int = 0,
    ) -> None:
        self._psycopg = psycopg = require("psycopg", "pgvector")
        self.failures = (psycopg.Error,)
        if not isinstance(connection, psycopg.Connection):
            kind = f"{type(connection).__module__}.{type(connection).__qualname__}"
            raise DistnormError(
                f"a connection of type {kind}", "psycopg.Connection", "use psycopg.connect(...)"
            )
        self._limits = {"statement_timeout": str(timeout * 1000)} if timeout else {}
        self._ef, self._probes = ef, probes
        parts = named(table)
        super().__init__(connection, parts, place, id, column)
        one_of("metric", metric, ("", *_OPERATORS))
        with self.plain_errors("open"):
            found = {row[0]: row[1:] for row in self.run(_COLUMNS, [quoted(*parts)])}
            if not found:
                raise self._unknown(table)
            known_columns(found, self.place, column, id)
            schema, full = self._place_of(parts)
            kind, size = self._kind(*found[column])
            self._type = f"{schema}.{kind}"
            if size < 1:
                size = self._size_of_rows(schema)
                # So that an index on this expression counts, and rows of other sizes are refused.
                self._column_as = f"{self._column}::{self._type}({size})"
            else:
                self._column_as = self._column
            self._choose(schema, metric, size, exact)
        self.one_vector = sum(row[1] in ("vector", "halfvec") for row in found.values()) == 1
        old = table if len(parts) == 1 and len(table) < 39 else ""
        self.biases = SqlBiases(
            full,
            column,
            found[id][0],
            self.run,
            self.change,
            lambda name: self.run("SELECT to_regclass(%s)", [quoted(name)])[0][0] is not None,
            mark=self.mark,
            writing=self._alone,
            earlier=old if self.one_vector else "",
        )

    @classmethod
    def open(cls, target: str, timeout: int = 10, **options: Any) -> PgvectorIndex:
        """``postgresql://user@host/database/table``; ``timeout`` in seconds, of every statement."""
        psycopg = require("psycopg", "pgvector")
        quoted_password(target)
        try:
            parts = urlsplit(target)
        except ValueError:
            parts = urlsplit("")
        database, _, table = parts.path.strip("/").rpartition("/")
        # A driver's name, as in SQLAlchemy's postgresql+psycopg://, is nothing to the server.
        scheme = parts.scheme.partition("+")[0]
        if scheme not in ("postgresql", "postgres") or not database or not table:
            raise DistnormError(
                f"pgvector:{target}",
                "pgvector:postgresql://user@host/database/table",
                "name database and table",
            )
        url = urlunsplit((scheme, parts.netloc, f"/{database}", parts.query, ""))
        try:
            # A pooler may give each transaction another server, which knows no prepared statement.
            connection = psycopg.connect(
                url, connect_timeout=max(2, timeout), autocommit=True, prepare_threshold=None
            )
        except psycopg.ProgrammingError as error:
            raise DistnormError(
                f"{str(error).strip()} in the address of a pgvector table",
                "parameters of libpq, or column, id, metric, exact, ef, probes, timeout",
                "check what follows the ?",
            ) from None
        except psycopg.Error as error:
            remedy = "check the address, or raise timeout="
            raise no_connection(parts.hostname or "PostgreSQL", error, remedy) from None
        table, options = unquote(table), {**options, "timeout": timeout}
        place = f"pgvector table {table!r}"
        return cls.owning(connection.close, connection, table, place, **options)

    def nearest(
        self, queries: Float32, k: int, column: str | None = None, filter: Any = None
    ) -> list[Hits]:
        """All in one transaction, for its settings; short lists of an index once more."""
        if self.exact:
            with self._transaction(_NO_INDEX):
                return super().nearest(queries, k, column, filter)
        found: dict[int, Hits] = {}
        for settings in self._widths(k):
            short = [at for at in range(len(queries)) if len(found.get(at, Hits([], [])).ids) < k]
            if not short:
                break
            with self._transaction(settings):
                lists = super().nearest(queries[short], k, column, filter)
            found.update(zip(short, lists, strict=True))
        return [found[at] for at in range(len(queries))]

    def sent(self, query: Float32) -> Any:
        """Numbers in brackets."""
        return "[" + ",".join(map(repr, query.tolist())) + "]"

    @property
    def stored(self) -> str:
        """As text, since psycopg does not know the type."""
        return f"{self._column_as}::text"

    def read(self, value: Any) -> Any:
        """Numbers in brackets."""
        return np.fromstring(value[1:-1], np.float32, sep=",")

    def run(self, statement: str, values: Sequence[Any] = ()) -> list[Any]:
        """Rows; nothing is left open."""
        with self._transaction({}):
            return self._execute(statement, values)

    def change(self, statement: str, values: Sequence[Any] = ()) -> list[Any]:
        """Rows, if there are any."""
        with self._transaction({}, keep=True):
            return self._execute(statement, values)

    def remedy(self, error: BaseException, doing: str) -> tuple[str, str] | None:
        """For what PostgreSQL names by a class of its own."""
        errors = self._psycopg.errors
        if isinstance(error, errors.QueryCanceled):
            return "an answer in time", "raise timeout=, or pass metric= of an index that is there"
        if isinstance(error, errors.InsufficientPrivilege):
            if not doing.endswith("biases"):
                return "a role that may read it", "GRANT SELECT ON it TO this role"
            remedy = (
                "GRANT it the tables distnorm_bias..., or use biases=FOLDER, or --biases FOLDER"
            )
            return "a role that may read and write them", remedy
        if isinstance(error, errors.InFailedSqlTransaction):
            return "a connection without a failed transaction", "call its rollback() first"
        if isinstance(error, errors.DataException) and "dimensions" in str(error):
            remedy = "make a view of those of one: WHERE vector_dims(column) = d"
            return "rows of one dimension", remedy
        return super().remedy(error, doing)

    @contextmanager
    def _transaction(self, settings: dict[str, str], *, keep: bool = False) -> Iterator[None]:
        """A transaction, or a savepoint in one, whose settings end with it."""
        settings = {**self._limits, **settings}
        with self._connection.transaction(force_rollback=not keep):
            if settings:
                before = self._settings(settings) if keep else {}
                self._configure(settings)
            yield
            if keep and settings:
                # A released savepoint would leave them to the transaction around it.
                self._configure(before)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """One writer at a time makes and lists tables of biases."""
        with self._transaction({}, keep=True):
            self._execute("SELECT pg_advisory_xact_lock(hashtext('distnorm_biases'))")
            yield

    def _execute(self, statement: str, values: Sequence[Any] = ()) -> list[Any]:
        """Of plain rows, whatever the connection makes of them for its owner."""
        rows = self._psycopg.rows.tuple_row
        with self._psycopg.Cursor(self._connection, row_factory=rows) as cursor:
            cursor.execute(statement, list(values))
            return list(cursor.fetchall()) if cursor.description else []

    def _settings(self, names: Sequence[str] | dict[str, str]) -> dict[str, str]:
        calls = ", ".join(["current_setting(%s, true)"] * len(names))
        values = self._execute(f"SELECT {calls}", list(names))[0]
        return {name: value or "" for name, value in zip(names, values, strict=True)}

    def _configure(self, settings: dict[str, str]) -> None:
        calls = ", ".join(["set_config(%s, %s, true)"] * len(settings))
        self._execute(f"SELECT {calls}", [text for pair in settings.items() for text in pair])

    def _widths(self, k: int) -> Iterator[dict[str, str]]:
        """Settings of a search, ever wider; at last without an index."""
        names = ["hnsw.ef_search", "ivfflat.probes"]
        scans = ["hnsw.iterative_scan", "ivfflat.iterative_scan"] if self._iterates else []
        with self._transaction({}):
            own = self._settings([*names, *scans])
        wide = {name: "relaxed_order" for name in scans if own[name] in ("", "off")}
        ef = max(int(own["hnsw.ef_search"] or 40), self._ef, k)
        probes = max(int(own["ivfflat.probes"] or 1), self._probes)
        for factor in (1, 4, 16, 64):
            width = {"hnsw.ef_search": min(1000, ef), "ivfflat.probes": min(32768, factor * probes)}
            yield {**wide, **{name: str(value) for name, value in width.items()}}
            if not self._lists:
                break
        yield _NO_INDEX

    def _choose(self, schema: str, metric: str, size: int, exact: bool) -> None:
        """Metric, exactness and statement, by what the server's plans say."""
        self._lists = False
        self.capabilities = Capabilities(_OPERATORS[metric or "ip"][1], size, exact)
        cast, half = f"%s::{self._type}", self._type.endswith(".halfvec")
        plans = {}
        for name in (metric,) if metric else _OPERATORS:
            self.value = f"{self._column_as} OPERATOR({schema}.{_OPERATORS[name][0]}) {cast}"
            plans[name] = self._plan(_ANY_INDEX, size)
        metric = next((name for name, (walks, _) in plans.items() if walks), metric or "ip")
        walks, names = plans[metric]
        operator, unit = _OPERATORS[metric]
        compared = self._column_as
        if exact or not walks:
            if half:
                # Of what is stored, without rounding the query.
                cast, compared = f"%s::{schema}.vector", f"{self._column}::{schema}.vector"
            self.value = f"{compared} OPERATOR({schema}.{operator}) {cast}"
            exact = not self._plan(_NO_INDEX, size)[0]
        if not exact:
            self.value = f"{self._column_as} OPERATOR({schema}.{operator}) %s::{self._type}"
            kinds = "SELECT 1 FROM pg_class c JOIN pg_am m ON m.oid = c.relam"
            kinds += " WHERE m.amname = 'ivfflat' AND c.relname = ANY(%s)"
            self._lists = bool(self.run(kinds, [names]))
        self.capabilities = Capabilities(unit, size, exact)

    def _plan(self, settings: dict[str, str], size: int) -> tuple[bool, list[str]]:
        """Whether a search may miss rows, and by which indexes."""
        with self._transaction(settings):
            found = self._execute(
                f"EXPLAIN (FORMAT JSON) {self.listing(1)}", [self.sent(np.ones(size, np.float32))]
            )[0][0]
        left = [step["Plan"] for step in (json.loads(found) if isinstance(found, str) else found)]
        walks, names = False, []
        while left:
            step = left.pop()
            left += step.get("Plans", [])
            if "Order By" in step or step["Node Type"] not in _PLAIN:
                walks = True
                names.append(step.get("Index Name", ""))
        return walks, names

    def _place_of(self, parts: list[str]) -> tuple[str, list[str]]:
        """Schema of the extension, quoted, and the table's full name."""
        found = self.run(
            "SELECT n.nspname, e.extversion FROM pg_extension e "
            "JOIN pg_namespace n ON n.oid = e.extnamespace WHERE e.extname = 'vector'"
        )
        if not found:
            raise DistnormError(
                "a database without pgvector", "its extension", "run: CREATE EXTENSION vector"
            )
        full = self.run(
            "SELECT n.nspname, c.relname FROM pg_class c JOIN pg_namespace n "
            "ON n.oid = c.relnamespace WHERE c.oid = to_regclass(%s)",
            [quoted(*parts)],
        )[0]
        version = [int(part) for part in found[0][1].split(".")[:2]]
        self._iterates = version >= [0, 8]
        return quoted(found[0][0]), list(full)

    def _kind(self, shown: str, kind: str, size: int) -> tuple[str, int]:
        """Vector or halfvec, and its dimension or -1."""
        if kind in ("vector", "halfvec"):
            return kind, size
        remedy = f"name the column of vectors: column={self.vector!r} is none"
        if kind in ("sparsevec", "_float4", "_float8", "_numeric", "_int4"):
            remedy = "run: " + _CAST.format(self._table, self._column)
        if kind == "bit":
            remedy = "keep the vectors too: binary codes have no inner product with a query"
        raise DistnormError(
            f"column {self.vector!r} of type {shown} in {self.place}",
            "vector(d) or halfvec(d)",
            remedy,
        )

    def _size_of_rows(self, schema: str) -> int:
        found = self.run(
            f"SELECT {schema}.vector_dims({self._column}) FROM {self._table} "
            f"WHERE {self._there} LIMIT 1"
        )
        if not found:
            raise DistnormError(f"no vectors in {self.place}", "some", "add rows first")
        return int(found[0][0])

    def _unknown(self, table: str) -> DistnormError:
        """The error for a table that is not there."""
        tables = ", ".join(row[0] for row in self.run(_TABLES, [named(table)[0]]))
        return DistnormError(
            f"no table {table!r} that this role finds",
            f"one of {tables}" if tables else "a table with a column of type vector",
            "name it as schema.table, or set search_path",
        )

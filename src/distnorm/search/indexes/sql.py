"""Biases in a table of their own, for systems that speak SQL.

``distnorm_bias_<fingerprint>_<target>(id primary key, bias)`` holds the numbers and
``distnorm_biases(name primary key, about)`` what is complete. The user's own table and its
vector index are left as they are: updating rows there would write into the index again.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from distnorm.errors import DistnormError

__all__ = ["SqlBiases", "quoted"]

_REGISTRY = "distnorm_biases"
_AT_ONCE = 500


def quoted(name: str) -> str:
    """An identifier in SQL, ``schema.table`` included.

    Raises
    ------
    DistnormError
        For anything but letters, digits and underscores.
    """
    if not re.fullmatch(r"\w+(\.\w+)?", name):
        raise DistnormError(
            f"the name {name!r}", "letters, digits and underscores, or schema.table", "rename it"
        )
    return ".".join(f'"{part}"' for part in name.split("."))


class SqlBiases:
    """A `BiasStore` by one callable of a database.

    Parameters
    ----------
    target : str
        The table of vectors.
    id_type : str
        SQL type of its ids.
    run : callable
        Takes a statement and its values, returns rows; what it writes is durable then.
    mark : str
        What stands for a value in a statement.
    writable : callable, optional
        Called before anything is written.
    catalog : str
        Where names of tables are listed.
    """

    def __init__(
        self,
        target: str,
        id_type: str,
        run: Callable[..., list[Any]],
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

    def published(self) -> dict[str, dict[str, Any]]:
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

    def publish(self, column: str, about: dict[str, Any] | None) -> None:
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

    def read(self, column: str, ids: Sequence[Any]) -> npt.NDArray[np.float64]:
        """Numbers of items."""
        known: dict[Any, float] = {}
        there = self._exists(self.table(column))
        for start in range(0, len(ids) if there else 0, _AT_ONCE):
            some = list(ids[start : start + _AT_ONCE])
            marks = ", ".join([self._mark] * len(some))
            statement = f"SELECT id, bias FROM {quoted(self.table(column))} WHERE id IN ({marks})"
            known.update(self._run(statement, some))
        return np.array([known.get(item, np.nan) for item in ids], dtype=np.float64)

    def write(self, column: str, ids: Sequence[Any], values: npt.NDArray[np.float64]) -> None:
        """Store numbers of items, some hundred a statement."""
        self._writable()
        numbers = values.tolist()
        for start in range(0, len(ids), _AT_ONCE):
            part = slice(start, start + _AT_ONCE)
            some = [value for pair in zip(ids[part], numbers[part], strict=True) for value in pair]
            rows = ", ".join([f"({self._mark}, {self._mark})"] * (len(some) // 2))
            self._run(
                f"INSERT INTO {quoted(self.table(column))} (id, bias) VALUES {rows} "
                "ON CONFLICT (id) DO UPDATE SET bias = excluded.bias",
                some,
            )

    def _exists(self, table: str) -> bool:
        if table not in self._known:
            if not self._run(f"SELECT 1 FROM {self._catalog} = {self._mark}", [table]):
                return False
            self._known.add(table)
        return True

"""Parquet and Lance tables: columns of names, texts, pictures (Hugging Face's ``{bytes, path}``).

Columns of other types are refused by their type, never turned into words.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from distnorm.embedding.cells import PATHS, TEXTS
from distnorm.errors import DistnormError, require
from distnorm.store.column_files import column_file

__all__ = ["ParquetTable"]

_ROWS = 4096
_PICTURES = 64  # rows at a time where they hold pictures


class ParquetTable:
    """A Parquet file or Lance set; ``head``: columns that can be pictures or texts, others ""."""

    strict, beside, above, kind = True, True, False, "parquet"

    def __init__(
        self, path: Path, path_column: str | None = None, text_column: str | None = None
    ) -> None:
        self.path = path
        self._arrow = require("pyarrow", "embed")
        with self._opened() as file:
            schema = file.schema_arrow
        self._names = tuple(schema.names)
        self._types = [schema.field(at).type for at in range(len(self._names))]
        sides = {**dict.fromkeys(TEXTS, "text"), **dict.fromkeys(PATHS, "picture")}
        for column, side in ((path_column, "picture"), (text_column, "text")):
            if column is not None:
                sides[column.strip().lower()] = side
        named = {column.strip().lower() for column in (path_column, text_column) if column}
        head, unfit = [], list[tuple[str, str, str]]()
        for name, kind in zip(self._names, self._types, strict=True):
            side = sides.get(name.strip().lower(), "")
            if side and self._arrow.types.is_null(kind):
                head.append("")  # a column without any value
                continue
            fits = not side or self._fits(kind, side)
            head.append(name if fits else "")
            if not fits:
                unfit.append((name, str(kind), side))
        self.head = tuple(head)
        self.worded = tuple(at for at, kind in enumerate(self._types) if self._holds_words(kind))
        self.aside = tuple(
            name
            for name, kind in zip(self._names, self._types, strict=True)
            if name.strip().lower() not in sides and "binary" in str(kind)
        )
        usable = {sides.get(name.strip().lower()) for name in head} - {None}
        self.holds_bytes = "picture" in usable and any(
            sides.get(name.strip().lower()) == "picture" and self._is_bytes(kind)
            for name, kind in zip(self._names, self._types, strict=True)
        )
        for name, kind_name, side in unfit:
            # Another column of the side will do, unless this one was asked for.
            if name.strip().lower() in named or side not in usable:
                raise self._unfit(name, kind_name, side)

    def rows(self, fields: tuple[int, ...]) -> Iterator[tuple[int, tuple[Any, ...]]]:
        """Row number from 1 on and cells of every row."""
        names = [self._names[at] for at in fields]
        size = _PICTURES if any(self._is_bytes(self._types[at]) for at in fields) else _ROWS
        line = 0
        with self._opened() as file:
            batches = file.iter_batches(batch_size=size, columns=list(dict.fromkeys(names)))
            while True:
                try:
                    batch = next(batches, None)
                except (self._arrow.ArrowException, OSError, ValueError) as error:
                    raise self._damaged(error) from error
                if batch is None:
                    return
                try:
                    columns = [batch.column(name).to_pylist() for name in names]
                except ValueError as error:  # bytes of a text that are none
                    raise self._damaged(error) from error
                for cells in zip(*columns, strict=True):
                    line += 1
                    yield line, cells

    def _opened(self) -> Any:
        try:
            return column_file(self.path)
        except (self._arrow.ArrowException, OSError, ValueError) as error:
            raise self._damaged(error) from error

    def _damaged(self, error: Exception) -> DistnormError:
        why = str(error).partition("\n")[0]
        return DistnormError(
            f"{self.path}: {why}", "a Parquet file or Lance data set, whole", "write it again"
        )

    def _unfit(self, name: str, kind: str, side: str) -> DistnormError:
        wanted = (
            "strings, or lists of them" if side == "text" else "strings, binary or {bytes, path}"
        )
        return DistnormError(
            f"{self.path} with column {name!r} of type {kind[:60]} as {side}s",
            wanted,
            f"name the column of {side}s with "
            + ("--text-column" if side == "text" else "--path-column")
            + f", or leave this one out: pandas.read_parquet({str(self.path)!r}).drop(columns="
            f"{name!r}).to_parquet('new.parquet')",
        )

    def _fits(self, kind: Any, side: str) -> bool:
        types = self._arrow.types
        if types.is_dictionary(kind):
            kind = kind.value_type
        if self._is_string(kind):
            return True
        if side == "picture":
            return self._is_bytes(kind)
        while types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind):
            kind = kind.value_type
            kind = kind.value_type if types.is_dictionary(kind) else kind
        return self._is_string(kind) or types.is_struct(kind) or self._is_bytes(kind)

    def _holds_words(self, kind: Any) -> bool:
        """Whether cells are strings, or lists of them."""
        types = self._arrow.types
        if types.is_list(kind) or types.is_large_list(kind):
            kind = kind.value_type
        return self._is_string(kind.value_type if types.is_dictionary(kind) else kind)

    def _is_string(self, kind: Any) -> bool:
        types = self._arrow.types
        view = getattr(types, "is_string_view", lambda _: False)
        return bool(types.is_string(kind) or types.is_large_string(kind) or view(kind))

    def _is_bytes(self, kind: Any) -> bool:
        types = self._arrow.types
        if types.is_struct(kind):
            return bool({"bytes", "path"} & {kind.field(at).name for at in range(kind.num_fields)})
        view = getattr(types, "is_binary_view", lambda _: False)
        return bool(types.is_binary(kind) or types.is_large_binary(kind) or view(kind))

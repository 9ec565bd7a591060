"""Columns of a store's metadata, and what each row is called."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from typing import Any

from distnorm.errors import DistnormError, require
from distnorm.store.layout import METADATA, Commit, at_commit
from distnorm.store.vectors import open_embeddings

__all__ = ["read_names", "read_sizes", "read_tables"]

_NAMES = {"image": ("image_path", "path", "url"), "text": ("caption", "text")}


def read_tables(
    commit: Commit, columns: Sequence[str], extra: str = "embed"
) -> Iterator[tuple[int, Any]]:
    """How many rows each shard of metadata has, and an Arrow table of the columns that it has."""
    pyarrow, parquet = require("pyarrow", extra), require("pyarrow.parquet", extra)
    if commit.shards and not commit.files(METADATA):
        raise DistnormError(
            f"{commit.folder} without its folder {METADATA}",
            "a whole store",
            "fetch the folder if it was left out of a copy, or embed into a new folder",
        )
    for file, counted in commit.counted_files(METADATA):
        try:
            with parquet.ParquetFile(file) as shard:
                names = set(shard.schema_arrow.names)
                present = [name for name in columns if name in names]
                rows, table = shard.metadata.num_rows, shard.read(present)
        except (OSError, ValueError, pyarrow.ArrowException) as error:
            raise DistnormError(
                f"{file}, which cannot be read", "a whole Parquet file", "embed again"
            ) from error
        if counted is not None and rows < counted:
            raise DistnormError(
                f"{file} of {rows} rows", f"{counted} as store.json says", "embed again"
            )
        count = rows if counted is None else counted
        yield count, table.slice(0, count)


def read_names(
    path: str | os.PathLike[str] | Commit, side: str = "image", *, key: str | None = None
) -> list[str]:
    """What each row is called: its path or its caption, else its number; as `read_embeddings`.

    Only a store's metadata holds names: pictures go by their path, texts by their caption. Raises
    if there are names for another number of rows.
    """
    if not isinstance(path, Commit):
        return at_commit(path, lambda commit: read_names(commit, side, key=key))
    commit, rows = path, len(open_embeddings(path, side, key=key))
    if not commit.files(METADATA):
        return [f"#{row}" for row in range(rows)]
    columns = _NAMES.get(side, _NAMES["text"])
    names: list[str] = []
    for count, table in read_tables(commit, columns, "parquet"):
        present = [name for name in columns if name in table.column_names]
        try:
            values = table.column(present[0]).to_pylist() if present else [None] * count
        except ValueError as error:
            raise DistnormError(
                f"metadata of {commit.folder} with names that are no text",
                "names in UTF-8",
                "embed again",
            ) from error
        start = len(names)
        names += [f"#{start + i}" if v is None else str(v) for i, v in enumerate(values)]
    if len(names) != rows:
        raise DistnormError(
            f"{commit.folder} with {rows} {side} rows and metadata of {len(names)}",
            "one name per row",
            "embed again",
        )
    return names


def read_sizes(commit: Commit) -> set[tuple[int, int]]:
    """Widths and heights of the pictures in a store's first shard, where it says them."""
    if not commit.files(METADATA):
        return set()
    _, table = next(read_tables(commit, ("width", "height"), "parquet"))
    if table.num_columns < 2:
        return set()
    sides = (table.column(name).to_pylist() for name in ("width", "height"))
    return {(w, h) for w, h in zip(*sides, strict=True) if w is not None and h is not None}

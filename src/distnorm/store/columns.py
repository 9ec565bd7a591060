"""Columns of a store's metadata, and what each row is called."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from typing import Any

from distnorm.errors import DistnormError, require
from distnorm.store.layout import METADATA, Commit
from distnorm.store.vectors import open_embeddings

__all__ = ["read_names", "read_tables"]

_NAMES = {"image": ("image_path", "path", "url"), "text": ("caption", "text")}


def read_tables(
    commit: Commit, columns: Sequence[str], extra: str = "embed"
) -> Iterator[tuple[int, Any]]:
    """How many rows each shard of metadata has, and an Arrow table of the columns that it has."""
    for file in commit.files(METADATA):
        with require("pyarrow.parquet", extra).ParquetFile(file) as shard:
            names = set(shard.schema_arrow.names)
            present = [name for name in columns if name in names]
            yield shard.metadata.num_rows, shard.read(present)


def read_names(path: str | os.PathLike[str] | Commit, side: str = "image") -> list[str]:
    """What each row is called: its path or its caption, else its number.

    Parameters
    ----------
    path : path or Commit
        As `read_embeddings`; only a store's metadata holds names.
    side : str
        Images go by their path, texts by their caption.

    Raises
    ------
    DistnormError
        If there are names for another number of rows.
    """
    commit = path if isinstance(path, Commit) else Commit.read(path)
    rows = len(open_embeddings(commit, side))
    if not commit.files(METADATA):
        return [f"#{row}" for row in range(rows)]
    columns = _NAMES.get(side, _NAMES["text"])
    names: list[str] = []
    for count, table in read_tables(commit, columns, "parquet"):
        present = [name for name in columns if name in table.column_names]
        values = table.column(present[0]).to_pylist() if present else [None] * count
        start = len(names)
        names += [f"#{start + i}" if v is None else str(v) for i, v in enumerate(values)]
    if len(names) != rows:
        raise DistnormError(
            f"{commit.folder} with {rows} {side} rows and metadata of {len(names)}",
            "one name per row",
            "embed again",
        )
    return names

"""Parquet files and Lance data sets, read by one way: a schema, columns, batches in order."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from distnorm.errors import require

__all__ = ["column_file", "is_lance"]


def is_lance(path: str | os.PathLike[str]) -> bool:
    """Whether a folder is a Lance data set."""
    return (Path(path) / "_versions").is_dir()


def column_file(path: str | os.PathLike[str]) -> Any:
    """A Parquet file as pyarrow opens it, or a Lance data set that offers the same."""
    if is_lance(path):
        return _LanceSet(path)
    return require("pyarrow.parquet", "parquet").ParquetFile(path)


class _LanceSet:
    """A Lance data set as pyarrow's ``ParquetFile``, as far as it is needed here."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._set = require("lance", "ray").dataset(os.fspath(path))
        self.schema_arrow = self._set.schema

    def __enter__(self) -> _LanceSet:
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing is open between reads."""

    def read(self, columns: Sequence[str]) -> Any:
        """An Arrow table of some columns."""
        return self._set.to_table(columns=list(columns))

    def iter_batches(self, batch_size: int, columns: Sequence[str]) -> Iterator[Any]:
        """Record batches of some columns, in the order of the rows."""
        batches: Iterator[Any] = self._set.to_batches(columns=list(columns), batch_size=batch_size)
        return batches

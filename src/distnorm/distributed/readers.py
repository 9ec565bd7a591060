"""How the rows of a fragment are read: small things that travel to the worker that reads them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from distnorm.errors import DistnormError, first_line, require
from distnorm.store.vector_files import arrow_rows
from distnorm.store.vectors import read_embeddings
from distnorm.system.files import plain_errors

__all__ = ["LanceFragment", "Numbers", "Reader", "RowGroup", "Stretch", "readable"]

Rows = npt.NDArray[Any]
Numbers = npt.NDArray[np.int64]

_UNREADABLE = (
    ValueError, OSError, EOFError, LookupError, TypeError, NotImplementedError, RuntimeError,
)  # fmt: skip


class Reader(Protocol):
    """How the rows of a fragment are read, in blocks of at most so many, or some of them."""

    @property
    def file(self) -> Path:
        """The file or folder, absolute."""

    def read(self, most: int) -> Iterator[Rows]:
        """All rows in order."""

    def take(self, positions: Numbers, most: int) -> Rows:
        """The rows at these rising positions, counted from the fragment's first."""


class _InOrder:
    """What can only be read from its start."""

    def read(self, most: int) -> Iterator[Rows]:
        """As `Reader.read`; each kind of file below has its own."""
        # Never asked of this class itself: it only picks rows out of what its kinds read.
        raise NotImplementedError

    def take(self, positions: Numbers, most: int) -> Rows:
        parts, start = [], 0
        for block in self.read(most):
            inside = positions[(positions >= start) & (positions < start + len(block))] - start
            if len(inside):
                parts.append(np.asarray(block[inside]))
            start += len(block)
        return np.concatenate(parts)


@dataclass(frozen=True)
class Stretch:
    """Rows ``start`` to ``stop`` of a file whose matrix is mapped, or small."""

    file: Path
    side: str
    key: str | None
    start: int
    stop: int

    def read(self, most: int) -> Iterator[Rows]:
        """As `Reader.read`."""
        rows = self._rows()
        for start in range(0, len(rows), most):
            yield rows[start : start + most]

    def take(self, positions: Numbers, most: int) -> Rows:
        """As `Reader.take`."""
        return np.asarray(self._rows()[positions])

    def _rows(self) -> Rows:
        return read_embeddings(self.file, self.side, key=self.key)[self.start : self.stop]


@dataclass(frozen=True)
class RowGroup(_InOrder):
    """One row group of a Parquet file, which begins at row ``start``."""

    file: Path
    columns: tuple[str, ...]
    group: int
    start: int

    def read(self, most: int) -> Iterator[Rows]:
        """As `Reader.read`."""
        arrow, parquet = require("pyarrow", "ray"), require("pyarrow.parquet", "ray")
        columns, start = list(self.columns), self.start
        with parquet.ParquetFile(self.file) as file:
            for batch in file.iter_batches(
                most, row_groups=[self.group], columns=columns, use_threads=False
            ):
                table = arrow.Table.from_batches([batch])
                if len(table):
                    yield arrow_rows(table, columns, self.file, start)
                start += len(table)


@dataclass(frozen=True)
class LanceFragment(_InOrder):
    """One fragment of a Lance data set."""

    file: Path
    version: int
    columns: tuple[str, ...]
    fragment: int

    def read(self, most: int) -> Iterator[Rows]:
        """As `Reader.read`."""
        arrow = require("pyarrow", "ray")
        columns, place, start = list(self.columns), f"{self.file}, fragment {self.fragment}", 0
        dataset = require("lance", "ray").dataset(str(self.file), version=self.version)
        for batch in dataset.get_fragment(self.fragment).to_batches(
            columns=columns, batch_size=most
        ):
            table = arrow.Table.from_batches([batch])
            if len(table):
                yield arrow_rows(table, columns, place, start)
            start += len(table)


@contextmanager
def readable(place: Path | str) -> Iterator[None]:
    """Name the file or fragment of which a library says that it cannot be read."""
    try:
        with plain_errors(place):
            yield
    except DistnormError:
        raise
    except _UNREADABLE as error:
        got = f"{place}, which cannot be read ({first_line(error)})"
        raise DistnormError(got, "whole files", "write it again") from error

"""Vectors in files as fragments: what one worker reads, known from headers alone.

A fragment is a stretch of an .npy or .safetensors file, a row group of a Parquet file, a fragment
of a Lance data set, or any other file of vectors as a whole. Its rows have the numbers that the
same rows have where `distnorm.store.read_embeddings` reads the whole input, so that what is found
on a cluster does not depend on how the input was shared out.
"""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from distnorm.array_kinds import shape_error
from distnorm.arrays import check_form
from distnorm.distributed.readers import (
    LanceFragment,
    Numbers,
    Reader,
    RowGroup,
    Stretch,
    readable,
)
from distnorm.errors import DistnormError, require
from distnorm.moments import LARGEST_EXACT
from distnorm.store.column_files import is_lance
from distnorm.store.layout import Commit
from distnorm.store.vector_choice import choose
from distnorm.store.vector_files import arrow_columns
from distnorm.store.vectors import has_vectors, read_embeddings, shard_files
from distnorm.system.files import missing_file

__all__ = ["Fragment", "Numbers", "Vectors", "open_vectors"]

Rows = npt.NDArray[Any]

FRAGMENT_BYTES = 1 << 26
"""Of a stretch of a file that can be read from any row on."""


@dataclass(frozen=True)
class Fragment:
    """Rows that one worker reads, at least one, all of one dimension.

    ``place`` is what messages call it: a file, with a row group or fragment. ``first`` is the
    number of its first row in the whole input, ``offset`` that in its file, or in its fragment of a
    Lance data set.
    """

    number: int
    place: str
    first: int
    rows: int
    offset: int
    dimension: int
    reader: Reader

    def blocks(self, most: int | None = None) -> Iterator[tuple[int, Rows]]:
        """Rows in order, (n, d), as they are stored, with the number of the first of each block.

        A block has ``most`` rows; as many as `Moments` adds up in float64 if left out. Raises a
        DistnormError that names the fragment: for other dimensions, empty cells, no numbers,
        damaged files, and rows that came or left since the input was opened.
        """
        done = 0
        self._require_file()
        with readable(self.place):
            for block in self.reader.read(self._most(most)):
                yield self.first + done, self._checked(block)
                done += len(block)
        if done != self.rows:
            raise DistnormError(
                f"{self.place} with {done} rows, {self.rows} of them when it was opened",
                "files that stay as they are",
                "run it again when nobody writes to them",
            )

    def read(self) -> Rows:
        """All rows, (rows, d)."""
        parts = [block for _, block in self.blocks(self.rows)]
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    def take(self, numbers: Numbers) -> Rows:
        """The rows of these rising numbers of the whole input, which lie in this fragment."""
        self._require_file()
        with readable(self.place):
            return self._checked(self.reader.take(numbers - self.first, self._most(None)))

    def _require_file(self) -> None:
        if not self.reader.file.exists():
            raise DistnormError(
                f"{self.reader.file}, which is not on the machine of a worker",
                "files that all machines of the cluster reach under one path",
                "name a shared folder",
            )

    def _most(self, most: int | None) -> int:
        return max(1, LARGEST_EXACT // self.dimension) if most is None else most

    def _checked(self, block: Rows) -> Rows:
        if block.ndim == 2 and block.shape[1] != self.dimension:
            raise _mixed(self.place, block.shape[1], self.dimension)
        rows: Rows = check_form(block, self.place)
        return rows


@dataclass(frozen=True)
class Vectors:
    """An input of vectors as its fragments, in the order of its rows; none is empty.

    ``label`` is how it was named, ``commit`` what a store is at, and ``columns`` are those that
    hold the vectors of a Parquet or Lance input.
    """

    label: str
    dimension: int
    fragments: tuple[Fragment, ...]
    commit: Commit | None = None
    columns: tuple[str, ...] = ()

    def __len__(self) -> int:
        """Rows."""
        last = self.fragments[-1]
        return last.first + last.rows

    def dataset(self) -> Any:
        """A Ray Data set that is read as it is used, a block of rows at a time.

        Returns
        -------
        ray.data.Dataset
            Columns ``row`` (int64, its number in the input) and ``vector`` (fixed-size list).
        """
        data = require("ray.data", "ray")
        cells = [{"fragment": pickle.dumps(each)} for each in self.fragments]
        listed = data.from_items(cells, override_num_blocks=len(cells))
        return listed.map_batches(_tables, batch_format="pyarrow", batch_size=None)


def open_vectors(path: str | Path, side: str = "image", *, key: str | None = None) -> Vectors:
    """Vectors of one side in a file, a folder of shards, a store, or a Lance data set.

    Parameters
    ----------
    path : path
        What `distnorm.store.read_embeddings` takes, or the folder of a Lance data set.
    side : str
        Whose shards of a folder, and which array or column of several.
    key : str, optional
        The array or column, where that is not plain.

    Raises
    ------
    DistnormError
        For a missing or unreadable input, one that has to be embedded first, a column that some
        fragment lacks, different dimensions in two fragments, or no rows at all.
    """
    place = Path(path)
    if is_lance(place):
        return _whole(str(path), list(_lance_parts(place, side, key)))
    if not place.exists():
        raise missing_file(place)
    if not has_vectors(place):
        raise DistnormError(
            f"{path}, which is to be embedded",
            "embeddings",
            f"embed it first: distnorm embed {path} --engine ray --model NAME --out store",
        )
    commit = Commit.read(place)
    if not place.is_dir():
        return _whole(str(path), list(_file_parts(place, None, side, key, None)))
    files, _, inside = shard_files(commit, side, key)
    parts: list[_Part] = []
    for file, counted in files:
        column = parts[0].columns if parts else None
        parts += _file_parts(file, counted, side, inside, column)
    return replace(_whole(str(path), parts), commit=None if commit.number is None else commit)


@dataclass(frozen=True)
class _Part:
    """A fragment that has no number yet; ``dimension`` None where no header says."""

    place: str
    rows: int
    offset: int
    dimension: int | None
    reader: Reader
    columns: tuple[str, ...] | None = None


def _whole(label: str, parts: list[_Part]) -> Vectors:
    parts = [part for part in parts if part.rows]
    if not parts:
        raise DistnormError(f"{label} without a row", "embeddings", "name another input")
    dimension = parts[0].dimension
    if dimension is None:
        with readable(parts[0].place):
            dimension = int(next(iter(parts[0].reader.read(1))).shape[1])
    fragments, first = [], 0
    for number, part in enumerate(parts):
        if part.dimension not in (None, dimension):
            raise _mixed(part.place, part.dimension, dimension, parts[0].place)
        fragments.append(
            Fragment(number, part.place, first, part.rows, part.offset, dimension, part.reader)
        )
        first += part.rows
    return Vectors(label, dimension, tuple(fragments), columns=parts[0].columns or ())


def _file_parts(
    file: Path, counted: int | None, side: str, key: str | None, columns: tuple[str, ...] | None
) -> Iterator[_Part]:
    if file.suffix.lower() == ".parquet":
        yield from _row_groups(file, side, key, columns)
        return
    rows = read_embeddings(file, side, key=key)
    if rows.ndim != 2:
        raise shape_error(rows.shape, str(file))
    if counted is not None and len(rows) < counted:
        raise DistnormError(
            f"{file} of shape {rows.shape}", f"{counted} rows as store.json says", "embed again"
        )
    n, d = len(rows) if counted is None else counted, int(rows.shape[1])
    if n:
        check_form(rows, str(file))
    step = n
    if isinstance(rows, np.memmap):
        step = max(1, FRAGMENT_BYTES // max(1, d * rows.itemsize))
    for start in range(0, n, max(1, step)):
        stop = min(n, start + step)
        place = str(file) if stop - start == n else f"{file}, rows {start} to {stop - 1}"
        yield _Part(place, stop - start, start, d, Stretch(file.absolute(), side, key, start, stop))


def _row_groups(
    file: Path, side: str, key: str | None, columns: tuple[str, ...] | None
) -> Iterator[_Part]:
    arrow, parquet = require("pyarrow", "ray"), require("pyarrow.parquet", "ray")
    with readable(file), parquet.ParquetFile(file) as opened:
        schema, metadata = opened.schema_arrow, opened.metadata
    found = arrow_columns(schema, file, arrow.types)
    if columns is None:
        columns = tuple(found[choose(list(found), file, side, key)])
    elif list(columns) not in found.values():
        raise DistnormError(
            f"{file} without the column {columns[0]!r} of vectors",
            "it in every file of a folder, as in the first",
            "write the file again, or move it out of the folder",
        )
    dimension = _list_size(schema.field(columns[0]).type) if len(columns) == 1 else len(columns)
    start = 0
    for group in range(metadata.num_row_groups):
        rows = metadata.row_group(group).num_rows
        place = str(file) if metadata.num_row_groups == 1 else f"{file}, row group {group}"
        reader = RowGroup(file.absolute(), columns, group, start)
        yield _Part(place, rows, start, dimension, reader, columns)
        start += rows


def _lance_parts(folder: Path, side: str, key: str | None) -> Iterator[_Part]:
    arrow, lance = require("pyarrow", "ray"), require("lance", "ray")
    with readable(folder):
        dataset = lance.dataset(str(folder))
    found = arrow_columns(dataset.schema, folder, arrow.types)
    columns = tuple(found[choose(list(found), folder, side, key)])
    one = len(columns) == 1
    dimension = _list_size(dataset.schema.field(columns[0]).type) if one else len(columns)
    for fragment in dataset.get_fragments():
        number = fragment.fragment_id
        reader = LanceFragment(folder.absolute(), dataset.version, columns, number)
        place = f"{folder}, fragment {number}"
        yield _Part(place, fragment.count_rows(), 0, dimension, reader, columns)


def _list_size(kind: Any) -> int | None:
    kind = getattr(kind, "storage_type", kind)
    size = getattr(kind, "list_size", None)
    return None if size is None or hasattr(kind.value_type, "value_type") else int(size)


def _mixed(
    place: str, found: int | None, dimension: int, other: str | None = None
) -> DistnormError:
    return DistnormError(
        f"{place} with vectors of {found} dimensions",
        f"{dimension}, as " + ("in the fragments before" if other is None else f"in {other}"),
        "keep vectors of one model in one input",
    )


def _tables(batch: Any) -> Iterator[Any]:
    """Blocks of fragments as Arrow tables, without a copy where rows are in memory."""
    arrow = require("pyarrow", "ray")
    for cell in batch["fragment"].to_pylist():
        fragment: Fragment = pickle.loads(cell)
        for first, rows in fragment.blocks():
            flat = arrow.array(np.ascontiguousarray(rows).ravel())
            vectors = arrow.FixedSizeListArray.from_arrays(flat, fragment.dimension)
            numbers = np.arange(first, first + len(rows), dtype=np.int64)
            yield arrow.table({"row": numbers, "vector": vectors})

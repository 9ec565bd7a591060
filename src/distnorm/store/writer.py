"""A store in the clip-retrieval layout, whole at every moment.

Rows are unit rows, float16 unless the store was begun in float32. ``store.json`` is replaced in one
step after the files it names are on the disk, so that a crash leaves the store before a commit or
after it:

1. files of new shards, and new versions of old ones under ``NAME.new``, are written and synced;
2. ``store.json`` is replaced: from here on the new versions count (``pending``);
3. the new versions take their names, and ``pending`` is emptied.

The next run finishes step 3 and removes what no ``store.json`` names. Vectors of rows that were
dropped are kept, so that statistics can be freed of them (`distnorm.store.rows`).
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from filelock import FileLock, Timeout

from distnorm.errors import DistnormError, require
from distnorm.store.columns import read_tables
from distnorm.store.layout import (
    LOCK,
    METADATA,
    PARTS,
    Commit,
    is_begun,
    is_shard,
    is_store,
    is_tidy,
    removed_path,
    shard_path,
    sync,
    temporary_files,
    write_commit,
)
from distnorm.store.models import other_resizer
from distnorm.store.rows import log_removed
from distnorm.store.vectors import open_embeddings
from distnorm.system.files import atomic_write, plain_errors, remove_stale, save_array

__all__ = ["StoreLock", "StoreWriter", "tidy"]

Columns = Mapping[str, list[Any]]
_TEXT = {"caption": "string", "hash": "string", "source": "string", "commit": "int64"}
_PICTURE = {
    "image_path": "string", "caption": "string", "width": "int32", "height": "int32",
    "hash": "string", "size": "int64", "mtime": "int64", "source": "string", "commit": "int64",
}  # fmt: skip

# A process that was killed this moment may hold its lock a little longer, on a busy system.
_LOCK_WAIT = 1.0


class StoreLock:
    """Hold a store's lock file, which the system lets go of however a process ends; or raise."""

    def __init__(self, folder: Path) -> None:
        self._lock = FileLock(folder / LOCK, timeout=_LOCK_WAIT)
        try:
            self._lock.acquire()
        except Timeout as error:
            raise DistnormError(
                f"{folder}, which another process is writing to", "one writer", "wait for it"
            ) from error

    def release(self) -> None:
        """Let others write."""
        self._lock.release()


class StoreWriter:
    """The one process that changes a store; a context manager.

    ``origin`` names the folder, new or begun, and what its rows are: raises if it holds others.
    """

    def __init__(self, origin: Commit, shard_rows: int) -> None:
        self._folder, self._sides, self._shard_rows = origin.folder, origin.sides, shard_rows
        self._parquet = require("pyarrow.parquet", "embed")
        self._arrow = require("pyarrow", "embed")
        folder = origin.folder
        with plain_errors(folder):
            if not is_store(folder) and folder.exists() and not is_begun(folder):
                raise DistnormError(f"{folder}, which is no store", "a new folder", "rename --out")
            folder.mkdir(parents=True, exist_ok=True)
            self._lock = StoreLock(folder)
        try:
            if is_store(folder):
                self._now = Commit.read(folder)
                _check_same(self._now, origin)
            else:
                self._now = replace(origin, id=uuid.uuid4().hex, number=0, shards={})
                write_commit(self._now)
            self._finish()
            self._check_whole()
            self._clean()
        except BaseException:
            self._lock.release()
            raise

    def _check_whole(self) -> None:
        """Raise for shards that are cut or gone, whose rows would count as there."""
        for side in self._now.sides if self._now.shards else ():
            try:
                open_embeddings(self._now, side)
            except DistnormError as error:
                remedy = "fetch the file again if it is a copy, or embed into a new folder"
                raise DistnormError(error.got, error.expected, remedy) from error

    def __enter__(self) -> StoreWriter:
        """Hold the store's lock, which `__init__` took."""
        return self

    def __exit__(self, *_: object) -> None:
        """Let others write."""
        self._lock.release()

    @property
    def shards(self) -> dict[int, int]:
        """Rows of each shard, by its number."""
        return dict(sorted((self._now.shards or {}).items()))

    def tables(self) -> Iterator[tuple[int, dict[str, list[Any]]]]:
        """Number and columns of each shard's metadata, as `Known` takes them."""
        columns = ("image_path", "caption", "hash", "size", "mtime", "source")
        for number, (_, table) in zip(self.shards, read_tables(self._now, columns), strict=True):
            yield number, table.to_pydict()

    def append(self, rows: Mapping[str, npt.NDArray[Any]], metadata: Columns) -> None:
        """Add rows, all or none of them; the last shard is filled up first."""
        commit = self._next
        n = len(metadata["hash"])
        table = self._table({**metadata, "commit": [commit] * n})
        arrays = {side: np.asarray(rows[side], self._now.dtype) for side in self._sides}
        shards = self.shards
        changed: dict[int, int] = {}
        replaced: list[int] = []
        last = max(shards, default=-1)
        start = 0
        if shards and shards[last] < self._shard_rows:
            start = min(n, self._shard_rows - shards[last])
            whole = {
                side: np.concatenate([self._rows(side, last), arrays[side][:start]])
                for side in self._sides
            }
            both = self._arrow.concat_tables([self._metadata(last), table.slice(0, start)])
            changed[last] = self._write(last, whole, both, new=True)
            replaced.append(last)
        for begin in range(start, n, self._shard_rows):
            last += 1
            rest = slice(begin, begin + self._shard_rows)
            part = {side: arrays[side][rest] for side in self._sides}
            changed[last] = self._write(last, part, table.slice(begin, self._shard_rows))
        self._commit(changed, replaced)

    def drop(self, number: int, dropped: npt.NDArray[np.bool_]) -> None:
        """Take some of a shard's first rows out of it; their vectors are kept."""
        commit = self._next
        table = self._metadata(number)
        dropped = np.pad(dropped, (0, table.num_rows - len(dropped)))
        rows = {side: np.asarray(self._rows(side, number)) for side in self._sides}
        out = table.filter(self._arrow.array(dropped))
        log = {side: rows[side][dropped] for side in self._sides}
        log["commit"] = np.array(out.column("commit").to_pylist(), dtype=np.int64)
        log["hash"] = np.array(out.column("hash").to_pylist(), dtype="S64")
        log_removed(self._folder, commit, log)
        removed = {commit: int(dropped.sum())}
        if dropped.all():
            self._commit({number: 0}, [], removed)
            self._clean()
            return
        kept = {side: rows[side][~dropped] for side in self._sides}
        left = self._write(number, kept, table.filter(self._arrow.array(~dropped)), new=True)
        self._commit({number: left}, [number], removed)

    def touch(self, number: int, size: npt.NDArray[np.int64], mtime: npt.NDArray[np.int64]) -> None:
        """Note sizes and times of the files of a shard's first rows; -1 is none."""
        table = self._metadata(number)
        for name, new in (("size", size), ("mtime", mtime)):
            values = table.column(name).fill_null(-1).to_numpy().copy()
            values[: len(new)] = new
            column = self._arrow.array(values, mask=values < 0)
            table = table.set_column(table.column_names.index(name), name, column)
        rows = self._write(number, {}, table, new=True)
        self._commit({number: rows}, [number])

    def note(self, name: str, value: Any) -> None:
        """Keep a word about the rows in ``store.json``."""
        if self._now.others.get(name) != value:
            self._now = replace(self._now, others={**self._now.others, name: value})
            write_commit(self._now)

    @property
    def _next(self) -> int:
        return (self._now.number or 0) + 1

    @property
    def _parts(self) -> tuple[str, ...]:
        return (METADATA, *(PARTS[side] for side in self._sides))

    def _path(self, part: str, number: int) -> Path:
        return shard_path(self._folder, part, number)

    def _rows(self, side: str, number: int) -> npt.NDArray[Any]:
        rows: npt.NDArray[Any] = np.load(self._path(PARTS[side], number), allow_pickle=False)
        return rows

    def _metadata(self, number: int) -> Any:
        return self._parquet.read_table(self._path(METADATA, number))

    def _table(self, metadata: Columns) -> Any:
        columns = _PICTURE if "image" in self._sides else _TEXT
        schema = self._arrow.schema(
            [
                (name, getattr(self._arrow, kind)())
                for name, kind in columns.items()
                if name != "caption" or "text" in self._sides
            ]
        )
        return self._arrow.Table.from_pydict(
            {name: metadata[name] for name in schema.names}, schema=schema
        )

    def _write(
        self, number: int, rows: Mapping[str, npt.NDArray[Any]], table: Any, *, new: bool = False
    ) -> int:
        end = ".new" if new else ""
        for side, x in rows.items():
            path = self._path(PARTS[side], number)
            path.parent.mkdir(exist_ok=True)
            with atomic_write(f"{path}{end}") as file:
                save_array(file, x)
        path = self._path(METADATA, number)
        path.parent.mkdir(exist_ok=True)
        with atomic_write(f"{path}{end}") as file:
            self._parquet.write_table(table, file)
        return int(table.num_rows)

    def _commit(
        self, changed: Mapping[int, int], replaced: list[int], removed: Mapping[int, int] = {}
    ) -> None:
        for folder in self._now.folders():
            sync(folder)
        shards = {**self.shards, **changed}
        self._now = replace(
            self._now,
            number=self._next,
            shards={number: rows for number, rows in shards.items() if rows},
            pending=tuple(replaced),
            removed={**self._now.removed, **removed},
        )
        write_commit(self._now)
        self._finish()

    def _finish(self) -> None:
        """Give the new versions of a commit their names."""
        if not self._now.pending:
            return
        for number in self._now.pending:
            for part in self._parts:
                path = self._path(part, number)
                newer = Path(f"{path}.new")
                if newer.exists():
                    os.replace(newer, path)
        for folder in self._now.folders():
            sync(folder)
        self._now = replace(self._now, pending=())
        write_commit(self._now)

    def _clean(self) -> None:
        """Remove what a killed run began: files that no commit names, and temporary ones."""
        shards = {self._path(part, number) for number in self.shards for part in self._parts}
        named = shards | {removed_path(self._folder, commit) for commit in self._now.removed}
        for folder in (*self._now.folders(), removed_path(self._folder, 0).parent):
            if folder.is_dir():
                for path in folder.iterdir():
                    if is_shard(path.name) and path not in named:
                        path.unlink()
        remove_stale(temporary_files(self._folder))


def tidy(folder: Path) -> None:
    """Finish what a killed run left, and remove what it began, as the next writer would."""
    if is_store(folder) and not is_tidy(folder):
        with StoreWriter(Commit.read(folder), 1):
            pass


def _check_same(store: Commit, origin: Commit) -> None:
    for name, what in (("model_id", "rows"), ("prompt", "texts with the prompt")):
        old, new = (getattr(commit, name) or None for commit in (store, origin))
        if old != new:
            raise DistnormError(
                f"{store.folder} with {what} of {old!r}",
                f"{what} of {new!r}",
                "name another --out, or embed as the store was begun",
            )
    if None not in (store.resizer, origin.resizer) and store.resizer != origin.resizer:
        raise other_resizer(store.folder, store.resizer, origin.resizer)
    if store.sides != origin.sides:
        raise DistnormError(
            f"{store.folder} with {' and '.join(store.sides or ['older'])} rows",
            f"a store of {' and '.join(origin.sides)} rows as the source has",
            "name another --out",
        )

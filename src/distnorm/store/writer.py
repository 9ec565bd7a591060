"""A store in the clip-retrieval layout, whole at every moment.

Shard i is ``img_emb/img_emb_i.npy``, ``text_emb/text_emb_i.npy`` (float16 unit rows) and
``metadata/metadata_i.parquet``. ``store.json`` says which shards count, and is replaced in one
step after the files it names are on the disk, so that a crash leaves the store before a commit or
after it:

1. files of new shards, and new versions of old ones under ``NAME.new``, are written and synced;
2. ``store.json`` is replaced: from here on the new versions count (``pending``);
3. the new versions take their names, and ``pending`` is emptied.

The next run finishes step 3 and removes what no ``store.json`` names. Vectors of rows that were
dropped stay in ``removed/``, so that statistics can be freed of them.
"""

from __future__ import annotations

import json
import os
import re
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from distnorm.errors import DistnormError, require
from distnorm.store.lock import StoreLock
from distnorm.store.vectors import PARTS, shard_path, stored
from distnorm.system.files import atomic_write

__all__ = ["StoreWriter"]

Columns = Mapping[str, list[Any]]
_PICTURE = ("image_path", "caption", "width", "height", "hash", "size", "mtime", "source", "commit")
_TEXT = ("caption", "hash", "source", "commit")
_OURS = re.compile(r"\.?(img_emb|text_emb|metadata|removed)_\d+\.(npy|npz|parquet)(\..*)?$")
_NUMBERS = {"width": "int32", "height": "int32", "size": "int64", "mtime": "int64"}


class StoreWriter:
    """The one process that changes a store; a context manager.

    Parameters
    ----------
    folder : Path
        New, or a store of the same model.
    about : mapping
        ``model``, ``model_id``, ``dimension`` and ``prompt``, kept in ``store.json``.
    sides : tuple of str
        ("image",), ("text",) or both.
    shard_rows : int
        Most rows of a shard.

    Raises
    ------
    DistnormError
        If the folder holds something else, another model's rows or other sides, or if another
        process writes to it.
    """

    def __init__(
        self, folder: Path, about: Mapping[str, Any], sides: tuple[str, ...], shard_rows: int
    ) -> None:
        self.folder, self.sides, self._shard_rows = folder, sides, shard_rows
        self._parquet = require("pyarrow.parquet", "embed")
        self._arrow = require("pyarrow", "embed")
        marker = folder / "store.json"
        if not marker.exists() and folder.exists() and not _is_ours(folder):
            raise DistnormError(f"{folder}, which is no store", "a new folder", "rename --out")
        folder.mkdir(parents=True, exist_ok=True)
        self._lock = StoreLock(folder)
        try:
            if marker.exists():
                self._about = stored(folder)
                self._check(about)
            else:
                self._about = {
                    "schema": 1,
                    **about,
                    "normalized": True,
                    "dtype": "float16",
                    "sides": list(sides),
                    "id": uuid.uuid4().hex,
                    "commit": 0,
                    "shards": {},
                    "pending": [],
                    "removed": {},
                }
                self._write_marker()
            self._finish()
            self._clean()
        except BaseException:
            self._lock.release()
            raise

    def __enter__(self) -> StoreWriter:
        """Hold the store's lock, which `__init__` took."""
        return self

    def __exit__(self, *_: object) -> None:
        """Let others write."""
        self._lock.release()

    @property
    def shards(self) -> dict[int, int]:
        """Rows of each shard, by its number."""
        return {int(number): rows for number, rows in sorted(self._about["shards"].items())}

    def tables(self) -> Iterator[tuple[int, dict[str, list[Any]]]]:
        """Number and columns of each shard's metadata."""
        wanted = ["image_path", "caption", "hash", "size", "mtime", "source"]
        for number in sorted(self.shards):
            path = self._path("metadata", number)
            names = set(self._parquet.read_schema(path).names)
            table = self._parquet.read_table(path, columns=[n for n in wanted if n in names])
            yield number, table.to_pydict()

    def append(self, rows: Mapping[str, npt.NDArray[Any]], metadata: Columns) -> None:
        """Add rows, all or none of them; the last shard is filled up first."""
        commit = self._about["commit"] + 1
        n = len(metadata["hash"])
        table = self._table({**metadata, "commit": [commit] * n})
        arrays = {side: np.asarray(rows[side], dtype=np.float16) for side in self.sides}
        shards = self.shards
        changed: dict[int, int] = {}
        replaced: list[int] = []
        last = max(shards, default=-1)
        start = 0
        if shards and shards[last] < self._shard_rows:
            start = min(n, self._shard_rows - shards[last])
            whole = {
                side: np.concatenate([self._rows(side, last), arrays[side][:start]])
                for side in self.sides
            }
            both = self._arrow.concat_tables([self._metadata(last), table.slice(0, start)])
            changed[last] = self._write(last, whole, both, new=True)
            replaced.append(last)
        for begin in range(start, n, self._shard_rows):
            last += 1
            rest = slice(begin, begin + self._shard_rows)
            part = {side: arrays[side][rest] for side in self.sides}
            changed[last] = self._write(last, part, table.slice(begin, self._shard_rows))
        self._commit(changed, replaced)

    def drop(self, number: int, dropped: npt.NDArray[np.bool_]) -> None:
        """Take some of a shard's first rows out of it; their vectors stay in ``removed/``."""
        commit = self._about["commit"] + 1
        table = self._metadata(number)
        dropped = np.pad(dropped, (0, table.num_rows - len(dropped)))
        rows = {side: np.asarray(self._rows(side, number)) for side in self.sides}
        out = table.filter(self._arrow.array(dropped))
        log = {side: rows[side][dropped] for side in self.sides}
        log["commit"] = np.array(out.column("commit").to_pylist(), dtype=np.int64)
        log["hash"] = np.array(out.column("hash").to_pylist(), dtype="S64")
        (self.folder / "removed").mkdir(exist_ok=True)
        with atomic_write(self.folder / "removed" / f"removed_{commit}.npz") as file:
            np.savez(file, **log)  # type: ignore[arg-type]
        _sync(self.folder / "removed")
        removed = {str(commit): int(dropped.sum())}
        if dropped.all():
            self._commit({number: 0}, [], removed)
            self._clean()
            return
        kept = {side: rows[side][~dropped] for side in self.sides}
        left = self._write(number, kept, table.filter(self._arrow.array(~dropped)), new=True)
        self._commit({number: left}, [number], removed)

    def touch(self, number: int, size: npt.NDArray[np.int64], mtime: npt.NDArray[np.int64]) -> None:
        """Note sizes and times of the files of a shard's first rows; -1 is none."""
        table = self._metadata(number)
        for name, known in (("size", size), ("mtime", mtime)):
            values = table.column(name).fill_null(-1).to_numpy().copy()
            values[: len(known)] = known
            column = self._arrow.array(values, mask=values < 0)
            table = table.set_column(table.column_names.index(name), name, column)
        with atomic_write(self._path("metadata", number)) as file:
            self._parquet.write_table(table, file)

    def _check(self, about: Mapping[str, Any]) -> None:
        for key, what in (("model_id", "rows"), ("prompt", "texts with the prompt")):
            if self._about.get(key) != about.get(key):
                raise DistnormError(
                    f"{self.folder} with {what} of {self._about.get(key)!r}",
                    f"{what} of {about.get(key)!r}",
                    "name another --out, or embed as the store was begun",
                )
        if tuple(self._about.get("sides", ())) != self.sides:
            raise DistnormError(
                f"{self.folder} with {' and '.join(self._about.get('sides', ['older']))} rows",
                f"a store of {' and '.join(self.sides)} rows as the source has",
                "name another --out",
            )

    def _path(self, part: str, number: int) -> Path:
        return shard_path(self.folder, part, number)

    def _rows(self, side: str, number: int) -> npt.NDArray[Any]:
        found: npt.NDArray[Any] = np.load(self._path(PARTS[side], number), allow_pickle=False)
        return found

    def _metadata(self, number: int) -> Any:
        return self._parquet.read_table(self._path("metadata", number))

    def _table(self, metadata: Columns) -> Any:
        kinds = self._arrow
        usual = _PICTURE if "image" in self.sides else _TEXT
        names = [name for name in usual if name != "caption" or "text" in self.sides]
        kind = {name: getattr(kinds, width)() for name, width in _NUMBERS.items()}
        schema = kinds.schema(
            [
                (name, kind.get(name, kinds.int64() if name == "commit" else kinds.string()))
                for name in names
            ]
        )
        return kinds.Table.from_pydict({name: metadata[name] for name in names}, schema=schema)

    def _write(
        self, number: int, rows: Mapping[str, npt.NDArray[Any]], table: Any, *, new: bool = False
    ) -> int:
        end = ".new" if new else ""
        for side, x in rows.items():
            path = self._path(PARTS[side], number)
            path.parent.mkdir(exist_ok=True)
            with atomic_write(f"{path}{end}") as file:
                np.save(file, x)
        path = self._path("metadata", number)
        path.parent.mkdir(exist_ok=True)
        with atomic_write(f"{path}{end}") as file:
            self._parquet.write_table(table, file)
        return int(table.num_rows)

    def _commit(
        self, changed: Mapping[int, int], replaced: list[int], removed: Mapping[str, int] = {}
    ) -> None:
        for folder in self._folders():
            _sync(folder)
        shards = {**self.shards, **changed}
        self._about = {
            **self._about,
            "commit": self._about["commit"] + 1,
            "shards": {str(number): rows for number, rows in sorted(shards.items()) if rows},
            "pending": replaced,
            "removed": {**self._about["removed"], **removed},
        }
        self._write_marker()
        self._finish()

    def _finish(self) -> None:
        """Give the new versions of a commit their names."""
        if not self._about["pending"]:
            return
        for number in self._about["pending"]:
            for part in ("metadata", *(PARTS[side] for side in self.sides)):
                path = self._path(part, number)
                newer = Path(f"{path}.new")
                if newer.exists():
                    os.replace(newer, path)
        for folder in self._folders():
            _sync(folder)
        self._about["pending"] = []
        self._write_marker()

    def _clean(self) -> None:
        """Remove what a killed run began: files that no commit names, and temporary ones."""
        named = {
            self._path(part, number).name
            for number in self.shards
            for part in ("metadata", *(PARTS[side] for side in self.sides))
        }
        named |= {f"removed_{commit}.npz" for commit in self._about["removed"]}
        for folder in (*self._folders(), self.folder / "removed"):
            if folder.is_dir():
                for path in folder.iterdir():
                    if _OURS.match(path.name) and path.name not in named:
                        path.unlink()
        for path in self.folder.glob(".*.tmp"):
            path.unlink()

    def _folders(self) -> list[Path]:
        parts = ("metadata", *(PARTS[side] for side in self.sides))
        return [self.folder / part for part in parts if (self.folder / part).is_dir()]

    def _write_marker(self) -> None:
        with atomic_write(self.folder / "store.json") as file:
            file.write((json.dumps(self._about, indent=1) + "\n").encode())
        _sync(self.folder)


def _is_ours(folder: Path) -> bool:
    """Whether a folder without ``store.json`` is empty but for a begun one."""
    if not folder.is_dir():
        return False
    return all(path.name.startswith((".store.json.", ".lock")) for path in folder.iterdir())


def _sync(folder: Path) -> None:
    """Make the names in a folder last, where the system can."""
    if os.name != "posix" or not folder.is_dir():
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)

"""How a folder of embeddings is laid out: the only place that knows its files' names.

Shard i is ``img_emb/img_emb_i.npy``, ``text_emb/text_emb_i.npy`` and
``metadata/metadata_i.parquet``, as clip-retrieval writes them, with rows in the order of the
shards' numbers. ``store.json`` says which shards count; other files are left alone: they belong to
a run that is under way or was cut off. A folder without a ``store.json`` has every shard that is
there.

Readers need no lock. A shard only grows at its end, and readers take as many of its rows as their
commit counts, so that later commits change nothing for them; only where one takes rows out,
`at_commit` reads again.
"""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from distnorm.errors import DistnormError
from distnorm.system import schema
from distnorm.system.files import atomic_write, plain_errors

__all__ = [
    "FAILED",
    "LOCK",
    "METADATA",
    "PARTS",
    "Commit",
    "at_commit",
    "has_shards",
    "in_order",
    "is_begun",
    "is_shard",
    "is_store",
    "is_tidy",
    "removed_path",
    "shard_path",
    "sync",
    "temporary_files",
    "write_commit",
]

PARTS = {"image": "img_emb", "text": "text_emb"}
METADATA, FAILED, LOCK = "metadata", "failed.jsonl", ".lock"
_MARKER, _REMOVED = "store.json", "removed"
_TRIES, _RENAMING, _WAIT = 60, 5, 1.0
_T = TypeVar("_T")
_SHARD = re.compile(r"\.?(img_emb|text_emb|metadata|removed)_\d+\.(npy|npz|parquet)(\..*)?$")


def _canonical(key: str) -> bool:
    return re.fullmatch(r"0|[1-9]\d{0,17}", key, re.ASCII) is not None


_FORM = schema.record(
    {},
    {
        "schema": schema.whole(1),
        "model": schema.optional(schema.text),
        "model_id": schema.optional(schema.text),
        "dimension": schema.optional(schema.whole(1)),
        "prompt": schema.optional(schema.text),
        "resizer": schema.optional(schema.text),
        "normalized": schema.flag,
        "dtype": schema.one_of("float16", "float32"),
        "sides": schema.list_of(schema.text),
        "id": schema.optional(schema.text),
        "commit": schema.optional(schema.whole(0)),
        "shards": schema.optional(schema.table(schema.whole(1), _canonical)),
        "pending": schema.list_of(schema.whole(0)),
        "removed": schema.table(schema.whole(0), _canonical),
    },
)


@dataclass(frozen=True)
class Commit:
    """A folder of embeddings as one ``store.json`` describes it; readers take it as it is."""

    folder: Path
    model: str | None = None
    model_id: str | None = None
    dimension: int | None = None
    prompt: str | None = None  # around every text; "" for none, None where nothing says
    sides: tuple[str, ...] = ()
    id: str | None = None  # stays wherever the store is moved
    number: int | None = None  # counts commits; None without `StoreWriter`
    shards: Mapping[int, int] | None = None  # rows by number
    pending: tuple[int, ...] = ()  # shards whose new version has no name yet
    removed: Mapping[int, int] = field(default_factory=dict)  # rows, by commit
    others: Mapping[str, Any] = field(default_factory=dict)
    resizer: str | None = None  # the library that resized the pictures; None where nothing says
    dtype: str = "float16"  # of rows that are written

    @classmethod
    def read(cls, path: str | os.PathLike[str]) -> Commit:
        """The commit that a folder is at; raises if its ``store.json`` is damaged."""
        marker = Path(path) / _MARKER
        with plain_errors(marker):
            if not marker.is_file():
                return cls(Path(path))
            content = marker.read_bytes()
        settings = schema.parse(content, _FORM, file=str(marker), remedy="embed again")
        if settings.get("schema", 1) > 1:
            raise DistnormError(
                f"{marker} of schema {settings['schema']}", "1", "upgrade: pip install -U distnorm"
            )
        return cls._parse(Path(path), settings)

    @classmethod
    def _parse(cls, folder: Path, settings: dict[str, Any]) -> Commit:
        settings = dict(settings)
        prompt = (settings.pop("prompt") or "") if "prompt" in settings else None
        shards = settings.pop("shards", None)
        return cls(
            folder,
            **{name: settings.pop(name, None) for name in ("model", "model_id", "dimension", "id")},
            prompt=prompt,
            sides=tuple(settings.pop("sides", ())),
            number=settings.pop("commit", None),
            shards=None if shards is None else _numbered(shards),
            pending=tuple(settings.pop("pending", ())),
            removed=_numbered(settings.pop("removed", {})),
            resizer=settings.pop("resizer", None),
            dtype=settings.pop("dtype", "float16"),
            others=settings,
        )

    def to_dict(self) -> dict[str, Any]:
        """What ``store.json`` says."""
        return {
            "schema": 1,
            "model": self.model,
            "model_id": self.model_id,
            "dimension": self.dimension,
            "prompt": self.prompt or None,
            **({"resizer": self.resizer} if self.resizer else {}),
            "normalized": True,
            "dtype": self.dtype,
            "sides": list(self.sides),
            "id": self.id,
            "commit": self.number,
            "shards": {str(number): rows for number, rows in sorted((self.shards or {}).items())},
            "pending": list(self.pending),
            "removed": {str(commit): rows for commit, rows in self.removed.items()},
            **self.others,
        }

    @property
    def held(self) -> tuple[str, ...]:
        """Sides with vectors: those that ``store.json`` says, else those with shards."""
        return self.sides or tuple(side for side, part in PARTS.items() if self.files(part))

    def files(self, part: str) -> list[Path]:
        """The shards of ``part`` ("img_emb", "text_emb" or "metadata") in the order of rows."""
        return [file for file, _ in self.counted_files(part)]

    def counted_files(self, part: str) -> list[tuple[Path, int | None]]:
        """As `files`, with the rows that count of each: the first so many, or all (None)."""
        if self.shards is None:
            files = sorted((self.folder / part).glob(f"*{_end(part)}"), key=in_order)
            return [(file, None) for file in files]
        counted: list[tuple[Path, int | None]] = []
        for number in sorted(self.shards):
            file = shard_path(self.folder, part, number)
            newer = Path(f"{file}.new")
            if number in self.pending and newer.exists():
                file = newer
            if file.exists() or file.parent.is_dir():
                counted.append((file, self.shards[number]))
        return counted

    def stands(self) -> bool:
        """Whether what was read from the folder until now is what this commit says.

        It is not if rows have been taken out since, or shards got the names of their new versions.
        """
        now = Commit.read(self.folder)
        if (now.id, now.removed) != (self.id, self.removed):
            return False
        return not self.pending or (now.number, now.pending) == (self.number, self.pending)

    def folders(self) -> list[Path]:
        """The folders of shards that are there."""
        parts = (METADATA, *(PARTS[side] for side in self.sides))
        return [self.folder / part for part in parts if (self.folder / part).is_dir()]


def at_commit(path: str | os.PathLike[str], read: Callable[[Commit], _T]) -> _T:
    """What ``read`` gives for the commit that a folder is at: all of it of one commit.

    ``read`` must open all that it needs. It is called again if rows left the store meanwhile.

    Raises
    ------
    DistnormError
        If rows keep leaving the store.
    """
    for attempt in range(_TRIES):
        commit = Commit.read(path)
        try:
            result = read(commit)
        except (DistnormError, OSError, ValueError):
            # A new version may have got its name just now, which no store.json says yet.
            renaming = commit.pending and attempt < _RENAMING
            if commit.stands() and not renaming:
                raise
        else:
            if commit.stands():
                return result
        time.sleep(min(0.01 * 2**attempt, _WAIT))
    raise DistnormError(
        f"{os.fspath(path)}, which rows keep leaving", "a store at rest", "wait for its writer"
    )


def has_shards(folder: Path) -> bool:
    """Whether a folder is a store, or has vectors where clip-retrieval keeps them."""
    return is_store(folder) or any(folder.glob("*_emb/*.npy"))


def is_store(path: str | os.PathLike[str]) -> bool:
    """Whether a folder says in a ``store.json`` what it holds."""
    return Path(path, _MARKER).is_file()


def is_begun(folder: Path) -> bool:
    """Whether a folder is empty but for what a writer makes before its first ``store.json``."""
    return folder.is_dir() and all(
        path.name.startswith((f".{_MARKER}.", LOCK)) for path in folder.iterdir()
    )


def is_shard(name: str) -> bool:
    """Whether a file is called as shards, logs and their temporary files are."""
    return _SHARD.match(name) is not None


def shard_path(folder: Path, part: str, number: int) -> Path:
    """The file of one shard."""
    return folder / part / f"{part}_{number}{_end(part)}"


def removed_path(folder: Path, commit: int) -> Path:
    """Where the vectors of rows are kept that a commit took out."""
    return folder / _REMOVED / f"{_REMOVED}_{commit}.npz"


def temporary_files(folder: Path) -> list[Path]:
    """Files at the top of a store that a killed run left half-written."""
    return list(folder.glob(".*.tmp"))


def is_tidy(folder: Path) -> bool:
    """Whether no run left a file half-written, or without its name, in a store."""
    ends = (".tmp", ".new")
    return not any(name.endswith(ends) for _, _, names in os.walk(folder) for name in names)


def write_commit(commit: Commit) -> None:
    """Replace ``store.json``, in one step."""
    with atomic_write(commit.folder / _MARKER) as file:
        file.write((json.dumps(commit.to_dict(), indent=1) + "\n").encode())
    sync(commit.folder)


def sync(folder: Path) -> None:
    """Make the names in a folder last, where the system can."""
    if os.name != "posix" or not folder.is_dir():
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _end(part: str) -> str:
    return ".parquet" if part == METADATA else ".npy"


def _numbered(rows: Mapping[str, int]) -> dict[int, int]:
    return {int(number): count for number, count in rows.items()}


def in_order(path: Path) -> tuple[int, str]:
    """The key that puts shards into the order of their numbers."""
    digits = re.findall(r"\d+", path.stem)
    return (int(digits[-1]) if digits else -1, path.stem)

"""`FileIndex`: the base of libraries that keep an index in one file, or in memory."""

from __future__ import annotations

import abc
import hashlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import numpy as np

from distnorm.arrays import Float32, NDArray
from distnorm.errors import DistnormError
from distnorm.search.indexes.arguments import existing
from distnorm.search.indexes.base import Index
from distnorm.search.indexes.bias_store import BiasFolder
from distnorm.search.indexes.system import Batch, Capabilities, Hits
from distnorm.system.trial import trial

__all__ = ["FileIndex"]

Self = TypeVar("Self", bound="FileIndex")
# Files below this size are read in a child first, for so long and a second more per so many bytes.
_TRIED, _SECONDS, _SPEED = 1 << 30, 20.0, 1 << 24
_EXERCISE = 256


class FileIndex(Index):
    """An index in memory or in one file; its biases lie in the folder ``FILE.bias``."""

    library: ClassVar[str]
    written_by: ClassVar[str]
    told_by: ClassVar[int] = 1
    path: Path | None = None
    opened: tuple[int, int] = (0, 0)
    _digest: str | None = None

    def __init__(self, index: Any, place: str, biases: Path | None, can: Capabilities) -> None:
        self.index, self.place, self.capabilities = index, place, can
        self.biases = BiasFolder(biases)

    @classmethod
    def open_file(cls: type[Self], target: str, read: Callable[[str], Any], **options: Any) -> Self:
        """The index of a file, by what reads it or raises one of the system's failures."""
        path = existing(target, f"a file of {cls.written_by}")
        stat = path.stat()
        before = (stat.st_size, stat.st_mtime_ns)
        folder = path.with_name(path.name + ".bias")

        def tried() -> None:
            cls(read(str(path)), f"{cls.system}:{target}", **options).exercise()

        wrong = trial(tried, _SECONDS + stat.st_size / _SPEED) if stat.st_size < _TRIED else ""
        if wrong:
            raise DistnormError(
                f"{path}, which {wrong}: it is damaged, or {cls.library} cannot read it",
                f"a whole file of {cls.written_by}",
                "write it again",
            )
        try:
            index = read(str(path))
        except cls.failures as error:
            raise DistnormError(
                f"{path}, which {cls.library} cannot read",
                f"a file of {cls.written_by}",
                "write it again",
            ) from error
        opened = cls(index, f"{cls.system}:{target}", biases=folder, **options)
        opened.path, opened.opened = path, before
        return opened

    def exercise(self) -> None:
        """Go some ways that searches go, in a process that a damaged index may end."""
        found = next(iter(self.vectors(_EXERCISE)), None)
        rows = np.eye(16, self.dimension) if found is None else found[1]
        end = time.monotonic() + 0.5
        # Few at a time: with many, libraries multiply matrices in threads that a fork has not.
        for start in range(0, len(rows), 16):
            if time.monotonic() < end:
                self.nearest(np.ascontiguousarray(rows[start : start + 16], np.float32), 10)

    def content(self) -> dict[str, Any] | None:
        """Size, time and checksum of the file; None if it is another one by now."""
        if self.path is None or self._stat() != self.opened:
            return None
        if self._digest is None:
            digest = hashlib.sha256()
            with self.path.open("rb") as file:
                while part := file.read(1 << 22):
                    digest.update(part)
            self._digest = digest.hexdigest()
        return {"size": self.opened[0], "mtime_ns": self.opened[1], "sha256": self._digest}

    def unchanged(self, about: Mapping[str, Any]) -> bool:
        """By the file; one of another time is looked at as a whole, once."""
        if self.path is None:
            return True
        known = about.get("content")
        if not known:
            # Of an earlier version, which did not state it: `check` tells.
            return True
        if self._stat() != self.opened or known.get("size") != self.opened[0]:
            return False
        if known.get("mtime_ns") == self.opened[1]:
            return True
        return bool((self.content() or {}).get("sha256") == known.get("sha256"))

    def _stat(self) -> tuple[int, int]:
        try:
            stat = self.path.stat() if self.path else None
        except OSError:
            stat = None
        return (0, 0) if stat is None else (stat.st_size, stat.st_mtime_ns)

    def nearest(
        self, queries: Float32, k: int, column: str | None = None, filter: Any = None
    ) -> list[Hits]:
        """No more than there is."""
        k = min(k, self.size())
        return self.ask(queries, k, filter) if k else [Hits([], []) for _ in queries]

    def size(self) -> int:
        """At least as many items as there are, at no cost."""
        return self.count()

    @abc.abstractmethod
    def ask(self, queries: Float32, k: int, filter: Any = None) -> list[Hits]:
        """`nearest` for k items that are there."""

    def vectors(self, batch: int) -> Iterator[Batch]:
        """By ids that are listed first."""
        numbers = self.numbers()
        for start in range(0, len(numbers), batch):
            yield self.rows(numbers[start : start + batch])

    def rows_of(self, ids: Sequence[Any]) -> Mapping[Any, NDArray]:
        """Ids are what items are read by, unless an adapter says otherwise."""
        return dict(zip(*self.rows(list(ids)), strict=True)) if len(ids) else {}

    @abc.abstractmethod
    def numbers(self) -> Any:
        """What items are read by, one per item; may be sliced."""

    @abc.abstractmethod
    def rows(self, numbers: Any) -> Batch:
        """Ids and rows of some items."""

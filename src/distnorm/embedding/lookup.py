"""What an item of a source is to a store: new, known, or failed."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass

from distnorm.embedding.decoding import Decoded, Job
from distnorm.embedding.items import Item
from distnorm.store.known import KeySet, Known, key_of
from distnorm.store.origins import source_mark

__all__ = ["Entry", "Lookup"]


@dataclass(eq=False)
class Entry:
    """One item, its picture's job (shared by equal pictures) and a verdict: new, known or failed.

    ``row`` is the store's row of this source, name and text, -1 if it has none; ``again`` says that
    the source has named the same before.
    """

    item: Item
    job: Job | None = None
    row: int = -1
    verdict: str = ""
    again: bool = False
    reason: str = ""

    @property
    def digest(self) -> bytes:
        """Hash of the picture, or of the text where there is none."""
        if self.job is not None and self.job.result is not None:
            return self.job.result.digest
        return hashlib.sha256((self.item.text or "").encode()).digest()


class Lookup:
    """Look items of the source ``label`` up; rows of ``known`` are marked as they are met.

    With ``distinct``, an item that comes twice is known the second time; ``rehash`` reads files of
    unchanged size and time as well.
    """

    def __init__(
        self, label: str, known: Known, *, distinct: bool = True, rehash: bool = False
    ) -> None:
        self._known, self._distinct, self._rehash = known, distinct, rehash
        self._origin = source_mark(label)
        self._met = KeySet()
        self._about: tuple[str, os.stat_result | None] = ("", None)

    def enter(self, item: Item) -> Entry:
        """An entry, with a verdict if the item needs no second look."""
        entry = Entry(item)
        origin = key_of(self._origin, item.name, item.text)
        if self._distinct and not self._met.add(origin):
            entry.verdict, entry.again = "known", True
            return entry
        entry.row = self._known.by_origin(origin)
        if entry.row >= 0:
            self._known.seen[entry.row] = True
            if item.path is None or self._unchanged(item, entry.row):
                entry.verdict = "known"
        return entry

    def expected(self, entry: Entry) -> bytes | None:
        """The hash that an entry's content had before."""
        return None if entry.row < 0 else self._known.digest(entry.row)

    def settle(self, entry: Entry, result: Decoded | None) -> str:
        """The verdict on an entry, by what became of its picture; None for a text alone."""
        entry.verdict = self._verdict(entry, result)
        return entry.verdict

    def about(self, path: str) -> os.stat_result | None:
        """Size and time of a file, None if it cannot be looked at; the last one is kept."""
        last, about = self._about
        if path != last or about is None:
            try:
                about = os.stat(path)
            except OSError:
                return None
            self._about = path, about
        return about

    def _unchanged(self, item: Item, row: int) -> bool:
        """The cheap first look: size and time of the file."""
        if self._rehash or item.path is None or item.content is not None:
            return False
        about = self.about(item.path)
        if about is None:
            return False
        size = about.st_size if item.length is None else item.length
        return bool(self._known.size[row] == size and self._known.mtime[row] == about.st_mtime_ns)

    def _verdict(self, entry: Entry, result: Decoded | None) -> str:
        known, row = self._known, entry.row
        if result is not None and result.reason is not None:
            entry.reason = result.reason
            if row >= 0 and not os.path.exists(entry.item.path or ""):
                known.seen[row] = False  # listed still, but deleted
            return "failed"
        if row >= 0 and result is not None:
            if result.digest == known.digest(row):
                known.touch(row, result.size, result.mtime)
                return "known"
            return "new"
        if self._distinct:
            same = known.by_content(key_of(entry.item.name, entry.item.text, entry.digest))
            if same >= 0:
                known.seen[same] = True
                return "known"
        return "new"

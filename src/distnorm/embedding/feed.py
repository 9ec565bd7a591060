"""Items in, in their order: what is new, with pixels on the way; what is known; what failed.

A thread goes through the source, looks every item up, hands pictures to the decoders and puts the
outcome into a queue that the model's side takes from. Nothing here grows with the source.
"""

from __future__ import annotations

import hashlib
import os
import queue
import threading
from collections import OrderedDict, deque
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from distnorm.embedding.decoding import Decoded, Job
from distnorm.embedding.items import Item
from distnorm.embedding.pool import DecoderPool
from distnorm.embedding.sources import Source
from distnorm.store.known import KeySet, Known, key_of
from distnorm.store.origins import source_mark

__all__ = ["Entry", "Feed"]

_WINDOW = 2048  # items under way
_HELD = 1 << 28  # bytes of pictures that travel in memory, out of compressed files and tables
_RECENT = 1024  # pictures that a next text may belong to
_END = object()


@dataclass(eq=False)
class Entry:
    """One item, its picture's job (shared by equal pictures) and a verdict: new, known or failed.

    ``row`` is the store's row of this source, name and text, -1 if it has none.
    """

    item: Item
    job: Job | None = None
    row: int = -1
    verdict: str = ""
    reason: str = ""

    @property
    def digest(self) -> bytes:
        """Hash of the picture, or of the text where there is none."""
        if self.job is not None and self.job.result is not None:
            return self.job.result.digest
        return hashlib.sha256((self.item.text or "").encode()).digest()


class Feed:
    """Iterate over entries, as a context manager that ends its thread.

    Rows of ``known`` are marked as they are met. With ``distinct``, an item that comes twice is
    known the second time; ``rehash`` reads files of unchanged size and time as well.
    """

    def __init__(
        self,
        source: Source,
        known: Known,
        pool: DecoderPool | None,
        *,
        distinct: bool = True,
        rehash: bool = False,
    ) -> None:
        self._source, self._known, self._pool = source, known, pool
        self._distinct, self._rehash = distinct, rehash
        self._origin = source_mark(source.label)
        self._met = KeySet()
        self._recent: OrderedDict[tuple[Any, ...], Job] = OrderedDict()
        self._about: tuple[str, os.stat_result | None] = ("", None)
        self._out: queue.Queue[Any] = queue.Queue(maxsize=_WINDOW)
        self._stop = threading.Event()
        self._held = 0
        self._thread = threading.Thread(target=self._run, name="distnorm-feed", daemon=True)

    def __enter__(self) -> Feed:
        """Start."""
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop, wherever it is."""
        self._stop.set()
        self._thread.join()

    def __iter__(self) -> Iterator[Entry]:
        """Entries in the source's order; what went wrong in the thread is raised here."""
        while (entry := self._out.get()) is not _END:
            if isinstance(entry, BaseException):
                raise entry
            yield entry

    def _run(self) -> None:
        try:
            self._pass_on()
            self._put(_END)
        except BaseException as error:
            self._put(error)

    def _pass_on(self) -> None:
        items = iter(self._source)
        window: deque[Entry] = deque()
        more = True
        while (more or window) and not self._stop.is_set():
            while more and self._has_room(window):
                item = next(items, None)
                if item is None:
                    more = False
                else:
                    window.append(self._enter(item))
            while window and self._settle(window[0]):
                entry = window.popleft()
                # Rows wait for their shard: not with the whole file in their hands.
                self._held -= len(entry.item.content or b"")
                entry.item = _without_content(entry.item)
                self._put(entry)
            if self._pool is not None and (window or not self._pool.has_room()):
                # Short, as nothing tells when the model's side gives a slot back.
                self._pool.poll(0.02)

    def _has_room(self, window: deque[Entry]) -> bool:
        if len(window) >= _WINDOW or (window and self._held >= _HELD):
            return False
        return not self._pool or self._pool.has_room()

    def _put(self, entry: Any) -> None:
        while not self._stop.is_set():
            try:
                self._out.put(entry, timeout=0.1)
                return
            except queue.Full:
                continue

    def _enter(self, item: Item) -> Entry:
        entry = Entry(item)
        self._held += len(item.content or b"")
        origin = key_of(self._origin, item.name, item.text)
        if self._distinct and not self._met.add(origin):
            entry.verdict = "known"
            return entry
        entry.row = self._known.by_origin(origin)
        if entry.row >= 0:
            self._known.seen[entry.row] = True
            if item.path is None or self._unchanged(item, entry.row):
                entry.verdict = "known"
                return entry
        if item.path is not None:
            entry.job = self._job(item, entry.row)
            entry.job.users += 1
        return entry

    def _unchanged(self, item: Item, row: int) -> bool:
        """The cheap first look: size and time of the file."""
        if self._rehash or item.path is None or item.content is not None:
            return False
        path, about = self._about
        if path != item.path or about is None:
            try:
                about = os.stat(item.path)
            except OSError:
                return False
            self._about = item.path, about
        size = about.st_size if item.length is None else item.length
        return bool(self._known.size[row] == size and self._known.mtime[row] == about.st_mtime_ns)

    def _job(self, item: Item, row: int) -> Job:
        expected = None if row < 0 else self._known.digest(row)
        key = (item.path, item.offset, expected)
        job = self._recent.get(key)
        if job is None:
            assert self._pool is not None
            job = Job(item, expected)
            self._pool.submit(job)
            self._recent[key] = job
            if len(self._recent) > _RECENT:
                self._recent.popitem(last=False)
        return job

    def _settle(self, entry: Entry) -> bool:
        """Decide what an entry is, if that can be said yet."""
        if entry.verdict:
            return True
        result = None
        if entry.job is not None:
            result = entry.job.result
            if result is None:
                return False
            entry.job.item = _without_content(entry.job.item)
        entry.verdict = self._verdict(entry, result)
        if entry.verdict != "new" and entry.job is not None:
            self._leave(entry.job)
        return True

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

    def _leave(self, job: Job) -> None:
        """Give a slot back that nobody will look into."""
        job.users -= 1
        if job.users or job.taken or job.slot is None or self._pool is None:
            return
        self._pool.free.append(job.slot)
        job.slot = None
        for key, other in list(self._recent.items()):
            if other is job:
                del self._recent[key]
                break


def _without_content(item: Item) -> Item:
    """An item that does not hold its picture's bytes; most never did."""
    return item if item.content is None else replace(item, content=None)

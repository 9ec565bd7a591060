"""Items in, in their order: what is new, with pixels on the way; what is known; what failed.

A thread goes through the source, looks every item up, hands pictures to the decoders and puts the
outcome into a queue that the model's side takes from. Nothing here grows with the source.
"""

from __future__ import annotations

import queue
import threading
from collections import OrderedDict, deque
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from distnorm.embedding.decoding import Job
from distnorm.embedding.items import Item
from distnorm.embedding.lookup import Entry, Lookup
from distnorm.embedding.pool import DecoderPool
from distnorm.embedding.sources import Source
from distnorm.store.known import Known

__all__ = ["Feed"]

_WINDOW = 2048  # items under way
_HELD = 1 << 28  # bytes of pictures that travel in memory, out of compressed files and tables
_RECENT = 1024  # pictures that a next text may belong to
_END = object()


class Feed:
    """Iterate over entries, as a context manager that ends its thread.

    ``known``, ``distinct`` and ``rehash`` as in `Lookup`.
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
        self._source, self._pool = source, pool
        self._lookup = Lookup(source.label, known, distinct=distinct, rehash=rehash)
        self._recent: OrderedDict[tuple[Any, ...], Job] = OrderedDict()
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
        self._held += len(item.content or b"")
        entry = self._lookup.enter(item)
        if not entry.verdict and item.path is not None:
            entry.job = self._job(entry)
            entry.job.users += 1
        return entry

    def _job(self, entry: Entry) -> Job:
        item, expected = entry.item, self._lookup.expected(entry)
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
        if self._lookup.settle(entry, result) != "new" and entry.job is not None:
            self._leave(entry.job)
        return True

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

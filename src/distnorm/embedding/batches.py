"""Entries of a feed to unit rows: full batches of pictures, texts of one length together.

A batch is filled across items, whatever failed between them, and runs when it is full. Rows are
given on in the order of the entries: those that are encoded at any time.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from typing import Any

import numpy as np
import numpy.typing as npt

from distnorm.embedding.decoding import Job
from distnorm.embedding.lookup import Entry
from distnorm.embedding.pool import DecoderPool
from distnorm.encoders.base import unit_rows
from distnorm.encoders.prompts import prompted

__all__ = ["Batches", "finite_ones"]

Rows = npt.NDArray[Any]

_CACHE = 1024  # pictures whose row is kept for others of the same content


class Batches:
    """Encode entries of a feed; ``over_long`` counts the texts that the model has cut."""

    def __init__(
        self,
        encoder: Any,
        sides: tuple[str, ...],
        batch_size: int,
        pool: DecoderPool | None = None,
        prompt: str | None = None,
    ) -> None:
        self._encoder, self._sides, self._size, self._prompt = encoder, sides, batch_size, prompt
        self._pool = pool
        self._waiting: deque[Entry] = deque()
        self._jobs: list[Job] = []
        self._recent: OrderedDict[bytes, Job] = OrderedDict()
        self._twins: list[tuple[Job, Job]] = []
        self.over_long = 0
        if pool is not None:
            self._batch = np.empty((batch_size, *pool.recipe.shape), dtype=pool.recipe.dtype)

    def __len__(self) -> int:
        """Entries that were added and not taken."""
        return len(self._waiting)

    def add(self, entry: Entry) -> None:
        """Take an entry; runs the model when a batch of pictures is full."""
        self._waiting.append(entry)
        job = entry.job
        if job is None or job.taken:
            return
        job.taken = True
        assert self._pool is not None
        assert job.slot is not None
        twin = self._recent.get(entry.digest)
        if twin is None:
            self._batch[len(self._jobs)] = self._pool.pixels(job.slot)
            self._jobs.append(job)
            self._recent[entry.digest] = job
            if len(self._recent) > _CACHE:
                self._recent.popitem(last=False)
        elif twin.row is not None:
            job.row = twin.row
        else:
            self._twins.append((job, twin))
        self._pool.free.append(job.slot)
        job.slot = None
        if len(self._jobs) == self._size:
            self.finish()

    def finish(self) -> None:
        """Run the model on the pictures that wait, however few."""
        if not self._jobs:
            return
        rows = unit_rows(self._encoder.encode_pixels(self._batch[: len(self._jobs)]))
        for job, row in zip(self._jobs, rows, strict=True):
            job.row = row
        for job, twin in self._twins:
            job.row = twin.row
        self._jobs, self._twins = [], []

    def take(self) -> tuple[list[Entry], dict[str, Rows]]:
        """The first entries, as many as are encoded, and their rows of each side.

        An entry without a finite row other than zero is turned into a failed one, without a row.
        """
        entries: list[Entry] = []
        while self._waiting and (self._waiting[0].job is None or self._is_done(self._waiting[0])):
            entries.append(self._waiting.popleft())
        rows: dict[str, Rows] = {}
        if not entries:
            return entries, rows
        if "image" in self._sides:
            encoded = [entry.job.row for entry in entries if entry.job is not None]
            rows["image"] = np.stack([row for row in encoded if row is not None])
        if "text" in self._sides:
            rows["text"] = self._texts([entry.item.text or "" for entry in entries])
        return entries, finite_ones(entries, rows)

    @staticmethod
    def _is_done(entry: Entry) -> bool:
        return entry.job is not None and entry.job.row is not None

    def _texts(self, texts: list[str]) -> npt.NDArray[np.float32]:
        said = prompted(texts, self._prompt)
        tokens = np.asarray(self._encoder.count_tokens(said))
        limit = self._encoder.max_tokens
        if limit is not None:
            self.over_long += int((tokens > limit).sum())
        # Texts of one length together: padding costs as much as words.
        order = np.argsort(tokens, kind="stable")
        encoded: npt.NDArray[np.float32] = self._encoder.encode_texts(
            [said[at] for at in order], batch_size=4 * self._size
        )
        rows = np.empty_like(encoded)
        rows[order] = encoded
        return rows


def finite_ones(entries: list[Entry], rows: dict[str, Rows]) -> dict[str, Rows]:
    """The rows that are finite and not zero; entries of the others have failed."""
    good = np.all([np.isfinite(x).all(axis=1) & x.any(axis=1) for x in rows.values()], axis=0)
    if good.all():
        return rows
    for entry, fine in zip(entries, good, strict=True):
        if not fine:
            entry.verdict, entry.reason = "failed", "the model gave no finite row for it"
    return {side: x[good] for side, x in rows.items()}

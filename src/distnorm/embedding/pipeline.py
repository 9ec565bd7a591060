"""Pictures and texts through an encoder into a store; stopped runs continue.

Pictures are read, hashed and decoded by processes ahead of the model (`pool`), looked up in what
the store has (`feed`, `known`), encoded in full batches (`rows`) and written in shards (`writer`).
Files are looked at again by size and time, and by their hash where these changed. Rows of changed
files are replaced: the new ones are added first, the old ones dropped at the end, so that a crash
between leaves both and the next run drops the older.
"""

from __future__ import annotations

import threading
import time
from array import array
from collections.abc import Callable, Iterable
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from distnorm.embedding.batches import Batches
from distnorm.embedding.decoding import Job, Recipe
from distnorm.embedding.feed import Feed
from distnorm.embedding.items import Item, kind_of
from distnorm.embedding.lookup import Entry
from distnorm.embedding.pool import DecoderPool
from distnorm.embedding.sources import Source, listed
from distnorm.encoders.upright import DIM
from distnorm.errors import DistnormError
from distnorm.store.failures import Failures
from distnorm.store.known import Known
from distnorm.store.layout import Commit
from distnorm.store.listed import IN_ORDER
from distnorm.store.origins import source_id
from distnorm.store.writer import StoreWriter
from distnorm.system.progress import OpenProgress
from distnorm.system.threads import cores

__all__ = ["CHECKPOINT", "SHARD", "Embedded", "Encoding", "decoders", "embed", "take_in"]

SHARD = 8192
CHECKPOINT = 60.0
_TELL = 0.1


@dataclass(frozen=True)
class Embedded:
    """What a run did.

    Attributes
    ----------
    written : int
        Rows added, those of changed files among them.
    changed : int
        Rows that newer ones have replaced.
    known : int
        Items that were there before.
    failed : int
        Items in ``failed.jsonl``.
    gone : int
        Rows of files that are not there any more, still in the store.
    pruned : int
        Such rows that were dropped.
    over_long : int
        Texts longer than the model takes, cut by it.
    repeated : int
        Items that are the same as an earlier one of this source, whose row they share.
    store : str
    notes : tuple of str
        What was left out of the source, and what else is to be known of the rows.
    """

    written: int
    changed: int
    known: int
    failed: int
    gone: int
    pruned: int
    over_long: int
    repeated: int
    store: str
    notes: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {"schema": 1, "task": "embed", **asdict(self), "notes": list(self.notes)}


def embed(
    encoder: Any,
    source: Source | Iterable[Item],
    folder: Path,
    *,
    model: str,
    batch_size: int = 64,
    shard_rows: int = SHARD,
    workers: int | None = None,
    prompt: str | None = None,
    prune: bool = False,
    rehash: bool = False,
    full: bool = False,
    dtype: str = "float16",
    checkpoint: float = CHECKPOINT,
    progress: OpenProgress | None = None,
) -> Embedded:
    """Embed what a store lacks of a source.

    Parameters
    ----------
    encoder : Encoder
    source : Source or iterable of Item
    folder : Path
        The store, new or begun.
    model : str
        Name that `load_encoder` takes, kept in the store.
    batch_size, shard_rows : int
    workers : int, optional
        Decoding processes; as many as processors if left out. As with all of Python's
        processes, a script needs ``if __name__ == "__main__":`` around its own work. 0 decodes
        in this process, where a picture that crashes the decoder ends it.
    prompt : str, optional
        Words around every text, as in ``a photo of {}.``, or before it.
    prune : bool
        Drop rows of this source's files that are not there any more.
    rehash : bool
        Read every file again, also those of unchanged size and time.
    full : bool
        Decode all pixels of JPEGs that are far larger than the model's input.
    dtype : {"float16", "float32"}
        Of the rows of a new store; one that was begun keeps its own.
    checkpoint : float
        Seconds after which what is done is written, if no shard is full before.
    progress : callable, optional
        Called with (items done, items in all or None while that is not known).

    Returns
    -------
    Embedded
        What could not be read is listed with the reason in ``failed.jsonl``.

    Raises
    ------
    DistnormError
        For a store of another model, sides or prompt, pictures for a model of texts, a bad
        source, or a full disk (what was written stays).
    """
    if not isinstance(source, Source):
        source = listed(source)
    origin = Commit(
        folder,
        model,
        encoder.model_id,
        encoder.dimension,
        prompt or "",
        source.sides,
        resizer=getattr(encoder, "resizer", None) if "image" in source.sides else None,
        dtype=dtype,
    )
    with StoreWriter(origin, shard_rows) as writer:
        known = Known(writer.tables(), source.label)
        pool = decoders(encoder, source.sides, batch_size, workers, full=full)
        batches = Batches(encoder, source.sides, batch_size, pool, prompt)
        with pool or nullcontext(), Feed(source, known, pool, rehash=rehash) as feed:
            return take_in(
                writer,
                known,
                source,
                feed,
                batches,
                folder=folder,
                caution=getattr(encoder, "caution", None),
                shard_rows=shard_rows,
                prune=prune,
                checkpoint=checkpoint,
                progress=progress,
            )


class Encoding(Protocol):
    """What makes rows of entries, as `Batches` does: entries in, those that are encoded out."""

    over_long: int

    def __len__(self) -> int:
        """Entries that were added and not taken."""

    def add(self, entry: Entry) -> None:
        """Take an entry."""

    def finish(self) -> None:
        """Encode what waits."""

    def take(self) -> tuple[list[Entry], dict[str, npt.NDArray[Any]]]:
        """The first entries, as many as are encoded, and the rows of those that are new."""


def take_in(
    writer: StoreWriter,
    known: Known,
    source: Source,
    feed: Iterable[Entry],
    batches: Encoding,
    *,
    folder: Path,
    caution: Callable[[int, int], str | None] | None,
    shard_rows: int = SHARD,
    prune: bool = False,
    checkpoint: float = CHECKPOINT,
    progress: OpenProgress | None = None,
) -> Embedded:
    """Write what is new of a feed of a source's entries, and settle what is known; as `embed`."""
    run = _Run(writer, known, batches, source_id(source.label, folder), caution)
    counter = _Counter(source)
    with Failures(folder, source.label) as failures:
        done, told = 0, 0.0
        last = time.monotonic()
        for entry in feed:
            done += 1
            run.place(entry)
            if entry.verdict == "new":
                batches.add(entry)
            elif entry.verdict == "failed":
                failures.add(entry.item.name, entry.reason)
            else:
                run.known += not entry.again
                run.repeated += entry.again
            now = time.monotonic()
            if len(batches) >= shard_rows or now - last > checkpoint:
                run.flush(failures)
                last = time.monotonic()
            if progress is not None and now - told > _TELL:
                progress(done, counter.total)
                told = now
        if progress is not None:
            progress(done, done)
        batches.finish()
        run.flush(failures)
        for name, reason in source.problems:
            failures.add(name, reason)
        failures.keep()
    # A folder that could not be listed says nothing about what was in it.
    whole = source.complete and not source.problems
    pruned = run.settle(prune=prune and whole)
    gone = int(known.gone.sum()) - pruned if whole else 0
    return Embedded(
        run.written,
        run.changed,
        run.known,
        failures.count,
        gone,
        pruned,
        batches.over_long,
        run.repeated,
        str(folder),
        (*source.notes, *run.notes),
    )


def decoders(
    encoder: Any, sides: tuple[str, ...], batch_size: int, workers: int | None, *, full: bool
) -> DecoderPool | None:
    """The decoders that pictures need, None for texts alone; raises for a model of texts."""
    if "image" not in sides:
        return None
    if encoder.preprocess is None:
        raise DistnormError(
            f"pictures for {encoder.model_id}", "sentences", "choose a model of images and texts"
        )
    recipe = Recipe.of(encoder.preprocess, full=full)
    count = cores() if workers is None else workers
    return DecoderPool(recipe, max(3 * batch_size, 16 * count, 16), count)


class _Run:
    """What one run has written."""

    def __init__(
        self,
        writer: StoreWriter,
        known: Known,
        batches: Encoding,
        source: str,
        caution: Callable[[int, int], str | None] | None,
    ) -> None:
        self._writer, self._known, self._batches, self._source = writer, known, batches, source
        self.written = self.changed = self.known = self.repeated = 0
        self._caution, self._said, self._dim = caution, "", 0
        self._places = array("q")
        self._new = len(known)

    def place(self, entry: Entry) -> None:
        """Note which row a text alone has; -1 where it is another's, too."""
        if kind_of(entry.item) == ("text",):
            new = entry.verdict == "new"
            self._places.append(self._new if new else entry.row)
            self._new += new

    @property
    def notes(self) -> tuple[str, ...]:
        """What is to be known of the pictures that were embedded."""
        dim = f"{self._dim:,} pictures keep {DIM}" if self._dim else ""
        return tuple(note for note in (dim, self._said) if note)

    def flush(self, failures: Failures) -> None:
        """Write the rows that are encoded."""
        entries, rows = self._batches.take()
        good = [entry for entry in entries if entry.verdict == "new"]
        for entry in entries:
            if entry.verdict == "failed":
                failures.add(entry.item.name, entry.reason)
        if not good:
            return
        self._writer.append(rows, self._metadata(good))
        self.written += len(good)
        self._look_at({entry.job for entry in good if entry.job is not None})
        for entry in good:
            if entry.row >= 0:
                self._known.stale[entry.row] = True

    def settle(self, *, prune: bool) -> int:
        """Drop rows that were replaced, and gone ones if asked; note new times of files."""
        known = self._known
        gone = known.gone
        dropped = known.stale | gone if prune else known.stale
        self.changed = int(known.stale.sum())
        for number in np.unique(known.shard[known.touched & ~dropped]):
            at = known.shard == number
            self._writer.touch(int(number), known.size[at], known.mtime[at])
        for number in np.unique(known.shard[dropped]):
            self._writer.drop(int(number), dropped[known.shard == number])
        if self._places:
            self._writer.note(IN_ORDER, self._in_order(dropped))
        return int(gone.sum()) if prune else 0

    def _in_order(self, dropped: npt.NDArray[np.bool_]) -> bool:
        """Whether row i of the store is line i of the source, without other rows."""
        kept = np.concatenate([~dropped, np.ones(self._new - len(dropped), dtype=bool)])
        places = np.frombuffer(self._places, dtype=np.int64)
        return bool(np.array_equal(np.flatnonzero(kept), places))

    def _look_at(self, jobs: set[Job]) -> None:
        for result in (job.result for job in jobs):
            assert result is not None
            self._dim += result.dim
            if self._caution is not None and not self._said:
                self._said = self._caution(result.width, result.height) or ""

    def _metadata(self, entries: list[Entry]) -> dict[str, list[Any]]:
        results = [entry.job.result if entry.job is not None else None for entry in entries]
        return {
            "image_path": [entry.item.name for entry in entries],
            "caption": [entry.item.text for entry in entries],
            "hash": [entry.digest.hex() for entry in entries],
            "source": [self._source] * len(entries),
            **{
                name: [None if result is None else getattr(result, name) for result in results]
                for name in ("width", "height", "size", "mtime")
            },
        }


class _Counter:
    """The number of items, counted beside the work."""

    def __init__(self, source: Source) -> None:
        self.total = source.counted
        self._source = source
        if self.total is None:
            threading.Thread(target=self._count, name="distnorm-count", daemon=True).start()

    def _count(self) -> None:
        try:
            self.total = self._source.count()
        except Exception:  # the pass that matters says what is wrong
            self.total = None

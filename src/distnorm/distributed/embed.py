"""``embed`` on a cluster: actors embed portions of the source, this process writes one store.

The source is listed here and cut into runs of items, looked up as locally. What a worker makes of a
portion comes back and is written as one file (`portions`), so that a run that was stopped does not
embed it again. Portions go into the store in the order of the source, by the local pipeline's own
steps: the store has the rows, names, numbers and failures of a local run, whatever the workers do.
"""

from __future__ import annotations

import math
import os
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from distnorm.distributed.crew import Crew, Plan
from distnorm.distributed.portions import Encoded, Portion, Portions, attach, stands
from distnorm.distributed.session import connected
from distnorm.embedding.batches import finite_ones
from distnorm.embedding.items import Item
from distnorm.embedding.lookup import Entry, Lookup
from distnorm.embedding.pipeline import CHECKPOINT, SHARD, Embedded, take_in
from distnorm.embedding.sources import Source
from distnorm.errors import DistnormError, require
from distnorm.store.known import Known
from distnorm.store.layout import Commit, is_store
from distnorm.store.writer import StoreWriter
from distnorm.system.progress import OpenProgress

__all__ = ["embed"]

PORTION = 512
"""Items of a portion; whole batches, so that they are those of a local run where nothing fails."""

_CONTENT = 1 << 25  # bytes of pictures that a portion may carry, out of compressed files and tables
_AHEAD = 4  # portions under way for each worker: a slow one is waited for so long


def embed(
    source: Source,
    folder: Path,
    *,
    model: str,
    address: str | None = None,
    workers: int | None = None,
    num_cpus: float = 1.0,
    num_gpus: float = 0.0,
    device: str | None = None,
    decoding: int = 1,
    batch_size: int = 64,
    shard_rows: int = SHARD,
    portion: int = PORTION,
    prompt: str | None = None,
    prune: bool = False,
    rehash: bool = False,
    full: bool = False,
    dtype: str = "float16",
    checkpoint: float = CHECKPOINT,
    progress: OpenProgress | None = None,
) -> Embedded:
    """Embed what a store lacks of a source, by actors of a Ray cluster.

    Parameters
    ----------
    source : Source
        Of `distnorm.embedding.open_source`. Its files must have the same names on all machines.
    folder : Path
        The store, new or begun, of this machine.
    model : str
        Name that `distnorm.encoders.load_encoder` takes, on every worker.
    address : str, optional
        Of the cluster; a local Ray is started if left out.
    workers : int, optional
        Actors, each with a model; as many as there are processors (or GPUs, with ``num_gpus``).
    num_cpus, num_gpus : float
        What each actor holds.
    device : str, optional
        Of the model; its own choice if left out.
    decoding : int
        Processes of each actor that decode pictures.
    portion : int
        Items that a worker is handed at a time.
    batch_size, shard_rows, prompt, prune, rehash, full, dtype, checkpoint, progress
        As in `distnorm.embedding.embed`.

    Returns
    -------
    Embedded

    Raises
    ------
    DistnormError
        As `distnorm.embedding.embed`, for a cluster that is not there, and for what workers lack:
        a package, a file, memory. What was embedded stays.
    """
    cores = None if workers is None else max(1, math.ceil(workers * num_cpus))
    with connected(address, workers=cores) as session:
        count = workers or _most(session.cpus, num_cpus, num_gpus)
        kind = Commit.read(folder).dtype if is_store(folder) else dtype
        plan = Plan(model, source.sides, batch_size, prompt, full, decoding, device, kind)
        with Crew(plan, count, cpus=num_cpus, gpus=num_gpus) as crew:
            facts = crew.facts()
            origin = Commit(
                folder,
                model,
                facts.model_id,
                facts.dimension,
                prompt or "",
                source.sides,
                resizer=facts.resizer,
                dtype=dtype,
            )
            with StoreWriter(origin, shard_rows) as writer:
                known = Known(writer.tables(), source.label)
                about = (facts.model_id, prompt or "", str(full), str(portion), kind, *source.sides)
                kept = Portions(folder, about)
                lookup = Lookup(source.label, known, rehash=rehash)
                feed = _Feed(source, lookup, crew, kept, portion, _AHEAD * count)
                gathered = _Gathered(source.sides, kept)
                done = take_in(
                    writer,
                    known,
                    source,
                    feed,
                    gathered,
                    folder=folder,
                    caution=lambda width, height: feed.cautions.get((width, height)),
                    shard_rows=shard_rows,
                    prune=prune,
                    checkpoint=checkpoint,
                    progress=progress,
                )
                kept.clear()
                return replace(done, over_long=feed.over_long)


def _most(cpus: int, num_cpus: float, num_gpus: float) -> int:
    """As many actors as there is room for."""
    gpus = require("ray", "ray").cluster_resources().get("GPU", 0.0)
    rooms = [cpus / num_cpus] if num_cpus else []
    rooms += [gpus / num_gpus] if num_gpus else []
    return max(1, int(min(rooms, default=1)))


@dataclass(eq=False)
class _Arrived(Entry):
    """An entry with its row of each side, and the number of its portion."""

    rows: dict[str, npt.NDArray[Any]] = field(default_factory=dict)
    portion: int = -1


class _Feed:
    """Entries of a source in its order, with the rows that workers made of them."""

    def __init__(
        self,
        source: Source,
        lookup: Lookup,
        crew: Crew,
        kept: Portions,
        size: int,
        ahead: int,
    ) -> None:
        self._source, self._lookup, self._crew, self._kept = source, lookup, crew, kept
        self._size, self._ahead = size, ahead
        self.cautions = dict[tuple[int, int], str]()
        self.over_long = 0

    def __iter__(self) -> Iterator[Entry]:
        """Entries; waits for the portion whose turn it is."""
        portions = self._portions()
        window = deque[Portion]()
        asked = dict[int, Portion]()
        more = True
        while more or window:
            while more and len(window) < self._ahead:
                portion = next(portions, None)
                if portion is None:
                    more = False
                    continue
                window.append(portion)
                self._begin(portion, asked)
            if not window:
                return
            while window[0].number in asked:
                for number, encoded in self._crew.wait():
                    self._arrive(asked.pop(number), encoded)
            yield from self._entries(window.popleft())

    def _portions(self) -> Iterator[Portion]:
        """The source in runs of items that are the same in every pass, known or not."""
        run, held, number = list[Item](), 0, 0
        for item in self._source:
            run.append(item)
            held += len(item.content or b"")
            if len(run) == self._size or held >= _CONTENT:
                yield self._portion(number, run)
                run, held, number = [], 0, number + 1
        if run:
            yield self._portion(number, run)

    def _portion(self, number: int, run: list[Item]) -> Portion:
        key = self._kept.key(run)
        entries = list[Entry]()
        for item in run:
            entry = _Arrived(**vars(self._lookup.enter(item)), portion=number)
            if not entry.verdict and item.path is None:
                self._lookup.settle(entry, None)
            entries.append(entry)
        wanted = [at for at, entry in enumerate(entries) if entry.verdict in ("", "new")]
        return Portion(number, key, entries, wanted)

    def _begin(self, portion: Portion, asked: dict[int, Portion]) -> None:
        """Have a portion embedded, unless it was before."""
        if portion.at:
            encoded = self._kept.read(portion)
            if encoded is not None and stands(portion, encoded, self._lookup.about):
                attach(portion, encoded)
            else:
                self._crew.submit(portion.number, portion.place, portion.items)
                asked[portion.number] = portion
        for entry in portion.entries:
            entry.item = replace(entry.item, content=None)

    def _arrive(self, portion: Portion, encoded: Encoded) -> None:
        """Write what a worker made; its rows are read back when their turn has come."""
        if encoded.unseen is not None and os.path.exists(encoded.unseen):
            raise DistnormError(
                f"{encoded.unseen}, which is not there where a worker runs",
                "files that all machines see under one name",
                "put the source on a shared disk; what is embedded stays",
            )
        self._kept.write(portion, encoded)
        attach(portion, encoded)

    def _entries(self, portion: Portion) -> Iterator[Entry]:
        encoded = portion.encoded
        for row, at in enumerate(portion.at):
            entry = portion.entries[at]
            assert encoded is not None
            assert isinstance(entry, _Arrived)
            entry.rows = {side: x[row] for side, x in encoded.rows.items()}
            if entry.job is not None:
                self._lookup.settle(entry, entry.job.result)
        if encoded is not None:
            self.over_long += encoded.over_long
            self.cautions.update({(w, h): words for w, h, words in encoded.cautions})
        yield from portion.entries


class _Gathered:
    """Rows that are there already, as `distnorm.embedding.batches.Batches` gives them."""

    def __init__(self, sides: tuple[str, ...], kept: Portions) -> None:
        self._sides, self._kept = sides, kept
        self._waiting: list[_Arrived] = []
        self._written, self._taken = 0, 0  # portions before these are in the store, or on the way
        self.over_long = 0

    def __len__(self) -> int:
        """Entries that were added and not taken."""
        return len(self._waiting)

    def add(self, entry: Entry) -> None:
        """Take an entry."""
        assert isinstance(entry, _Arrived)
        self._waiting.append(entry)

    def finish(self) -> None:
        """Nothing waits."""

    def take(self) -> tuple[list[Entry], dict[str, npt.NDArray[Any]]]:
        """All entries and the rows of those that are new."""
        # What was taken before has been written since.
        for number in range(self._written, self._taken):
            self._kept.drop(number)
        self._written = self._taken
        taken: list[Entry] = list(self._waiting)
        if not taken:
            return taken, {}
        self._taken = self._waiting[-1].portion
        rows = {side: np.stack([one.rows[side] for one in self._waiting]) for side in self._sides}
        self._waiting = []
        return taken, finite_ones(taken, rows)

"""Portions of a source that workers embed, and the files that hold what was made of them.

A portion is some items of a source in a row. What a worker makes of it is written as one file,
whole or not at all; after a stop it is found again by the items that it is of. Nothing here knows
Ray.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from distnorm import storage
from distnorm.embedding.batches import Batches
from distnorm.embedding.decoding import Decoded, Job
from distnorm.embedding.feed import Feed
from distnorm.embedding.items import Item, clean
from distnorm.embedding.lookup import Entry
from distnorm.embedding.pool import DecoderPool
from distnorm.embedding.sources import listed
from distnorm.errors import DistnormError
from distnorm.store.known import Known
from distnorm.system import schema

__all__ = ["FOLDER", "Encoded", "Portion", "Portions", "attach", "encode_items", "stands"]

FOLDER = "fragments"
_WHAT = "a portion of a store"
_FORM = schema.record(
    {
        "portion": schema.text,
        "at": schema.list_of(schema.whole(0)),
        "jobs": schema.list_of(schema.optional(schema.whole(0))),
        "decoded": schema.list_of(schema.anything),
        "over_long": schema.whole(0),
        "cautions": schema.list_of(schema.anything),
    }
)


@dataclass(frozen=True)
class Encoded:
    """What a worker made of some items: ``rows`` (n, d) by side, NaN where there is none.

    ``jobs`` say which of ``decoded`` is the picture of each item, ``over_long`` counts the texts
    that the model has cut, ``cautions`` are what it says of pictures of a width and height, and
    ``unseen`` is a file that is not there where the worker is.
    """

    rows: Mapping[str, npt.NDArray[Any]]
    jobs: list[int | None]
    decoded: list[Decoded]
    over_long: int = 0
    cautions: list[tuple[int, int, str]] = field(default_factory=list)
    unseen: str | None = None


@dataclass(eq=False)
class Portion:
    """Entries of a run of items: which of them are to be embedded, and what was made of these."""

    number: int
    key: str
    entries: list[Entry]
    at: list[int]
    encoded: Encoded | None = None

    @property
    def place(self) -> str:
        """What messages call it."""
        first = self.entries[self.at[0] if self.at else 0].item
        return f"fragment {self.number} ({len(self.entries)} items, from {first.name[:80]!r} on)"

    @property
    def items(self) -> list[Item]:
        """The items that are to be embedded."""
        return [self.entries[at].item for at in self.at]


def encode_items(
    encoder: Any,
    items: Sequence[Item],
    sides: tuple[str, ...],
    pool: DecoderPool | None,
    *,
    batch_size: int,
    prompt: str | None,
    dtype: str = "float16",
) -> Encoded:
    """Embed items, all of the same ``sides``, as the local pipeline does: same batches and reasons.

    Texts alone need no ``pool``; ``dtype`` is that of the rows.
    """
    batches = Batches(encoder, sides, batch_size, pool, prompt)
    met: list[Entry] = []
    with Feed(listed(items), Known(), pool, distinct=False) as feed:
        for entry in feed:
            met.append(entry)
            if entry.verdict == "new":
                batches.add(entry)
    batches.finish()
    taken, encoded = batches.take()
    good = [entry for entry in taken if entry.verdict == "new"]
    place = {id(entry): at for at, entry in enumerate(met)}
    rows = {}
    for side in sides:
        rows[side] = np.full((len(met), encoder.dimension), np.nan, dtype=dtype)
        if good:
            rows[side][[place[id(entry)] for entry in good]] = encoded[side]
    jobs: dict[int, int] = {}
    decoded: list[Decoded] = []
    numbers: list[int | None] = []
    for entry in met:
        if entry.job is None:
            numbers.append(None)
            continue
        if id(entry.job) not in jobs:
            assert entry.job.result is not None
            jobs[id(entry.job)] = len(decoded)
            decoded.append(entry.job.result)
        numbers.append(jobs[id(entry.job)])
    sizes = sorted({(one.width, one.height) for one in decoded if one.reason is None})
    said = [(w, h, encoder.caution(w, h)) for w, h in sizes] if hasattr(encoder, "caution") else []
    unseen = None
    for entry, number in zip(met, numbers, strict=True):
        lost = number is not None and decoded[number].reason is not None
        if lost and entry.item.path is not None and not os.path.exists(entry.item.path):
            unseen = entry.item.path
            break
    return Encoded(
        rows,
        numbers,
        decoded,
        batches.over_long,
        [(w, h, words) for w, h, words in said if words],
        unseen,
    )


class Portions:
    """Files of portions below a store's folder.

    Parameters
    ----------
    store : Path
    about : iterable of str
        All that the rows depend on but the items: model, prompt, size of portions ...
    """

    def __init__(self, store: Path, about: Iterable[str]) -> None:
        self._folder = store / FOLDER
        self._about = [*about]

    def key(self, items: Iterable[Item]) -> str:
        """What tells a run of items from all others."""
        digest = hashlib.sha256()
        for part in self._about:
            digest.update(f"{len(part)}:{part}".encode("utf-8", "surrogateescape"))
        for item in items:
            words = (item.name, item.path, item.text, item.offset, item.length)
            digest.update(repr(words).encode("utf-8", "surrogateescape"))
        return digest.hexdigest()

    def write(self, portion: Portion, encoded: Encoded) -> None:
        """Keep what was made of a portion, whole or not at all."""
        self._folder.mkdir(exist_ok=True)
        settings = {
            "portion": portion.key,
            "at": portion.at,
            "jobs": encoded.jobs,
            "decoded": [_listed(one) for one in encoded.decoded],
            "over_long": encoded.over_long,
            "cautions": [list(one) for one in encoded.cautions],
        }
        rows = {side: np.ascontiguousarray(x) for side, x in encoded.rows.items()}
        storage.write(self._path(portion.number), settings, rows)

    def read(self, portion: Portion) -> Encoded | None:
        """What was made of a portion's items; None if that is not there, or of other items."""
        path = self._path(portion.number)
        if not path.exists():
            return None
        try:
            settings, rows, _ = storage.read(path, _FORM, what=_WHAT)
            decoded = [_decoded(values) for values in settings["decoded"]]
            cautions = [(int(w), int(h), str(words)) for w, h, words in settings["cautions"]]
        except (DistnormError, TypeError, ValueError):
            return None  # damaged, or of another version: embedded again
        where = {at: row for row, at in enumerate(settings["at"])}
        if settings["portion"] != portion.key or any(at not in where for at in portion.at):
            return None
        some = [where[at] for at in portion.at]
        return Encoded(
            {side: x[some] for side, x in rows.items()},
            [settings["jobs"][row] for row in some],
            decoded,
            settings["over_long"],
            cautions,
        )

    def drop(self, number: int) -> None:
        """Forget a portion whose rows are in the store."""
        self._path(number).unlink(missing_ok=True)

    def clear(self) -> None:
        """Forget all of them."""
        for path in (*self._folder.glob("fragment_*"), *self._folder.glob(".fragment_*")):
            path.unlink(missing_ok=True)
        with suppress(OSError):  # something else lies there, or nothing
            self._folder.rmdir()

    def _path(self, number: int) -> Path:
        return self._folder / f"fragment_{number}.safetensors"


def stands(portion: Portion, encoded: Encoded, about: Any) -> bool:
    """Whether the pictures of a portion are as they were; ``about`` is as `os.stat`."""
    for item, number in zip(portion.items, encoded.jobs, strict=True):
        if number is None or item.path is None or encoded.decoded[number].reason is not None:
            continue
        was, now = encoded.decoded[number], about(item.path)
        if item.content is not None:
            if hashlib.sha256(item.content).digest() != was.digest:
                return False
        elif now is None or was.mtime != now.st_mtime_ns:
            return False
    return True


def attach(portion: Portion, encoded: Encoded) -> None:
    """Give a portion's entries their pictures' results, which equal pictures share."""
    jobs = [Job(portion.items[0], result=one) for one in encoded.decoded]
    for at, number in zip(portion.at, encoded.jobs, strict=True):
        if number is not None:
            portion.entries[at].job = jobs[number]
    portion.encoded = encoded


def _listed(one: Decoded) -> list[Any]:
    reason = None if one.reason is None else clean(one.reason)
    return [one.digest.hex(), one.width, one.height, one.size, one.mtime, reason, one.dim]


def _decoded(values: list[Any]) -> Decoded:
    return Decoded(bytes.fromhex(values[0]), *values[1:])

"""WebDataset tar files: members of one name but for what follows the first dot are one sample.

``000123.jpg`` stands beside its captions (see `samples`). A plain tar file's pictures are read by
the decoders, at their place in the file; a compressed one is read through from its start. No
member, name or header is read that is larger than its kind may be.
"""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import tarfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import IO, Any

from distnorm.embedding.items import PICTURES, TARS, Item, Problem
from distnorm.embedding.samples import CAPTION_FILES, MOST_TEXT, Words
from distnorm.store.known import KeySet, key_of

__all__ = ["tar_items"]

_MOST_PICTURE = 1 << 28  # of a compressed tar file, where it travels in memory
_TABLES = (".csv", ".tsv", ".jsonl", ".ndjson", ".parquet")
_ENDS = (tarfile.TarError, OSError, EOFError, zlib.error, lzma.LZMAError, ValueError)
_OPENERS: dict[bytes, Callable[[str], Any]] = {
    b"\x1f\x8b": gzip.open,
    b"BZh": bz2.open,
    b"\xfd7zXZ": lzma.open,
}


@dataclass
class _Sample:
    key: str
    picture: Item | None = None
    extra: bool = False  # whether the picture's name says more than its format
    words: Words = field(default_factory=Words)


def tar_items(path: str, prefix: str, problems: list[Problem]) -> Iterator[Item]:
    """Samples of one tar file, a picture with each of its texts; damage goes into ``problems``."""
    try:
        with _opened(path) as (file, plain), tarfile.open(fileobj=file, mode="r:") as archive:
            for sample in _samples(archive, path, prefix, plain, problems):
                key, of, texts = prefix + sample.key, sample.picture, sample.words.texts
                if of is None:
                    yield from (Item(text, None, text, key=key) for text in texts)
                    continue
                for text in texts or (None,):
                    yield Item(of.name, of.path, text, of.offset, of.length, of.content, key)
    except _ENDS as error:
        problems.append((prefix.rstrip("/"), f"damaged tar file: {error}"))


def _samples(
    archive: tarfile.TarFile, path: str, prefix: str, plain: bool, problems: list[Problem]
) -> Iterator[_Sample]:
    sample, names = _Sample(""), KeySet()
    try:
        while (member := archive.next()) is not None:
            archive.members = []  # type: ignore[attr-defined]  # it would keep them all
            if not member.isfile():
                continue
            folder, name = os.path.split(member.name)
            stem, dot, end = name.partition(".")
            key, end = os.path.join(folder, stem), dot + end.lower()
            if key != sample.key:
                yield sample
                sample = _Sample(key)
            shown = prefix + member.name
            if end.endswith(PICTURES) and sample.picture is not None:
                # The picture itself comes before maps of it, such as 0.depth.png beside 0.jpg.
                other = shown
                if end in PICTURES and sample.extra:
                    other, sample.picture = sample.picture.name, None
                problems.append((other, f"another picture of the sample {key}, which has one"))
            if name.lower().endswith(TARS):
                problems.append((shown, "a tar file inside: unpack it"))
            elif end in _TABLES:
                problems.append((shown, "a table inside: unpack the tar file, then name the table"))
            elif end.endswith(PICTURES) and sample.picture is None:
                if not plain and member.size > _MOST_PICTURE:
                    reason = f"{member.size:,} bytes are too many, compressed: unpack the tar file"
                    problems.append((shown, reason))
                    continue
                if not names.add(key_of(shown)):
                    # A name that comes again is another picture, whatever unpacking makes of it.
                    shown = f"{shown} (at {member.offset_data:,})"
                content = None if plain else _content(archive, member)
                sample.picture = Item(shown, path, None, member.offset_data, member.size, content)
                sample.extra = end not in PICTURES
            elif end in CAPTION_FILES:
                if member.size > MOST_TEXT:
                    problems.append((shown, f"{member.size:,} bytes are too many for captions"))
                elif not sample.words.add(end, _content(archive, member)):
                    problems.append((shown, "an empty or unreadable text"))
        # The package takes a header that is no header for the end.
        archive.fileobj.seek(archive.offset)
        if any(archive.fileobj.read(tarfile.BLOCKSIZE)):
            raise tarfile.ReadError(f"no header at byte {archive.offset:,}")
    except _ENDS:
        yield sample  # what is whole before the damage
        raise
    yield sample


def _content(archive: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    file = archive.extractfile(member)
    return b"" if file is None else file.read()


class _Bounded(io.RawIOBase):
    """A file of which no more is read at once than a member may have; skipping reads nothing."""

    def __init__(self, file: IO[bytes], most: int) -> None:
        self._file, self._most = file, most

    def read(self, size: int | None = -1) -> bytes:
        """Some bytes; raises for too many."""
        if size is None or not 0 <= size <= self._most:
            raise tarfile.ReadError(f"a part of {size} bytes, more than the {self._most:,} allowed")
        return self._file.read(size)

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Go to a place."""
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        """The place."""
        return self._file.tell()


@contextmanager
def _opened(path: str) -> Iterator[tuple[Any, bool]]:
    """A tar file, unpacked as it is read, and whether its members have a place in the file."""
    with open(path, "rb") as file:
        start = file.read(6)
        file.seek(0)
        opener = next((of for magic, of in _OPENERS.items() if start.startswith(magic)), None)
        if opener is None:
            yield _Bounded(file, _MOST_PICTURE), True
            return
    with opener(path) as unpacked:
        yield _Bounded(unpacked, _MOST_PICTURE), False

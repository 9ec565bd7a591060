"""WebDataset tar files: members of one name but for what follows the first dot are one sample.

``000123.jpg`` and ``000123.txt`` (or ``000123.json`` with a caption) stand beside each other. A
plain tar file's pictures are read by the decoders, at their place in the file; a compressed one is
read through from its start.
"""

from __future__ import annotations

import json
import os
import tarfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

from distnorm.embedding.items import PICTURES, Item, Problem

__all__ = ["tar_items"]

_TEXTS = (".txt", ".text", ".caption")
_CAPTIONS = ("caption", "text", "title")
_ENDS = (tarfile.TarError, OSError, EOFError, zlib.error)


@dataclass
class _Sample:
    key: str
    picture: Item | None = None
    text: str | None = None


def tar_items(path: str, prefix: str, problems: list[Problem]) -> Iterator[Item]:
    """Samples of one tar file; what is damaged or half goes into ``problems``."""
    plain = path.lower().endswith(".tar")
    sides: tuple[bool, bool] | None = None
    try:
        with tarfile.open(path, "r:" if plain else "r|*") as archive:
            for sample in _samples(archive, path, prefix, plain, problems):
                have = sample.picture is not None, sample.text is not None
                if not any(have):
                    continue
                sides = sides or have
                if have[0] < sides[0] or have[1] < sides[1]:
                    what = "picture" if have[0] < sides[0] else "text"
                    problems.append((prefix + sample.key, f"a sample without a {what}"))
                    continue
                text = sample.text if sides[1] else None
                if sample.picture is None or not sides[0]:
                    yield Item(text or "", None, text)
                else:
                    of = sample.picture
                    yield Item(of.name, of.path, text, of.offset, of.length, of.content)
    except _ENDS as error:
        problems.append((prefix.rstrip("/"), f"damaged tar file: {error}"))


def _samples(
    archive: tarfile.TarFile, path: str, prefix: str, plain: bool, problems: list[Problem]
) -> Iterator[_Sample]:
    sample = _Sample("")
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
        if end.endswith(PICTURES) and sample.picture is None:
            content = None if plain else _content(archive, member)
            sample.picture = Item(
                prefix + member.name, path, None, member.offset_data, member.size, content
            )
        elif end in _TEXTS or end == ".json":
            text = _text(_content(archive, member), end)
            if text:
                sample.text = sample.text or text
            elif text is not None:
                problems.append((prefix + member.name, "an empty or unreadable text"))
    yield sample


def _content(archive: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    file = archive.extractfile(member)
    return b"" if file is None else file.read()


def _text(content: bytes, end: str) -> str | None:
    """The words; "" where there should be some, None where there need not be."""
    try:
        if end != ".json":
            return " ".join(content.decode("utf-8-sig").split())
        values = json.loads(content)
        words = [values[key] for key in _CAPTIONS if isinstance(values.get(key), str)]
        return words[0].strip() if words else None
    except (ValueError, AttributeError):
        return None if end == ".json" else ""

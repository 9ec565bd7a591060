"""What a store calls the sources of its rows: no path of a machine, yet no other source's name.

    names#mark        ../2023#5c3430fa    card/DCIM#5c3430fa    ../in/**/*.jpg#5c3430fa

The mark is made of the whole absolute path and tells sources apart. The names are those from the
store's folder on, where the source lies in it or beside it, else the last two. What is no path
(standard input) stands as it is; older versions wrote absolute paths.
"""

from __future__ import annotations

import hashlib
import os
import re
from functools import cache
from pathlib import Path, PurePath

__all__ = ["source_folder", "source_id", "source_mark"]

_MARKED = re.compile(r"(.*)#([0-9a-f]{8})", re.DOTALL)
_MAGIC = re.compile(r"[*?\[]")


def source_id(label: str, store: Path) -> str:
    """What a store calls the source that has this label, an absolute path or no path at all."""
    if not os.path.isabs(label):
        return label
    names = os.path.relpath(label, store.resolve()).replace(os.sep, "/")
    if names.startswith("../../"):
        parts = PurePath(label).parts[1:]
        first = next((at for at, part in enumerate(parts) if _MAGIC.search(part)), len(parts) - 1)
        names = "/".join(parts[max(0, first - 1) :])
    return f"{names}#{source_mark(label)}"


@cache
def source_mark(source: str | None) -> str | None:
    """What tells a source, by its label or as a store calls it, from all others."""
    if source is None:
        return None
    marked = _MARKED.fullmatch(source)
    if marked:
        return marked[2]
    if not os.path.isabs(source):
        return source
    return hashlib.blake2b(os.fsencode(source), digest_size=4).hexdigest()


def source_folder(source: str, store: Path) -> str:
    """The folder that names of a source's items start from: a path if it is there, else names."""
    marked = _MARKED.fullmatch(source)
    names = marked[1] if marked else source
    place = os.path.normpath(os.path.join(store.resolve(), names))
    pattern = _MAGIC.search(place)
    if pattern:
        place = os.path.dirname(place[: pattern.start()])
    elif os.path.isfile(place):
        place = os.path.dirname(place)
    if os.path.isdir(place):
        return place
    pattern = _MAGIC.search(names)
    if pattern:
        return os.path.dirname(names[: pattern.start()])
    return os.path.dirname(names) if marked and PurePath(names).suffix else names

"""Where the pictures that a table names are: in its folder, in one within, or in the one given.

Tables come from other machines: their names may have another root, backslashes, ``%20``,
``file://``, letters of another case or no ending. Names are read as they are if one of the first
is there so; else in the first of these spellings that has one.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice
from urllib.parse import unquote

from distnorm.errors import DistnormError

__all__ = ["Place", "find_place", "local_name", "subfolders"]

_MANY = 1000  # folders that are looked through for pictures
_ENDS = (".jpg", ".png", ".jpeg", ".webp", ".JPG")


@dataclass(frozen=True)
class Place:
    """A folder, what the table's names have before those in it, and how they are spelled there."""

    folder: str
    dropped: str = ""
    spelled: Callable[[str], str] = str

    def name(self, name: str) -> str:
        """A table's name as it is in the folder."""
        return self.spelled(name).removeprefix(self.dropped)

    def found_for(self, table: str) -> str:
        """What is said where names begin elsewhere."""
        return f"the pictures are those in {self.folder} whose names {table} begins with " + (
            self.dropped
        )


def find_place(
    names: Sequence[str], folder: str, *, given: bool = False, above: bool = False
) -> Place | None:
    """The place that the first pictures' names start from, None if there is none.

    ``folder`` is where the user said, or the table's own, which may have them in a folder within,
    or ``above`` in one beside.
    """
    spellings: list[Callable[[str], str]] = [str, _plain, str.lower, str.upper]
    spellings += [partial(_ended, end) for end in _ENDS]
    for spelled in spellings:
        written = [spelled(name) for name in names]
        base = folder if given and _has_any(written, folder) else None
        base = base if given else _folder_of(written, folder, above)
        if base is not None:
            return Place(base, spelled=spelled)
    for name in dict.fromkeys(map(_plain, names)):
        parts = name.split("/")
        for n in range(1, len(parts)):
            rest = ["/".join(parts[n:])]
            base = folder if given and _has_any(rest, folder) else None
            base = base if given else _folder_of(rest, folder, above)
            if base is not None and rest[0]:
                return Place(base, "/".join(parts[:n]) + "/", _plain)
    return None


def local_name(name: str) -> str:
    """A ``file://`` address as a path; anything else as it is."""
    if not name.lower().startswith("file:"):
        return name
    path = unquote(name[5:])
    path = "/" + path.lstrip("/") if path.startswith("///") else path.removeprefix("//")
    return path


def subfolders(folder: str) -> list[str]:
    """The folders right in one, at most a thousand."""
    try:
        with os.scandir(folder) as entries:
            found = (entry.path for entry in entries if entry.is_dir())
            return sorted(islice(found, _MANY))
    except OSError:
        return []


def _plain(name: str) -> str:
    return unquote(local_name(name)).replace("\\", "/")


def _ended(end: str, name: str) -> str:
    return _plain(name) + end


def _has_any(names: Sequence[str], place: str) -> bool:
    return any(os.path.isfile(os.path.join(place, name)) for name in names)


def _folder_of(names: Sequence[str], folder: str, above: bool) -> str | None:
    """The table's folder, or the one in it (or ``above`` beside it) that has any of them."""
    if _has_any(names, folder):
        return folder
    for parent in (folder, os.path.dirname(folder))[: 2 if above else 1]:
        places = [place for place in subfolders(parent) if _has_any(names, place)]
        if len(places) > 1:
            raise DistnormError(
                f"pictures such as {names[0]} in {places[0]} and in {places[1]}",
                "one folder that has them",
                "say which with --pictures FOLDER",
            )
        if places:
            return places[0]
    return None

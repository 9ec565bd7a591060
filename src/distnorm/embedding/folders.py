"""Pictures, with the captions that stand beside them, and tar files below a folder."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

from distnorm.embedding.formats import TABLES, as_parquet
from distnorm.embedding.items import PICTURES, TARS, UNREAD, Item, Problem, clean
from distnorm.embedding.places import subfolders
from distnorm.embedding.samples import CAPTION_FILES, MOST_TEXT, Words
from distnorm.embedding.tars import tar_items

__all__ = ["beside", "folder_items", "one_by_one", "picture_files"]


def folder_items(root: str, problems: list[Problem]) -> Iterator[Item]:
    """Every picture below ``root``: a folder's own in the order of names, then its folders'.

    Hidden ones are left out. A link to a folder outside ``root`` is followed, once; one inside is
    not, so that circles end. A folder that cannot be read goes into ``problems``.
    """
    real = os.path.realpath(root)
    yield from _walk(root, "", real, {real}, problems)


def picture_files(root: str) -> Iterator[str]:
    """Paths of the pictures below ``root`` that `folder_items` finds, in no order, links apart."""
    for place, folders, names in os.walk(root):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in names:
            if name.lower().endswith(PICTURES) and not name.startswith("."):
                yield os.path.join(place, name)


def beside(folder: Path) -> dict[str, Any]:
    """What `Source` says of files in a folder, and in those right in it, that nobody reads."""
    tables, unread = list[str](), list[str]()
    for place in (str(folder), *subfolders(str(folder))):
        names = sorted(os.listdir(place)) if os.access(place, os.R_OK) else []
        own = {x for x in names if x.lower().endswith((*PICTURES, *TARS))}
        own |= {os.path.splitext(name)[0] for name in own}
        for name in names:
            found = tables if name.lower().endswith((*TABLES, ".txt", ".arrow")) else unread
            counts = found is tables or name.lower().endswith(UNREAD)
            if counts and os.path.splitext(name)[0] not in own:
                found.append(os.path.relpath(os.path.join(place, name), folder))
    return {
        "aside": tuple(
            f"{len(tables)} file{'s' * (len(tables) > 1)} beside the pictures not read, such as "
            f"{name}: name it instead of the folder if it holds the captions"
            for name in tables[:1]
        ),
        "notes": tuple(
            f"{len(unread)} picture{'s' * (len(unread) > 1)} in a form that is not read, such as "
            f"{name}: convert to JPEG or PNG"
            for name in unread[:1]
        ),
        "instead": one_by_one(folder, tables),
    }


def one_by_one(folder: Path, files: Sequence[str]) -> str:
    """What to do about a folder, or a pattern, of tables."""
    arrow = next((name for name in files if name.endswith(".arrow")), None)
    if arrow is not None:
        return as_parquet(folder / arrow)
    tables = [name for name in files if not name.endswith(("_info.json", "state.json"))]
    if not tables:
        return ""
    return (
        f"name its files, such as {tables[0]}, one after the other: each adds to the store of the "
        "same --out"
    )


def _walk(
    folder: str, prefix: str, root: str, visited: set[str], problems: list[Problem]
) -> Iterator[Item]:
    try:
        with os.scandir(folder) as entries:
            listing = sorted(
                (entry.name, _is_folder(entry), entry.is_symlink())
                for entry in entries
                if not entry.name.startswith(".")
            )
    except OSError as error:
        problems.append((clean(prefix or folder), error.strerror or str(error)))
        return
    files = _by_ending(name for name, is_folder, _ in listing if not is_folder)
    for name, is_folder, _ in listing:
        if is_folder:
            continue
        low = name.lower()
        path = os.path.join(folder, name)
        if low.endswith(PICTURES):
            yield from _with_captions(Item(clean(prefix + name), path, None), files, problems)
        elif low.endswith(TARS):
            yield from tar_items(path, f"{clean(prefix + name)}/", problems)
    for name, is_folder, is_link in listing:
        if not is_folder:
            continue
        path = os.path.join(folder, name)
        if is_link:
            real = os.path.realpath(path)
            if real in visited or os.path.commonpath([real, root]) == root:
                continue
            visited.add(real)
        yield from _walk(path, f"{prefix}{name}/", root, visited, problems)


def _with_captions(item: Item, files: dict[str, str], problems: list[Problem]) -> Iterator[Item]:
    """A picture with each caption of the files of its name, else alone."""
    folder, name = os.path.split(item.path or "")
    stem, words = os.path.splitext(name)[0], Words()
    for own, end in product((stem, name), CAPTION_FILES):
        beside = files.get(own + end)
        if beside is None:
            continue
        try:
            with open(os.path.join(folder, beside), "rb") as file:
                content = file.read(MOST_TEXT + 1)
        except OSError as error:
            problems.append((item.name, f"{end}: {error.strerror or error}"))
            continue
        if len(content) > MOST_TEXT:
            problems.append((item.name, f"{end}: too many bytes for captions"))
        elif not words.add(end, content):
            problems.append((item.name, f"an empty or unreadable text in {beside}"))
    yield from (replace(item, text=text) for text in words.texts or (None,))


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:
        return False


def _by_ending(names: Iterable[str]) -> dict[str, str]:
    """Files of captions by their names with the ending in small letters."""
    found = {}
    for name in names:
        low = name.lower()
        for end in CAPTION_FILES:
            if low.endswith(end):
                found[name[: -len(end)] + end] = name
    return found

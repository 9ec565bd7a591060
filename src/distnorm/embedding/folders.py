"""Pictures, with the captions that stand beside them, and tar files below a folder."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace

from distnorm.embedding.items import PICTURES, TARS, Item, Problem, clean
from distnorm.embedding.samples import CAPTION_FILES, MOST_TEXT, Words
from distnorm.embedding.tars import tar_items

__all__ = ["folder_items", "picture_files"]


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
    files = {name for name, is_folder, _ in listing if not is_folder}
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


def _with_captions(item: Item, files: set[str], problems: list[Problem]) -> Iterator[Item]:
    """A picture with each caption of the files of its name, else alone."""
    folder, name = os.path.split(item.path or "")
    stem, words = os.path.splitext(name)[0], Words()
    for beside in (own + end for own in (stem, name) for end in CAPTION_FILES):
        if beside not in files:
            continue
        end = os.path.splitext(beside)[1]
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

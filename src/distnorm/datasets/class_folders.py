"""Folders of classes, ``root/dog/1.jpg`` or ``root/test/dog/1.jpg``; Caltech-101 is one.

Classes are the folders' names in sorted order, ``_`` read as a space; ``classes.txt`` in the root
(one name per line, in that order) gives others.

Caltech-101 (Fei-Fei et al. 2004) lies in ``101_ObjectCategories/`` (or
``caltech-101/101_ObjectCategories/``) as unpacked. ``BACKGROUND_Google`` is no class. The published
archive holds 8,677 pictures of 101 classes without it; some evaluations also leave out
``Faces_easy``, which shows what ``Faces`` shows.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from distnorm.datasets.base import (
    LabelledImages,
    find_folder,
    labelled_images,
    official,
    parse_lines,
    picture_names,
)
from distnorm.errors import DistnormError

__all__ = ["caltech101", "class_folders", "labelled_folders"]


@official
def class_folders(root: str | Path, split: str | None = None) -> LabelledImages:
    """Pictures of each folder below ``split``, a folder in the root, or below the root itself."""
    folder = find_folder(root, split or "", what="class folders")
    names = sorted(f.name for f in folder.iterdir() if f.is_dir() and not f.name.startswith("."))
    if len(names) < 2:
        raise DistnormError(
            f"{folder} with {len(names)} class folders", "two at least", "one folder per class"
        )
    classes = [name.replace("_", " ") for name in names]
    if (Path(root) / "classes.txt").is_file():
        classes = parse_lines(Path(root) / "classes.txt", str.strip)
    images, labels = labelled_folders(Path(root), folder, names)
    empty = set(range(len(names))).difference(labels.tolist())
    places = [folder / names[row] for row in sorted(empty)]
    below = [place.name for place in places if any(map(Path.is_dir, place.iterdir()))]
    if below:
        raise DistnormError(
            f"{folder / below[0]} with folders and no pictures",
            "pictures right in the folder of their class",
            "move them up"
            if images or split is not None
            else f"if it holds the class folders, name it: split={below[0]!r}",
        )
    if len(classes) != len(names):
        raise DistnormError(
            f"{len(classes)} lines in classes.txt and {len(names)} folders", "one each", "mend it"
        )
    name = Path(root).name if split is None else f"{Path(root).name}-{split}"
    return LabelledImages(name, images, labels, tuple(classes))


@official
def caltech101(root: str | Path, *, faces_easy: bool = True, check: bool = True) -> LabelledImages:
    """All images, as no split is official; ``faces_easy`` keeps ``Faces_easy`` beside ``Faces``."""
    below = "101_ObjectCategories"
    places = (below, f"caltech-101/{below}", f"caltech101/{below}")
    folder = find_folder(root, *places, what="the images")
    left_out = {"BACKGROUND_Google"} | (set() if faces_easy else {"Faces_easy"})
    names = sorted(f.name for f in folder.iterdir() if f.is_dir() and f.name not in left_out)
    images, labels = labelled_folders(Path(root), folder, names)
    classes = [name.replace("_", " ").lower() for name in names]
    published = (8677, 101) if faces_easy else (8242, 100)
    data = labelled_images("Caltech-101", images, labels, classes, published if check else None)
    return replace(data, name="caltech101")


def labelled_folders(
    root: Path, folder: Path, names: list[str]
) -> tuple[tuple[str, ...], np.ndarray[tuple[int], np.dtype[np.intp]]]:
    """Pictures of some class folders as paths below ``root``, and the row of their folder."""
    images: list[str] = []
    labels: list[int] = []
    for label, name in enumerate(names):
        files = picture_names(folder / name)
        place = (folder / name).relative_to(root).as_posix()
        images += [f"{place}/{file}" for file in files]
        labels += [label] * len(files)
    return tuple(images), np.array(labels, dtype=np.intp)

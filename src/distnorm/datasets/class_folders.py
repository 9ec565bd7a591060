"""Any folder of class folders: ``root/dog/1.jpg``, or a split's ``root/test/dog/1.jpg``.

Classes are the folders' names in sorted order, ``_`` read as a space; ``classes.txt`` in the root
(one name a line, in that order) gives others.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from distnorm.datasets.base import LabelledImages, parse_lines, picture_names, wanted_folder
from distnorm.errors import DistnormError

__all__ = ["class_folders", "labelled_folders"]


def class_folders(root: str | Path, split: str | None = None) -> LabelledImages:
    """Pictures of each class folder.

    Parameters
    ----------
    root : path
    split : str, optional
        Folder below the root that holds the class folders; the root itself if left out.

    Raises
    ------
    DistnormError
        If there are fewer than two classes or no pictures, or other names in ``classes.txt``.
    """
    folder = wanted_folder(root, split or "", what="class folders")
    names = sorted(f.name for f in folder.iterdir() if f.is_dir() and not f.name.startswith("."))
    if len(names) < 2:
        raise DistnormError(
            f"{folder} with {len(names)} class folders", "two at least", "one folder a class"
        )
    classes = [name.replace("_", " ") for name in names]
    if (Path(root) / "classes.txt").is_file():
        classes = parse_lines(Path(root) / "classes.txt", str.strip)
    images, labels = labelled_folders(Path(root), folder, names)
    if len(classes) != len(names):
        raise DistnormError(
            f"{len(classes)} lines in classes.txt and {len(names)} folders", "one each", "mend it"
        )
    name = Path(root).name if split is None else f"{Path(root).name}-{split}"
    return LabelledImages(name, images, labels, tuple(classes))


def labelled_folders(
    root: Path, folder: Path, names: list[str]
) -> tuple[tuple[str, ...], np.ndarray[tuple[int], np.dtype[np.intp]]]:
    """Pictures of some class folders as paths below ``root``, and the row of their folder."""
    images: list[str] = []
    labels: list[int] = []
    for label, name in enumerate(names):
        found = picture_names(folder / name)
        place = (folder / name).relative_to(root).as_posix()
        images += [f"{place}/{file}" for file in found]
        labels += [label] * len(found)
    return tuple(images), np.array(labels, dtype=np.intp)

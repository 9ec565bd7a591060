"""Caltech-101 (Fei-Fei et al. 2004): folders of classes, no official split.

Under the root: ``101_ObjectCategories/`` (or ``caltech-101/101_ObjectCategories/``) as unpacked.
``BACKGROUND_Google`` is no class. The published archive holds 8,677 pictures of 101 classes
without it; some evaluations also leave out ``Faces_easy``, which shows what ``Faces`` shows.
"""

from __future__ import annotations

from pathlib import Path

from distnorm.datasets.base import LabelledImages, check_counts, wanted_folder
from distnorm.datasets.class_folders import labelled_folders

__all__ = ["caltech101"]


def caltech101(root: str | Path, *, faces_easy: bool = True, check: bool = True) -> LabelledImages:
    """All images; no split is official.

    Parameters
    ----------
    root : path
    faces_easy : bool
        Keep ``Faces_easy`` beside ``Faces``.
    check : bool
        Compare counts with the published ones.

    Raises
    ------
    DistnormError
        For missing folders or other counts.
    """
    folder = wanted_folder(
        root,
        "101_ObjectCategories",
        "caltech-101/101_ObjectCategories",
        "caltech101/101_ObjectCategories",
        what="the images",
    )
    left_out = {"BACKGROUND_Google"} | (set() if faces_easy else {"Faces_easy"})
    names = sorted(f.name for f in folder.iterdir() if f.is_dir() and f.name not in left_out)
    images, labels = labelled_folders(Path(root), folder, names)
    if check:
        check_counts(
            "Caltech-101",
            {"images": len(images), "classes": len(names)},
            {"images": [8677 if faces_easy else 8242], "classes": [101 if faces_easy else 100]},
        )
    classes = tuple(name.replace("_", " ").lower() for name in names)
    return LabelledImages("caltech101", images, labels, classes)

"""Oxford Flowers-102 (Nilsback and Zisserman 2008): 1,020, 1,020 and 6,149 pictures.

Under the root: ``jpg/image_00001.jpg`` ..., ``imagelabels.mat``, ``setid.mat``. The files number
the classes and do not name them: names come from ``classes.txt`` in the root, one per line in the
order of the labels, or from a file that is given (text or JSON list, or JSON from "1" to a name,
as ``cat_to_name.json`` has it). Needs SciPy.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from distnorm.datasets.base import (
    LabelledImages,
    check_split,
    find_file,
    labelled_images,
    official,
    read_names,
)
from distnorm.datasets.matlab import read_mat
from distnorm.errors import DistnormError

__all__ = ["flowers102"]

_SPLITS = {"train": ("trnid", 1020), "val": ("valid", 1020), "test": ("tstid", 6149)}


@official
def flowers102(
    root: str | Path, split: str = "test", *, names: str | Path | None = None, check: bool = True
) -> LabelledImages:
    """Images of a split (train, val or test).

    ``names`` is a file of the 102 names in the order of the labels, if not that in the root.
    """
    check_split(split, _SPLITS)
    key, count = _SPLITS[split]
    numbers = np.atleast_1d(read_mat(find_file(root, "setid.mat", what="the splits"), key)[key])
    table = np.atleast_1d(
        read_mat(find_file(root, "imagelabels.mat", what="the labels"), "labels")["labels"]
    )
    path = (
        find_file(root, "classes.txt", "cat_to_name.json", what="class names")
        if names is None
        else Path(names)
    )
    classes = read_names(path)
    if isinstance(classes, dict):
        classes = [classes[str(number)] for number in range(1, len(classes) + 1)]
    if numbers.max() > len(table):
        raise DistnormError(
            f"image {numbers.max()} of {len(table)} labels", "one label each", "get both files"
        )
    images = [f"jpg/image_{number:05d}.jpg" for number in numbers]
    labels = table[numbers.astype(np.intp) - 1].astype(np.intp) - 1
    published = (count, 102) if check else None
    data = labelled_images(f"Flowers-102 {split}", images, labels, classes, published)
    return replace(data, name=f"flowers102-{split}")

"""Stanford Cars (Krause et al. 2013): 196 models, 8,144 and 8,041 pictures.

Under the root: ``devkit/cars_meta.mat``, ``devkit/cars_train_annos.mat`` with ``cars_train/``, and
``cars_test_annos_withlabels.mat`` (in the root or ``devkit/``) with ``cars_test/``. Needs SciPy.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from distnorm.datasets.base import LabelledImages, check_split, find_file, labelled_images, official
from distnorm.datasets.matlab import read_mat
from distnorm.errors import DistnormError

__all__ = ["stanford_cars"]

_COUNTS = {"train": 8144, "test": 8041}


@official
def stanford_cars(root: str | Path, split: str = "test", *, check: bool = True) -> LabelledImages:
    """Images of a split (train or test)."""
    check_split(split, _COUNTS)
    name = "cars_train_annos.mat" if split == "train" else "cars_test_annos_withlabels.mat"
    path = find_file(root, f"devkit/{name}", name, what=f"the {split} labels")
    rows = np.atleast_1d(read_mat(path, "annotations")["annotations"])
    meta = find_file(root, "devkit/cars_meta.mat", "cars_meta.mat", what="the class names")
    classes = np.atleast_1d(read_mat(meta, "class_names")["class_names"]).tolist()
    try:
        files = [str(row["fname"]) for row in rows]
        labels = [int(row["class"]) - 1 for row in rows]
    except (ValueError, IndexError, TypeError) as error:
        raise DistnormError(
            f"{path} without fname and class", "the labelled annotations", "get the file"
        ) from error
    images = [f"cars_{split}/{file}" for file in files]
    published = (_COUNTS[split], 196) if check else None
    return labelled_images(f"Stanford Cars {split}", images, labels, classes, published)

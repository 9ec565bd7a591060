"""ImageNet-1k, validation images (Russakovsky et al. 2015).

Pictures under the root, in any of the usual places:

    val/n01440764/*.JPEG                  one folder per class
    val/ILSVRC2012_val_00000001.JPEG      flat, with LOC_val_solution.csv (Kaggle), or with
                                          ILSVRC2012_validation_ground_truth.txt and meta.mat of
                                          the development kit
    ILSVRC/Data/CLS-LOC/val               the same, as Kaggle unpacks it

Classes are numbered by their sorted synsets. Names come from a file that is given (JSON list or
one per line, in that order: CLIP's own list is kept so), else from ``imagenet_class_index.json``,
else from ``LOC_synset_mapping.txt`` (the first name of each). Some lists call two classes by one
name (crane, maillot): both keep it, and the classifier reports it.
"""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np

from distnorm.datasets.base import (
    LabelledImages,
    check_split,
    find_file,
    find_folder,
    labelled_images,
    official,
    parse_lines,
    picture_names,
    read_json,
    read_names,
)
from distnorm.datasets.class_folders import labelled_folders
from distnorm.datasets.matlab import read_mat
from distnorm.errors import DistnormError
from distnorm.system import schema

__all__ = ["imagenet", "imagenet_names"]

_KAGGLE = "ILSVRC/Data/CLS-LOC/"
_DEVKIT = "ILSVRC2012_devkit_t12/data/"
_COUNTS = {"val": 50000, "train": 1281167}


@official
def imagenet(
    root: str | Path, split: str = "val", *, names: str | Path | None = None, check: bool = True
) -> LabelledImages:
    """Images of a split (val or train).

    ``names`` is a file of class names in the order of the synsets, if not that in the root.
    """
    check_split(split, _COUNTS)
    folder = find_folder(root, split, _KAGGLE + split, what=f"the {split} images")
    named = imagenet_names(root, names)
    synsets = sorted(f.name for f in folder.iterdir() if f.is_dir() and f.name.startswith("n"))
    if synsets:
        images, labels = labelled_folders(Path(root), folder, synsets)
    else:
        images, owners = _flat(Path(root), folder)
        synsets = sorted(named) if len(named) else sorted(set(owners))
        place = {synset: row for row, synset in enumerate(synsets)}
        labels = np.array([place[synset] for synset in owners], dtype=np.intp)
    classes = named.get("", []) or [named.get(synset, "") for synset in synsets]
    if len(classes) != len(synsets) or not all(classes):
        raise DistnormError(
            f"{len([c for c in classes if c])} class names for {len(synsets)} synsets",
            "one each, in the order of the synsets",
            "give the list that belongs to these folders",
        )
    published = (_COUNTS[split], 1000) if check else None
    return labelled_images(f"ImageNet {split}", images, labels, classes, published)


@official
def imagenet_names(root: str | Path, names: str | Path | None = None) -> dict[str, Any]:
    """Name of each synset; a list without synsets is under ""."""
    if names is not None:
        listed = read_names(Path(names))
        if isinstance(listed, dict) and "0" in listed and isinstance(listed["0"], list):
            return _class_index(listed)
        return {"": [str(name) for name in listed]}
    path = find_file(
        root, "imagenet_class_index.json", "LOC_synset_mapping.txt", what="class names"
    )
    if path.suffix == ".json":
        return _class_index(read_json(path))

    def parse(line: str) -> tuple[str, str]:
        synset, _, words = line.strip().partition(" ")
        return synset, words.split(",")[0].strip()

    return dict(parse_lines(path, parse))


def _class_index(content: dict[str, list[str]]) -> dict[str, str]:
    """``{"0": ["n01440764", "tench"], ...}``."""
    form = schema.table(schema.list_of(schema.text, 2))
    schema.check(content, form, file="imagenet_class_index.json", remedy="get the official file")
    return {synset: name.replace("_", " ") for synset, name in content.values()}


def _flat(root: Path, folder: Path) -> tuple[tuple[str, ...], list[str]]:
    """Pictures of a flat folder and the synset of each."""
    files = picture_names(folder)
    place = folder.relative_to(root).as_posix()
    images = tuple(f"{place}/{file}" for file in files)
    solution = root / "LOC_val_solution.csv"
    if solution.is_file():
        with solution.open(encoding="utf-8", newline="") as file:
            truth = {row["ImageId"]: row["PredictionString"] for row in csv.DictReader(file)}
        missing = next((f for f in files if Path(f).stem not in truth), None)
        if missing is not None:
            raise DistnormError(f"{missing} without a line in {solution}", "one", "get the file")
        return images, [truth[Path(f).stem].split()[0] for f in files]
    name = "ILSVRC2012_validation_ground_truth.txt"
    path = find_file(root, name, _DEVKIT + name, what="LOC_val_solution.csv, or the labels")
    numbers = parse_lines(path, int)
    meta = find_file(root, "meta.mat", _DEVKIT + "meta.mat", what="the synsets' numbers")
    table = read_mat(meta, "synsets")["synsets"]
    synset = {int(row["ILSVRC2012_ID"]): str(row["WNID"]) for row in table}
    if len(numbers) != len(files):
        raise DistnormError(
            f"{len(files)} images and {len(numbers)} labels", "as many", "unpack all images"
        )
    return images, [synset[number] for number in numbers]

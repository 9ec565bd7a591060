"""MS-COCO captions in the official annotation files, and ground truths of the 5K test split.

``coco_captions`` reads ``captions_*.json``, optionally only the images of an id list (such as
Karpathy's split). ``coco_ground_truth`` reads the caption-to-image files of ECCV Caption (Chun et
al. 2022), which also carries the original pairs and CxC (Parekh et al. 2021).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from distnorm.datasets.base import RetrievalSet, check_counts, wanted_file
from distnorm.errors import DistnormError

__all__ = ["coco_captions", "coco_ground_truth"]

# Texts and images of each ground truth's caption-to-image file.
_TRUTHS = {"original": (25000, 5000), "cxc": (24972, 5000), "eccv": (1332, 3182)}


def coco_captions(
    annotations: str | Path,
    ids: Sequence[int] | None = None,
    *,
    captions: int | None = 5,
) -> RetrievalSet:
    """Images and captions of an official annotation file.

    Parameters
    ----------
    annotations : path
        ``captions_val2014.json``, ``captions_val2017.json`` and so on.
    ids : sequence of int, optional
        Image ids of a split, in its order; all images of the file if left out.
    captions : int, optional
        So many of each image, the first by their ids; all if None.

    Raises
    ------
    DistnormError
        For a missing or damaged file, or an id that it lacks.
    """
    content = _json(Path(annotations))
    try:
        files = {int(image["id"]): str(image["file_name"]) for image in content["images"]}
        rows = sorted(
            (int(a["image_id"]), int(a["id"]), str(a["caption"]).strip())
            for a in content["annotations"]
        )
    except (KeyError, TypeError, ValueError) as error:
        raise DistnormError(
            f"{annotations} without images and annotations", "COCO's format", "get the file"
        ) from error
    texts: dict[int, list[str]] = {}
    for image, _, text in rows:
        texts.setdefault(image, []).append(text)
    order = sorted(files) if ids is None else [int(i) for i in ids]
    missing = next((i for i in order if i not in files or i not in texts), None)
    if missing is not None:
        raise DistnormError(
            f"image {missing}, which {annotations} lacks", "ids of this file", "name its split"
        )
    kept = [texts[i][:captions] for i in order]
    return RetrievalSet(
        Path(annotations).stem,
        tuple(files[i] for i in order),
        tuple(text for part in kept for text in part),
        np.repeat(np.arange(len(order)), [len(part) for part in kept]),
    )


def coco_ground_truth(
    root: str | Path, name: str = "eccv", *, check: bool = True
) -> dict[int, tuple[int, ...]]:
    """Relevant image ids of each caption id of the COCO 5K test split.

    Parameters
    ----------
    root : path
        Folder with ``{name}_caption_to_image.json``.
    name : {"original", "cxc", "eccv"}
    check : bool
        Compare counts with those of the published files.

    Returns
    -------
    dict from caption id to image ids
        To be numbered by the rows of the embeddings and passed as ``positives``.

    Raises
    ------
    DistnormError
        For a missing or damaged file, or other counts.
    """
    if name not in _TRUTHS:
        raise DistnormError(f"ground truth {name!r}", f"one of {', '.join(_TRUTHS)}", "rename it")
    content = _json(wanted_file(root, f"{name}_caption_to_image.json", what="the ground truth"))
    try:
        found = {int(text): tuple(int(i) for i in images) for text, images in content.items()}
    except (AttributeError, TypeError, ValueError) as error:
        raise DistnormError(
            f"the ground truth {name} in {root}, unreadable", "lists of ids", "get the file"
        ) from error
    if check:
        images = {image for row in found.values() for image in row}
        published = dict(zip(("captions", "images"), ([n] for n in _TRUTHS[name]), strict=True))
        check_counts(name, {"captions": len(found), "images": len(images)}, published)
    return found


def _json(path: Path) -> Any:
    if not path.is_file():
        raise DistnormError(f"no file {path}", "the official file", "get it and put it there")
    try:
        return json.loads(path.read_text("utf-8"))
    except ValueError as error:
        raise DistnormError(
            f"{path}, which is no JSON", "the whole file", "get it again"
        ) from error

"""MS-COCO captions in the official annotation files, and ground truths of the 5K test split.

``coco_captions`` reads ``captions_*.json``, optionally only the images of an id list (such as
Karpathy's split). ``coco_ground_truth`` reads the caption-to-image files of ECCV Caption (Chun et
al. 2022), which also carries the original pairs and CxC (Parekh et al. 2021).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from distnorm.datasets.base import RetrievalSet, check_counts, find_file, official, read_json
from distnorm.errors import DistnormError

__all__ = ["coco_captions", "coco_ground_truth", "read_ids"]

# Queries and items of each ground truth's files.
_TRUTHS = {
    ("original", "caption"): (25000, 5000),
    ("cxc", "caption"): (24972, 5000),
    ("eccv", "caption"): (1332, 3182),
    ("original", "image"): (5000, 25000),
    ("cxc", "image"): (5000, 24972),
    ("eccv", "image"): (1261, 11953),
}


@official
def coco_captions(
    annotations: str | Path,
    ids: Sequence[int] | None = None,
    *,
    caption_ids: Sequence[int] | None = None,
    captions: int | None = 5,
) -> RetrievalSet:
    """Images and captions of an official annotation file, ``captions_val2014.json`` and so on.

    Parameters
    ----------
    annotations : path
    ids : sequence of int, optional
        Image ids of a split, in its order; all images of the file if left out.
    caption_ids : sequence of int, optional
        Caption ids of a split instead, such as ``coco_test_ids.npy`` of ECCV Caption: their
        images in the order of their ids, and these captions alone.
    captions : int, optional
        So many of each image, the first by their ids; all if None.
    """
    content = read_json(Path(annotations))
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
    if ids is not None and caption_ids is not None:
        raise DistnormError("both ids and caption_ids", "one split", "leave one of them out")
    chosen = None if caption_ids is None else {int(i) for i in caption_ids}
    texts: dict[int, list[tuple[int, str]]] = {}
    for image, number, text in rows:
        if chosen is None or number in chosen:
            texts.setdefault(image, []).append((number, text))
    if chosen is not None and sum(map(len, texts.values())) != len(chosen):
        lacking = chosen - {number for part in texts.values() for number, _ in part}
        raise DistnormError(
            f"caption {min(lacking)}, which {annotations} lacks",
            "ids of this file",
            "name its split",
        )
    order = sorted(files) if ids is None else [int(i) for i in ids]
    order = order if chosen is None else sorted(texts)
    missing = next((i for i in order if i not in files or i not in texts), None)
    if missing is not None:
        raise DistnormError(
            f"image {missing}, which {annotations} lacks", "ids of this file", "name its split"
        )
    kept = [texts[i][:captions] for i in order]
    return RetrievalSet(
        Path(annotations).stem,
        tuple(files[i] for i in order),
        tuple(text for part in kept for _, text in part),
        np.repeat(np.arange(len(order)), [len(part) for part in kept]),
        tuple(order),
        tuple(number for part in kept for number, _ in part),
    )


def read_ids(path: str | Path) -> tuple[int, ...]:
    """Ids of a split: .npy, JSON list, or one per line."""
    target = Path(path)
    try:
        if target.suffix == ".npy":
            ids = np.load(target, allow_pickle=False).ravel().tolist()
        elif target.suffix == ".json":
            ids = read_json(target)
        else:
            ids = target.read_text("utf-8").split()
        return tuple(int(value) for value in ids)
    except (OSError, ValueError, TypeError, EOFError) as error:
        if isinstance(error, DistnormError):
            raise
        raise DistnormError(f"{target}, unreadable", "whole numbers", "one per line") from error


@official
def coco_ground_truth(
    root: str | Path, name: str = "eccv", *, queries: str = "caption", check: bool = True
) -> dict[int, tuple[int, ...]]:
    """Relevant items of each query of the COCO 5K test split.

    Parameters
    ----------
    root : path
        Folder with ``{name}_caption_to_image.json`` or ``{name}_image_to_caption.json``.
    name : {"original", "cxc", "eccv"}
    queries : {"caption", "image"}
        Captions that look for images, or images that look for captions.
    check : bool

    Returns
    -------
    dict from the id of a query to the ids of its items
        To be numbered by the rows of the embeddings and passed as ``positives``.
    """
    if (name, queries) not in _TRUTHS:
        choices = ", ".join(sorted({key for key, _ in _TRUTHS}))
        raise DistnormError(
            f"ground truth {name!r} of {queries!r}",
            f"one of {choices}; caption or image",
            "rename it",
        )
    item = "image" if queries == "caption" else "caption"
    file = f"{name}_{queries}_to_{item}.json"
    content = read_json(find_file(root, file, what="the ground truth"))
    try:
        truth = {int(query): tuple(int(i) for i in items) for query, items in content.items()}
    except (AttributeError, TypeError, ValueError) as error:
        raise DistnormError(
            f"the ground truth {name} in {root}, unreadable", "lists of ids", "get the file"
        ) from error
    if check:
        items = {i for row in truth.values() for i in row}
        n_queries, n_items = _TRUTHS[name, queries]
        check_counts(
            name,
            {f"{queries}s": len(truth), f"{item}s": len(items)},
            {f"{queries}s": [n_queries], f"{item}s": [n_items]},
        )
    return truth

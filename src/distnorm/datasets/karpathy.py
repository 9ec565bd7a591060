"""Karpathy's splits of MS-COCO, Flickr30K and Flickr8K (Karpathy and Fei-Fei 2015).

One file each: ``dataset_coco.json``, ``dataset_flickr30k.json``, ``dataset_flickr8k.json``, from
``caption_datasets.zip``. Retrieval is reported on the test split: 5,000, 1,000 and 1,000 images.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from distnorm.datasets.base import RetrievalSet, check_counts, find_file, official, read_json
from distnorm.errors import DistnormError

__all__ = ["karpathy"]

_COUNTS = {
    ("coco", "train"): 82783,
    ("coco", "restval"): 30504,
    ("coco", "val"): 5000,
    ("coco", "test"): 5000,
    ("flickr30k", "train"): 29000,
    ("flickr30k", "val"): 1014,
    ("flickr30k", "test"): 1000,
    ("flickr8k", "train"): 6000,
    ("flickr8k", "val"): 1000,
    ("flickr8k", "test"): 1000,
}


@official
def karpathy(
    root: str | Path,
    name: str = "coco",
    split: str = "test",
    *,
    captions: int | None = 5,
    check: bool = True,
) -> RetrievalSet:
    """Images of a split with their captions.

    Parameters
    ----------
    root : path
        Folder with ``dataset_{name}.json``.
    name : {"coco", "flickr30k", "flickr8k"}
        Image names of COCO begin with their folder, ``val2014/``.
    split : {"train", "restval", "val", "test"}
        Only COCO has ``restval``.
    captions : int, optional
        So many of each image, the first in the file; all if None.
    check : bool
    """
    if (name, split) not in _COUNTS:
        splits = ", ".join(other for key, other in _COUNTS if key == name)
        raise DistnormError(
            f"split {split!r} of {name!r}",
            f"one of {splits}" if splits else "coco, flickr30k or flickr8k",
            "rename it",
        )
    path = find_file(root, f"dataset_{name}.json", what="Karpathy's split")
    content = read_json(path)
    images: list[str] = []
    texts: list[str] = []
    owner: list[int] = []
    image_ids: list[int] = []
    text_ids: list[int] = []
    try:
        for entry in content["images"]:
            if entry["split"] != split:
                continue
            folder = entry.get("filepath")
            row = len(images)
            images.append(f"{folder}/{entry['filename']}" if folder else str(entry["filename"]))
            image_ids.append(int(entry.get("cocoid", entry["imgid"])))
            for sentence in entry["sentences"][:captions]:
                texts.append(" ".join(str(sentence["raw"]).split()))
                text_ids.append(int(sentence["sentid"]))
                owner.append(row)
    except (KeyError, TypeError, ValueError) as error:
        raise DistnormError(f"{path}, unreadable", "Karpathy's format", "get the file") from error
    if check:
        published = {"images": [_COUNTS[name, split]]}
        counts = {"images": len(images), "captions": len(texts)}
        if captions == 5:
            published["captions"] = [5 * _COUNTS[name, split]]
        check_counts(f"{name} {split}", counts, published)
    return RetrievalSet(
        f"{name}-{split}",
        tuple(images),
        tuple(texts),
        np.array(owner, dtype=np.intp),
        tuple(image_ids),
        tuple(text_ids),
    )

"""Where the files of the retrieval sets lie, and how they become `PairedData`."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from distnorm import datasets
from distnorm.datasets.base import RetrievalSet
from distnorm.datasets.coco import read_ids
from distnorm.errors import DistnormError
from distnorm.paper.prepared import (
    Context,
    PairedData,
    Rows,
    another_split,
    paired_data,
)

__all__ = ["flickr8k_folders", "load_coco", "load_flickr8k", "load_flickr30k", "load_table"]


def load_coco(root: Path, context: Context) -> PairedData:
    """COCO 5K by Karpathy's file or by official annotations and ids; other ground truths."""
    folders = (root, root / "images", root / "val2014", root / "val2017")
    pool = None
    if (root / "dataset_coco.json").is_file():
        found = datasets.karpathy(root, "coco", "test", check=context.check)
        pool = another_split(
            lambda: paired_data(datasets.karpathy(root, "coco", "val", check=False), *folders)
        )
    else:
        ids = next(
            (root / f for f in ("coco_test_ids.npy", "coco_test_ids.txt") if (root / f).is_file()),
            None,
        )
        if ids is None:
            raise DistnormError(
                f"{root} without the 5K test split",
                "dataset_coco.json, or coco_test_ids.npy beside captions_val2014.json",
                "get Karpathy's split",
            )
        place = next(
            (p for p in (root / "annotations", root) if (p / "captions_val2014.json").is_file()),
            root,
        )
        # The ids that circulate under this name are those of the captions.
        found = datasets.coco_captions(place / "captions_val2014.json", caption_ids=read_ids(ids))
    data = paired_data(found, *folders)
    truths = {}
    for name in ("cxc", "eccv"):
        home = next(
            (
                place
                for place in (root, root / "eccv-caption", context.data / "eccv-caption")
                if (place / f"{name}_caption_to_image.json").is_file()
            ),
            None,
        )
        if home is not None and found.text_ids:
            truths[name] = _truth(found, home, name, context.check)
    return PairedData(data.images, data.texts, data.image_of_text, pool, truths)


def _truth(
    found: RetrievalSet, home: Path, name: str, check: bool
) -> dict[str, tuple[Rows, list[Rows]]]:
    """For each direction the rows of the queries and of their items."""
    image = {number: row for row, number in enumerate(found.image_ids)}
    text = {number: row for row, number in enumerate(found.text_ids)}
    result = {}
    for direction, queries, own, items in (
        ("image_retrieval", "caption", text, image),
        ("text_retrieval", "image", image, text),
    ):
        truth = datasets.coco_ground_truth(home, name, queries=queries, check=check)
        rows, lists = [], []
        for query, relevant in truth.items():
            # A sixth caption of an image is in some ground truths and never in the 5K split.
            there = [items[i] for i in relevant if i in items]
            if query in own and there:
                rows.append(own[query])
                lists.append(np.array(there, dtype=np.intp))
        result[direction] = (np.array(rows, dtype=np.intp), lists)
    return result


def load_flickr30k(root: Path, context: Context) -> PairedData:
    """Flickr30K 1K by Karpathy's file or by the original ones."""
    folders = (root / "flickr30k-images", root / "flickr30k_images", root / "images", root)

    def read(split: str, check: bool) -> PairedData:
        if (root / "dataset_flickr30k.json").is_file():
            found = datasets.karpathy(root, "flickr30k", split, check=check)
        else:
            found = datasets.flickr30k(root, split, check=check)
        return paired_data(found, *folders)

    test = read("test", context.check)
    return PairedData(
        test.images, test.texts, test.image_of_text, another_split(lambda: read("val", False))
    )


def flickr8k_folders(root: Path) -> tuple[Path, ...]:
    """Where the pictures may lie; the official folder is misspelt."""
    names = ("Flicker8k_Dataset", "Flickr8k_Dataset", "images", "Images")
    return (*(root / name for name in names), root)


def load_flickr8k(root: Path, context: Context) -> PairedData:
    """Flickr8K 1K by Karpathy's file or by the original ones."""

    def read(split: str, check: bool) -> PairedData:
        if (root / "dataset_flickr8k.json").is_file():
            name = {"dev": "val"}.get(split, split)
            found = datasets.karpathy(root, "flickr8k", name, check=check)
        else:
            found = datasets.flickr8k(root, split, check=check)
        return paired_data(found, *flickr8k_folders(root))

    test = read("test", context.check)
    return PairedData(
        test.images, test.texts, test.image_of_text, another_split(lambda: read("dev", False))
    )


def load_table(root: Path, context: Context) -> PairedData:
    """A folder's own ``captions.tsv``."""
    from distnorm.embedding import find_items

    del context
    items = list(find_items(root))
    if any(item.path is None or item.text is None for item in items):
        raise DistnormError(f"{root} without captions.tsv", "path and caption", "write the table")
    place: dict[Path, int] = {}
    owner = [place.setdefault(Path(item.path or ""), len(place)) for item in items]
    texts = tuple(item.text or "" for item in items)
    return PairedData(tuple(place), texts, np.array(owner, dtype=np.intp))

"""Where the files of each data set lie below its folder, and how they become what is evaluated.

Test images are evaluated; another split gives statistics where it is there.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np

from distnorm import datasets
from distnorm.datasets.base import CaptionJudgements, LabelledImages, RetrievalSet
from distnorm.datasets.cifar100 import save_pictures
from distnorm.datasets.coco import read_ids
from distnorm.datasets.flickr8k import token_captions
from distnorm.errors import DistnormError
from distnorm.paper.prepared import (
    ClassData,
    Context,
    JudgedData,
    PairedData,
    Rows,
    another_split,
    class_data,
    home_of,
    paired_data,
    picture_paths,
)

__all__ = [
    "caltech101",
    "cars",
    "cifar100",
    "class_folders",
    "coco",
    "crowd",
    "expert",
    "flickr8k",
    "flickr30k",
    "flowers102",
    "ground_truth",
    "imagenet",
    "pascal50s",
    "sun397",
    "table",
    "thumb",
]


def _two_splits(
    load: Callable[..., LabelledImages], test: str, other: str, *, named: bool = False
) -> Callable[[Path, Context], ClassData]:
    """What reads a split that is evaluated, and another one for statistics."""

    def read(root: Path, context: Context) -> ClassData:
        names = {"names": context.names.get(load.__name__)} if named else {}
        found = load(root, test, check=context.check, **names)
        return class_data(found, root, lambda: load(root, other, check=False, **names))

    return read


imagenet = _two_splits(datasets.imagenet, "val", "train", named=True)
sun397 = _two_splits(datasets.sun397, "test", "train")
cars = _two_splits(datasets.stanford_cars, "test", "train")
flowers102 = _two_splits(datasets.flowers102, "test", "val", named=True)


def cifar100(root: Path, context: Context) -> ClassData:
    """Test images, written out as PNG; training images for statistics."""
    test = datasets.cifar100(root, "test", check=context.check)
    folder = context.work / "cifar100"
    paths = tuple(save_pictures(root, folder, "test"))
    train = another_split(lambda: datasets.cifar100(root, "train", check=False))
    if train is None:
        return ClassData(paths, test.labels, test.classes)

    def pool(rows: Rows) -> list[Path]:
        return save_pictures(root, folder, "train", rows)

    return ClassData(paths, test.labels, test.classes, len(train.images), pool)


def caltech101(root: Path, context: Context) -> ClassData:
    """All images: no other split is official."""
    return class_data(datasets.caltech101(root, check=context.check), root, None)


def class_folders(root: Path, context: Context) -> ClassData:
    """Any class folders; ``train`` beside ``test`` for statistics."""
    del context
    if (root / "test").is_dir():
        test = datasets.class_folders(root, "test")
        return class_data(test, root, lambda: datasets.class_folders(root, "train"))
    return class_data(datasets.class_folders(root), root, None)


_COCO_IDS = ("coco_test_ids.npy", "coco_test_ids.txt")


def coco(root: Path, context: Context) -> PairedData:
    """COCO 5K by Karpathy's file or by official annotations and ids; other ground truths."""
    folders = (root, root / "images", root / "val2014", root / "val2017")
    pool = None
    if (root / "dataset_coco.json").is_file():
        test = datasets.karpathy(root, "coco", "test", check=context.check)
        pool = another_split(
            lambda: paired_data(datasets.karpathy(root, "coco", "val", check=False), *folders)
        )
    else:
        names = [name for name in _COCO_IDS if (root / name).is_file()]
        if not names:
            raise DistnormError(
                f"{root} without the 5K test split",
                "dataset_coco.json, or coco_test_ids.npy beside captions_val2014.json",
                "get Karpathy's split",
            )
        annotations = home_of("captions_val2014.json", root / "annotations", root) or root
        # The ids that circulate under this name are those of the captions.
        test = datasets.coco_captions(
            annotations / "captions_val2014.json", caption_ids=read_ids(root / names[0])
        )
    truths = {}
    for name in ("cxc", "eccv"):
        places = (root, root / "eccv-caption", context.data / "eccv-caption")
        home = home_of(f"{name}_caption_to_image.json", *places)
        if home is not None and test.text_ids:
            truths[name] = ground_truth(test, home, name, context.check)
    return replace(paired_data(test, *folders), pool=pool, truths=truths)


def ground_truth(
    test: RetrievalSet, home: Path, name: str, check: bool
) -> dict[str, tuple[Rows, list[Rows], Rows]]:
    """For each direction the rows of the queries, those of their items, and R of each query.

    A sixth caption of an image is in some ground truths and never in the 5K split: it stays in R,
    as in the official evaluation.
    """
    image = {number: row for row, number in enumerate(test.image_ids)}
    text = {number: row for row, number in enumerate(test.text_ids)}
    truth = {}
    for direction, kind, queries, items in (
        ("image_retrieval", "caption", text, image),
        ("text_retrieval", "image", image, text),
    ):
        rows, lists, relevant_ones = [], [], []
        published = datasets.coco_ground_truth(home, name, queries=kind, check=check)
        for query, relevant in published.items():
            present = [items[i] for i in relevant if i in items]
            if query in queries and present:
                rows.append(queries[query])
                lists.append(np.array(present, dtype=np.intp))
                relevant_ones.append(len(relevant))
        counts = np.array(relevant_ones, dtype=np.intp)
        truth[direction] = (np.array(rows, dtype=np.intp), lists, counts)
    return truth


def flickr30k(root: Path, context: Context) -> PairedData:
    """Flickr30K 1K by Karpathy's file or by the original ones."""
    folders = [root / name for name in ("flickr30k-images", "flickr30k_images", "images", "")]
    data = _flickr(root, context, "flickr30k", "val", folders)
    return replace(data, pool=_rest(root, data)) if context.rest else data


def flickr8k(root: Path, context: Context) -> PairedData:
    """Flickr8K 1K by Karpathy's file or by the original ones."""
    return _flickr(root, context, "flickr8k", "dev", _flickr8k_folders(root))


def _flickr(
    root: Path, context: Context, name: str, other: str, folders: Sequence[Path]
) -> PairedData:
    original: Callable[..., RetrievalSet] = getattr(datasets, name)

    def read(split: str, check: bool) -> PairedData:
        if (root / f"dataset_{name}.json").is_file():
            karpathy = "val" if split == other else split
            return paired_data(datasets.karpathy(root, name, karpathy, check=check), *folders)
        return paired_data(original(root, split, check=check), *folders)

    return replace(read("test", context.check), pool=another_split(lambda: read(other, False)))


def _rest(root: Path, test: PairedData) -> PairedData | None:
    """Every image that is not evaluated and whose picture is beside the others, with captions."""
    captions: dict[str, list[str]] = {}
    token = root / "results_20130124.token"
    if token.is_file():
        captions = {image: list(texts) for image, texts in token_captions(token).items()}
    else:
        for split in ("train", "val"):
            part = datasets.karpathy(root, "flickr30k", split, check=False)
            for image, text in zip(part.image_of_text, part.texts, strict=True):
                captions.setdefault(part.images[image], []).append(text)
    evaluated, home = {path.name for path in test.images}, test.images[0].parent
    names = [name for name in captions if name not in evaluated and (home / name).is_file()]
    if not names:
        return None
    owner = np.repeat(np.arange(len(names)), [len(captions[name]) for name in names])
    return PairedData(
        tuple(home / name for name in names),
        tuple(text for name in names for text in captions[name]),
        owner.astype(np.intp),
        name=f"{len(names)} images, all that are not in the test split",
    )


def _flickr8k_folders(root: Path) -> list[Path]:
    """Where the pictures may lie; the official folder is misspelt."""
    names = ("Flicker8k_Dataset", "Flickr8k_Dataset", "images", "Images", "")
    return [root / name for name in names]


def table(root: Path, context: Context) -> PairedData:
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


def expert(root: Path, context: Context) -> JudgedData:
    """Experts, from the JSON form where it is there, else the text files."""
    return _judged_flickr8k(root, context, "expert", "flickr8k.json", datasets.flickr8k_expert)


def crowd(root: Path, context: Context) -> JudgedData:
    """The crowd, from the JSON form where it is there, else the text files."""
    file = "crowdflower_flickr8k.json"
    return _judged_flickr8k(root, context, "crowdflower", file, datasets.flickr8k_crowdflower)


def _judged_flickr8k(
    root: Path, context: Context, name: str, file: str, original: Callable[..., CaptionJudgements]
) -> JudgedData:
    folders = _flickr8k_folders(root)
    if (root / file).is_file():
        judged = datasets.flickr8k_json(root, name, check=context.check)
    else:
        judged = original(root, check=context.check)

    def unjudged() -> PairedData:
        """Images of the development and training splits that nobody judged, nor their texts."""
        images, captions = set(judged.images), {" ".join(t.split()) for t in judged.captions}
        names: list[str] = []
        texts: list[str] = []
        owner: list[int] = []
        for split in ("dev", "train"):
            data = another_split(partial(datasets.flickr8k, root, split, check=False))
            if data is None:
                continue
            for row, name in enumerate(data.images):
                rest = [data.texts[at] for at in np.flatnonzero(data.image_of_text == row)]
                rest = [text for text in rest if " ".join(text.split()) not in captions]
                if name not in images and rest:
                    texts += rest
                    owner += [len(names)] * len(rest)
                    names.append(name)
            if names:
                break
        if not names:
            raise DistnormError("no image that nobody judged", "another split", "get it")
        return PairedData(
            picture_paths(names, *folders), tuple(texts), np.array(owner, dtype=np.intp)
        )

    return JudgedData(
        judged, lambda: picture_paths(judged.images, *folders), lambda: another_split(unjudged)
    )


def thumb(root: Path, context: Context) -> JudgedData:
    """THumB, with pictures of its own or COCO's; COCO's validation split for statistics."""
    judged = datasets.thumb(root, check=context.check)
    coco = context.data / "coco"
    folders = (root / "images", root, coco / "val2014", coco / "images")

    def validation() -> PairedData:
        return paired_data(
            datasets.karpathy(coco, "coco", "val", check=False), coco, coco / "images"
        )

    return JudgedData(
        judged, lambda: picture_paths(judged.images, *folders), lambda: another_split(validation)
    )


def pascal50s(root: Path, context: Context) -> JudgedData:
    """Pascal-50S; statistics are held out."""
    pairs = datasets.pascal50s(root, check=context.check)
    folders = ("images", "VOC2010/JPEGImages", "VOCdevkit/VOC2010/JPEGImages", "")
    return JudgedData(
        pairs, lambda: picture_paths(pairs.images, *(root / name for name in folders))
    )

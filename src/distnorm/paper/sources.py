"""Where each data set lies below the data folder, and how it is read.

A data set's folder bears its name; aliases and pictures' folders are listed here. Nothing is read
before a run asks for it, and nothing is ever downloaded. ``folder:NAME`` is any folder of class
folders below the data folder, ``table:NAME`` any folder with ``captions.tsv``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from distnorm import datasets
from distnorm.datasets.base import CaptionJudgements, LabelledImages, RetrievalSet
from distnorm.datasets.cifar100 import save_pictures
from distnorm.datasets.coco import read_ids
from distnorm.errors import DistnormError

__all__ = ["SOURCES", "ClassData", "Context", "JudgedData", "PairedData", "Source", "find_source"]

Rows = npt.NDArray[np.intp]


@dataclass(frozen=True)
class Context:
    """What loaders may need beside the data folder.

    ``work`` holds pictures that have to be unpacked, ``names`` maps a data set to a file of class
    names, ``check`` compares counts with the published ones.
    """

    data: Path
    work: Path
    names: Mapping[str, Path] = field(default_factory=dict)
    check: bool = True


@dataclass(frozen=True)
class PairedData:
    """Retrieval: pictures, texts, who belongs to whom; another split for statistics, if any."""

    images: tuple[Path, ...]
    texts: tuple[str, ...]
    image_of_text: Rows
    pool: PairedData | None = None
    truths: Mapping[str, Mapping[str, tuple[Rows, list[Rows]]]] = field(default_factory=dict)


@dataclass(frozen=True)
class ClassData:
    """Classification: pictures, labels, names; ``pool(rows)`` gives paths of another split."""

    images: tuple[Path, ...]
    labels: Rows
    classes: tuple[str, ...]
    pool_size: int = 0
    pool: Callable[[Rows], list[Path]] | None = None


@dataclass(frozen=True)
class JudgedData:
    """Captions with judgements.

    ``pictures()`` finds the paths in the order of ``judged.images``, and ``pool()`` another split:
    word overlap needs neither.
    """

    judged: Any
    pictures: Callable[[], tuple[Path, ...]]
    pool: Callable[[], PairedData | None] = lambda: None


@dataclass(frozen=True)
class Source:
    """One data set.

    Attributes
    ----------
    name, task : str
    benchmark_name : str
        CLIP_benchmark's.
    folders : tuple of str
        Below the data folder, the first that there is.
    load : callable
        (folder, context) to data.
    template : str
        Of the authors' script.
    variant : str
        Of Kendall's tau, in the paper.
    """

    name: str
    task: str
    benchmark_name: str
    folders: tuple[str, ...]
    load: Callable[[Path, Context], Any] = field(repr=False)
    template: str = "a photo of a {c}."
    variant: str = "c"

    def read(self, context: Context) -> Any:
        """The data.

        Raises
        ------
        DistnormError
            If the folder or one of its files is missing or not as published.
        """
        for folder in self.folders:
            if (context.data / folder).is_dir():
                return self.load(context.data / folder, context)
        raise DistnormError(
            f"no folder {self.folders[0]} in {context.data}",
            f"{' or '.join(self.folders)}",
            "see the docs for the files that belong there",
        )


def find_source(name: str) -> Source:
    """A data set by its name, ``folder:NAME`` or ``table:NAME``.

    Raises
    ------
    DistnormError
        For an unknown name.
    """
    if name in SOURCES:
        return SOURCES[name]
    kind, _, folder = name.partition(":")
    if kind == "folder" and folder:
        return Source(name, "classification", folder, (folder,), _class_folders)
    if kind == "table" and folder:
        return Source(name, "retrieval", folder, (folder,), _table)
    raise DistnormError(
        f"data set {name!r}",
        f"one of {', '.join(SOURCES)}, folder:NAME or table:NAME",
        "rename it",
    )


def _pictures(names: Sequence[str], *folders: Path) -> tuple[Path, ...]:
    """Paths of pictures, all in the first folder that holds the first of them."""
    home = next((folder for folder in folders if (folder / names[0]).is_file()), None)
    if home is None:
        raise DistnormError(
            f"no picture {names[0]}",
            f"it in {' or '.join(map(str, folders))}",
            "unpack the pictures there",
        )
    paths = tuple(home / name for name in names)
    missing = [path for path in paths if not path.is_file()]
    if missing:
        raise DistnormError(
            f"{len(missing)} of {len(paths)} pictures missing, first {missing[0]}",
            "all of the split",
            "unpack the whole archive",
        )
    return paths


def _paired(found: RetrievalSet, *folders: Path) -> PairedData:
    return PairedData(_pictures(found.images, *folders), found.texts, found.image_of_text)


def _pool(read: Callable[[], PairedData]) -> PairedData | None:
    """Another split where it is there; its absence is no error, statistics are then held out."""
    try:
        return read()
    except DistnormError:
        return None


def _coco(root: Path, context: Context) -> PairedData:
    folders = (root, root / "images", root / "val2014", root / "val2017")
    pool = None
    if (root / "dataset_coco.json").is_file():
        found = datasets.karpathy(root, "coco", "test", check=context.check)
        pool = _pool(lambda: _paired(datasets.karpathy(root, "coco", "val", check=False), *folders))
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
    data = _paired(found, *folders)
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


def _flickr30k(root: Path, context: Context) -> PairedData:
    folders = (root / "flickr30k-images", root / "flickr30k_images", root / "images", root)

    def read(split: str, check: bool) -> PairedData:
        if (root / "dataset_flickr30k.json").is_file():
            found = datasets.karpathy(root, "flickr30k", split, check=check)
        else:
            found = datasets.flickr30k(root, split, check=check)
        return _paired(found, *folders)

    test = read("test", context.check)
    return PairedData(
        test.images, test.texts, test.image_of_text, _pool(lambda: read("val", False))
    )


def _flickr8k_folders(root: Path) -> tuple[Path, ...]:
    names = ("Flicker8k_Dataset", "Flickr8k_Dataset", "images", "Images")
    return (*(root / name for name in names), root)


def _flickr8k(root: Path, context: Context) -> PairedData:
    def read(split: str, check: bool) -> PairedData:
        if (root / "dataset_flickr8k.json").is_file():
            name = {"dev": "val"}.get(split, split)
            found = datasets.karpathy(root, "flickr8k", name, check=check)
        else:
            found = datasets.flickr8k(root, split, check=check)
        return _paired(found, *_flickr8k_folders(root))

    test = read("test", context.check)
    return PairedData(
        test.images, test.texts, test.image_of_text, _pool(lambda: read("dev", False))
    )


def _table(root: Path, context: Context) -> PairedData:
    from distnorm.embedding import find_items

    del context
    items = list(find_items(root))
    if any(item.path is None or item.text is None for item in items):
        raise DistnormError(f"{root} without captions.tsv", "path and caption", "write the table")
    place: dict[Path, int] = {}
    owner = [place.setdefault(Path(item.path or ""), len(place)) for item in items]
    texts = tuple(item.text or "" for item in items)
    return PairedData(tuple(place), texts, np.array(owner, dtype=np.intp))


def _classes(
    test: LabelledImages, root: Path, pool: Callable[[], LabelledImages] | None
) -> ClassData:
    paths = _pictures(test.images, root)
    other: LabelledImages | None = None
    if pool is not None:
        try:
            other = pool()
        except DistnormError:
            other = None
    if other is None:
        return ClassData(paths, test.labels, test.classes)
    names = other.images

    def chosen(rows: Rows) -> list[Path]:
        return list(_pictures([names[row] for row in rows], root))

    return ClassData(paths, test.labels, test.classes, len(names), chosen)


def _imagenet(root: Path, context: Context) -> ClassData:
    names = context.names.get("imagenet")
    test = datasets.imagenet(root, "val", names=names, check=context.check)
    pool = lambda: datasets.imagenet(root, "train", names=names, check=False)  # noqa: E731
    return _classes(test, root, pool)


def _cifar100(root: Path, context: Context) -> ClassData:
    test = datasets.cifar100(root, "test", check=context.check)
    folder = context.work / "cifar100"
    paths = tuple(save_pictures(root, folder, "test"))
    try:
        size = len(datasets.cifar100(root, "train", check=False).images)
    except DistnormError:
        return ClassData(paths, test.labels, test.classes)

    def chosen(rows: Rows) -> list[Path]:
        return save_pictures(root, folder, "train", rows)

    return ClassData(paths, test.labels, test.classes, size, chosen)


def _sun397(root: Path, context: Context) -> ClassData:
    test = datasets.sun397(root, "test", check=context.check)
    return _classes(test, root, lambda: datasets.sun397(root, "train", check=False))


def _cars(root: Path, context: Context) -> ClassData:
    test = datasets.stanford_cars(root, "test", check=context.check)
    return _classes(test, root, lambda: datasets.stanford_cars(root, "train", check=False))


def _caltech101(root: Path, context: Context) -> ClassData:
    return _classes(datasets.caltech101(root, check=context.check), root, None)


def _flowers102(root: Path, context: Context) -> ClassData:
    names = context.names.get("flowers102")
    test = datasets.flowers102(root, "test", names=names, check=context.check)
    return _classes(test, root, lambda: datasets.flowers102(root, "val", names=names, check=False))


def _class_folders(root: Path, context: Context) -> ClassData:
    del context
    if (root / "test").is_dir():
        test = datasets.class_folders(root, "test")
        return _classes(test, root, lambda: datasets.class_folders(root, "train"))
    return _classes(datasets.class_folders(root), root, None)


def _expert(root: Path, context: Context) -> JudgedData:
    if (root / "flickr8k.json").is_file():
        judged = datasets.flickr8k_json(root, "expert", check=context.check)
    else:
        judged = datasets.flickr8k_expert(root, check=context.check)
    return _judged_flickr8k(root, judged)


def _crowd(root: Path, context: Context) -> JudgedData:
    if (root / "crowdflower_flickr8k.json").is_file():
        judged = datasets.flickr8k_json(root, "crowdflower", check=context.check)
    else:
        judged = datasets.flickr8k_crowdflower(root, check=context.check)
    return _judged_flickr8k(root, judged)


def _judged_flickr8k(root: Path, judged: CaptionJudgements) -> JudgedData:
    folders = _flickr8k_folders(root)

    def unjudged() -> PairedData:
        """Images of the development and training splits that nobody judged, nor their texts."""
        known, said = set(judged.images), {" ".join(text.split()) for text in judged.captions}
        names: list[str] = []
        texts: list[str] = []
        owner: list[int] = []
        for split in ("dev", "train"):
            try:
                found = datasets.flickr8k(root, split, check=False)
            except DistnormError:
                continue
            for row, name in enumerate(found.images):
                own = [found.texts[at] for at in np.flatnonzero(found.image_of_text == row)]
                own = [text for text in own if " ".join(text.split()) not in said]
                if name not in known and own:
                    texts += own
                    owner += [len(names)] * len(own)
                    names.append(name)
            if names:
                break
        if not names:
            raise DistnormError("no image that nobody judged", "another split", "get it")
        return PairedData(_pictures(names, *folders), tuple(texts), np.array(owner, dtype=np.intp))

    return JudgedData(judged, lambda: _pictures(judged.images, *folders), lambda: _pool(unjudged))


def _thumb(root: Path, context: Context) -> JudgedData:
    judged = datasets.thumb(root, check=context.check)
    coco = context.data / "coco"
    folders = (root / "images", root, coco / "val2014", coco / "images")

    def validation() -> PairedData:
        found = datasets.karpathy(coco, "coco", "val", check=False)
        return _paired(found, coco, coco / "images")

    return JudgedData(judged, lambda: _pictures(judged.images, *folders), lambda: _pool(validation))


def _pascal50s(root: Path, context: Context) -> JudgedData:
    pairs = datasets.pascal50s(root, check=context.check)
    folders = ("images", "VOC2010/JPEGImages", "VOCdevkit/VOC2010/JPEGImages", "")
    return JudgedData(pairs, lambda: _pictures(pairs.images, *(root / name for name in folders)))


_FLICKR8K = ("flickr8k", "flickr8k-human-judgements")

SOURCES: dict[str, Source] = {
    source.name: source
    for source in (
        Source("coco", "retrieval", "mscoco_captions", ("coco", "mscoco"), _coco),
        Source("flickr30k", "retrieval", "flickr30k", ("flickr30k",), _flickr30k),
        Source("flickr8k", "retrieval", "flickr8k", _FLICKR8K, _flickr8k),
        Source("imagenet", "classification", "imagenet1k", ("imagenet", "imagenet1k"), _imagenet),
        Source("cifar100", "classification", "vtab/cifar100", ("cifar100",), _cifar100),
        Source("sun397", "classification", "sun397", ("sun397", "SUN397"), _sun397),
        Source(
            "stanford-cars",
            "classification",
            "cars",
            ("stanford-cars", "stanford_cars", "cars"),
            _cars,
            "a photo of a {c}",
        ),
        Source(
            "caltech101",
            "classification",
            "vtab/caltech101",
            ("caltech101", "caltech-101"),
            _caltech101,
        ),
        Source(
            "flowers102",
            "classification",
            "vtab/flowers",
            ("flowers102", "flowers-102"),
            _flowers102,
        ),
        Source("flickr8k-expert", "captions", "flickr8k_expert", _FLICKR8K, _expert),
        Source("flickr8k-cf", "captions", "flickr8k_cf", _FLICKR8K, _crowd, variant="b"),
        Source("thumb", "captions", "thumb", ("thumb", "thumb-mscoco"), _thumb),
        Source("pascal50s", "captions", "pascal50s", ("pascal50s", "pascal"), _pascal50s),
    )
}

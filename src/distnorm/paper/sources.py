"""Where each data set lies below the data folder, and how it is read.

A data set's folder bears its name; aliases and pictures' folders are listed here. Nothing is read
before a run asks for it, and nothing is ever downloaded. ``folder:NAME`` is any folder of class
folders below the data folder, ``table:NAME`` any folder with ``captions.tsv``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from distnorm.errors import DistnormError
from distnorm.paper import loaders
from distnorm.paper.prepared import Context

__all__ = ["SOURCES", "Source", "find_source"]


@dataclass(frozen=True)
class Source:
    """One data set: its name here and in CLIP_benchmark, its folders, the first of which counts.

    ``template`` is that of the authors' script; ``store`` names whose embeddings it shares.
    """

    name: str
    task: str
    benchmark_name: str
    folders: tuple[str, ...]
    load: Callable[[Path, Context], Any] = field(repr=False)
    template: str = "a photo of a {c}."
    store: str = ""

    @property
    def stored(self) -> str:
        """Name of the stores."""
        return self.store or self.name

    def read(self, context: Context) -> Any:
        """The data, if folder and files are there and as published."""
        for folder in self.folders:
            if (context.data / folder).is_dir():
                return self.load(context.data / folder, context)
        raise DistnormError(
            f"no folder {self.folders[0]} in {context.data}",
            f"{' or '.join(self.folders)}",
            "see the docs for the files that belong there",
        )


def find_source(name: str) -> Source:
    """A data set by its name, ``folder:NAME`` or ``table:NAME``."""
    if name in SOURCES:
        return SOURCES[name]
    kind, _, folder = name.partition(":")
    if kind == "folder" and folder:
        return Source(name, "classification", folder, (folder,), loaders.class_folders)
    if kind == "table" and folder:
        return Source(name, "retrieval", folder, (folder,), loaders.table)
    raise DistnormError(
        f"data set {name!r}", f"one of {', '.join(SOURCES)}, folder:NAME or table:NAME", "rename it"
    )


_RETRIEVAL, _CLASSES, _CAPTIONS = "retrieval", "classification", "captions"
_FLICKR8K = ("flickr8k", "flickr8k-human-judgements")
_CARS = ("stanford-cars", "stanford_cars", "cars")

SOURCES: dict[str, Source] = {
    source.name: source
    for source in (
        Source("coco", _RETRIEVAL, "mscoco_captions", ("coco", "mscoco"), loaders.coco),
        Source("flickr30k", _RETRIEVAL, "flickr30k", ("flickr30k",), loaders.flickr30k),
        Source("flickr8k", _RETRIEVAL, "flickr8k", _FLICKR8K, loaders.flickr8k),
        Source("imagenet", _CLASSES, "imagenet1k", ("imagenet", "imagenet1k"), loaders.imagenet),
        Source("cifar100", _CLASSES, "vtab/cifar100", ("cifar100",), loaders.cifar100),
        Source("sun397", _CLASSES, "sun397", ("sun397", "SUN397"), loaders.sun397),
        Source("stanford-cars", _CLASSES, "cars", _CARS, loaders.cars, "a photo of a {c}"),
        Source(
            "caltech101",
            _CLASSES,
            "vtab/caltech101",
            ("caltech101", "caltech-101"),
            loaders.caltech101,
        ),
        Source(
            "flowers102",
            _CLASSES,
            "vtab/flowers",
            ("flowers102", "flowers-102"),
            loaders.flowers102,
        ),
        Source(
            "flickr8k-expert",
            _CAPTIONS,
            "flickr8k_expert",
            _FLICKR8K,
            loaders.expert,
            store="flickr8k",
        ),
        Source("flickr8k-cf", _CAPTIONS, "flickr8k_cf", _FLICKR8K, loaders.crowd, store="flickr8k"),
        Source("thumb", _CAPTIONS, "thumb", ("thumb", "thumb-mscoco"), loaders.thumb, store="coco"),
        Source("pascal50s", _CAPTIONS, "pascal50s", ("pascal50s", "pascal"), loaders.pascal50s),
    )
}

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
from distnorm.paper.classes import (
    load_caltech101,
    load_cars,
    load_cifar100,
    load_class_folders,
    load_flowers102,
    load_imagenet,
    load_sun397,
)
from distnorm.paper.judged import load_crowd, load_expert, load_pascal50s, load_thumb
from distnorm.paper.paired import load_coco, load_flickr8k, load_flickr30k, load_table
from distnorm.paper.prepared import Context

__all__ = ["SOURCES", "Source", "find_source"]


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
    store : str
        Whose embeddings are shared, where data sets have pictures in common.
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
        return Source(name, "classification", folder, (folder,), load_class_folders)
    if kind == "table" and folder:
        return Source(name, "retrieval", folder, (folder,), load_table)
    raise DistnormError(
        f"data set {name!r}",
        f"one of {', '.join(SOURCES)}, folder:NAME or table:NAME",
        "rename it",
    )


_FLICKR8K = ("flickr8k", "flickr8k-human-judgements")

SOURCES: dict[str, Source] = {
    source.name: source
    for source in (
        Source("coco", "retrieval", "mscoco_captions", ("coco", "mscoco"), load_coco),
        Source("flickr30k", "retrieval", "flickr30k", ("flickr30k",), load_flickr30k),
        Source("flickr8k", "retrieval", "flickr8k", _FLICKR8K, load_flickr8k),
        Source(
            "imagenet", "classification", "imagenet1k", ("imagenet", "imagenet1k"), load_imagenet
        ),
        Source("cifar100", "classification", "vtab/cifar100", ("cifar100",), load_cifar100),
        Source("sun397", "classification", "sun397", ("sun397", "SUN397"), load_sun397),
        Source(
            "stanford-cars",
            "classification",
            "cars",
            ("stanford-cars", "stanford_cars", "cars"),
            load_cars,
            "a photo of a {c}",
        ),
        Source(
            "caltech101",
            "classification",
            "vtab/caltech101",
            ("caltech101", "caltech-101"),
            load_caltech101,
        ),
        Source(
            "flowers102",
            "classification",
            "vtab/flowers",
            ("flowers102", "flowers-102"),
            load_flowers102,
        ),
        Source(
            "flickr8k-expert",
            "captions",
            "flickr8k_expert",
            _FLICKR8K,
            load_expert,
            store="flickr8k",
        ),
        Source("flickr8k-cf", "captions", "flickr8k_cf", _FLICKR8K, load_crowd, store="flickr8k"),
        Source("thumb", "captions", "thumb", ("thumb", "thumb-mscoco"), load_thumb, store="coco"),
        Source("pascal50s", "captions", "pascal50s", ("pascal50s", "pascal"), load_pascal50s),
    )
}

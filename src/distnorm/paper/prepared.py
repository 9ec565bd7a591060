"""Data sets as the benchmark takes them: paths of pictures, texts, and what belongs together."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from distnorm.datasets.base import LabelledImages, RetrievalSet
from distnorm.errors import DistnormError

__all__ = [
    "ClassData",
    "Context",
    "JudgedData",
    "PairedData",
    "Rows",
    "another_split",
    "class_data",
    "home_of",
    "paired_data",
    "picture_paths",
]

Rows = npt.NDArray[np.intp]
_Split = TypeVar("_Split")


@dataclass(frozen=True)
class Context:
    """What loaders may need beside the data folder.

    ``work`` holds pictures that have to be unpacked, ``names`` maps a data set to a file of class
    names, ``check`` compares counts with the published ones. With ``rest`` the pool of Flickr30K
    is every image outside the test split, as in the authors' later script.
    """

    data: Path
    work: Path
    names: Mapping[str, Path] = field(default_factory=dict)
    check: bool = True
    rest: bool = False


@dataclass(frozen=True)
class PairedData:
    """Retrieval: pictures, texts, who belongs to whom; another split for statistics, if any.

    ``name`` is what it is called where it gives statistics.
    """

    images: tuple[Path, ...]
    texts: tuple[str, ...]
    image_of_text: Rows
    pool: PairedData | None = None
    truths: Mapping[str, Mapping[str, tuple[Rows, list[Rows], Rows]]] = field(default_factory=dict)
    name: str = "another split"


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
    """Captions with judgements; word overlap needs neither the pictures nor another split.

    ``pictures()`` finds the paths in the order of ``judged.images``, ``pool()`` another split.
    """

    judged: Any
    pictures: Callable[[], tuple[Path, ...]]
    pool: Callable[[], PairedData | None] = lambda: None


def home_of(name: str, *folders: Path) -> Path | None:
    """The first folder that holds a file, None if none does."""
    return next((folder for folder in folders if (folder / name).is_file()), None)


def picture_paths(names: Sequence[str], *folders: Path) -> tuple[Path, ...]:
    """Paths of pictures, all in the first folder that holds the first of them."""
    home = home_of(names[0], *folders)
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


def paired_data(data: RetrievalSet, *folders: Path) -> PairedData:
    """A retrieval set with the paths of its pictures."""
    return PairedData(picture_paths(data.images, *folders), data.texts, data.image_of_text)


def another_split(read: Callable[[], _Split | None]) -> _Split | None:
    """Another split where it is there; its absence is no error, statistics are then held out."""
    try:
        return read()
    except DistnormError:
        return None


def class_data(
    test: LabelledImages, root: Path, pool: Callable[[], LabelledImages] | None
) -> ClassData:
    """A classification set with its paths; a pool that is not there is left out."""
    paths = picture_paths(test.images, root)
    other = None if pool is None else another_split(pool)
    if other is None:
        return ClassData(paths, test.labels, test.classes)
    names = other.images

    def chosen(rows: Rows) -> list[Path]:
        return list(picture_paths([names[row] for row in rows], root))

    return ClassData(paths, test.labels, test.classes, len(names), chosen)

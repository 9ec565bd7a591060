"""What loaders give, and how they complain."""

from __future__ import annotations

import functools
import json
import os
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import numpy as np
import numpy.typing as npt

from distnorm.embedding.items import PICTURES
from distnorm.errors import DistnormError
from distnorm.system.lines import text_lines

__all__ = [
    "CaptionJudgements",
    "LabelledImages",
    "PreferredCaptions",
    "RetrievalSet",
    "check_counts",
    "check_split",
    "find_file",
    "find_folder",
    "labelled_images",
    "official",
    "parse_lines",
    "picture_names",
    "read_json",
    "read_names",
    "reason",
    "retrieval_set",
]

Rows = npt.NDArray[np.intp]
_P = ParamSpec("_P")
_T = TypeVar("_T")
# What code meets that reads fields of other kinds than it expects, or none.
_DAMAGES = (LookupError, TypeError, ValueError, AttributeError, ArithmeticError)


@dataclass(frozen=True)
class CaptionJudgements:
    """Captions that people judged.

    Attributes
    ----------
    name : str
    images : tuple of str
        File names.
    captions : tuple of str
        One entry per judgement: a pair judged three times stands there three times.
    image_of_caption : ndarray of int, shape (n,)
    human : ndarray of float, shape (n,)
    references : tuple of tuples of str
        For each image.
    systems : tuple of str
        Who wrote each caption, where that is known.
    """

    name: str
    images: tuple[str, ...]
    captions: tuple[str, ...] = field(repr=False)
    image_of_caption: Rows = field(repr=False)
    human: npt.NDArray[np.float64] = field(repr=False)
    references: tuple[tuple[str, ...], ...] = field(repr=False)
    systems: tuple[str, ...] = field(default=(), repr=False)


@dataclass(frozen=True)
class RetrievalSet:
    """Images and their texts.

    Attributes
    ----------
    name : str
    images : tuple of str
        File names.
    texts : tuple of str
    image_of_text : ndarray of int, shape (n_texts,)
    image_ids, text_ids : tuple of int
        The data set's own numbers, where it has any.
    """

    name: str
    images: tuple[str, ...]
    texts: tuple[str, ...] = field(repr=False)
    image_of_text: Rows = field(repr=False)
    image_ids: tuple[int, ...] = field(default=(), repr=False)
    text_ids: tuple[int, ...] = field(default=(), repr=False)


@dataclass(frozen=True)
class LabelledImages:
    """Images of known classes.

    Attributes
    ----------
    name : str
    images : tuple of str
        Paths below the root that the loader was given.
    labels : ndarray of int, shape (n,)
        Row of ``classes`` of each image.
    classes : tuple of str
        Names as they go into a prompt; several classes may share one.
    """

    name: str
    images: tuple[str, ...] = field(repr=False)
    labels: Rows = field(repr=False)
    classes: tuple[str, ...] = field(repr=False)

    def __post_init__(self) -> None:
        """Labels must number the classes."""
        if self.labels.shape != (len(self.images),) or not self.images:
            raise DistnormError(
                f"{len(self.images)} images and {len(self.labels)} labels in {self.name}",
                "as many, and one at least",
                "get the official files again",
            )
        if self.labels.min() < 0 or self.labels.max() >= len(self.classes):
            raise DistnormError(
                f"labels {self.labels.min()} to {self.labels.max()} in {self.name}",
                f"0 to {len(self.classes) - 1}",
                "the labels are of another version than the class names",
            )


@dataclass(frozen=True)
class PreferredCaptions:
    """Pairs of captions of one image, with what people preferred.

    Attributes
    ----------
    name : str
    images : tuple of str
        File names, each once.
    image_of_pair : ndarray of int, shape (n,)
    first, second : tuple of str, n each
    votes : ndarray of int, shape (n, 2)
        How many preferred the first and the second.
    references : tuple of tuples of str, n
    categories : tuple of str, n
    """

    name: str
    images: tuple[str, ...]
    image_of_pair: Rows = field(repr=False)
    first: tuple[str, ...] = field(repr=False)
    second: tuple[str, ...] = field(repr=False)
    votes: npt.NDArray[np.int64] = field(repr=False)
    references: tuple[tuple[str, ...], ...] = field(repr=False)
    categories: tuple[str, ...] = field(repr=False)


def official(load: Callable[_P, _T]) -> Callable[_P, _T]:
    """A loader that says so where its files are not as they were published.

    What they lack, or hold of another kind, shows as an error of Python somewhere in the loader.
    """

    @functools.wraps(load)
    def loaded(*words: _P.args, **options: _P.kwargs) -> _T:
        try:
            return load(*words, **options)
        except DistnormError:
            raise
        except (*_DAMAGES, OSError) as error:
            root = words[0] if words else options.get("root", "the folder")
            raise DistnormError(
                f"{root}, whose files are not as published ({reason(error)})",
                f"the official files of {load.__name__}",
                "get them again",
            ) from error

    return loaded


def reason(error: BaseException) -> str:
    """What went wrong, in a few words."""
    text = " ".join(str(error).split())
    words = f"no {text}" if isinstance(error, KeyError) else text or type(error).__name__
    return words if len(words) < 100 else f"{words[:100]}..."


def find_file(root: str | Path, *names: str, what: str) -> Path:
    """The first of some names that there is under ``root``; the error lists all of them."""
    for name in names:
        path = Path(root) / name
        if path.is_file():
            return path
    raise DistnormError(
        f"{root} without {what}", " or ".join(names), "get the official file and put it there"
    )


def find_folder(root: str | Path, *names: str, what: str) -> Path:
    """The first of some folders that there is under ``root``; "" is ``root`` itself."""
    for name in names:
        path = Path(root) / name
        if path.is_dir():
            return path
    raise DistnormError(
        f"{root} without {what}",
        " or ".join(f"{name}/" for name in names),
        "unpack the official archive there",
    )


def picture_names(folder: Path) -> list[str]:
    """Names of the pictures in one folder, sorted."""
    with os.scandir(folder) as entries:
        return sorted(
            entry.name
            for entry in entries
            if entry.name.lower().endswith(PICTURES) and not entry.name.startswith(".")
        )


def read_json(path: Path) -> Any:
    """The content of a JSON file."""
    if not path.is_file():
        raise DistnormError(f"no file {path}", "the official file", "get it and put it there")
    try:
        return json.loads(path.read_text("utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise DistnormError(
            f"{path}, which is no JSON", "the whole file", "get it again"
        ) from error


def parse_lines(path: Path, parse: Callable[[str], Any]) -> list[Any]:
    """Every line that is not empty, parsed; the error names the first that cannot be."""
    values = []
    for number, line in enumerate(text_lines(path), start=1):
        if not line.strip():
            continue
        try:
            values.append(parse(line))
        except (*_DAMAGES, RecursionError) as error:
            raise DistnormError(
                f"line {number} of {path}, unreadable", "the official format", "get the file again"
            ) from error
    return values


def read_names(path: Path) -> Any:
    """Class names: the content of a ``.json``, or one name per line."""
    return read_json(path) if path.suffix == ".json" else parse_lines(path, str.strip)


def check_split(split: str, splits: Collection[str]) -> None:
    """Raise a DistnormError for a split that the data set does not have."""
    if split not in splits:
        choices = " or ".join(splits) if len(splits) == 2 else f"one of {', '.join(splits)}"
        raise DistnormError(f"split {split!r}", choices, "rename it")


def check_counts(
    name: str, counts: Mapping[str, int], published: Mapping[str, Sequence[int]]
) -> None:
    """Compare counts with the published ones (several, where versions circulate)."""
    for what, numbers in published.items():
        if counts[what] not in numbers:
            raise DistnormError(
                f"{counts[what]} {what} in {name}",
                " or ".join(map(str, numbers)),
                "the file is cut or another version; pass check=False to use it all the same",
            )


def labelled_images(
    title: str,
    images: Sequence[str],
    labels: npt.ArrayLike,
    classes: Sequence[str],
    published: tuple[int, int] | None,
) -> LabelledImages:
    """Images of a split, if its numbers of images and classes are the published ones.

    The name is the title's, in lower case with hyphens; None does not check.
    """
    if published is not None:
        counts = {"images": len(images), "classes": len(classes)}
        check_counts(title, counts, {name: [n] for name, n in zip(counts, published, strict=True)})
    name = title.lower().replace(" ", "-")
    rows = np.asarray(labels, dtype=np.intp)
    return LabelledImages(name, tuple(images), rows, tuple(map(str, classes)))


def retrieval_set(
    title: str,
    images: Sequence[str],
    captions: Sequence[Sequence[str]],
    published: Mapping[str, Sequence[int]],
) -> RetrievalSet:
    """Images with the captions of each, if their numbers are the published ones."""
    texts = tuple(text for part in captions for text in part)
    check_counts(title, {"images": len(images), "captions": len(texts)}, published)
    owner = np.repeat(np.arange(len(images)), [len(part) for part in captions])
    return RetrievalSet(title.lower().replace(" ", "-"), tuple(images), texts, owner)

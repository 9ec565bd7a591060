"""What loaders give, and how they complain."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from distnorm.embedding.items import PICTURES
from distnorm.errors import DistnormError, require

__all__ = [
    "CaptionJudgements",
    "LabelledImages",
    "PreferredCaptions",
    "RetrievalSet",
    "check_counts",
    "json_lines",
    "parse_lines",
    "picture_names",
    "read_json",
    "read_mat",
    "wanted_file",
    "wanted_folder",
]

Rows = npt.NDArray[np.intp]


@dataclass(frozen=True)
class CaptionJudgements:
    """Captions that people judged.

    Attributes
    ----------
    name : str
    images : tuple of str
        File names.
    captions : tuple of str
        One entry a judgement: a pair judged three times stands there three times.
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
        if len(self.labels) != len(self.images) or not self.images:
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


def wanted_file(root: str | Path, *names: str, what: str) -> Path:
    """The first of some names that there is under ``root``.

    Raises
    ------
    DistnormError
        Naming the files that would do.
    """
    for name in names:
        path = Path(root) / name
        if path.is_file():
            return path
    raise DistnormError(
        f"{root} without {what}", " or ".join(names), "get the official file and put it there"
    )


def wanted_folder(root: str | Path, *names: str, what: str) -> Path:
    """The first of some folders that there is under ``root``; "" is ``root`` itself.

    Raises
    ------
    DistnormError
        Naming the folders that would do.
    """
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
    """The content of a JSON file.

    Raises
    ------
    DistnormError
        For a missing or damaged file.
    """
    if not path.is_file():
        raise DistnormError(f"no file {path}", "the official file", "get it and put it there")
    try:
        return json.loads(path.read_text("utf-8"))
    except ValueError as error:
        raise DistnormError(
            f"{path}, which is no JSON", "the whole file", "get it again"
        ) from error


def read_mat(path: Path, *names: str) -> dict[str, Any]:
    """Variables of a MATLAB file, sizes of 1 squeezed; needs SciPy.

    Raises
    ------
    DistnormError
        For a damaged file, or one without the variables.
    MissingExtraError
        Without SciPy.
    """
    scipy = require("scipy.io", "datasets")
    try:
        found: dict[str, Any] = scipy.loadmat(path, squeeze_me=True)
    except Exception as error:  # SciPy's reader raises whatever the damage leads to.
        raise DistnormError(
            f"{path}, unreadable", "a MATLAB file of version 5", "get the official file"
        ) from error
    missing = [name for name in names if name not in found]
    if missing:
        raise DistnormError(
            f"{path} without {', '.join(missing)}", "the official file", "get it again"
        )
    return found


def parse_lines(path: Path, parse: Callable[[str], Any]) -> list[Any]:
    """Every line that is not empty, parsed.

    Raises
    ------
    DistnormError
        With the number of the first line that cannot be read.
    """
    found = []
    try:
        lines = path.read_text("utf-8").splitlines()
    except UnicodeDecodeError as error:
        raise DistnormError(f"{path}, which is no UTF-8", "the official file", "get it") from error
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            found.append(parse(line))
        except (ValueError, KeyError, IndexError, TypeError) as error:
            raise DistnormError(
                f"line {number} of {path}, unreadable", "the official format", "get the file again"
            ) from error
    return found


def json_lines(path: Path) -> list[Any]:
    """JSON lines, whatever the file is called."""
    return parse_lines(path, json.loads)


def check_counts(
    name: str, found: Mapping[str, int], published: Mapping[str, Sequence[int]]
) -> None:
    """Compare counts with the published ones (several, where versions circulate).

    Raises
    ------
    DistnormError
        Naming the first that differs.
    """
    for what, numbers in published.items():
        if found[what] not in numbers:
            raise DistnormError(
                f"{found[what]} {what} in {name}",
                " or ".join(map(str, numbers)),
                "the file is cut or another version; pass check=False to use it all the same",
            )

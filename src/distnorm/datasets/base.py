"""What loaders give, and how they complain."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from distnorm.errors import DistnormError

__all__ = [
    "CaptionJudgements",
    "RetrievalSet",
    "check_counts",
    "json_lines",
    "read_lines",
    "wanted_file",
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
    """

    name: str
    images: tuple[str, ...]
    texts: tuple[str, ...] = field(repr=False)
    image_of_text: Rows = field(repr=False)


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


def read_lines(path: Path, parse: Callable[[str], Any]) -> list[Any]:
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
    return read_lines(path, json.loads)


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

"""CIFAR-100 in its official Python version (Krizhevsky 2009).

Files under the root: ``cifar-100-python/{train,test,meta}`` (or those three in the root itself),
50,000 and 10,000 pictures of 32 x 32. They are pickles: nothing but NumPy arrays, strings and
numbers is unpickled.
"""

from __future__ import annotations

import pickle
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from distnorm.datasets.base import LabelledImages, check_split, find_file, labelled_images, official
from distnorm.errors import DistnormError, first_line, require
from distnorm.system.trial import trial

__all__ = ["cifar100", "cifar100_pixels", "save_pictures"]

_COUNTS = {"train": 50000, "test": 10000}
# For the child that tries a pickle.
_SECONDS = 120.0


@official
def cifar100(root: str | Path, split: str = "test", *, check: bool = True) -> LabelledImages:
    """Names (``test/00000.png``), labels and classes; `save_pictures` writes the pictures."""
    content = _content(root, split)
    classes = _unpickled(_file(root, "meta")).get(b"fine_label_names")
    labels = content.get(b"fine_labels", ())
    if not isinstance(classes, list) or not all(isinstance(name, bytes) for name in classes):
        raise DistnormError(f"{root} without fine label names", "the official meta", "get it")
    names = [_name(split, row) for row in range(len(labels))]
    words = [name.decode().replace("_", " ") for name in classes]
    published = (_COUNTS[split], 100) if check else None
    data = labelled_images(f"CIFAR-100 {split}", names, labels, words, published)
    return replace(data, name=f"cifar100-{split}")


@official
def cifar100_pixels(root: str | Path, split: str = "test") -> npt.NDArray[np.uint8]:
    """Pictures of a split, uint8, shape (n, 32, 32, 3)."""
    content = _content(root, split)
    data, labels = np.asarray(content.get(b"data")), content.get(b"fine_labels", ())
    if data.dtype != np.uint8 or data.ndim != 2 or data.shape != (len(labels), 3072):
        raise DistnormError(
            f"CIFAR-100 data of shape {data.shape} and dtype {data.dtype}",
            f"({len(labels)}, 3072) uint8",
            "get the file",
        )
    pixels: npt.NDArray[np.uint8] = data.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
    return pixels


def save_pictures(
    root: str | Path, folder: Path, split: str = "test", rows: Any = None
) -> list[Path]:
    """Write pictures as PNG below ``folder``, those that are not there yet; their paths.

    ``rows`` are those of the pictures, all if left out.
    """
    image = require("PIL.Image", "datasets")
    (folder / split).mkdir(parents=True, exist_ok=True)
    pixels = cifar100_pixels(root, split)
    paths = []
    for row in range(len(pixels)) if rows is None else rows:
        path = folder / _name(split, int(row))
        if not path.exists():
            half = path.with_suffix(".half")
            image.fromarray(np.ascontiguousarray(pixels[row])).save(half, format="PNG")
            half.replace(path)
        paths.append(path)
    return paths


def _name(split: str, row: int) -> str:
    return f"{split}/{row:05d}.png"


def _file(root: str | Path, name: str) -> Path:
    return find_file(root, f"cifar-100-python/{name}", name, what=f"CIFAR-100's {name}")


def _content(root: str | Path, split: str) -> dict[bytes, Any]:
    check_split(split, _COUNTS)
    return _unpickled(_file(root, split))


class _ArraysOnly(pickle.Unpickler):
    """Refuses every global but what NumPy's arrays are made of."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) in (("numpy", "ndarray"), ("numpy", "dtype")):
            return getattr(np, name)
        if name == "_reconstruct" and module in ("numpy.core.multiarray", "numpy._core.multiarray"):
            return np.empty(0).__reduce__()[0]
        if (module, name) == ("_codecs", "encode"):
            return _encoded
        raise pickle.UnpicklingError(f"{module}.{name}")


def _encoded(text: str, encoding: str) -> bytes:
    return text.encode(encoding)


def _loaded(path: Path) -> Any:
    with path.open("rb") as file:
        return _ArraysOnly(file, encoding="bytes").load()


def _unpickled(path: Path) -> dict[bytes, Any]:
    # Python's own reader of pickles may end the process at a damaged one.
    wrong = trial(lambda: _loaded(path), _SECONDS)
    if wrong:
        got = f"{path}, which {wrong}"
        raise DistnormError(got, "the official pickle of arrays", "get it again")
    try:
        table = _loaded(path)
    except Exception as error:  # A damaged pickle raises whatever its bytes lead to.
        got = f"{path}, unreadable ({first_line(error)})"
        raise DistnormError(got, "the official pickle of arrays", "get it again") from error
    if not isinstance(table, dict):
        raise DistnormError(f"{path} without a table", "the official pickle", "get it again")
    return table

"""One picture's way from a file to pixels, in whatever process."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from distnorm.embedding.items import Item
from distnorm.embedding.pictures import decode_picture, read_contents
from distnorm.errors import DistnormError

__all__ = ["Decoded", "Job", "Recipe", "decode", "serve"]


@dataclass(frozen=True)
class Recipe:
    """What is made of every picture by an encoder's ``preprocess``.

    ``full`` decodes every pixel of large JPEGs, as libraries do that know nothing of the model.
    """

    preprocess: Callable[[Any], npt.NDArray[Any]]
    shape: tuple[int, ...]
    dtype: str
    full: bool = False

    @classmethod
    def of(cls, preprocess: Callable[[Any], npt.NDArray[Any]], *, full: bool = False) -> Recipe:
        """The recipe of an encoder's ``preprocess``, tried on a blank picture."""
        from PIL import Image

        pixels = np.asarray(preprocess(Image.new("RGB", (48, 36))))
        return cls(preprocess, pixels.shape, pixels.dtype.str, full)

    @property
    def nbytes(self) -> int:
        """Bytes of one picture's pixels."""
        return int(np.prod(self.shape)) * np.dtype(self.dtype).itemsize

    @property
    def size(self) -> tuple[int, int] | None:
        """Width and height that a picture ends up with, None to decode in full."""
        sides = [n for n in self.shape if n > 4]
        if self.full or len(sides) != 2:
            return None
        return max(sides), max(sides)


@dataclass(frozen=True, slots=True)
class Decoded:
    """What became of a picture: pixels (elsewhere), the content that was expected, or a reason."""

    digest: bytes = b""
    width: int = 0
    height: int = 0
    size: int = 0
    mtime: int = 0
    reason: str | None = None
    dim: bool = False


@dataclass(eq=False)
class Job:
    """A picture on its way: which slot its pixels go to, who waits for it, what became of it.

    ``expected`` is the hash that its content had before.
    """

    item: Item
    expected: bytes | None = None
    slot: int | None = None
    tries: int = 0
    users: int = 0
    result: Decoded | None = None
    taken: bool = False
    row: npt.NDArray[np.float32] | None = field(default=None, repr=False)


def decode(item: Item, expected: bytes | None, recipe: Recipe, out: npt.NDArray[Any]) -> Decoded:
    """Write a picture's pixels to ``out``, unless the content is as expected."""
    path = item.path or ""
    try:
        contents = read_contents(path, item.offset, item.length, item.content)
        if contents.digest == expected:
            return Decoded(contents.digest, 0, 0, contents.size, contents.mtime)
        picture, shape = decode_picture(contents.data, path, recipe.size)
        pixels = recipe.preprocess(picture)
        if pixels.shape != recipe.shape:
            return Decoded(reason=f"pixels of shape {pixels.shape}, not {recipe.shape}")
        out[...] = pixels
        return Decoded(
            contents.digest, shape.width, shape.height, contents.size, contents.mtime, dim=shape.dim
        )
    except DistnormError as error:
        if isinstance(error, ImportError):
            raise
        return Decoded(reason=error.got.removeprefix(f"{path}: "))
    except Exception as error:  # the encoder's own preprocess
        return Decoded(reason=f"{type(error).__name__}: {' '.join(str(error).split())}"[:400])


def serve(connection: Any, shared: Any, recipe: Recipe) -> None:
    """A worker process: tasks in, pixels into shared memory, results out, until the line ends."""
    # Ctrl-C goes to the whole group; the main process says when to stop.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(1)
    slots = np.frombuffer(shared, dtype=np.uint8).reshape(-1, recipe.nbytes)
    try:
        connection.send(None)
        while True:
            slot, item, expected = connection.recv()
            out = slots[slot].view(recipe.dtype).reshape(recipe.shape)
            connection.send(decode(item, expected, recipe, out))
    except (EOFError, OSError):
        # The main process has gone, in whatever way.
        os._exit(0)

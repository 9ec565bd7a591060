"""Encoders around an encoder, so that ordinary stores hold more than unit rows of pictures.

A store keeps directions alone. `RawEncoder` writes a raw row x as the direction of [x, 1]: one
more coordinate u, from which x = u[:d] / u[d] comes back (homogeneous coordinates). `ViewEncoder`
averages several views of each picture.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from distnorm.augmentation.views import count_views, views_of
from distnorm.encoders.base import Encoder, unit_rows
from distnorm.errors import DistnormError

__all__ = ["RawEncoder", "ViewEncoder", "raw_rows"]

_BATCH = 256

Rows = npt.NDArray[np.float32]


class _Around(Encoder):
    """What an encoder around another has of it."""

    def __init__(self, inner: Any, suffix: str) -> None:
        self.inner = inner
        self.model_id = f"{inner.model_id}#{suffix}"
        self.dimension = int(inner.dimension)
        self.temperature = inner.temperature
        self.prompts = inner.prompts
        self.max_tokens = inner.max_tokens
        self.preprocess = inner.preprocess

    def count_tokens(self, texts: Sequence[str]) -> npt.NDArray[np.intp]:
        """As the inner encoder's."""
        counts: npt.NDArray[np.intp] = self.inner.count_tokens(texts)
        return counts

    def _encode_texts(self, texts: Sequence[str]) -> Rows:
        rows: Rows = self.inner.encode_texts(texts, normalize=False, batch_size=len(texts))
        return rows


class RawEncoder(_Around):
    """Rows [x, 1] of another encoder's raw rows x; see `raw_rows`."""

    def __init__(self, inner: Any) -> None:
        super().__init__(inner, "raw")
        self.dimension += 1

    def encode_pixels(self, pixels: npt.NDArray[Any]) -> Rows:
        """The inner rows with a coordinate of 1."""
        return _extended(self.inner.encode_pixels(pixels))

    def _encode_texts(self, texts: Sequence[str]) -> Rows:
        return _extended(super()._encode_texts(texts))


class ViewEncoder(_Around):
    """Averages of views: direction unit(mean of unit rows), length the mean of the lengths."""

    def __init__(
        self, inner: Any, kinds: Sequence[str], *, crop: float = 0.875, seed: int = 0
    ) -> None:
        if inner.preprocess is None:
            raise DistnormError(
                f"pictures for {inner.model_id}", "a model of pictures", "choose another model"
            )
        super().__init__(inner, f"views:{','.join(kinds)}:{crop:g}")
        self.views = count_views(kinds)
        self.preprocess = _Views(inner.preprocess, tuple(kinds), crop, seed)

    def encode_pixels(self, pixels: npt.NDArray[Any]) -> Rows:
        """Rows of stacks of views, shape (n, v, ...)."""
        flat = pixels.reshape(-1, *pixels.shape[2:])
        rows = np.concatenate(
            [self.inner.encode_pixels(flat[at : at + _BATCH]) for at in range(0, len(flat), _BATCH)]
        )
        lengths = np.linalg.norm(rows, axis=1).reshape(len(pixels), -1).mean(axis=1)
        means = unit_rows(rows).reshape(*pixels.shape[:2], -1).mean(axis=1)
        return np.asarray(unit_rows(means) * lengths[:, None], dtype=np.float32)


@dataclass(frozen=True)
class _Views:
    """Preprocessing of all views of a picture; pickles, so that any process may do it."""

    inner: Callable[[Any], npt.NDArray[Any]]
    kinds: tuple[str, ...]
    crop: float
    seed: int

    def __call__(self, image: Any) -> npt.NDArray[Any]:
        """Pixels of shape (v, ...)."""
        views = views_of(image, self.kinds, crop=self.crop, seed=self.seed)
        return np.stack([self.inner(view) for view in views])


def raw_rows(rows: npt.NDArray[Any]) -> Rows:
    """Raw rows from those that a store of a `RawEncoder` holds.

    Examples
    --------
    >>> import numpy as np
    >>> row = np.array([[3.0, 4.0, 1.0]])
    >>> raw_rows(row / np.linalg.norm(row)).tolist()
    [[3.0, 4.0]]
    """
    wide = np.asarray(rows, dtype=np.float64)
    return np.asarray(wide[:, :-1] / wide[:, -1:], dtype=np.float32)


def _extended(rows: npt.NDArray[Any]) -> Rows:
    ones = np.ones((len(rows), 1), dtype=np.float32)
    return np.concatenate([np.asarray(rows, dtype=np.float32), ones], axis=1)

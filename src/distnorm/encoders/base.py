"""What every encoder offers: pictures and sentences in, (n, d) float32 rows out.

A family subclasses `Encoder`, sets the attributes and writes two methods, `encode_pixels` and
`_encode_texts`. Rows have unit length unless ``normalize=False`` asks for the model's raw output.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from distnorm.encoders.upright import upright_rgb, warn_of_dim
from distnorm.errors import DistnormError

__all__ = ["Encoder", "unit_rows"]

Rows = npt.NDArray[np.float32]


def unit_rows(rows: npt.NDArray[Any]) -> Rows:
    """Rows of unit length, float32; a zero row stays zero."""
    rows = np.asarray(rows, dtype=np.float32)
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.asarray(rows / np.where(lengths > 0, lengths, 1), dtype=np.float32)


class Encoder(ABC):
    """One frozen image-text model.

    Attributes
    ----------
    model_id : str
        What a store and a fitted normalization remember, such as ``builtin`` or
        ``open_clip:ViT-B-32/laion2b_s34b_b79k``.
    dimension : int
        Width d of the embeddings.
    temperature : float or None
        Training temperature tau (scores are divided by it in InfoNCE); None if unknown.
    prompts : tuple of str
        Recommended templates for class names, with ``{c}`` for the class.
    max_tokens : int or None
        Longest text that is not cut; None if there is no limit.
    preprocess : callable or None
        PIL image to one array of pixels, in any process (it pickles and holds no weights);
        None for a model of texts alone.
    resizer : str
        The library that resizes pictures, "pillow" or "torchvision": rows differ between them.
    """

    model_id: str
    dimension: int
    temperature: float | None = None
    prompts: tuple[str, ...] = ("{c}",)
    max_tokens: int | None = None
    preprocess: Callable[[Any], npt.NDArray[Any]] | None = None
    resizer: str = "pillow"

    @abstractmethod
    def encode_pixels(self, pixels: npt.NDArray[Any]) -> Rows:
        """Raw image rows, shape (n, d), of a stack of `preprocess` results."""

    @abstractmethod
    def _encode_texts(self, texts: Sequence[str]) -> Rows:
        """Raw text rows, shape (n, d)."""

    def count_tokens(self, texts: Sequence[str]) -> npt.NDArray[np.intp]:
        """Tokens of each text before any cut, shape (n,); words where the model cannot say."""
        return np.array([len(text.split()) for text in texts], dtype=np.intp)

    def caution(self, width: int, height: int) -> str | None:
        """What to know of rows of pictures of this size; None if there is nothing."""
        return None

    def encode_images(
        self, images: Sequence[Any], *, normalize: bool = True, batch_size: int = 64
    ) -> Rows:
        """Embed PIL images: whatever their mode, as `distnorm embed` does their files.

        Parameters
        ----------
        images : sequence of PIL.Image.Image
        normalize : bool
            Unit rows; False gives the model's raw output.
        batch_size : int

        Returns
        -------
        ndarray of float32, shape (n, d)

        Raises
        ------
        DistnormError
            If the model takes texts alone, or something is no PIL image.

        Warns
        -----
        UserWarning
            For pictures of 16 bits that use 12 of them at the most.
        """
        preprocess = self.preprocess
        if preprocess is None:
            raise DistnormError(
                f"pictures for {self.model_id}", "sentences", "choose a model of images and texts"
            )

        def encode(batch: Sequence[Any]) -> Rows:
            for image in batch:
                warn_of_dim(image)
            return self.encode_pixels(np.stack([preprocess(upright_rgb(x)) for x in batch]))

        return self._in_batches(encode, images, normalize, batch_size)

    def encode_texts(
        self, texts: Sequence[str], *, normalize: bool = True, batch_size: int = 256
    ) -> Rows:
        """Embed sentences.

        Parameters
        ----------
        texts : sequence of str
        normalize : bool
            Unit rows; False gives the model's raw output.
        batch_size : int

        Returns
        -------
        ndarray of float32, shape (n, d)

        Raises
        ------
        DistnormError
            If one string is passed instead of a sequence, or a text is empty.
        """
        if isinstance(texts, str):
            raise DistnormError("one string", "a sequence of strings", "wrap it in a list")
        for row, text in enumerate(texts):
            if not text.strip():
                raise DistnormError(f"an empty text in row {row}", "words", "leave the row out")
        return self._in_batches(self._encode_texts, texts, normalize, batch_size)

    def _in_batches(
        self, encode: Callable[[Any], Rows], inputs: Sequence[Any], normalize: bool, size: int
    ) -> Rows:
        if not len(inputs):
            return np.empty((0, self.dimension), dtype=np.float32)
        parts = [encode(inputs[at : at + size]) for at in range(0, len(inputs), size)]
        rows = np.concatenate(parts)
        return unit_rows(rows) if normalize else np.asarray(rows, dtype=np.float32)

    def __repr__(self) -> str:
        """Model and width."""
        return f"{type(self).__name__}({self.model_id!r}, d={self.dimension})"

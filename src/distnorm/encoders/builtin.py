"""``builtin``: distnorm's own small image-text model, in the wheel, run by onnxruntime.

A convolutional network of 64 x 64 pixels and a two-layer transformer over words, trained by
symmetric InfoNCE on drawn scenes (`distnorm.scenes`); see ``weights/MODEL_CARD.md``. It knows
those scenes and their words, and nothing of photographs: for trying things without a network.
Needs the ``demo`` extra.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from functools import cache
from importlib import resources
from typing import Any

import numpy as np
import numpy.typing as npt

from distnorm.encoders.base import Encoder, Rows
from distnorm.encoders.words import Words
from distnorm.errors import DistnormError, require

__all__ = ["BuiltinEncoder", "card", "load", "pixels_of"]

_SIDE = 64


def load(model: str = "", *, threads: int | None = None, device: str = "cpu") -> BuiltinEncoder:
    """The built-in encoder.

    Parameters
    ----------
    model : str
        Empty: there is one.
    threads : int, optional
        Of onnxruntime; its own choice if left out.
    device : str
        "cpu" or "auto", which is the same: the model is small.

    Raises
    ------
    DistnormError
        For a model name or another device, or if a weights file is not the card's.
    MissingExtraError
        Without onnxruntime.
    """
    if model:
        raise DistnormError(f"the model 'builtin:{model}'", "'builtin'", "leave the rest out")
    if device not in ("auto", "cpu"):
        raise DistnormError(f"device {device!r} for 'builtin'", "'cpu'", "leave it out")
    return BuiltinEncoder(threads)


@cache
def card() -> dict[str, Any]:
    """What the model is: checksums, words, training, scores."""
    text = (
        resources.files("distnorm.encoders")
        .joinpath("weights")
        .joinpath("card.json")
        .read_text("utf-8")
    )
    found: dict[str, Any] = json.loads(text)
    return found


def pixels_of(image: Any) -> npt.NDArray[np.uint8]:
    """A PIL image as uint8 of shape (64, 64, 3), squeezed to a square if it is none."""
    if image.mode != "RGB":
        image = image.convert("RGB")
    if image.size != (_SIDE, _SIDE):
        image = image.resize((_SIDE, _SIDE), resample=3, reducing_gap=2.0)
    return np.asarray(image, dtype=np.uint8)


class BuiltinEncoder(Encoder):
    """The built-in model; see `load`."""

    def __init__(self, threads: int | None = None) -> None:
        runtime = require("onnxruntime", "demo")
        about = card()
        self.model_id = f"builtin-{about['version']}"
        self.dimension = int(about["dimension"])
        self.temperature = float(about["temperature"])
        self.prompts = tuple(about["prompts"])
        self._words = Words(about["words"], int(about["max_tokens"]))
        self.max_tokens = self._words.max_tokens
        self.preprocess = pixels_of
        options = runtime.SessionOptions()
        options.log_severity_level = 3
        # Threads that spin between two batches take the processor from whoever decodes the next.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        if threads is not None:
            options.intra_op_num_threads = threads
        self._image, self._text = (
            runtime.InferenceSession(_weights(name), options, providers=["CPUExecutionProvider"])
            for name in ("image.onnx", "text.onnx")
        )

    def encode_pixels(self, pixels: npt.NDArray[Any]) -> Rows:
        """Raw rows of uint8 pixels, shape (n, 64, 64, 3)."""
        if pixels.ndim != 4 or pixels.shape[1:] != (_SIDE, _SIDE, 3) or pixels.dtype != np.uint8:
            raise DistnormError(
                f"pixels of shape {pixels.shape} and dtype {pixels.dtype}",
                f"(n, {_SIDE}, {_SIDE}, 3) and uint8",
                "let preprocess make them from PIL images",
            )
        rows: Rows = self._image.run(None, {"pixels": pixels})[0]
        return rows

    def count_tokens(self, texts: Sequence[str]) -> npt.NDArray[np.intp]:
        """Words of each text, shape (n,)."""
        return np.array([len(self._words.split(text)) for text in texts], dtype=np.intp)

    def _encode_texts(self, texts: Sequence[str]) -> Rows:
        rows: Rows = self._text.run(None, {"tokens": self._words(texts)})[0]
        return rows


def _weights(name: str) -> bytes:
    """A weights file, if it is the card's."""
    content = _packed(name)
    found = hashlib.sha256(content).hexdigest()
    expected = card()["sha256"][name]
    if found != expected:
        raise DistnormError(
            f"{name} with checksum {found[:12]}", expected[:12], "install distnorm again"
        )
    return content


def _packed(name: str) -> bytes:
    return resources.files("distnorm.encoders").joinpath("weights").joinpath(name).read_bytes()

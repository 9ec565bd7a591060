"""``builtin``: distnorm's own small image-text model, in the wheel, run by onnxruntime.

A convolutional network of 64 x 64 pixels and a two-layer transformer over words, trained by
symmetric InfoNCE on drawn scenes (`distnorm.scenes`); see ``weights/MODEL_CARD.md``. It knows
those scenes and their words, and nothing of photographs: for trying things without a network.
Needs the ``demo`` extra.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence
from functools import cache
from importlib import resources
from typing import Any

import numpy as np
import numpy.typing as npt

from distnorm.encoders.base import Encoder, Rows
from distnorm.encoders.pixels import check_stack
from distnorm.encoders.upright import upright_rgb
from distnorm.errors import DistnormError, require

__all__ = ["BuiltinEncoder", "Words", "card", "load", "pixels_of"]

_SIDE = 64
_WORD = re.compile(r"[a-z]+(?:-[a-z]+)*")
_WEIGHTS = resources.files("distnorm.encoders").joinpath("weights")


def load(model: str = "", *, threads: int | None = None, device: str = "cpu") -> BuiltinEncoder:
    """The built-in encoder; ``threads`` are onnxruntime's, its own choice if left out.

    ``model`` is empty, as there is one; ``device`` is "cpu" or "auto", which is the same.
    """
    if model:
        raise DistnormError(f"the model 'builtin:{model}'", "'builtin'", "leave the rest out")
    if device not in ("auto", "cpu"):
        raise DistnormError(f"device {device!r} for 'builtin'", "'cpu'", "leave it out")
    return BuiltinEncoder(threads)


@cache
def card() -> dict[str, Any]:
    """What the model is: checksums, words, training, scores."""
    entries: dict[str, Any] = json.loads(_WEIGHTS.joinpath("card.json").read_text("utf-8"))
    return entries


def pixels_of(image: Any) -> npt.NDArray[np.uint8]:
    """A PIL image as uint8 of shape (64, 64, 3), squeezed to a square if it is none."""
    image = upright_rgb(image)
    if image.size != (_SIDE, _SIDE):
        image = image.resize((_SIDE, _SIDE), resample=3, reducing_gap=2.0)
    return np.asarray(image, dtype=np.uint8)


class Words:
    """Words to numbers: 0 pads, 1 is any unknown word, the list's own numbers begin at 2.

    ``words`` are in lower case; anything but letters separates; ``max_tokens`` cuts a text.
    """

    def __init__(self, words: Sequence[str], max_tokens: int) -> None:
        self.words = tuple(words)
        self.max_tokens = max_tokens
        self._numbers = {word: number for number, word in enumerate(self.words, start=2)}

    def split(self, text: str) -> list[int]:
        """Number of each word of a text, uncut."""
        return [self._numbers.get(word, 1) for word in _WORD.findall(text.lower())]

    def __call__(self, texts: Sequence[str]) -> npt.NDArray[np.int64]:
        """Numbers, int64 of shape (n, longest); a text without any word is one unknown word."""
        rows = [self.split(text)[: self.max_tokens] or [1] for text in texts]
        numbers = np.zeros((len(rows), max(len(row) for row in rows)), dtype=np.int64)
        for place, row in enumerate(rows):
            numbers[place, : len(row)] = row
        return numbers


class BuiltinEncoder(Encoder):
    """The built-in model; see `load`."""

    def __init__(self, threads: int | None = None) -> None:
        self._threads = threads
        runtime = require("onnxruntime", "demo")
        facts = card()
        self.model_id = f"builtin-{facts['version']}"
        self.dimension = int(facts["dimension"])
        self.temperature = float(facts["temperature"])
        self.prompts = tuple(facts["prompts"])
        self._words = Words(facts["words"], int(facts["max_tokens"]))
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

    def __reduce__(self) -> tuple[type[BuiltinEncoder], tuple[int | None]]:
        """Pickle by what makes it anew: sessions of onnxruntime do not travel."""
        return type(self), (self._threads,)

    def encode_pixels(self, pixels: npt.NDArray[Any]) -> Rows:
        """Raw rows of uint8 pixels, shape (n, 64, 64, 3)."""
        check_stack(pixels, (_SIDE, _SIDE), self.model_id)
        rows: Rows = self._image.run(None, {"pixels": pixels})[0]
        return rows

    def caution(self, width: int, height: int) -> str | None:
        """That it is no model of photos, for pictures of another size than the drawn scenes."""
        if (width, height) == (_SIDE, _SIDE):
            return None
        return (
            "the built-in model knows drawn scenes only, and its rows of photos mean little: take "
            "another for them, such as --model open_clip:ViT-B-32/laion2b_s34b_b79k"
        )

    def count_tokens(self, texts: Sequence[str]) -> npt.NDArray[np.intp]:
        """Words of each text, shape (n,)."""
        return np.array([len(self._words.split(text)) for text in texts], dtype=np.intp)

    def _encode_texts(self, texts: Sequence[str]) -> Rows:
        rows: Rows = self._text.run(None, {"tokens": self._words(texts)})[0]
        return rows


def _weights(name: str) -> bytes:
    """A weights file, if it is the card's."""
    content = _WEIGHTS.joinpath(name).read_bytes()
    checksum, expected = hashlib.sha256(content).hexdigest(), card()["sha256"][name]
    if checksum != expected:
        raise DistnormError(
            f"{name} with checksum {checksum[:12]}", expected[:12], "install distnorm again"
        )
    return content

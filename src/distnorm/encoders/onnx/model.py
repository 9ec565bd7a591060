"""``onnx:FOLDER``: exported image and text encoders, run by onnxruntime without torch.

| file | what | other names that are taken |
|---|---|---|
| ``image.onnx`` | pixels to rows | ``vision_model.onnx``, ``visual.onnx``, ``image_model.onnx`` |
| ``text.onnx`` | tokens to rows | ``text_model.onnx``, ``textual.onnx`` |
| ``tokenizer.json`` | of the tokenizers library | |
| ``preprocessor_config.json`` | size, crop, mean, deviation, as transformers writes it | |
| ``distnorm.json``, optional | model_id, temperature, prompts, max_tokens, padding, pooling | |

Models may lie in a folder ``onnx`` within, as on the hub; ``model.onnx`` with both towers (as
optimum exports CLIP) or with texts alone is taken as well. Of several outputs the row is
``image_embeds`` or ``text_embeds``, else ``pooler_output``, else the first with two axes. Inputs
are known by name: ``pixel_values`` (or whatever has four axes), ``input_ids``, ``attention_mask``,
``token_type_ids``; integers and floats of any width. Texts are padded to the longest where the
model takes a mask, otherwise to the full length. A folder without an image model is a model of
texts alone; where it gives a vector per token, ``1_Pooling/config.json`` (or ``pooling``) says how
these become a row, and ``sentence_bert_config.json`` how many there are at the most.

Needs the ``onnx`` extra.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from distnorm.encoders.base import Encoder, Rows
from distnorm.encoders.onnx.graph import Graph
from distnorm.encoders.onnx.pooling import pooling_of
from distnorm.encoders.onnx.settings import check_tokenizer, read_settings
from distnorm.encoders.pixels import Pixels
from distnorm.encoders.processor import recipe
from distnorm.errors import DistnormError, require

__all__ = ["OnnxEncoder", "load"]

_EXTRA = "onnx"
_IMAGE = ("image.onnx", "vision_model.onnx", "visual.onnx", "image_model.onnx")
_TEXT = ("text.onnx", "text_model.onnx", "textual.onnx")
_PADS = ("[PAD]", "<pad>", "<|endoftext|>", "</s>")


def load(model: str, *, device: str = "auto", threads: int | None = None) -> OnnxEncoder:
    """Exported encoders in a folder, on "auto" (a GPU if onnxruntime has one), "cpu" or "cuda".

    ``threads`` are onnxruntime's, its own choice if left out.
    """
    runtime = require("onnxruntime", _EXTRA)
    tokenizers = require("tokenizers", _EXTRA)
    folder = Path(model).expanduser()
    if not model or not folder.is_dir():
        raise DistnormError(f"'onnx:{model}'", "a folder", "write onnx:/path/to/folder")
    image, text = _first_file(folder, _IMAGE), _first_file(folder, _TEXT)
    both = _first_file(folder, ("model.onnx",))
    if text is None and both is not None:
        image = text = both
    if text is None:
        raise DistnormError(
            f"no text model in {str(folder)!r}",
            f"one of: {', '.join(_TEXT)}, model.onnx",
            "export the text encoder under one of these names",
        )

    def opened(file: Path) -> Graph:
        return Graph(runtime, file, device, threads)

    text_graph = opened(text)
    image_graph: Graph | None = None
    if image == text:
        image_graph = text_graph if text_graph.takes_pictures else None
    elif image is not None:
        image_graph = opened(image)
    file = folder / "tokenizer.json"
    if not file.is_file():
        raise DistnormError(
            f"no tokenizer.json in {str(folder)!r}",
            "a tokenizer of the tokenizers library",
            "save it there: tokenizer.backend_tokenizer.save('tokenizer.json')",
        )
    check_tokenizer(file)
    try:
        tokenizer = tokenizers.Tokenizer.from_file(str(file))
    except Exception as error:
        raise DistnormError(
            f"{str(file)!r}: {error}", "a tokenizer of the tokenizers library", "save it again"
        ) from error
    settings, steps = read_settings(folder)
    pooling = pooling_of(settings["distnorm"], settings["pooling"], steps, str(folder))
    digests = [image_graph.digest, text_graph.digest] if image_graph else [text_graph.digest]
    model_id = str(
        settings["distnorm"].get("model_id")
        or f"onnx:{folder.resolve().name}@{'-'.join(d[:8] for d in dict.fromkeys(digests))}"
    )
    return OnnxEncoder(
        image_graph,
        text_graph,
        tokenizer,
        settings,
        model_id,
        None if image_graph is None else _recipe(folder, settings["preprocessor_config"]),
        pooling,
    )


class OnnxEncoder(Encoder):
    """Exported encoders; see `load`."""

    def __init__(
        self,
        image: Graph | None,
        text: Graph,
        tokenizer: Any,
        settings: dict[str, dict[str, Any]],
        model_id: str,
        pixels: Pixels | None,
        pooling: str | None = None,
    ) -> None:
        if image is None and pooling is None and text.output("text") == "pooler_output":
            raise DistnormError(
                f"{text.file.name}, a model of texts alone with a pooler_output",
                "word of how its tokens become a row: sentence models seldom use the pooler",
                "copy the model's 1_Pooling/config.json into the folder, or write "
                '{"pooling": "mean"} (or cls, max, lasttoken) into distnorm.json',
            )
        self._pooling = pooling
        card = settings["distnorm"]
        self.model_id = model_id
        self.preprocess = pixels
        self.temperature = None if card.get("temperature") is None else float(card["temperature"])
        default = "a photo of a {c}." if image is not None else "{c}"
        self.prompts = tuple(card.get("prompts") or (default,))
        self._image, self._text = image, text
        self._whole = tokenizer
        self.max_tokens = _max_tokens(tokenizer, settings, text)
        self._cut = _cutting(tokenizer, settings, self.max_tokens, text)
        tokenizer.no_truncation()
        tokenizer.no_padding()
        self.dimension = int(self._encode_texts(["a"]).shape[1])

    def encode_pixels(self, pixels: npt.NDArray[Any]) -> Rows:
        """Raw image rows, shape (n, d), of a stack of `preprocess` results."""
        if self._image is None or not isinstance(self.preprocess, Pixels):
            raise DistnormError(f"pixels for {self.model_id}", "texts", "it takes no pictures")
        self.preprocess.check(pixels, self.model_id)
        # A model of both towers wants a text beside the pictures.
        other = self._tokens(["a"]) if self._image is self._text else {}
        return self._image.rows("image", {"pixel_values": self.preprocess.scaled(pixels)}, other)

    def count_tokens(self, texts: Sequence[str]) -> npt.NDArray[np.intp]:
        """Tokens of each text with those that mark its ends, before any cut, shape (n,)."""
        rows = _encodings(self._whole.encode_batch, texts)
        return np.array([len(row.ids) for row in rows], np.intp)

    def _encode_texts(self, texts: Sequence[str]) -> Rows:
        other = {}
        if self._image is self._text and isinstance(self.preprocess, Pixels):
            blank = np.zeros((1, *self.preprocess.size, 3), dtype=np.uint8)
            other = {"pixel_values": self.preprocess.scaled(blank)}
        return self._text.rows("text", self._tokens(texts), other, self._pooling)

    def _tokens(self, texts: Sequence[str]) -> dict[str, npt.NDArray[Any]]:
        rows = _encodings(self._cut, texts)
        ids = np.array([row.ids for row in rows], dtype=np.int64)
        mask = np.array([row.attention_mask for row in rows], dtype=np.int64)
        return {"input_ids": ids, "attention_mask": mask, "token_type_ids": np.zeros_like(ids)}


def _encodings(encode: Callable[[list[str]], list[Any]], texts: Sequence[str]) -> list[Any]:
    try:
        return encode(list(texts))
    except Exception as error:  # the library raises nothing more particular
        raise DistnormError(
            f"a tokenizer.json that does not read these texts: {error}",
            "a tokenizer for any text",
            "save it again, with its unknown token in its vocabulary",
        ) from error


def _first_file(folder: Path, names: Sequence[str]) -> Path | None:
    for place in (folder, folder / "onnx"):
        for name in names:
            if (place / name).is_file():
                return place / name
    return None


def _recipe(folder: Path, settings: dict[str, Any]) -> Pixels:
    if not settings:
        raise DistnormError(
            f"no preprocessor_config.json in {str(folder)!r}",
            "size, crop, mean and deviation of the pictures",
            "copy it from the model on the hub, or write it: docs/encoders.md",
        )
    pixels = recipe(settings)
    if pixels is None:
        raise DistnormError(
            f"a preprocessor_config.json in {str(folder)!r} that asks for more than is known here",
            "resizing, a crop, mean and deviation",
            "use the model itself: hf:",
        )
    return pixels


def _max_tokens(tokenizer: Any, settings: dict[str, dict[str, Any]], text: Graph) -> int | None:
    """Longest text that is not cut: the least that the files say."""
    if text.fixed_length is not None:
        return text.fixed_length
    stated = settings["distnorm"].get("max_tokens") or settings["sentence_bert_config"].get(
        "max_seq_length"
    )
    if stated:
        return int(stated)
    config = settings["config"]
    inner = config.get("text_config") or config
    limits = (
        (tokenizer.truncation or {}).get("max_length"),
        settings["tokenizer_config"].get("model_max_length"),
        inner.get("max_position_embeddings"),
    )
    return min((int(n) for n in limits if n is not None and n < 1e6), default=None)


def _cutting(
    tokenizer: Any, settings: dict[str, dict[str, Any]], limit: int | None, text: Graph
) -> Callable[[list[str]], list[Any]]:
    """A second tokenizer, which cuts and pads."""
    cut = type(tokenizer).from_str(tokenizer.to_str())
    padding = tokenizer.padding or {}
    if limit is not None:
        cut.enable_truncation(limit)
    token = (
        settings["distnorm"].get("pad_token")
        or padding.get("pad_token")
        or settings["tokenizer_config"].get("pad_token")
    )
    if isinstance(token, dict):
        token = token.get("content")
    names = [token] if token else _PADS
    pad = next((name for name in names if cut.token_to_id(name) is not None), None)
    kind = settings["distnorm"].get("padding")
    full = kind == "max_length" or text.fixed_length is not None
    full = full or (kind is None and "attention_mask" not in text.inputs)
    if full and limit is None:
        raise DistnormError(
            "a text model that takes no attention_mask, and no length to pad to",
            "max_tokens in distnorm.json, or model_max_length in tokenizer_config.json",
            "write it there",
        )
    number = 0 if pad is None else cut.token_to_id(pad)
    cut.enable_padding(pad_id=number, pad_token=pad or "[PAD]", length=limit if full else None)
    encode: Callable[[list[str]], list[Any]] = cut.encode_batch
    return encode

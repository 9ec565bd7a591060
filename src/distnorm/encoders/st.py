"""``st:ORG/REPO`` or ``st:/path/to/folder``: any model of sentence-transformers.

Models of texts alone serve text-to-text retrieval (``sides=("query", "document")``); they have no
`preprocess` and refuse pictures. Rows are those of ``model.encode``, prompts of the model included
(``prompt_name="query"`` and the like). Pictures go through the model's own image processor, in
worker processes where that is all the model does with them, otherwise beside the model. Needs the
``st`` extra.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from distnorm.encoders.base import Rows
from distnorm.encoders.hub import explained, quiet, source_and_label
from distnorm.encoders.pixels import Pixels
from distnorm.encoders.processor import pixels_of_processor
from distnorm.encoders.torch_encoder import (
    TorchEncoder,
    device_and_dtype,
    frozen,
    inverse_scale,
    require_vision,
    to_rows,
)
from distnorm.encoders.upright import upright_rgb
from distnorm.errors import DistnormError

__all__ = ["SentenceTransformerEncoder", "load"]

_EXTRA = "st"


def load(
    model: str, *, device: str = "auto", precision: str = "auto", prompt_name: str | None = None
) -> SentenceTransformerEncoder:
    """A model of sentence-transformers, by its name on the hub or its folder.

    ``prompt_name`` is which of the model's own prompts goes before each text; else its default.
    """
    library = require_vision("sentence_transformers", _EXTRA)
    torch_device, dtype = device_and_dtype(device, precision, _EXTRA)
    source, label = source_and_label("st", model)
    with quiet(), explained(f"st:{model}", "a model of sentence-transformers"):
        loaded = library.SentenceTransformer(source, device=str(torch_device))
    if prompt_name is not None and prompt_name not in loaded.prompts:
        raise DistnormError(
            f"prompt_name {prompt_name!r} for 'st:{model}'",
            f"one of: {', '.join(loaded.prompts) or 'none, the model has no prompts'}",
            "choose another or leave it out",
        )
    towers = frozen(loaded.to(dtype))
    encoder = SentenceTransformerEncoder(towers, torch_device, f"st:{label}", prompt_name)
    encoder.dtype = dtype
    encoder.dimension = int(encoder.encode_texts(["a"]).shape[1])
    return encoder


class SentenceTransformerEncoder(TorchEncoder):
    """A model of sentence-transformers; see `load`."""

    def __init__(self, model: Any, device: Any, model_id: str, prompt_name: str | None) -> None:
        self.model = model
        self.device = device
        self.model_id = model_id
        self.max_tokens = model.max_seq_length
        self.tokenizer = getattr(model, "tokenizer", None)
        self._prompt_name = prompt_name
        inner = getattr(model[0], "auto_model", getattr(model[0], "model", None))
        self.temperature = inverse_scale(inner)
        if _takes_pictures(model):
            self.prompts = ("a photo of a {c}.",)
            self.preprocess = _preprocess(model)
            if not isinstance(self.preprocess, Pixels):
                self.resizer = _resizer(model)

    def count_tokens(self, texts: Sequence[str]) -> npt.NDArray[np.intp]:
        """Tokens of each text before any cut, shape (n,); words where it has no tokenizer."""
        if not callable(self.tokenizer):
            return super().count_tokens(texts)
        rows = [self.tokenizer(text, truncation=False, verbose=False).input_ids for text in texts]
        return np.array([len(row) for row in rows], dtype=np.intp)

    def encode_pixels(self, pixels: npt.NDArray[Any]) -> Rows:
        """Raw image rows, shape (n, d), of a stack of `preprocess` results."""
        if pixels.dtype != object:
            return super().encode_pixels(pixels)
        from PIL import Image

        return to_rows(self._encoded([Image.fromarray(picture) for picture in pixels]))

    def _encoded(self, inputs: list[Any], **options: Any) -> Any:
        options.update(show_progress_bar=False, convert_to_tensor=True)
        return self.model.encode(inputs, batch_size=len(inputs), **options)

    def _image_rows(self, tensor: Any) -> Any:
        return self.model({"pixel_values": tensor, "modality": "image"})["sentence_embedding"]

    def _text_rows(self, texts: Sequence[str]) -> Any:
        return self._encoded(list(texts), prompt_name=self._prompt_name)


class _RawPicture:
    """A PIL image as one array in a box, so that pictures of any shapes stack."""

    def __call__(self, image: Any) -> npt.NDArray[Any]:
        box = np.empty((), dtype=object)
        box[()] = np.asarray(upright_rgb(image))
        return box


def _takes_pictures(model: Any) -> bool:
    """Up to 5.3 only the module named for CLIP took pictures; then models say it themselves."""
    if hasattr(model, "supports"):
        return bool(model.supports("image"))
    return type(model[0]).__name__ == "CLIPModel"


def _resizer(model: Any) -> str:
    """What the model's own image processor resizes with."""
    processor = getattr(getattr(model[0], "processor", None), "image_processor", None)
    fast = (
        getattr(processor, "is_fast", None) or getattr(processor, "backend", None) == "torchvision"
    )
    return "torchvision" if fast else "pillow"


def _preprocess(model: Any) -> Any:
    """The image processor, if pixels are all that the model makes of a picture."""
    from PIL import Image

    processor = getattr(getattr(model[0], "processor", None), "image_processor", None)
    if processor is None or not hasattr(model, "preprocess"):
        return _RawPicture()
    inputs = model.preprocess([Image.new("RGB", (64, 48))])
    pixels_alone = set(inputs) - {"modality"} == {"pixel_values"}
    return pixels_of_processor(processor) if pixels_alone else _RawPicture()

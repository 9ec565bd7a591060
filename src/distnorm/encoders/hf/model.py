"""``hf:ORG/REPO`` or ``hf:/path/to/folder``: the dual encoders of transformers.

CLIP, SigLIP, SigLIP 2 (fixed and native shapes), ALIGN, AltCLIP, Chinese-CLIP, MetaCLIP 2, FLAVA,
BLIP, BLIP-2, and any other model with ``get_image_features`` and ``get_text_features``. Pictures
are resized by Pillow, as the models' authors did, whether or not torchvision is installed. Texts
are padded to the longest of a batch where the model masks padding; SigLIP was trained on padding
that it sees, to a fixed length. Needs the ``hf`` extra.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from distnorm.encoders.hf.heads import Head, head_of, query_rows
from distnorm.encoders.hub import explained, quiet, source_and_label
from distnorm.encoders.processor import ProcessorPixels, pixels_of_processor
from distnorm.encoders.torch_encoder import (
    TorchEncoder,
    device_and_dtype,
    frozen,
    inverse_scale,
    to_rows,
)
from distnorm.errors import DistnormError, require

__all__ = ["HfEncoder", "load"]

_EXTRA = "hf"
# Length of the texts that a model was trained on, where positions or tokenizer allow more.
_TRAINED = {"align": 64, "blip": 35, "blip-2": 32, "chinese_clip": 52, "flava": 77}
_FOLDER = (
    "a folder as save_pretrained writes it: config.json, weights, tokenizer and "
    "preprocessor_config.json"
)
_KINDS = (
    "clip, siglip, siglip2, align, altclip, chinese_clip, metaclip_2, flava, blip, blip-2, "
    "vision-text-dual-encoder"
)
_PADDED = ("siglip", "siglip2")
_PROMPTS = {
    "siglip": ("This is a photo of {c}.",),
    "siglip2": ("this is a photo of {c}.",),
    "chinese_clip": ("一张{c}的照片。",),
}


def load(
    model: str, *, device: str = "auto", precision: str = "auto", queries: str = "mean"
) -> HfEncoder:
    """A dual encoder of transformers, by its name on the hub or its folder.

    ``queries``, "mean" or "first", is for BLIP-2 alone: how its query vectors become one row.
    """
    library = require("transformers", _EXTRA)
    torch_device, dtype = device_and_dtype(device, precision, _EXTRA)
    source, label = source_and_label("hf", model)
    with quiet(), explained(f"hf:{model}", _FOLDER):
        config = _config(library, source, model)
        head = head_of(config.model_type, queries)
        tokenizer = library.AutoTokenizer.from_pretrained(source)
        processor = _image_processor(library, source)
        loaded = _loaded(library, head, source, f"hf:{model}", config.model_type)
    towers = frozen(loaded).to(device=torch_device, dtype=dtype)
    return HfEncoder(towers, head, tokenizer, processor, dtype, f"hf:{label}")


class HfEncoder(TorchEncoder):
    """A dual encoder of transformers; its head asks the model for rows, see `Head`."""

    def __init__(
        self, model: Any, head: Head, tokenizer: Any, processor: Any, dtype: Any, model_id: str
    ) -> None:
        self.model = model
        self.tokenizer = tokenizer
        self.processor = processor
        self.device = model.device
        self.dtype = dtype
        self.model_id = model_id
        self.head = head
        kind = model.config.model_type
        self.padding = "max_length" if kind in _PADDED else "longest"
        self._masked = kind not in _PADDED
        self.prompts = _PROMPTS.get(kind, ("a photo of a {c}.",))
        self.max_tokens = _max_tokens(model.config, tokenizer)
        self.temperature = _temperature(model)
        self.preprocess = pixels_of_processor(processor)
        self.dimension = int(self._encode_texts(["a"]).shape[1])

    def count_tokens(self, texts: Sequence[str]) -> npt.NDArray[np.intp]:
        """Tokens of each text with those that mark its ends, before any cut, shape (n,)."""
        if not texts:
            return np.zeros(0, dtype=np.intp)
        tokens = self.tokenizer(list(texts), truncation=False, padding=False, verbose=False)
        return np.array([len(row) for row in tokens["input_ids"]], dtype=np.intp)

    def encode_queries(self, images: Sequence[Any]) -> npt.NDArray[np.float32]:
        """BLIP-2's vectors of PIL images, one for each query, float32 of shape (n, queries, d)."""
        import torch

        if not hasattr(self.model, "query_tokens") or self.preprocess is None:
            raise DistnormError(f"queries of {self.model_id}", "a BLIP-2", "use encode_images")
        pixels = np.stack([self.preprocess(image) for image in images])
        with torch.inference_mode():
            return to_rows(query_rows(self.model, self.image_tensor(pixels)))

    def _image_rows(self, tensor: Any) -> Any:
        if isinstance(self.preprocess, ProcessorPixels) and tensor.ndim == 3:
            # Patches: see ProcessorPixels.
            return self.head.image(
                self.model,
                pixel_values=tensor[..., :-3],
                pixel_attention_mask=tensor[..., -3].long(),
                spatial_shapes=tensor[:, 0, -2:].long(),
            )
        return self.head.image(self.model, pixel_values=tensor)

    def text_tokens(self, texts: Sequence[str]) -> dict[str, Any]:
        """What the text tower takes of texts, by keyword, cut and padded, on the device."""
        tokens = self.tokenizer(
            list(texts),
            padding=self.padding,
            truncation=True,
            max_length=self.max_tokens,
            return_tensors="pt",
        ).to(self.device)
        names = ("input_ids", "attention_mask") if self._masked else ("input_ids",)
        return {name: tokens[name] for name in names}

    def _text_rows(self, texts: Sequence[str]) -> Any:
        return self.head.text(self.model, **self.text_tokens(texts))


def _config(library: Any, source: str, model: str) -> Any:
    """The settings of a model with an image and a text tower; raises for others, before loading."""
    folder = Path(source)
    if not (folder / "config.json").is_file() and (folder / "modules.json").is_file():
        raise DistnormError(
            f"hf:{model}, a folder of sentence-transformers",
            _FOLDER,
            f"load it with sentence-transformers: st:{model}",
        )
    config = library.AutoConfig.from_pretrained(source)
    kind = config.model_type
    if hasattr(config, "audio_config"):
        raise DistnormError(
            f"hf:{model}, a model of audio and texts ({kind})",
            f"a dual encoder of pictures and texts: {_KINDS}",
            "make its vectors with transformers, and fit and compare them as they are: "
            "--sides audio,text, or sides=('audio', 'text') in Python",
        )
    if not any(hasattr(config, name) for name in ("vision_config", "image_config")):
        texts = hasattr(config, "vocab_size") or hasattr(config, "text_config")
        raise DistnormError(
            f"hf:{model}, a model of {'texts' if texts else 'pictures'} alone ({kind})",
            f"a dual encoder: {_KINDS}",
            f"a sentence model, for texts alone, is st:{model}"
            if texts
            else "choose a model with an image and a text tower",
        )
    return config


def _loaded(library: Any, head: Head, source: str, name: str, kind: str) -> Any:
    """A model whose every part has weights."""
    kind_of_model = getattr(library, head.loader)
    loaded, report = kind_of_model.from_pretrained(source, output_loading_info=True)
    if not all(hasattr(loaded, f"get_{side}_features") for side in ("image", "text")) and (
        head.loader == "AutoModel"
    ):
        raise DistnormError(
            f"{name}, a model of type {kind!r}",
            f"a dual encoder: {_KINDS}",
            "choose a model with an image and a text tower",
        )
    missing = sorted(report["missing_keys"])
    if head.loader.startswith("Blip"):
        # The matching head scores pairs; rows do without it.
        missing = [key for key in missing if not key.startswith("itm_head")]
    if missing or report.get("mismatched_keys"):
        wrong = missing or sorted(str(key) for key in report["mismatched_keys"])
        raise DistnormError(
            f"{name}, whose weights lack {len(wrong)} parts of {type(loaded).__name__}, "
            f"such as {wrong[0]}",
            "a checkpoint with both towers and their projections",
            "for BLIP and BLIP-2 take an '-itm-' checkpoint; check the file otherwise",
        )
    return loaded


def _image_processor(library: Any, source: str) -> Any:
    """The processor that resizes with Pillow, as the models' authors did, without torchvision."""
    named = hasattr(library, "CLIPImageProcessorPil")
    pillow = {"backend": "pil"} if named else {"use_fast": False}
    return library.AutoImageProcessor.from_pretrained(source, **pillow)


def _max_tokens(config: Any, tokenizer: Any) -> int | None:
    """Longest text that is not cut: positions, tokenizer and training agree to it."""
    part = "qformer_config" if config.model_type == "blip-2" else "text_config"
    text = getattr(config, part, config)
    limits = [_TRAINED.get(config.model_type)]
    positions = getattr(text, "max_position_embeddings", None)
    if positions is not None:
        # RoBERTa's first position comes after its padding number.
        roberta = "roberta" in text.model_type or text.model_type.startswith("altclip")
        limits.append(positions - (text.pad_token_id + 1 if roberta else 0))
    if tokenizer.model_max_length < 1e6:
        limits.append(tokenizer.model_max_length)
    return min((int(limit) for limit in limits if limit is not None), default=None)


def _temperature(model: Any) -> float | None:
    """Training temperature: ALIGN keeps it, others the logarithm of its inverse."""
    if getattr(model, "temperature", None) is not None:
        return float(model.temperature.detach().float())
    return inverse_scale(model)

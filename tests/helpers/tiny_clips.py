"""Small CLIPs with random weights, as the real classes of open_clip and transformers."""

from __future__ import annotations

from typing import Any

import numpy as np

from distnorm.encoders.base import Encoder

KINDS = ("open_clip-vit", "open_clip-custom", "open_clip-resnet", "transformers")
VOCABULARY, START, END = 49408, 49406, 49407
TEXT = {"context_length": 77, "vocab_size": VOCABULARY, "width": 32, "heads": 2, "layers": 2}
VIT = {"layers": 2, "width": 32, "head_width": 16, "patch_size": 8, "image_size": 32}
RESNET = {"layers": (1, 1, 1, 1), "width": 8, "head_width": 64, "image_size": 64}


class Padded:
    """A tokenizer called as transformers' are; words and numbers are CLIP's."""

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer

    def __call__(self, texts, padding, truncation, max_length, return_tensors):
        assert (padding, truncation, max_length) == ("max_length", True, 77)
        assert return_tensors == "pt"
        numbers = self._tokenizer(texts)
        return {"input_ids": numbers.masked_fill(numbers == 0, END)}


class TinyClip(Encoder):
    """An encoder around a model built here."""

    temperature = 0.07

    def __init__(self, model: Any, tokenizer: Any, side: int) -> None:
        self.model, self.tokenizer, self._side = model.eval(), tokenizer, side
        self.model_id, self.dimension = f"tiny-{type(model).__name__}", 16
        self.device = model.logit_scale.device
        self.preprocess = self._pixels

    def _pixels(self, image: Any) -> np.ndarray:
        image = image.convert("RGB").resize((self._side, self._side), resample=3)
        return (np.asarray(image, dtype=np.float32) / 127.5 - 1).transpose(2, 0, 1)

    def encode_pixels(self, pixels: np.ndarray) -> np.ndarray:
        import torch

        with torch.inference_mode():
            x = torch.from_numpy(pixels).to(self.model.logit_scale.dtype)
            return self._numpy(
                self.model.encode_image(x)
                if hasattr(self.model, "encode_image")
                else self.model.get_image_features(pixel_values=x)
            )

    def _encode_texts(self, texts: Any) -> np.ndarray:
        import torch

        with torch.inference_mode():
            return self._numpy(whole_text_rows(self, texts))

    @staticmethod
    def _numpy(found: Any) -> np.ndarray:
        return getattr(found, "pooler_output", found).float().numpy()


def whole_text_rows(encoder: TinyClip, texts: Any) -> Any:
    """Raw text rows by the model's own call, all 77 tokens."""
    if hasattr(encoder.model, "encode_text"):
        return encoder.model.encode_text(encoder.tokenizer(list(texts)))
    numbers = encoder.tokenizer(
        list(texts), padding="max_length", truncation=True, max_length=77, return_tensors="pt"
    )["input_ids"]
    found = encoder.model.get_text_features(input_ids=numbers)
    return getattr(found, "pooler_output", found)


def tiny_clip(kind: str, *, double: bool = False) -> TinyClip:
    """One of ``KINDS``; skips where its library is missing."""
    import pytest

    torch = pytest.importorskip("torch", reason="CLIPs are torch modules")
    open_clip = pytest.importorskip("open_clip", reason="it brings CLIP's tokenizer and models")
    torch.manual_seed(0)
    tokenizer = open_clip.tokenizer.SimpleTokenizer()
    if kind == "transformers":
        transformers = pytest.importorskip("transformers", reason="the model is one of its own")
        config = transformers.CLIPConfig(
            text_config={
                "vocab_size": VOCABULARY,
                "hidden_size": 32,
                "intermediate_size": 64,
                "num_hidden_layers": 2,
                "num_attention_heads": 2,
                "max_position_embeddings": 77,
                "bos_token_id": START,
                "eos_token_id": END,
                "pad_token_id": END,
            },
            vision_config={
                "hidden_size": 32,
                "intermediate_size": 64,
                "num_hidden_layers": 2,
                "num_attention_heads": 2,
                "image_size": 32,
                "patch_size": 8,
            },
            projection_dim=16,
        )
        model, tokenizer = transformers.CLIPModel(config), Padded(tokenizer)
    else:
        model = (open_clip.CustomTextCLIP if kind == "open_clip-custom" else open_clip.CLIP)(
            embed_dim=16, vision_cfg=RESNET if kind == "open_clip-resnet" else VIT, text_cfg=TEXT
        )
    with torch.no_grad():
        # Fresh weights are so small that all texts are alike; real ones tell them apart.
        for name, weight in model.named_parameters():
            if "token_embedding" in name or "position" in name:
                weight.normal_(std=0.5)
            if name.endswith("bn3.weight"):
                weight.fill_(0.5)
    return TinyClip(
        model.double() if double else model, tokenizer, 64 if kind == "open_clip-resnet" else 32
    )


def pictures(count: int, *, size: tuple[int, int] = (48, 40), seed: int = 0) -> list[Any]:
    """Coarse random pictures."""
    from PIL import Image

    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (count, 5, 6, 3), dtype=np.uint8)
    return [Image.fromarray(c).resize(size, resample=3) for c in coarse]

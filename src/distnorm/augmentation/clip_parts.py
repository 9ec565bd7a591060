"""What is inside a CLIP: token embeddings to text rows, pixels to rows of every place.

Prompt tuning needs the text tower from its token embeddings on, with gradients; CALIP needs the
image tower's row of each place in the joint space beside the row of the whole. `clip_parts` finds
both in a model of open_clip or transformers. All parts are torch modules of the encoder's
model; none is copied or changed.

Places, as CALIP's authors take them: every patch token of a vision transformer goes through the
layer norm and projection that the class token goes through; in a ModifiedResNet every place of
the last map is a query of the attention pool, as the mean is.

A text tower with a causal mask gives the same row whatever follows the end of the text, so
sequences are cut after the longest text in use: some twelve tokens in place of 77.
"""

from __future__ import annotations

import contextlib
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from distnorm.arrays import NDArray
from distnorm.errors import DistnormError, require

__all__ = ["ClipParts", "clip_parts", "frozen"]

_SUPPORTED = "a CLIP of open_clip (open_clip:...) or transformers (hf:..., class CLIPModel)"

Tensor = Any


def clip_parts(encoder: Any) -> ClipParts:
    """The parts of an encoder's model; a DistnormError for anything but a CLIP.

    SigLIP, the built-in model, towers of timm and CoCa are none.
    """
    model = getattr(encoder, "model", None)
    kinds = {(kind.__module__.partition(".")[0], kind.__name__) for kind in type(model).__mro__}
    if getattr(model, "logit_bias", None) is None:
        if ("open_clip", "CLIP") in kinds or ("open_clip", "CustomTextCLIP") in kinds:
            return _OpenClip(encoder)
        if ("transformers", "CLIPModel") in kinds:
            return _Transformers(encoder)
    name = getattr(encoder, "model_id", type(encoder).__name__)
    raise _unsupported(
        f"{name} ({type(model).__name__ if model is not None else 'no torch model'})"
    )


@contextlib.contextmanager
def frozen(model: Any) -> Iterator[None]:
    """Evaluation mode and no gradient of any weight; afterwards as before."""
    training = model.training
    trainable = [weight for weight in model.parameters() if weight.requires_grad]
    model.eval()
    for weight in trainable:
        weight.requires_grad_(False)
    try:
        yield
    finally:
        for weight in trainable:
            weight.requires_grad_(True)
        model.train(training)


class ClipParts(ABC):
    """One CLIP, opened; ``scale`` is 1 / temperature, the model's ``exp(logit_scale)``."""

    def __init__(self, encoder: Any) -> None:
        self.torch = require("torch", "torch")
        self.model = encoder.model
        processor = getattr(encoder, "processor", None)
        self.tokenizer: Any = getattr(encoder, "tokenizer", None)
        if self.tokenizer is None:
            self.tokenizer = getattr(processor, "tokenizer", processor)
        scale = self.model.logit_scale
        self.device, self.scale = scale.device, float(scale.detach().double().exp())
        self._preprocess = encoder.preprocess
        self._standardised = getattr(encoder, "image_tensor", None)

    @property
    def working(self) -> Any:
        """The dtype to compute losses in: float64 for a float64 model, else float32."""
        torch = self.torch
        double = self.model.logit_scale.dtype == torch.float64
        return torch.float64 if double else torch.float32

    @abstractmethod
    def tokens(self, texts: Sequence[str]) -> Tensor:
        """Token numbers, int64 of shape (n, L), start and end included, cut after the longest."""

    @abstractmethod
    def ends(self, tokens: Tensor) -> Tensor:
        """Place of the end token of each text, shape (n,)."""

    @abstractmethod
    def embed(self, tokens: Tensor) -> Tensor:
        """Token embeddings without positions, shape (n, L, width)."""

    @abstractmethod
    def text_rows(self, embeddings: Tensor, tokens: Tensor) -> Tensor:
        """Raw text rows (n, d) of token embeddings; ``tokens`` say where each text ends."""

    @abstractmethod
    def image_rows(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """Raw rows of the whole pictures, (n, d), and of their places, (n, places, d)."""

    def pixels(self, images: Sequence[Any]) -> Tensor:
        """PIL images as the model takes them."""
        stack: NDArray = np.stack([np.asarray(self._preprocess(i)) for i in images])
        if self._standardised is not None:
            return self._standardised(stack)
        dtype = next(self.model.parameters()).dtype
        return self.torch.from_numpy(stack).to(self.device).to(dtype)


class _OpenClip(ClipParts):
    """``CLIP`` and ``CustomTextCLIP`` of open_clip, with towers of its own."""

    def __init__(self, encoder: Any) -> None:
        super().__init__(encoder)
        # CLIP keeps the text tower's parts itself, CustomTextCLIP in a module of their own.
        text = getattr(self.model, "text", self.model)
        pool = getattr(text, "text_pool_type", None) or getattr(text, "pool_type", None)
        self._text, self._pool = text, pool
        self._eos = getattr(text, "text_eos_id", getattr(text, "eos_id", None))
        usable = pool in ("argmax", "eos") and getattr(text, "attn_mask", None) is not None
        if not usable or getattr(text, "cls_emb", None) is not None:
            raise _unsupported(
                f"open_clip's text tower {type(text).__name__} with pooling {pool!r}"
            )

    def tokens(self, texts: Sequence[str]) -> Tensor:
        tokens = self.tokenizer(list(texts)).to(self.device)
        return tokens[:, : int(self.ends(tokens).max()) + 1]

    def ends(self, tokens: Tensor) -> Tensor:
        if self._pool == "eos":
            return (tokens == self._eos).int().argmax(dim=-1)
        return tokens.argmax(dim=-1)

    def embed(self, tokens: Tensor) -> Tensor:
        return self._text.token_embedding(tokens)

    def text_rows(self, embeddings: Tensor, tokens: Tensor) -> Tensor:
        text, length = self._text, embeddings.shape[1]
        dtype = text.transformer.get_cast_dtype()
        x = embeddings.to(dtype) + text.positional_embedding[:length].to(dtype)
        x = text.transformer(x, attn_mask=text.attn_mask[:length, :length])
        x = text.ln_final(x)
        x = x[self.torch.arange(x.shape[0], device=x.device), self.ends(tokens)]
        projection = text.text_projection
        if projection is None:
            return x
        return projection(x) if callable(projection) else x @ projection

    def image_rows(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        visual = self.model.visual
        kind = type(visual).__name__
        if kind == "ModifiedResNet":
            return _attention_pooled(self.torch, visual, pixels)
        usable = kind == "VisionTransformer" and hasattr(visual, "forward_intermediates")
        if not usable or visual.attn_pool is not None or visual.pool_type != "tok":
            raise _unsupported(f"open_clip's image tower {kind}")
        output = visual.forward_intermediates(
            pixels, indices=1, normalize_intermediates=True, output_fmt="NLC"
        )
        places = output["image_intermediates"][-1]
        return output["image_features"], places if visual.proj is None else places @ visual.proj


class _Transformers(ClipParts):
    """``CLIPModel`` of transformers, in any version: the text tower runs through its own call."""

    def tokens(self, texts: Sequence[str]) -> Tensor:
        longest = self.model.config.text_config.max_position_embeddings
        tokens = self.tokenizer(
            list(texts),
            padding="max_length",
            truncation=True,
            max_length=longest,
            return_tensors="pt",
        )["input_ids"].to(self.device)
        return tokens[:, : int(self.ends(tokens).max()) + 1]

    def ends(self, tokens: Tensor) -> Tensor:
        # 2 is a wrong number in old configurations; the true end has the highest number then.
        end = self.model.config.text_config.eos_token_id
        if end is None or end == 2:
            return tokens.argmax(dim=-1)
        return (tokens == end).int().argmax(dim=-1)

    def embed(self, tokens: Tensor) -> Tensor:
        return self.model.text_model.embeddings.token_embedding(tokens)

    def text_rows(self, embeddings: Tensor, tokens: Tensor) -> Tensor:
        lookup = self.model.text_model.embeddings.token_embedding
        # The tower takes token numbers only; what it looks up for them is replaced on the way.
        hook = lookup.register_forward_hook(lambda *_: embeddings.to(lookup.weight.dtype))
        try:
            output = self.model.get_text_features(input_ids=tokens)
        finally:
            hook.remove()
        return output if self.torch.is_tensor(output) else output.pooler_output

    def image_rows(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        vision = self.model.vision_model
        states = vision(pixel_values=pixels).last_hidden_state
        rows = self.model.visual_projection(vision.post_layernorm(states))
        return rows[:, 0], rows[:, 1:]


def _attention_pooled(torch: Any, visual: Any, pixels: Tensor) -> tuple[Tensor, Tensor]:
    """The attention pool of a ModifiedResNet with the mean and every place as queries."""
    x = visual.stem(pixels)
    for layer in (visual.layer1, visual.layer2, visual.layer3, visual.layer4):
        x = layer(x)
    pool = visual.attnpool
    x = x.flatten(2).transpose(1, 2)
    x = torch.cat([x.mean(dim=1, keepdim=True), x], dim=1)
    x = x + pool.positional_embedding.to(x.dtype)
    query, key, value = (
        project(x).unflatten(2, (pool.num_heads, -1)).transpose(1, 2)
        for project in (pool.q_proj, pool.k_proj, pool.v_proj)
    )
    mixed = torch.nn.functional.scaled_dot_product_attention(query, key, value)
    rows = pool.c_proj(mixed.transpose(1, 2).flatten(2))
    return rows[:, 0], rows[:, 1:]


def _unsupported(got: str) -> DistnormError:
    return DistnormError(got, _SUPPORTED, "use test-time augmentation ('tta'), which takes any")

"""Checkpoints of ALBEF's and TCL's authors: which tensor is what, and the towers that they fill.

Everything that shapes the model is read off the tensors: depth, width, patches and resolution of
the vision transformer (timm), the layers of BERT (transformers) that read text alone (those before
the first cross-attention, 6 of 12 in the published files), width of the projections. Heads are 64
wide, as in both. What the two rows do not need (momentum copies, queues, matching and
masked-language heads, fusion layers) is left out by name; any other key that is missing or left
over is an error.

| key | part |
|---|---|
| ``visual_encoder.*`` | vision transformer, timm's own names |
| ``text_encoder.bert.*`` (pre-training), ``text_encoder.*`` (retrieval) | BERT, its own names |
| ``vision_proj.*``, ``text_proj.*`` | projections |
| ``temp`` | temperature |
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from distnorm.encoders.fingerprints import one_line
from distnorm.errors import DistnormError

__all__ = ["built", "checkpoint_parts", "read", "resized_positions"]

_HEAD = 64
# What training and re-ranking need and the two rows do not.
_UNUSED = re.compile(
    r"(visual_encoder_m|text_encoder_m|vision_proj_m|text_proj_m|itm_head|text_encoder\.cls)\."
    r"|(image_queue|text_queue|idx_queue|queue_ptr)$"
    r"|text_encoder\.(embeddings\.position_ids$|pooler\.)"
)
_LAYER = re.compile(r"text_encoder\.encoder\.layer\.(\d+)\.")


def read(file: Path, name: str, weights_only: bool) -> Mapping[str, Any]:
    """The tensors of a checkpoint file, by key."""
    import torch

    try:
        content = torch.load(file, map_location="cpu", weights_only=weights_only)
    except Exception as error:
        remedy = "check the file"
        if weights_only and "weights_only" in str(error):
            remedy = "if you trust the file, pass weights_only=False"
        raise DistnormError(f"{name}: {one_line(error)}", "a torch checkpoint", remedy) from error
    state = content.get("model", content) if isinstance(content, Mapping) else None
    if not isinstance(state, Mapping) or not all(hasattr(v, "shape") for v in state.values()):
        raise DistnormError(
            f"{name} without a 'model' of tensors", "a checkpoint", "check the file"
        )
    return {str(key).removeprefix("module."): value for key, value in state.items()}


def checkpoint_parts(state: Mapping[str, Any], name: str) -> dict[str, dict[str, Any]]:
    """A checkpoint's tensors by part: image, text, vision_proj, text_proj and other.

    Keys of pre-training (``text_encoder.bert.``) and of retrieval (``text_encoder.``) both count.
    """
    keys = {key.replace("text_encoder.bert.", "text_encoder."): key for key in state}
    fusion = [
        int(layer.group(1))
        for key in keys
        if ".crossattention." in key and (layer := _LAYER.match(key))
    ]
    last = min(fusion, default=6)
    parts: dict[str, dict[str, Any]] = {
        part: {} for part in ("image", "text", "vision_proj", "text_proj", "other")
    }
    prefixes = {
        "visual_encoder.": "image",
        "text_encoder.": "text",
        "vision_proj.": "vision_proj",
        "text_proj.": "text_proj",
    }
    left: list[str] = []
    for key, original in keys.items():
        layer = _LAYER.match(key)
        if _UNUSED.match(key) or (layer and int(layer.group(1)) >= last):
            continue
        prefix = next((p for p in prefixes if key.startswith(p)), None)
        if prefix is not None:
            parts[prefixes[prefix]][key.removeprefix(prefix)] = state[original]
        elif key == "temp":
            parts["other"][key] = state[original]
        else:
            left.append(original)
    missing = [prefix for prefix, part in prefixes.items() if not parts[part]]
    if missing or left:
        raise _not_a_checkpoint(name, [f"{prefix}*" for prefix in missing], left)
    return parts


def resized_positions(positions: Any, side: int) -> Any:
    """Positions (1, 1 + n * n, width) for ``side`` patches along one side of the picture.

    Bicubic; the first token is kept.
    """
    import torch

    old = round((positions.shape[1] - 1) ** 0.5)
    if old == side:
        return positions
    first, grid = positions[:, :1], positions[:, 1:]
    grid = grid.reshape(1, old, old, -1).permute(0, 3, 1, 2)
    grid = torch.nn.functional.interpolate(
        grid, size=(side, side), mode="bicubic", align_corners=False
    )
    return torch.cat([first, grid.permute(0, 2, 3, 1).flatten(1, 2)], dim=1)


def built(parts: dict[str, dict[str, Any]], image_size: int | None, name: str) -> Any:
    """The two towers with their projections, strictly loaded."""
    import timm
    import torch
    import transformers

    image, text = parts["image"], parts["text"]
    try:
        width, _, patch, _ = image["patch_embed.proj.weight"].shape
        positions = image["pos_embed"]
        words, text_width = text["embeddings.word_embeddings.weight"].shape
        inner = text["encoder.layer.0.intermediate.dense.weight"].shape[0]
        places = text["embeddings.position_embeddings.weight"].shape[0]
        kinds = text["embeddings.token_type_embeddings.weight"].shape[0]
        sides = {
            side: torch.nn.Linear(*reversed(parts[side]["weight"].shape))
            for side in ("vision_proj", "text_proj")
        }
    except KeyError as error:
        raise _not_a_checkpoint(name, [str(error.args[0])], []) from error
    side = round((positions.shape[1] - 1) ** 0.5)
    if image_size is not None:
        if image_size % patch or image_size < patch:
            raise DistnormError(
                f"image_size {image_size}", f"a multiple of {patch}", "choose another"
            )
        side = image_size // patch
        image = {**image, "pos_embed": resized_positions(positions.float(), side)}
    towers = torch.nn.Module()
    towers.visual_encoder = timm.models.VisionTransformer(
        img_size=side * patch,
        patch_size=patch,
        embed_dim=width,
        depth=_depth(image, "blocks."),
        num_heads=max(width // _HEAD, 1),
        num_classes=0,
        global_pool="token",
    )
    towers.text_encoder = transformers.BertModel(
        transformers.BertConfig(
            vocab_size=words,
            hidden_size=text_width,
            num_hidden_layers=_depth(text, "encoder.layer."),
            num_attention_heads=max(text_width // _HEAD, 1),
            intermediate_size=inner,
            max_position_embeddings=places,
            type_vocab_size=kinds,
        ),
        add_pooling_layer=False,
    )
    towers.vision_proj, towers.text_proj = sides["vision_proj"], sides["text_proj"]
    state = {
        f"{module}.{key}": value
        for module, part in (
            ("visual_encoder", image),
            ("text_encoder", text),
            ("vision_proj", parts["vision_proj"]),
            ("text_proj", parts["text_proj"]),
        )
        for key, value in part.items()
    }
    try:
        wrong = towers.load_state_dict(state, strict=False)
    except RuntimeError as error:
        raise DistnormError(
            f"{name} with tensors of unexpected shapes: {one_line(error)}",
            "a checkpoint of ALBEF's or TCL's authors",
            "check the file",
        ) from error
    if wrong.missing_keys or wrong.unexpected_keys:
        raise _not_a_checkpoint(name, wrong.missing_keys, wrong.unexpected_keys)
    return towers


def _depth(part: Mapping[str, Any], prefix: str) -> int:
    """One more than the highest layer number."""
    numbers = [int(key[len(prefix) :].split(".")[0]) for key in part if key.startswith(prefix)]
    return max(numbers, default=-1) + 1


def _not_a_checkpoint(name: str, missing: Sequence[str], left: Sequence[str]) -> DistnormError:
    words = [
        f"{len(keys)} keys {what}, such as {keys[0]!r}"
        for what, keys in (("missing", missing), ("left over", left))
        if keys
    ]
    return DistnormError(
        f"{name} with {' and '.join(words)}",
        "a pre-training or retrieval checkpoint of ALBEF's or TCL's authors",
        "those of other tasks have no contrastive projections; check the file",
    )

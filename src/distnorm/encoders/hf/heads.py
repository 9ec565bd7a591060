"""Where each dual encoder of transformers keeps the two vectors that its contrastive loss compares.

| model type | image | text |
|---|---|---|
| most (CLIP, SigLIP, ALIGN, ...) | ``get_image_features`` | ``get_text_features`` |
| FLAVA | the same, first of its tokens | the same, first of its tokens |
| BLIP | ``vision_proj`` of the first token | ``text_proj`` of the first token |
| BLIP-2 | ``vision_projection`` of the query tokens | ``text_projection`` of the first token |

BLIP's plain ``BlipModel`` has projections too, but the published checkpoints hold none for it;
those of the retrieval checkpoints (``...-itm-...``) are the trained ones.

BLIP-2 compares a text with each of its (32) unit query vectors and takes the best. One row per
picture cannot do that: here a picture is the mean of its query vectors, so that its score is the
mean over queries of what the model takes the maximum of; ``queries="first"`` takes the first.
`query_rows` keeps them all, for scores of your own.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from distnorm.errors import DistnormError

__all__ = ["Head", "head_of", "pooled", "query_rows"]


@dataclass(frozen=True)
class Head:
    """How to load a kind of model (a class of transformers), and how to ask it for rows.

    ``image`` and ``text`` take the model and its inputs as keywords.
    """

    loader: str
    image: Callable[..., Any]
    text: Callable[..., Any]


def head_of(model_type: str, queries: str = "mean") -> Head:
    """The head of a model type; ``queries`` says how BLIP-2's query vectors become one row."""
    if queries not in ("mean", "first"):
        raise DistnormError(f"queries = {queries!r}", "'mean' or 'first'", "choose one")
    if model_type == "blip":
        return Head("BlipForImageTextRetrieval", _blip_image, _blip_text)
    if model_type == "blip-2":
        one = _mean_query if queries == "mean" else _first_query
        return Head("Blip2ForImageTextRetrieval", one, _blip_2_text)
    if model_type == "chinese_clip":
        return Head("AutoModel", _image, _chinese_clip_text)
    return Head("AutoModel", _image, _text)


def pooled(output: Any) -> Any:
    """Rows out of what a model returns: of FLAVA, which projects every token, the first ones."""
    # Up to transformers 4 a tensor, from 5 on an object.
    rows = getattr(output, "pooler_output", output)
    return rows[:, 0] if rows.ndim == 3 else rows


def query_rows(model: Any, pixel_values: Any) -> Any:
    """BLIP-2's unit vectors of a picture, one for each query token, shape (n, queries, d)."""
    import torch

    states = model.vision_model(pixel_values=pixel_values).last_hidden_state
    queries = model.qformer(
        query_embeds=model.query_tokens.expand(len(states), -1, -1),
        encoder_hidden_states=states,
        encoder_attention_mask=torch.ones(
            states.shape[:-1], dtype=torch.long, device=states.device
        ),
    ).last_hidden_state
    projected = model.vision_projection(queries.to(model.vision_projection.weight.dtype))
    return torch.nn.functional.normalize(projected, dim=-1)


def _image(model: Any, **inputs: Any) -> Any:
    return pooled(model.get_image_features(**inputs))


def _text(model: Any, **inputs: Any) -> Any:
    return pooled(model.get_text_features(**inputs))


def _chinese_clip_text(model: Any, **inputs: Any) -> Any:
    # get_text_features of 4.57 asks for a pooled vector that this BERT has not.
    return model.text_projection(model.text_model(**inputs)[0][:, 0])


def _blip_image(model: Any, pixel_values: Any) -> Any:
    states = model.vision_model(pixel_values=pixel_values).last_hidden_state
    return model.vision_proj(states[:, 0])


def _blip_text(model: Any, input_ids: Any, attention_mask: Any) -> Any:
    output = model.text_encoder(input_ids=input_ids, attention_mask=attention_mask)
    return model.text_proj(output.last_hidden_state[:, 0])


def _mean_query(model: Any, pixel_values: Any) -> Any:
    return query_rows(model, pixel_values).mean(dim=1)


def _first_query(model: Any, pixel_values: Any) -> Any:
    return query_rows(model, pixel_values)[:, 0]


def _blip_2_text(model: Any, input_ids: Any, attention_mask: Any) -> Any:
    states = model.qformer(
        query_embeds=model.embeddings(input_ids=input_ids),
        query_length=0,
        attention_mask=attention_mask,
    ).last_hidden_state
    return model.text_projection(states[:, 0].to(model.text_projection.weight.dtype))

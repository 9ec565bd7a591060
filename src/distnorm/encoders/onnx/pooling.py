"""How a sentence model makes one row of its tokens' vectors, as sentence-transformers writes it.

| pooling | row |
|---|---|
| mean | mean of the tokens that are no padding |
| max | largest value of each dimension, over the same |
| cls | the first token |
| lasttoken | the last that is no padding |

``1_Pooling/config.json`` says which, or ``pooling`` in ``distnorm.json``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from distnorm.encoders.base import Rows
from distnorm.errors import DistnormError

__all__ = ["POOLINGS", "pooled", "pooling_of"]

POOLINGS = ("mean", "max", "cls", "lasttoken")
_FLAGS = {
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_max_tokens": "max",
    "pooling_mode_cls_token": "cls",
    "pooling_mode_lasttoken": "lasttoken",
}
_STEPS = ("Transformer", "Pooling", "Normalize")


def pooling_of(
    card: Mapping[str, Any], config: Mapping[str, Any], modules: Any, folder: str
) -> str | None:
    """The pooling that ``distnorm.json`` or ``1_Pooling/config.json`` names; None if neither does.

    Raises for one that is not known here, or for further layers in ``modules.json``.
    """
    stated = card.get("pooling")
    if stated is None and config:
        modes = [name for flag, name in _FLAGS.items() if config.get(flag)]
        others = [k for k, v in config.items() if k.startswith("pooling_mode_") and v]
        stated = config.get("pooling_mode") or (modes[0] if len(others) == len(modes) == 1 else "")
        if not stated:
            stated = " and ".join(others) or "none"
    if stated is None:
        return None
    if stated not in POOLINGS:
        raise DistnormError(
            f"pooling {stated!r} in {folder!r}", f"one of: {', '.join(POOLINGS)}", "use st:"
        )
    listed = modules if isinstance(modules, list) else []
    steps = [str(dict(step).get("type", "")).rpartition(".")[2] for step in listed]
    more = [step for step in steps if step not in _STEPS]
    if more:
        raise DistnormError(
            f"a model in {folder!r} with further layers: {', '.join(more)}",
            f"{', '.join(_STEPS)} alone, or an output sentence_embedding",
            "export it with its layers, or use st:",
        )
    return str(stated)


def pooled(states: npt.NDArray[Any], mask: npt.NDArray[Any], pooling: str) -> Rows:
    """Rows (n, d) of tokens' vectors (n, tokens, d); ``mask`` is 0 where there is padding."""
    kept = mask[:, :, None].astype(bool)
    if pooling == "cls":
        return np.asarray(states[:, 0], dtype=np.float32)
    if pooling == "lasttoken":
        last = mask.shape[1] - 1 - np.argmax(mask[:, ::-1] > 0, axis=1)
        return np.asarray(states[np.arange(len(states)), last], dtype=np.float32)
    if pooling == "max":
        return np.asarray(np.where(kept, states, -np.inf).max(axis=1), dtype=np.float32)
    total = np.where(kept, states, 0).sum(axis=1, dtype=np.float64)
    return np.asarray(total / np.maximum(kept.sum(axis=1), 1), dtype=np.float32)

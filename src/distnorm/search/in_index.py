"""Search in a running index from the command line: ``system:place``, see `search.indexes`."""

from __future__ import annotations

import importlib
import re
from pathlib import Path
from typing import Any

import numpy as np

from distnorm.errors import DistnormError
from distnorm.search.judge import judged
from distnorm.search.query import check_normalization, encode_query, load_normalization

__all__ = ["is_index", "search_index"]

_FETCHED = 100


def is_index(text: str) -> bool:
    """Whether this names an index, ``system:place``, and no store."""
    return re.match(r"[a-z][a-z-]+:.", text) is not None and not Path(text).exists()


def search_index(
    spec: str,
    query: str,
    *,
    normalization: str | None = None,
    k: int = 10,
    side: str = "image",
    model: str | None = None,
    both: bool = False,
    threshold: float | None = None,
    false_alarm_rate: float | None = None,
) -> dict[str, Any]:
    """As `search_store`, in an index; its ids are names and rows.

    Raises
    ------
    DistnormError
        For an unknown or unreachable index, or a model that is not named.
    """
    from distnorm.encoders import load_encoder

    if model is None:
        raise DistnormError(
            f"{spec}, which names no model", "--model", "say which model made its vectors"
        )
    if side == "both":
        raise DistnormError(
            "--side both in an index", "one side", "search a store, or the index of each side"
        )
    encoder = load_encoder(model)
    loaded, _ = load_normalization(normalization)
    asked = encode_query(encoder, query, None if loaded is None else loaded.prompt)
    check_normalization(loaded, asked, side)
    norm = None if loaded is None or loaded.method == "dot" else loaded
    indexes: Any = importlib.import_module("distnorm.search.indexes")
    with indexes.open_index(spec, model=encoder.model_id) as index:
        fetched = max(k, _FETCHED)
        if index.max_k is not None:
            fetched = max(k, min(fetched, index.max_k))
        plain = index.search(asked.row, fetched, mode="dot", modality=asked.side)
        best = plain
        if norm is not None:
            best = index.search(
                asked.row, k, normalization=norm, mode="normalized", modality=asked.side
            )
        count = index.count()
    place = {item: rank for rank, item in enumerate(plain.ids[0], start=1)}
    results = _listed(best, k)
    notes = []
    if norm is not None:
        for entry, item in zip(results, best.ids[0], strict=True):
            entry["rank_by_dot"] = place.get(item)
        if best.without_bias:
            notes.append(
                f"{best.without_bias} items have no stored bias: run distnorm index bias {spec} "
                f"--normalization {normalization}"
            )
        if not all(best.certified):
            notes.append("approximate: items that the index did not return may score higher")
    found = {
        "schema": 1,
        "task": "search",
        "store": spec,
        "query": query,
        "query_side": asked.side,
        "model": encoder.model_id,
        "n_items": count,
        "side": side,
        "method": best.method,
        "strength": best.strength,
        "score": best.score,
        "fetched": fetched,
        "notes": notes,
        "results": results,
    }
    if both and norm is not None:
        found["dot"] = _listed(plain, k)

    def two_sided(_: Any) -> Any:
        if best.score.endswith("ranking score"):
            raise DistnormError(
                f"a threshold and statistics of {asked.side} queries alone",
                f"those of the {side} items too",
                "fit the normalization on both sides",
            )
        return np.array([entry["value"] for entry in results])

    return judged(found, loaded, two_sided, threshold=threshold, false_alarm_rate=false_alarm_rate)


def _listed(found: Any, k: int) -> list[dict[str, Any]]:
    pairs = list(zip(found.ids[0], found.scores[0], strict=True))[:k]
    return [
        {
            "rank": rank,
            "row": item if isinstance(item, int) else None,
            "name": str(item),
            "value": float(score),
        }
        for rank, (item, score) in enumerate(pairs, start=1)
    ]

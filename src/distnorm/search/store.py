"""Search in a store: a sentence or a picture in, names and scores out.

Ranking items for a query needs the statistics of the query's side only; a linear method changes the
query, any other one subtracts a number from each item.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from distnorm.embedding_store import read_embeddings, read_names
from distnorm.errors import DistnormError
from distnorm.scores import score_kind
from distnorm.search.abstain import judged
from distnorm.search.exact import topk
from distnorm.storage import load

__all__ = ["search_store"]


def search_store(
    store: Path,
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
    """The first k items of a store.

    Parameters
    ----------
    store : Path
        A clip-retrieval folder or a file of embeddings.
    query : str
        A sentence, or the path of a picture.
    normalization : path, optional
        A saved normalization of the same model; the dot product without one.
    k : int
    side : {"image", "text"}
        Which of the store's rows are searched.
    model : str, optional
        Name for `load_encoder`; the store's own if it has one.
    both : bool
        Also the plain dot product's list.
    threshold, false_alarm_rate : float, optional
        Leave out results whose two-sided score is not above it; see `distnorm.search.abstain`.

    Returns
    -------
    dict
        ``query``, ``method``, ``strength``, ``score`` (what the scores are) and ``results``:
        rank, row, name, score, and where a normalization is used the ``rank_by_dot``. With
        ``both`` also ``dot``, a list of the same form.

    Raises
    ------
    DistnormError
        For a store without a model, another model's normalization, or unreadable files.
    """
    from distnorm.encoders import load_encoder

    about = _about(store)
    name = model or about.get("model")
    if name is None:
        raise DistnormError(f"{store}, which names no model", "--model", "say which model made it")
    encoder = load_encoder(name)
    if about.get("model_id") not in (None, encoder.model_id):
        raise DistnormError(
            f"a query of {encoder.model_id!r}", f"{about['model_id']!r} as {store}", "leave --model"
        )
    items, names = _distinct(read_embeddings(store, side), read_names(store, side))
    row, query_side = _query(encoder, query)
    if items.shape[1] != row.shape[1]:
        raise DistnormError(
            f"{store} of {items.shape[1]} dimensions",
            f"{row.shape[1]} as {encoder.model_id!r}",
            "name the store's own model",
        )
    norm = None if normalization is None else load(normalization)
    if norm is not None and query_side == side:
        raise DistnormError(
            f"a normalization for {side} queries among {side} items",
            "a query of the other side",
            "leave --normalization out, or search the other --side",
        )
    if norm is not None and norm.model not in (None, encoder.model_id):
        raise DistnormError(
            f"a normalization of {norm.model!r}",
            f"one of {encoder.model_id!r}",
            "fit one on this model's embeddings",
        )
    plain = topk(row, items, len(items) if norm is not None else k)
    found = {
        "schema": 1,
        "task": "search",
        "store": str(store),
        "query": query,
        "model": encoder.model_id,
        "n_items": len(items),
        "method": "dot" if norm is None else norm.method,
        "strength": 0.0 if norm is None else norm.strength[query_side],
        "score": "cosine",
    }
    dot = _listed(plain[0][0, :k], plain[1][0, :k], names)
    bar = {"threshold": threshold, "false_alarm_rate": false_alarm_rate}
    if norm is None:
        found["results"] = dot
        return judged(found, None, row, items[plain[1][0, :k]], query_side, **bar)
    if norm.spec.is_query_shift:
        scores, rows = topk_shifted(norm, row, items, k, query_side)
    else:
        scores, rows = topk(row, items, k, norm.item_bias(items, modality=side))
    rank = np.empty(len(items), dtype=np.intp)
    rank[plain[1][0]] = np.arange(1, len(items) + 1)
    results = _listed(scores[0], rows[0], names)
    for entry, place in zip(results, rows[0], strict=True):
        entry["rank_by_dot"] = int(rank[place])
    found["score"] = score_kind(norm, query=query_side).label
    found |= {"results": results, **({"dot": dot} if both else {})}
    return judged(found, norm, row, items[rows[0]], query_side, **bar)


def topk_shifted(
    norm: Any, row: npt.NDArray[Any], items: npt.NDArray[Any], k: int, side: str
) -> tuple[npt.NDArray[Any], npt.NDArray[np.intp]]:
    """Top-k of a linear method: the same search with another query."""
    return topk(norm.shift_queries(row, modality=side), items, k)


def _about(store: Path) -> dict[str, Any]:
    marker = store / "store.json"
    if not marker.is_file():
        return {}
    try:
        found: dict[str, Any] = json.loads(marker.read_text("utf-8"))
    except ValueError as error:
        raise DistnormError(f"{marker}, which is no JSON", "a whole file", "embed again") from error
    return found


def _query(encoder: Any, query: str) -> tuple[npt.NDArray[np.float32], str]:
    """The query's row and its side: a picture if there is a file of that name."""
    from distnorm.embedding.sources import PICTURES

    path = Path(query)
    if path.suffix.lower() in PICTURES:
        from distnorm.embedding.pictures import open_picture

        return encoder.encode_images([open_picture(path)[0]]), "image"
    return encoder.encode_texts([query]), "text"


def _distinct(items: npt.NDArray[Any], names: list[str]) -> tuple[npt.NDArray[Any], list[str]]:
    """Each name once: a picture stands in a row for each of its captions."""
    first: dict[str, int] = {}
    for row, name in enumerate(names):
        first.setdefault(name, row)
    if len(first) == len(names):
        return items, names
    return np.asarray(items[list(first.values())]), list(first)


def _listed(
    scores: npt.NDArray[Any], rows: npt.NDArray[np.intp], names: list[str]
) -> list[dict[str, Any]]:
    pairs = zip(scores, rows, strict=True)
    return [
        {"rank": rank, "row": int(row), "name": names[row], "value": float(score)}
        for rank, (score, row) in enumerate(pairs, start=1)
    ]

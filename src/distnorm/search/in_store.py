"""Search in a store: a sentence or a picture in, names and scores out.

Ranking items for a query needs the statistics of the query's side only; a linear method changes the
query, any other one subtracts a number from each item. Shards are read one after the other.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from distnorm.calibration.score_kinds import score_kind
from distnorm.errors import DistnormError
from distnorm.exact import Gallery, places, topk
from distnorm.normalization import ScoreNormalization
from distnorm.search.bias_file import bias_of, kept_bias
from distnorm.search.judge import judged
from distnorm.search.mixed import topk_mixed
from distnorm.search.query import Query, check_normalization, encode_query, load_normalization
from distnorm.store.columns import read_names
from distnorm.store.layout import Commit
from distnorm.store.vectors import open_embeddings

__all__ = ["search_store"]

Progress = Callable[[int, int], None]


class _Shelf:
    """One side of a store: rows, their names, and which row is the first of its name.

    A picture stands in a row for each of its captions; it is listed once.
    """

    def __init__(self, commit: Commit, side: str) -> None:
        self.items = open_embeddings(commit, side)
        self.names = read_names(commit, side)
        counts = Counter(self.names)
        self.count, self.copies = len(counts), max(counts.values())
        # Backwards, so that the first row of a name is the one that stays.
        firsts = {self.names[row]: row for row in reversed(range(len(self.names)))}
        self.first = np.zeros(len(self.names), dtype=bool)
        self.first[list(firsts.values())] = True

    def distinct(self, *columns: npt.NDArray[Any], k: int) -> list[npt.NDArray[Any]]:
        """The first k entries of a result whose row (the last column) is the first of a name."""
        keep = np.flatnonzero(self.first[columns[-1]])[:k]
        return [column[keep] for column in columns]

    def listed(self, scores: Any, rows: Any, **more: Any) -> list[dict[str, Any]]:
        """Entries of a result."""
        pairs = enumerate(zip(scores, rows, strict=True), start=1)
        return [
            {"rank": rank, "row": int(row), "name": self.names[row], "value": float(score), **more}
            for rank, (score, row) in pairs
        ]


def search_store(
    store: Path,
    query: str,
    *,
    normalization: str | None = None,
    k: int = 10,
    side: str = "image",
    model: str | None = None,
    both: bool = False,
    bias: Path | None = None,
    scale: str = "standard",
    threshold: float | None = None,
    false_alarm_rate: float | None = None,
    progress: Progress | None = None,
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
    side : {"image", "text", "both"}
        Which of the store's rows are searched.
    model : str, optional
        Name for `load_encoder`; the store's own if it has one.
    both : bool
        Also the dot product's list.
    bias : Path, optional
        File that keeps the items' biases between searches, for methods that have them.
    scale : {"standard", "two-sided"}
        With both sides: see `topk_mixed`.
    threshold, false_alarm_rate : float, optional
        Leave out results whose two-sided score is not above it; see `distnorm.search.judge`.
        Not with both sides.
    progress : callable, optional
        Called with (items done, items in all).

    Raises
    ------
    DistnormError
        For a store without a model, another model's normalization, or unreadable files.
    """
    from distnorm.encoders import load_encoder

    commit = Commit.read(store)
    name = model or commit.model
    if name is None:
        raise DistnormError(f"{store}, which names no model", "--model", "say which model made it")
    encoder = load_encoder(name)
    if commit.model_id not in (None, encoder.model_id):
        raise DistnormError(
            f"a query of {encoder.model_id!r}", f"{commit.model_id!r} as {store}", "leave --model"
        )
    shelves = {
        one: _Shelf(commit, one) for one in (("image", "text") if side == "both" else (side,))
    }
    loaded, checksum = load_normalization(normalization)
    prompt = (commit.prompt or None) if loaded is None or loaded.prompt is None else loaded.prompt
    asked = encode_query(encoder, query, prompt)
    for shelf in shelves.values():
        if shelf.items.shape[1] != asked.row.shape[1]:
            raise DistnormError(
                f"{store} of {shelf.items.shape[1]} dimensions",
                f"{asked.row.shape[1]} as {encoder.model_id!r}",
                "name the store's own model",
            )
    check_normalization(loaded, asked, side)
    norm = None if loaded is None or loaded.method == "dot" else loaded
    found: dict[str, Any] = {
        "schema": 1,
        "task": "search",
        "store": str(store),
        "query": query,
        "query_side": asked.side,
        "model": encoder.model_id,
        "n_items": sum(shelf.count for shelf in shelves.values()),
        "side": side,
        "prompt": prompt if asked.side == "text" else None,
        "method": "dot" if norm is None else norm.method,
        "strength": 0.0 if norm is None else norm.applied(asked.side).strength,
        "notes": [],
    }
    if side == "both" and bias is not None:
        raise DistnormError("--bias with both sides", "one side", "leave one of them out")
    bar = {"threshold": threshold, "false_alarm_rate": false_alarm_rate}
    if side == "both" and any(value is not None for value in bar.values()):
        raise DistnormError(
            "a threshold with both sides", "one side", "search texts and pictures one by one"
        )
    if side == "both":
        return {**found, **_mixed(shelves, asked, norm, k, both, scale)}
    known = (bias, checksum, progress)
    shelf = shelves[side]
    found |= _one_side(shelf, asked, norm, k, both, side, known)
    rows = np.array([entry["row"] for entry in found["results"]], dtype=np.intp)

    def two_sided(scorer: ScoreNormalization) -> npt.NDArray[Any]:
        pair = (asked.row, shelf.items[rows])
        scores: npt.NDArray[Any] = scorer.similarity(
            *(pair if asked.side == scorer.sides[0] else pair[::-1])
        )
        return scores

    return judged(found, loaded, two_sided, **bar)


def _one_side(
    shelf: _Shelf,
    asked: Query,
    norm: ScoreNormalization | None,
    k: int,
    both: bool,
    side: str,
    known: tuple[Path | None, str, Progress | None],
) -> dict[str, Any]:
    path, checksum, progress = known
    gallery = Gallery(shelf.items, asked.row.shape[1])
    wanted = k * shelf.copies
    found: dict[str, Any] = {"score": "cosine"}
    dot: list[dict[str, Any]] = []
    if norm is None or both:
        scores, rows = topk(asked.row, gallery, wanted, progress=progress)
        dot = shelf.listed(*shelf.distinct(scores[0], rows[0], k=k))
    if norm is None:
        return {**found, "results": dot}
    notes = []
    if norm.applied(asked.side).spec.is_query_shift:
        shifted = norm.shift_queries(asked.row, modality=asked.side)
        scores, rows = topk(shifted, gallery, wanted, progress=progress)
    else:
        if path is None:
            biases = bias_of(norm, shelf.items, side, progress)
        else:
            biases, before, added = kept_bias(path, norm, checksum, shelf.items, side, progress)
            if before and added:
                notes.append(
                    f"{added} items were added after the {before} biases in {path} were computed; "
                    "theirs were computed and added now"
                )
        scores, rows = topk(asked.row, gallery, wanted, biases, progress=progress)
    best = shelf.distinct(scores[0], rows[0], k=k)
    results = shelf.listed(*best)
    for entry, place in zip(
        results, places(asked.row[0], gallery, best[1], shelf.first), strict=True
    ):
        entry["rank_by_dot"] = int(place)
    kind = score_kind(norm, query=asked.side)
    found = {"score": kind.label, "results": results, "notes": notes}
    return {**found, **({"dot": dot} if both else {})}


def _mixed(
    shelves: dict[str, _Shelf],
    asked: Query,
    norm: ScoreNormalization | None,
    k: int,
    both: bool,
    scale: str,
) -> dict[str, Any]:
    galleries = {side: Gallery(shelf.items, asked.row.shape[1]) for side, shelf in shelves.items()}
    wanted = k * max(shelf.copies for shelf in shelves.values())

    def listed(about: ScoreNormalization | None, by: str) -> list[dict[str, Any]]:
        best = topk_mixed(asked.row, galleries, about, wanted, modality=asked.side, scale=by)
        entries: list[dict[str, Any]] = []
        for at, row, score in zip(best.side[0], best.rows[0], best.scores[0], strict=True):
            name = best.sides[at]
            if shelves[name].first[row] and len(entries) < k:
                entries += shelves[name].listed([score], [row], side=name)
                entries[-1]["rank"] = len(entries)
        return entries

    if norm is None and scale == "two-sided":
        return {"score": "cosine", "results": listed(None, scale)}
    results = listed(norm, scale)
    found = {"score": f"{scale} score of each side", "results": results}
    return {**found, **({"dot": listed(None, "two-sided")} if both else {})}

"""What saved files give: everything a loaded normalization or index says, as plain values."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

import distnorm
from contract.cases import inside
from contract.commands import run

__all__ = ["card_of", "found_in", "plain", "results_of"]

Rows = Mapping[str, np.ndarray]


def results_of(norm: Any, rows: Rows) -> dict[str, Any]:
    """Settings, statistics, biases and scores of a normalization, for fixed queries and items.

    Where a method refuses, that is the result.
    """
    raw = "raw_" if norm.input == "raw" else ""
    one, two = norm.sides
    queries = {one: rows[f"{raw}image_queries"], two: rows[f"{raw}text_queries"]}
    items = {one: rows[f"{raw}image_items"], two: rows[f"{raw}text_items"]}
    other = {one: two, two: one}
    asked: dict[str, Callable[[], Any]] = {
        "settings": norm.to_dict,
        "counts": lambda: norm.counts,
        "dimension": lambda: norm.dimension,
        "notes": lambda: norm.notes.to_dict(),
        "similarity": lambda: norm.similarity(queries[one], items[two]),
        "similarity of queries": lambda: norm.similarity(queries[one], items[two], query=two),
        "paired similarity": lambda: norm.paired_similarity(queries[one], queries[two]),
        "selection": lambda: None if norm.selection is None else norm.selection.to_dict(),
        "threshold": lambda: norm.threshold(0.01).to_dict(),
        "false-alarm rate": lambda: norm.false_alarm_rate(np.array([0.1, 0.4])).to_dict(),
        "percentile": lambda: norm.percentile(np.array([0.1, 0.4])).to_dict(),
        "probability": lambda: norm.probability(np.array([0.1, 0.4, 0.8])),
        "probability at a prior": lambda: norm.probability(np.array([0.1, 0.4]), prior=0.3),
    }
    for side in norm.sides:
        asked[f"{side} mean"] = lambda side=side: norm.moments(side).mean
        asked[f"{side} uncertainty"] = lambda side=side: norm.moments(side).uncertainty().to_dict()
        asked[f"{side} covariance"] = lambda side=side: np.diag(norm.moments(side).covariance())
        asked[f"bias of {side} items"] = lambda side=side: norm.item_bias(
            items[side], modality=side
        )
        asked[f"{side} queries, shifted"] = lambda side=side: norm.shift_queries(
            queries[side], modality=side
        )
        asked[f"ranking for {side} queries"] = lambda side=side: norm.ranking(
            queries[side], items[other[side]], modality=side
        ).scores()
    return {name: _answer(ask) for name, ask in asked.items()}


def found_in(index: Any, norm: Any, queries: np.ndarray) -> dict[str, Any]:
    """Both lists of a search in an index."""
    return plain(
        {
            "normalized": index.search(queries, 5, norm).to_dict(),
            "dot": index.search(queries, 5).to_dict(),
            "check": {**index.check(norm, queries=queries).to_dict(), "column": None},
        }
    )


def card_of(path: Path) -> tuple[dict[str, Any], str]:
    """The card of a file, for machines and for people, as the command writes it beside the file."""
    with tempfile.TemporaryDirectory() as place:
        shutil.copy(path, place)
        with inside(Path(place)):
            done = run("card", path.name, "--json", "card.json", "--out", "card.md")
            assert done.exit_code == 0, done.output
            card = json.loads(Path("card.json").read_text("utf-8"))
            return card, Path("card.md").read_text("utf-8")


def plain(value: Any) -> Any:
    """As JSON has it."""
    if isinstance(value, Mapping):
        return {str(key): plain(x) for key, x in value.items()}
    if isinstance(value, np.ndarray | np.generic):
        return plain(value.tolist())
    if isinstance(value, list | tuple):
        return [plain(x) for x in value]
    if isinstance(value, float) and not np.isfinite(value):
        return str(value)
    return value


def _answer(ask: Callable[[], Any]) -> Any:
    try:
        return plain(ask())
    except distnorm.DistnormError:
        return "refused"
    except AttributeError:
        # Of the moments of a side that was never fitted: there are none.
        return "absent"

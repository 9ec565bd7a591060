"""The paper's own numbers, for comparison alone: nothing is ever filled in from here."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

__all__ = ["Published", "paper_model", "published", "table"]


@dataclass(frozen=True)
class Published:
    """A cell of the paper: title of its model, whether ours is that model, metrics in [0, 1]."""

    model: str
    same_model: bool
    metrics: dict[str, float]

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {"model": self.model, "same_model": self.same_model, "metrics": dict(self.metrics)}


@cache
def table() -> dict[str, Any]:
    """The whole file ``published.json``."""
    text = resources.files("distnorm.paper").joinpath("published.json").read_text("utf-8")
    content: dict[str, Any] = json.loads(text)
    return content


def paper_model(names: tuple[str, ...]) -> str | None:
    """Which of the paper's models goes by one of these names, None if none does."""
    for key, entry in table()["models"].items():
        if any(re.search(entry["pattern"], name.lower()) for name in names):
            return str(key)
    return None


def published(
    names: tuple[str, ...],
    task: str,
    dataset: str,
    augment: str,
    method: str,
    *,
    references: bool = False,
) -> Published | None:
    """The paper's cell, of our model if the paper has it, else of its CLIP; None without one.

    Examples
    --------
    >>> published(("builtin",), "retrieval", "coco", "none", "dn").same_model
    False
    """
    ours = paper_model(names)
    key = (task, dataset, augment, method, references)
    by_model = {
        entry["model"]: entry["metrics"]
        for entry in table()["cells"]
        if key
        == tuple(entry[name] for name in ("task", "dataset", "augment", "method", "references"))
    }
    # Word overlap needs no model, so any model's run is the same run.
    model = None if None in by_model else ours if ours in by_model else "clip"
    if model not in by_model:
        return None
    title = "no model" if model is None else str(table()["models"][model]["title"])
    metrics = {name: value / 100 for name, value in by_model[model].items()}
    return Published(title, model is None or model == ours, metrics)

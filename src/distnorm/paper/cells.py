"""What the benchmark gives: cells in CLIP_benchmark's JSON, and what is missing with the reason.

The paper's own numbers stand beside ours, for comparison alone: nothing is ever filled in from
them.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass, field
from functools import cache
from importlib import resources
from typing import Any

from distnorm.comparison import MetricSummary

__all__ = [
    "TASKS",
    "Benchmark",
    "Cell",
    "Missing",
    "Published",
    "model_names",
    "paper_model",
    "published",
    "table",
]


TASKS = {
    "retrieval": "zeroshot_retrieval",
    "classification": "zeroshot_classification",
    "captions": "zeroshot_caption_scoring",
}
"""Our names of tasks and those of the JSON."""


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


def model_names(model: str) -> tuple[str, str]:
    """Model and pretrained tag as CLIP_benchmark writes them.

    Examples
    --------
    >>> model_names("open_clip:ViT-B-32/openai"), model_names("builtin")
    (('ViT-B-32', 'openai'), ('builtin', ''))
    """
    family, _, name = model.partition(":")
    if family == "open_clip" and "/" in name:
        architecture, _, tag = name.partition("/")
        return architecture, tag
    return name or family, ""


@dataclass(frozen=True)
class Cell:
    """One method on one data set under one augmentation.

    ``benchmark_name`` is the data set in CLIP_benchmark's words, ``references`` says of caption
    scores whether they read any, and ``rule`` how these or clipping enter (see `score_captions`).
    ``metrics`` are means and deviations over seeds, with differences to the dot product;
    ``settings`` are all that affects the numbers: protocol, prefix, strength, statistics, counts,
    seeds.
    """

    task: str
    dataset: str
    benchmark_name: str
    model: str
    model_id: str
    augment: str
    method: str
    metrics: dict[str, MetricSummary] = field(repr=False)
    settings: dict[str, Any] = field(repr=False)
    references: bool = False
    rule: str | None = None
    paper: Published | None = field(default=None, repr=False)

    @property
    def name(self) -> str:
        """A file name of its own."""
        rule = self.rule if self.rule not in (None, self.method) else ""
        words = [self.dataset, self.augment, self.method, rule or ""]
        plain = "_".join(w for w in words if w)
        safe = "".join(c if c.isalnum() or c in "-_.@=" else "-" for c in plain)
        if safe == plain:
            return safe
        return f"{safe}_{hashlib.sha256(plain.encode()).hexdigest()[:6]}"

    @property
    def differences(self) -> dict[str, float]:
        """Ours less the paper's, metric by metric."""
        if self.paper is None:
            return {}
        return {
            name: self.metrics[name].mean - value
            for name, value in self.paper.metrics.items()
            if name in self.metrics
        }

    def to_dict(self) -> dict[str, Any]:
        """CLIP_benchmark's object, and beside its keys what ours rest on."""
        architecture, tag = model_names(self.model)
        return {
            "dataset": self.benchmark_name,
            "model": architecture,
            "pretrained": tag,
            "task": TASKS[self.task],
            "metrics": {name: summary.mean for name, summary in self.metrics.items()},
            "language": "en",
            "method": self.method,
            "augment": self.augment,
            "references": self.references,
            "rule": self.rule,
            "model_id": self.model_id,
            "summaries": {name: summary.to_dict() for name, summary in self.metrics.items()},
            "paper": None if self.paper is None else self.paper.to_dict(),
            "difference": self.differences,
            "settings": dict(self.settings),
        }


@dataclass(frozen=True)
class Missing:
    """What could not be evaluated, and why."""

    task: str
    dataset: str
    augment: str
    method: str
    reason: str

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return dict(self.__dict__)


@dataclass(frozen=True)
class Benchmark:
    """All cells of a run."""

    model: str
    model_id: str
    protocol: dict[str, Any]
    cells: tuple[Cell, ...] = field(repr=False)
    missing: tuple[Missing, ...] = field(repr=False)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON, schema 1."""
        return {
            "schema": 1,
            "task": "benchmark paper",
            "model": self.model,
            "model_id": self.model_id,
            "protocol": dict(self.protocol),
            "cells": [cell.to_dict() for cell in self.cells],
            "missing": [missing.to_dict() for missing in self.missing],
        }

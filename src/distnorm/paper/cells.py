"""What the benchmark gives: cells in CLIP_benchmark's JSON, and what is missing with the reason."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import Any

from distnorm.comparison import MetricSummary
from distnorm.paper.published import Published

__all__ = ["TASKS", "Benchmark", "Cell", "Missing", "model_names"]

TASKS = {
    "retrieval": "zeroshot_retrieval",
    "classification": "zeroshot_classification",
    "captions": "zeroshot_caption_scoring",
}
"""Our names of tasks and those of the JSON."""


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

    Attributes
    ----------
    benchmark_name : str
        The data set in CLIP_benchmark's words.
    references : bool
        Caption scores that read references.
    rule : str or None
        How references or clipping enter; see `score_captions`.
    metrics : dict from str to MetricSummary
        Mean and standard deviation over seeds, difference to the dot product.
    settings : dict
        All that affects the numbers: protocol, prefix, strength, statistics, counts, seeds.
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

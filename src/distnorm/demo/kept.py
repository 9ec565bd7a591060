"""Figures of ``distnorm demo`` that take longest: kept in ``kept.json``, and computed where not.

Kept are those of the other worlds and of test-time augmentation, for the demo's default world,
size and seed and one built-in model, named by its checksums. With a new model or other scenes run

    python -m distnorm.demo

which computes them by ``run_demo(fresh=True)`` and writes the file.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from typing import Any

from distnorm.comparison import Comparison
from distnorm.comparison.results import MethodResult, MetricSummary
from distnorm.encoders.builtin import card
from distnorm.moments import Overlap

__all__ = ["FILE", "Kept", "contents"]

FILE = "kept.json"
"""Beside this module."""


_AUGMENTED = ("retrieval_tta", "classification_tta")


@dataclass(frozen=True)
class Kept:
    """Comparisons that need not be computed: of worlds, and with augmentation by its task."""

    worlds: Mapping[str, Comparison]
    augmented: Mapping[str, Comparison]

    @classmethod
    def of(cls, world: str, size: int, seed: int, other_size: int) -> Kept:
        """What is kept for a demo, ``other_size`` pictures of each other world; maybe nothing."""
        file = resources.files("distnorm.demo").joinpath(FILE)
        found = json.loads(file.read_text("utf-8")) if file.is_file() else {}
        if found.get("model") != card()["sha256"] or found["seed"] != seed:
            return cls({}, {})
        worlds = {
            name: _comparison(entries)
            for name, entries in found["worlds"].items()
            if name != world and entries["n_images"] == other_size
        }
        same = (found["world"], found["size"]) == (world, size)
        augmented = {name: _comparison(found[name]) for name in _AUGMENTED if same}
        return cls(worlds, augmented)


def contents(demo: Mapping[str, Any]) -> dict[str, Any]:
    """What is kept of a demo's JSON."""
    worlds = {name: found for name, found in demo["worlds"].items() if name != demo["world"]}
    names = ("world", "size", "seed", *_AUGMENTED)
    return {"model": card()["sha256"], **{n: demo[n] for n in names}, "worlds": worlds}


def _comparison(entries: Mapping[str, Any]) -> Comparison:
    """A comparison from its JSON."""
    results = tuple(
        MethodResult(
            **{
                name: entry[name]
                for name in ("method", "strength", "params", "n_fit", "transductive", "score")
            },
            metrics={name: _summary(figures) for name, figures in entry["metrics"].items()},
            shared_rows={
                side: Overlap(**{name: shared[name] for name in ("fitted", "rows", "exact")})
                for side, shared in entry["shared_rows"].items()
            },
        )
        for entry in entries["results"]
    )
    sizes = {name: number for name, number in entries.items() if name.startswith("n_")}
    return Comparison(entries["task"], sizes, entries["protocol"], results, entries["diagnostics"])


def _summary(figures: Mapping[str, Any]) -> MetricSummary:
    interval = figures["delta_ci95"]
    ends = None if interval is None else (interval[0], interval[1])
    return MetricSummary(figures["mean"], figures["std"], figures["delta"], ends)

"""The verdict of a comparison in words, from its JSON; the same for terminal, JSON and page."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from distnorm.report.html.titles import metric_title

__all__ = ["verdict_lines"]


def verdict_lines(verdict: Mapping[str, Any] | None) -> list[str]:
    """A line per metric, what to do, and the next commands; none without a verdict.

    ``text → image R@1: no re-index: ridge@0.5 +2.8; with biases: nnn@0.5 +5.0``
    """
    if verdict is None:
        return []
    lines = []
    for metric, found in verdict["metrics"].items():
        parts = "; ".join(map(_words, found))
        lines.append(f"{metric_title(metric)}: {parts}")
    if verdict["reason"] == "loss":
        lines.append("keep the dot product: every method is below it")
    elif verdict["reason"] == "noise":
        lines.append("keep the dot product: no gain is beyond noise")
    return lines + [f"run: {command}" for command in verdict["next"]]


def _words(entry: Mapping[str, Any]) -> str:
    name = entry["method"]
    if entry.get("chosen"):
        name += f" (chose {entry['chosen']})"
    words = f"{name} {100 * entry['delta']:+.1f}"
    words = words if entry["kind"] == "auto" else f"{entry['kind']}: {words}"
    return words + {"gain": "", "noise": " within noise", "loss": " hurts"}[entry["outcome"]]

"""Metrics by the names that people read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

__all__ = ["DIRECTION_TITLES", "chosen_text", "direction_title", "metric_title"]

DIRECTION_TITLES = {"text_retrieval": "image → text", "image_retrieval": "text → image"}
_TITLES = {
    "acc1": "top-1 accuracy",
    "acc5": "top-5 accuracy",
    "mean_per_class_recall": "mean per class",
    "kendall_tau_b": "Kendall τ-b",
    "kendall_tau_c": "Kendall τ-c",
    "spearman": "Spearman ρ",
}


def direction_title(direction: str, sides: Sequence[str] = ("image", "text")) -> str:
    """Who looks for whom, in the words of the sides."""
    one, two = sides
    return f"{one} → {two}" if direction == "text_retrieval" else f"{two} → {one}"


def chosen_text(params: Mapping[str, Any]) -> str:
    """What ``auto`` chose over the splits: ``image: nnn@0.43 x12, dot x8; text: ...``."""
    parts = []
    for side, found in params.get("chosen", {}).items():
        named = [
            f"{name}@{about['strength']:.2f} x{about['splits']}"
            if name != "dot"
            else f"dot x{about['splits']}"
            for name, about in found.items()
        ]
        parts.append(f"{side}: {', '.join(named)}")
    return "; ".join(parts)


def metric_title(name: str) -> str:
    """A metric's name for people: ``image_retrieval_recall@1`` is ``text → image R@1``."""
    for key, title in DIRECTION_TITLES.items():
        if name.startswith(key):
            rest = name.removeprefix(key + "_")
            return f"{title} {rest.replace('recall@', 'R@').replace('_', ' ')}"
    return _TITLES.get(name, name.replace("_", " "))

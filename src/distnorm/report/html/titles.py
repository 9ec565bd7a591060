"""Metrics by the names that people read."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from distnorm.methods.sides import Sides
from distnorm.tasks.retrieval import DIRECTIONS

__all__ = [
    "IMAGE_TEXT",
    "chosen_text",
    "counts_text",
    "direction_title",
    "metric_note",
    "metric_title",
    "prior_text",
    "samples_lines",
    "strength_text",
]

IMAGE_TEXT = ("image", "text")
_TITLES = {
    "acc1": "top-1 accuracy",
    "acc5": "top-5 accuracy",
    "mean_per_class_recall": "mean per class",
    "kendall_tau_b": "Kendall τ-b",
    "kendall_tau_c": "Kendall τ-c",
    "spearman": "Spearman ρ",
}
_NOTES = {
    "recall@": "R@k: share of queries with a match among their first k",
    "median_rank": "median rank: half of the queries find their match at this place or above",
    "acc": "top-k accuracy: share of pictures whose class is among their first k",
    "mean_per_class": "mean per class: top-1 accuracy with every class counted alike",
    "kendall_tau": "Kendall's τ: of all pairs of captions the share in the right order minus the "
    "share in the wrong one; 100 is perfect, 0 is chance. b corrects for ties, c for unequal "
    "numbers of levels",
    "spearman": "Spearman's ρ: correlation of the two orders; 100 is perfect, 0 is chance",
}

_NONE: Mapping[str, Any] = {}


def direction_title(direction: str, sides: Sequence[str] = IMAGE_TEXT) -> str:
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


def prior_text(params: Mapping[str, Any]) -> str:
    """What a class prior was over the splits: ``prior auto: balance x18, none x2``."""
    found = params.get("class_priors")
    if not found:
        return ""
    return f"prior {params['prior']}: {', '.join(f'{k} x{n}' for k, n in found.items())}"


def samples_lines(methods: Iterable[Mapping[str, Any]]) -> str:
    """What the samples of ``auto`` are worth, on average: ``auto: text samples worth 169, ...``."""
    lines = []
    for params in methods:
        parts = []
        for side, found in params.get("samples", {}).items():
            words = f"{side} samples worth {found['effective_samples']:.0f}"
            words += f", {found['effective_items']:.0f} items in effect"
            words += f", coverage {100 * found['coverage']:.0f} %"
            kinds = f", kinds {100 * found['kinds']:.0f} %" if "kinds" in found else ""
            parts.append(words + kinds)
        if parts:
            lines.append(f"\nauto: {'; '.join(parts)}")
    return "".join(lines)


def strength_text(strength: Mapping[str, float], params: Mapping[str, Any] = _NONE) -> str:
    """Strength for queries of each side; what ``auto`` applied, on average over the splits."""
    applied = dict(strength)
    for side, found in params.get("chosen", {}).items():
        splits = sum(about["splits"] for about in found.values())
        total = sum(about["splits"] * about["strength"] for about in found.values())
        applied[side] = round(total / splits, 2)
    values = set(applied.values())
    if len(values) == 1:
        return f"{values.pop():g}"
    return ", ".join(f"{side} {value:g}" for side, value in applied.items())


def counts_text(sizes: Mapping[str, int], sides: Sequence[str] = IMAGE_TEXT) -> str:
    """How many there are of what, in the words of the sides: ``n_images`` is ``500 queries``."""
    words = dict(zip(IMAGE_TEXT, sides, strict=True))
    words |= {f"{usual}s": Sides.plural(side) for usual, side in words.items()}
    return ", ".join(
        f"{n} {re.sub('(image|text)s?', lambda found: words[found[0]], what.removeprefix('n_'))}"
        for what, n in sizes.items()
    )


def metric_title(name: str, sides: Sequence[str] = IMAGE_TEXT) -> str:
    """A metric's name for people: ``image_retrieval_recall@1`` is ``text → image R@1``."""
    for key in DIRECTIONS:
        if name.startswith(key):
            rest = name.removeprefix(key + "_")
            return (
                f"{direction_title(key, sides)} {rest.replace('recall@', 'R@').replace('_', ' ')}"
            )
    return _TITLES.get(name, name.replace("_", " "))


def metric_note(names: Sequence[str]) -> str:
    """What these metrics mean, in a sentence each."""
    found = [note for key, note in _NOTES.items() if any(key in name for name in names)]
    return "".join(f"{note}. " for note in found).strip()

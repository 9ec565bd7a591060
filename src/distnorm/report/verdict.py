"""The verdict of a comparison in words, from its JSON; the same for terminal, JSON and page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from distnorm.report.html.titles import IMAGE_TEXT, metric_title

__all__ = ["verdict_lines", "verdict_sentence"]

_TAKES = {
    "no re-index": "only queries change, the index stays as it is",
    "with biases": "it takes one number per item beside the index",
    "auto": "it chooses method and strength itself",
    "other": "it takes new item vectors or a rule per query",
}
_ALWAYS = ("no re-index", "auto")
_NO_GAIN = {
    "loss": "keep the dot product: no method is above it",
    "noise": "keep the dot product: no gain is beyond noise",
}


def verdict_sentence(verdict: Mapping[str, Any] | None, sides: Sequence[str] = IMAGE_TEXT) -> str:
    """What to do, in one sentence; empty without a verdict.

    ``text → image R@1 rises by 2.8 points with ridge@0.5 (95 % interval +1.0 to +4.5): ...``
    """
    if verdict is None:
        return ""
    if verdict["reason"] in _NO_GAIN:
        line = _NO_GAIN[verdict["reason"]]
        return f"{line[:1].upper()}{line[1:]}."
    metric, best = next(
        (metric, entry)
        for metric, found in verdict["metrics"].items()
        for entry in found
        if entry["method"] == verdict["recommended"] and entry["outcome"] == "gain"
    )
    low, high = (100 * value for value in best["ci95"])
    seen = ", transductive: some evaluated rows were fitted" if best.get("transductive") else ""
    return (
        f"{metric_title(metric, sides)} rises by {100 * best['delta']:.1f} points with "
        f"{best['method']} (95 % interval {low:+.1f} to {high:+.1f}{seen}): "
        f"{_TAKES[best['kind']]}."
    )


def verdict_lines(
    verdict: Mapping[str, Any] | None, sides: Sequence[str] = IMAGE_TEXT
) -> list[str]:
    """A line per metric, what to do, and the next commands; none without a verdict.

    ``text → image R@1: no re-index: ridge@0.5 +2.8; with biases: nnn@0.5 +5.0``
    """
    if verdict is None:
        return []
    lines = []
    for metric, found in verdict["metrics"].items():
        # What is not worth its biases is not advertised; the tables have it.
        named = [entry for entry in found if entry.get("worth", True) or entry["kind"] in _ALWAYS]
        parts = "; ".join(map(_words, named or found[:1]))
        lines.append(f"{metric_title(metric, sides)}: {parts}")
    if verdict["reason"] in _NO_GAIN:
        lines.append(_NO_GAIN[verdict["reason"]])
    return lines + [f"run: {command}" for command in verdict["next"]]


def _words(entry: Mapping[str, Any]) -> str:
    name = entry["method"]
    if entry.get("chosen"):
        name += f" (chose {entry['chosen']})"
    words = f"{name} {100 * entry['delta']:+.1f}"
    words = words if entry["kind"] == "auto" else f"{entry['kind']}: {words}"
    words += " transductive" if entry.get("transductive") else ""
    return words + {"gain": "", "noise": " within noise", "loss": " hurts"}[entry["outcome"]]

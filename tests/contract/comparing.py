"""Recorded JSON against found JSON: keys, types and words exactly, floats within bounds."""

from __future__ import annotations

import math
import re
from typing import Any

__all__ = ["differences", "settled"]

# What says nothing about behaviour: fingerprints of floats that another processor rounds
# otherwise in the last place.
_PRINTS = (
    (re.compile(r"distnorm_bias_[0-9a-f]{10,32}"), "distnorm_bias_<fingerprint>"),
    (re.compile(r"\b[0-9a-f]{64}\b"), "<sha256>"),
    (re.compile(r"\b[0-9a-f]{32}\b"), "<id>"),
)


def settled(value: Any, names: dict[str, str] | None = None) -> Any:
    """Fingerprints and what ``names`` lists (folders, versions) replaced by what they are."""
    if isinstance(value, dict):
        return {settled(key, names): settled(x, names) for key, x in value.items()}
    if isinstance(value, list | tuple):
        return [settled(x, names) for x in value]
    if isinstance(value, str):
        for text, name in (names or {}).items():
            value = value.replace(text, name)
        for pattern, name in _PRINTS:
            value = pattern.sub(name, value)
    return value


def differences(
    recorded: Any,
    found: Any,
    *,
    rel: float = 1e-6,
    abs_: float = 1e-8,
    share: float = 0.0,
    grown: bool = False,
) -> list[str]:
    """What differs, a line each; nothing if all is as it was.

    ``share`` of the floats may lie further away, where ranks rest on what a model's runtime
    rounds: a single pair that changes places changes what is counted from it. ``grown`` allows
    keys that were not recorded.
    """
    if grown:
        found = _known(recorded, found)
    other: list[str] = []
    numbers: list[str] = []
    total = _walk(recorded, found, "", rel, abs_, other, numbers)
    return other + (numbers if len(numbers) > share * total else [])


def _known(recorded: Any, found: Any) -> Any:
    """``found`` without keys that are new."""
    if isinstance(recorded, dict) and isinstance(found, dict):
        return {key: _known(recorded[key], x) for key, x in found.items() if key in recorded}
    if isinstance(recorded, list) and isinstance(found, list) and len(recorded) == len(found):
        return [_known(one, two) for one, two in zip(recorded, found, strict=True)]
    return found


def _walk(
    recorded: Any,
    found: Any,
    at: str,
    rel: float,
    abs_: float,
    other: list[str],
    numbers: list[str],
) -> int:
    """Compare, and count floats."""
    if type(recorded) is not type(found):
        other.append(f"{at or '.'}: recorded {_short(recorded)}, found {_short(found)}")
        return 0
    if isinstance(recorded, dict):
        lost, new = recorded.keys() - found.keys(), found.keys() - recorded.keys()
        other += [f"{at}.{key}: gone" for key in sorted(lost)]
        other += [f"{at}.{key}: new" for key in sorted(new)]
        return sum(
            _walk(recorded[key], found[key], f"{at}.{key}", rel, abs_, other, numbers)
            for key in recorded
            if key in found
        )
    if isinstance(recorded, list):
        if len(recorded) != len(found):
            other.append(f"{at}: recorded {len(recorded)} entries, found {len(found)}")
            return 0
        return sum(
            _walk(one, two, f"{at}[{place}]", rel, abs_, other, numbers)
            for place, (one, two) in enumerate(zip(recorded, found, strict=True))
        )
    if isinstance(recorded, float):
        if not math.isclose(recorded, found, rel_tol=rel, abs_tol=abs_):
            numbers.append(f"{at}: recorded {recorded!r}, found {found!r}")
        return 1
    if recorded != found:
        other.append(f"{at}: recorded {_short(recorded)}, found {_short(found)}")
    return 0


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 200 else f"{text[:200]}..."

"""Evaluated rows that are among the rows statistics come from, by side."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from distnorm.moments import Overlap

__all__ = [
    "SharedRows",
    "is_transductive",
    "mostly_shared",
    "plain_shared_rows",
    "shared_text",
    "transductive_text",
]

SharedRows = Mapping[str, Overlap | None]
"""By side; None where statistics of older files do not say."""


def is_transductive(shared: SharedRows) -> bool:
    """Whether any evaluated row was fitted."""
    return any(each is not None and each.fitted for each in shared.values())


def mostly_shared(shared: SharedRows) -> bool:
    """Whether at least half of a side was: more than equal captions of different images give."""
    return any(each is not None and each.share >= 0.5 for each in shared.values())


def transductive_text(shared: SharedRows, transductive: bool) -> str:
    """What a one-line result ends with: that it is transductive, and which rows were fitted."""
    text = shared_text(shared)
    return "" if not transductive else f", transductive ({text})" if text else ", transductive"


def plain_shared_rows(shared: SharedRows) -> dict[str, Any]:
    """Plain values for JSON."""
    return {side: None if each is None else each.to_dict() for side, each in shared.items()}


def shared_text(shared: SharedRows) -> str:
    """What is said of them: empty where none was fitted, as far as is known."""
    said = [f"{side}: {each}" for side, each in shared.items() if each is not None and each.fitted]
    unknown = [side for side, each in shared.items() if each is None]
    if unknown:
        said.append(f"whether evaluated {' and '.join(unknown)} rows were fitted is not known")
    return "; ".join(said)

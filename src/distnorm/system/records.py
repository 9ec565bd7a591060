"""Records as JSON holds them: plain values of dataclasses, numbers that are finite."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import fields
from typing import Any

__all__ = ["finite", "plain_fields"]


def plain_fields(record: Any) -> dict[str, Any]:
    """The fields of a dataclass; what has a ``to_dict`` by that, tuples and arrays as lists."""
    return {each.name: _plain(getattr(record, each.name)) for each in fields(record)}


def finite(value: Any) -> Any:
    """The same with null for NaN and infinity, which JSON has not, and names that are texts."""
    if isinstance(value, dict):
        return {str(key): finite(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [finite(entry) for entry in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _plain(value: Any) -> Any:
    if hasattr(value, "to_dict"):
        return value.to_dict()
    if isinstance(value, Mapping):
        return {key: _plain(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(entry) for entry in value]
    return value.tolist() if hasattr(value, "tolist") else value

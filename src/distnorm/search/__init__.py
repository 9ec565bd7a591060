"""Exact search over vectors at hand."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from distnorm.exact import Gallery, topk
from distnorm.search.mixed import MixedResult, topk_mixed

if TYPE_CHECKING:
    from distnorm.search.hubs import Hub, QueryHubs, query_hubs

__all__ = ["Gallery", "Hub", "MixedResult", "QueryHubs", "query_hubs", "topk", "topk_mixed"]


def __getattr__(name: str) -> Any:
    """Import what rests on indexes when it is first used: they import this room first."""
    if name not in ("Hub", "QueryHubs", "query_hubs"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module("distnorm.search.hubs"), name)
    globals()[name] = value
    return value

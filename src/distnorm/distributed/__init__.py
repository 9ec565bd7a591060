"""distnorm on a cluster: statistics, biases, search and embedding by Ray Data (extra ``ray``).

Work goes over *fragments*, parts of files that one worker reads (`distnorm.distributed.sources`);
what comes back from each is small. Results do not depend on how many workers there are, on the
order in which they end, or on whether some of them die on the way.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from distnorm.distributed.aggregate import BankAggregate, MomentsAggregate, moments_of
    from distnorm.distributed.search import topk
    from distnorm.distributed.session import Session, connected
    from distnorm.distributed.sources import Fragment, Vectors, open_vectors
    from distnorm.distributed.statistics import fit

__all__ = [
    "BankAggregate",
    "Fragment",
    "MomentsAggregate",
    "Session",
    "Vectors",
    "connected",
    "fit",
    "moments_of",
    "open_vectors",
    "topk",
]

_PLACES = {
    "BankAggregate": "aggregate",
    "Fragment": "sources",
    "MomentsAggregate": "aggregate",
    "Session": "session",
    "Vectors": "sources",
    "connected": "session",
    "fit": "statistics",
    "moments_of": "aggregate",
    "open_vectors": "sources",
    "topk": "search",
}


def __getattr__(name: str) -> Any:
    """The public names, from their modules when they are asked for."""
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_PLACES[name]}"), name)

"""distnorm: better scores from a frozen image-text model, at test time.

No training, no labels, no re-indexing. See `DistributionNormalization` for the paper's method
and `make` for all of them.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from distnorm.arrays import normalize
    from distnorm.comparison import compare_retrieval
    from distnorm.errors import DistnormError, MissingExtraError
    from distnorm.factories import DistributionNormalization, make
    from distnorm.methods import METHODS
    from distnorm.metrics import recall_at_k
    from distnorm.moments import Moments
    from distnorm.normalization import ScoreNormalization
    from distnorm.ranking import Ranking
    from distnorm.storage import load
    from distnorm.tasks.retrieval import evaluate_retrieval

__version__ = "0.1.0"

__all__ = [
    "METHODS",
    "DistnormError",
    "DistributionNormalization",
    "MissingExtraError",
    "Moments",
    "Ranking",
    "ScoreNormalization",
    "__version__",
    "compare_retrieval",
    "evaluate_retrieval",
    "load",
    "make",
    "normalize",
    "recall_at_k",
]

_HOMES = {
    "METHODS": "methods",
    "DistnormError": "errors",
    "DistributionNormalization": "factories",
    "MissingExtraError": "errors",
    "Moments": "moments",
    "Ranking": "ranking",
    "ScoreNormalization": "normalization",
    "compare_retrieval": "comparison",
    "evaluate_retrieval": "tasks.retrieval",
    "load": "storage",
    "make": "factories",
    "normalize": "arrays",
    "recall_at_k": "metrics",
}


def __getattr__(name: str) -> Any:
    """Import a public name from its room when it is first used."""
    if name not in _HOMES:
        raise AttributeError(f"module 'distnorm' has no attribute {name!r}")
    value = getattr(importlib.import_module(f"distnorm.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """The public names."""
    return __all__

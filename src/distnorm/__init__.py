"""distnorm: better scores from a frozen image-text model, at test time.

No training, no labels, no re-indexing. See `DistributionNormalization` for the paper's method
and `make` for all of them.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from distnorm import search
    from distnorm.arrays import normalize
    from distnorm.comparison import (
        compare_captions,
        compare_classification,
        compare_retrieval,
    )
    from distnorm.encoders import load_encoder
    from distnorm.errors import DistnormError, MissingExtraError
    from distnorm.methods.registry import METHODS
    from distnorm.metrics import recall_at_k
    from distnorm.metrics.correlations import kendall_tau
    from distnorm.metrics.ranking import Ranking
    from distnorm.moments import Moments
    from distnorm.monitoring.watch import Watch
    from distnorm.normalization import (
        DistributionNormalization,
        ScoreNormalization,
        load,
        make,
    )
    from distnorm.selection import Selection, select
    from distnorm.tasks.captioning import evaluate_captions, score_captions
    from distnorm.tasks.classification import evaluate_classification
    from distnorm.tasks.retrieval import evaluate_retrieval
    from distnorm.tasks.zero_shot import ZeroShotClassifier

__version__ = "0.1.0"

__all__ = [
    "METHODS",
    "DistnormError",
    "DistributionNormalization",
    "MissingExtraError",
    "Moments",
    "Ranking",
    "ScoreNormalization",
    "Selection",
    "Watch",
    "ZeroShotClassifier",
    "__version__",
    "compare_captions",
    "compare_classification",
    "compare_retrieval",
    "evaluate_captions",
    "evaluate_classification",
    "evaluate_retrieval",
    "kendall_tau",
    "load",
    "load_encoder",
    "make",
    "normalize",
    "recall_at_k",
    "score_captions",
    "search",
    "select",
]

_HOMES = {
    "METHODS": "methods.registry",
    "DistnormError": "errors",
    "DistributionNormalization": "normalization",
    "MissingExtraError": "errors",
    "Moments": "moments",
    "Ranking": "metrics.ranking",
    "ScoreNormalization": "normalization",
    "Selection": "selection",
    "select": "selection",
    "Watch": "monitoring.watch",
    "ZeroShotClassifier": "tasks.zero_shot",
    "compare_captions": "comparison",
    "compare_classification": "comparison",
    "compare_retrieval": "comparison",
    "evaluate_captions": "tasks.captioning",
    "evaluate_classification": "tasks.classification",
    "kendall_tau": "metrics.correlations",
    "load_encoder": "encoders",
    "score_captions": "tasks.captioning",
    "evaluate_retrieval": "tasks.retrieval",
    "load": "normalization",
    "make": "normalization",
    "normalize": "arrays",
    "recall_at_k": "metrics",
}


def __getattr__(name: str) -> Any:
    """Import a public name from its room when it is first used."""
    if name == "search":
        return importlib.import_module("distnorm.search")
    if name not in _HOMES:
        raise AttributeError(f"module 'distnorm' has no attribute {name!r}")
    value = getattr(importlib.import_module(f"distnorm.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """The public names."""
    return __all__

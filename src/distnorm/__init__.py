"""distnorm: better scores from a frozen image-text model, at test time.

No training, no labels, no re-indexing. See `DistributionNormalization` for the paper's method
and `make` for all of them.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from distnorm import augmentation, calibration, datasets, encoders, metrics, scenes, search
    from distnorm.arrays import normalize
    from distnorm.calibration import Estimate
    from distnorm.comparison import (
        Comparison,
        compare_captions,
        compare_classification,
        compare_retrieval,
    )
    from distnorm.encoders import list_encoders, load_encoder
    from distnorm.errors import DistnormError, MissingExtraError
    from distnorm.exact import topk
    from distnorm.methods import METHODS, list_methods
    from distnorm.metrics import recall_at_k
    from distnorm.metrics.correlations import kendall_tau
    from distnorm.metrics.ranking import Ranking
    from distnorm.moments import Moments
    from distnorm.monitoring.watch import Watch
    from distnorm.normalization import DistributionNormalization, ScoreNormalization, load, make
    from distnorm.search.indexes import open_index
    from distnorm.selection import Selection, select
    from distnorm.tasks.captioning import evaluate_captions, score_captions
    from distnorm.tasks.class_prior import fit_class_prior
    from distnorm.tasks.classification import evaluate_classification
    from distnorm.tasks.retrieval import evaluate_retrieval
    from distnorm.tasks.score_matrix import evaluate_scores, normalize_scores
    from distnorm.tasks.zero_shot import ZeroShotClassifier

__version__ = "0.2.0"

__all__ = [
    "METHODS",
    "Comparison",
    "DistnormError",
    "DistributionNormalization",
    "Estimate",
    "MissingExtraError",
    "Moments",
    "Ranking",
    "ScoreNormalization",
    "Selection",
    "Watch",
    "ZeroShotClassifier",
    "__version__",
    "augmentation",
    "calibration",
    "compare_captions",
    "compare_classification",
    "compare_retrieval",
    "datasets",
    "encoders",
    "evaluate_captions",
    "evaluate_classification",
    "evaluate_retrieval",
    "evaluate_scores",
    "fit_class_prior",
    "kendall_tau",
    "list_encoders",
    "list_methods",
    "load",
    "load_encoder",
    "make",
    "metrics",
    "normalize",
    "normalize_scores",
    "open_index",
    "recall_at_k",
    "scenes",
    "score_captions",
    "search",
    "select",
    "topk",
]

_NAMES = {
    "arrays": ("normalize",),
    "calibration": ("Estimate",),
    "comparison": ("Comparison", "compare_captions", "compare_classification", "compare_retrieval"),
    "encoders": ("list_encoders", "load_encoder"),
    "errors": ("DistnormError", "MissingExtraError"),
    "exact": ("topk",),
    "methods": ("METHODS", "list_methods"),
    "metrics": ("recall_at_k",),
    "metrics.correlations": ("kendall_tau",),
    "metrics.ranking": ("Ranking",),
    "moments": ("Moments",),
    "monitoring.watch": ("Watch",),
    "normalization": ("DistributionNormalization", "ScoreNormalization", "load", "make"),
    "search.indexes": ("open_index",),
    "selection": ("Selection", "select"),
    "tasks.captioning": ("evaluate_captions", "score_captions"),
    "tasks.class_prior": ("fit_class_prior",),
    "tasks.classification": ("evaluate_classification",),
    "tasks.retrieval": ("evaluate_retrieval",),
    "tasks.score_matrix": ("evaluate_scores", "normalize_scores"),
    "tasks.zero_shot": ("ZeroShotClassifier",),
}
_ROOM_OF = {name: room for room, names in _NAMES.items() for name in names}


def __getattr__(name: str) -> Any:
    """Import a public name from its room, or a room, when it is first used."""
    if name in _ROOM_OF:
        value = getattr(importlib.import_module(f"distnorm.{_ROOM_OF[name]}"), name)
    elif name in __all__:
        value = importlib.import_module(f"distnorm.{name}")
    else:
        raise AttributeError(f"module 'distnorm' has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """The public names."""
    return __all__

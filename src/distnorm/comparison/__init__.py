"""Methods x held-out splits x paired intervals, for each task."""

from distnorm.comparison.captions import compare_captions
from distnorm.comparison.classification import compare_classification
from distnorm.comparison.protocol import DEFAULT_METHODS, PROTOCOLS, Protocol
from distnorm.comparison.results import Comparison, MethodResult, MetricSummary
from distnorm.comparison.retrieval import compare_retrieval, deduplicate_images
from distnorm.comparison.verdict import Candidate, Verdict

__all__ = [
    "DEFAULT_METHODS",
    "PROTOCOLS",
    "Candidate",
    "Comparison",
    "MethodResult",
    "MetricSummary",
    "Protocol",
    "Verdict",
    "compare_captions",
    "compare_classification",
    "compare_retrieval",
    "deduplicate_images",
]

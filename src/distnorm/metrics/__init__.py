"""Pure functions of ranks and scores."""

from distnorm.metrics.figures import (
    average_precision_at_r,
    check_k,
    k_occurrence,
    modality_gap,
    occupancy,
    r_precision,
    recall_at_k,
    recall_of_ranks,
    skewness,
)

__all__ = [
    "average_precision_at_r",
    "check_k",
    "k_occurrence",
    "modality_gap",
    "occupancy",
    "r_precision",
    "recall_at_k",
    "recall_of_ranks",
    "skewness",
]

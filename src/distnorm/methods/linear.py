"""Orders 0 and 1: the dot product, and the mean of the queries, Distribution Normalization.

    b(y) = m . y          m = mean of the queries, shape (d,);  y: items, shape (n, d)

Half of it, on either side, is the score of Zhou, Ren, Li, Zabih, Lim: Test-Time Distribution
Normalization for Contrastively Learned Vision-language Models, NeurIPS 2023, arXiv 2302.11084.
"""

from __future__ import annotations

from typing import Any

from distnorm.arrays import Array, Float64, as_working, from_numpy, namespace
from distnorm.methods.base import Method
from distnorm.methods.statistics import SideStatistics

__all__ = ["DN", "DN_QUARTER", "DOT", "PAPER", "linear_bias"]

PAPER = "Zhou et al., NeurIPS 2023, arXiv 2302.11084"


def linear_bias(items: Array, direction: Float64) -> Array:
    """``items @ direction``: shapes (n, d) and (d,) give (n,), in the items' library."""
    working = as_working(items)
    return namespace(working).matmul(working, from_numpy(direction, working))


def _mean(queries: SideStatistics, items: SideStatistics, params: Any) -> Float64:
    return queries.moments.mean


DOT = Method("dot", "dot product", "zeroth order", strength=0.0, corrects=False)
DN = Method("dn", "Distribution Normalization", PAPER, direction=_mean)
DN_QUARTER = Method(
    "dn*", "Distribution Normalization, strength 1/4", PAPER, strength=0.25, direction=_mean
)

"""From what an index returns to inner products, and from those to the normalized score.

An index of unit rows x, asked with q' = q - s_q mu_q of length n, answers in a unit of its own:

    inner product   ip           q'.x = ip
    cosine          cos          q'.x = n cos
    L2              d2 = |q'-x|^2    q'.x = (n^2 + 1 - d2) / 2

and the two-sided score (q - s_q mu_q).(x - s_x mu_x) is q'.x - c with c = s_x q'.mu_x: one number
a query, so the order is that of q'.x. Where the items' side was never fitted, c is unknown and
q'.x = q.x - b(x) itself is the score: it ranks the same.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from distnorm.arrays import check_lengths
from distnorm.calibration.score_kinds import score_kind
from distnorm.errors import DistnormError
from distnorm.normalization import ScoreNormalization

__all__ = [
    "UNITS",
    "inner_products",
    "linear_queries",
    "metric_of",
    "query_biases",
]

Float64 = npt.NDArray[np.float64]

# Unit of the answers: metric, and the inner product from the value v and the query's length n.
UNITS: dict[str, tuple[str, Callable[[Float64, float], Float64]]] = {
    "ip": ("ip", lambda v, n: v),
    "-ip": ("ip", lambda v, n: -v),
    "1-ip": ("ip", lambda v, n: 1 - v),
    "cos": ("cos", lambda v, n: n * v),
    "1-cos": ("cos", lambda v, n: n * (1 - v)),
    "l2": ("l2", lambda v, n: (n * n + 1 - v * v) / 2),
    "l2sq": ("l2", lambda v, n: (n * n + 1 - v) / 2),
}


def metric_of(unit: str) -> str:
    """ip, cos or l2."""
    return UNITS[unit][0]


def inner_products(values: Any, unit: str, length: float) -> Float64:
    """q'.x of unit rows x from an index's answers for one query of length ``length``.

    Examples
    --------
    >>> inner_products([0.25, 2.0], "1-cos", 2.0)
    array([ 1.5, -2. ])
    """
    return UNITS[unit][1](np.asarray(values, dtype=np.float64), length)


def linear_queries(
    norm: ScoreNormalization, queries: Float64, side: str
) -> tuple[Float64, Float64, str]:
    """Shifted queries, the constant to subtract for each, and the name of the score."""
    # `shift_queries` less its checks of what `Index.search` has checked: they would cost more
    # than the shift.
    if norm.spec.corrects:
        check_lengths(queries, norm.names.plural(side), norm.method, norm.input)
    shifted: Float64 = norm.correction(side).shift(queries)
    if not np.einsum("ij,ij->i", shifted, shifted).all():
        raise DistnormError(
            "a query equal to what is subtracted from it", "a direction left", "lower the strength"
        )
    other = norm.names.other(side)
    correction = norm.correction(other)
    if not correction.strength:
        return shifted, np.zeros(len(shifted)), score_kind(norm).label
    if norm.moments(other) is None:
        return shifted, np.zeros(len(shifted)), score_kind(norm, query=side).label
    if not correction.shifts_queries:
        # `auto` chose a bank for the other side.
        own = np.asarray(norm.item_bias(queries, modality=side), dtype=np.float64)
        return shifted, own, score_kind(norm).label
    constants = correction.strength * (shifted @ correction.direction)
    return shifted, constants, score_kind(norm).label


def query_biases(
    norm: ScoreNormalization, queries: Float64, side: str
) -> tuple[Float64, float, str]:
    """Bias of each query, the factor of the method's score, and the score's name.

    The query's own bias is constant over items; it needs the statistics of the items' side.
    """
    other = norm.names.other(side)
    if norm.strength[other] and norm.moments(other) is None:
        return np.zeros(len(queries)), 1.0, score_kind(norm, query=side).label
    own = np.asarray(norm.item_bias(queries, modality=side), dtype=np.float64)
    return own, norm.spec.factor, score_kind(norm).label

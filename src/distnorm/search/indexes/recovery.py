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
from typing import Any, NamedTuple

import numpy as np

from distnorm.arrays import Float64, check_lengths
from distnorm.calibration.score_kinds import score_kind
from distnorm.errors import DistnormError
from distnorm.normalization import ScoreNormalization

__all__ = ["UNITS", "inner_products", "linear_queries", "metric_of", "query_biases", "reported"]


class Unit(NamedTuple):
    """A unit of answers: its metric, its value from q.x, |q| and |x|, and q.x from it and |q|."""

    metric: str
    rising: bool
    report: Callable[[Float64, float, Float64], Float64]
    recover: Callable[[Float64, float], Float64]


UNITS = {
    "ip": Unit("ip", True, lambda p, n, m: p, lambda v, n: v),
    "-ip": Unit("ip", False, lambda p, n, m: -p, lambda v, n: -v),
    "1-ip": Unit("ip", False, lambda p, n, m: 1 - p, lambda v, n: 1 - v),
    "cos": Unit("cos", True, lambda p, n, m: p / (n * m), lambda v, n: n * v),
    "1-cos": Unit("cos", False, lambda p, n, m: 1 - p / (n * m), lambda v, n: n * (1 - v)),
    "l2": Unit(
        "l2", False, lambda p, n, m: _apart(p, n, m) ** 0.5, lambda v, n: _product(v * v, n)
    ),
    "l2sq": Unit("l2", False, lambda p, n, m: _apart(p, n, m), lambda v, n: _product(v, n)),
}


def _apart(products: Float64, length: float, lengths: Float64) -> Float64:
    return np.maximum(length * length + lengths * lengths - 2 * products, 0)


def _product(apart: Float64, length: float) -> Float64:
    return (length * length + 1 - apart) / 2


def metric_of(unit: str) -> str:
    """ip, cos or l2."""
    return UNITS[unit].metric


def reported(unit: str, query: Float64, rows: Float64) -> tuple[Float64, Float64]:
    """What an index of this unit says of rows (n, d), and the size of the terms it is made of."""
    length = float(np.linalg.norm(query))
    lengths = np.maximum(np.linalg.norm(rows, axis=1), 1e-30)
    sizes = {"ip": length * lengths, "cos": np.ones(len(rows)), "l2": length**2 + lengths**2}
    return UNITS[unit].report(rows @ query, length, lengths), sizes[metric_of(unit)]


def inner_products(values: Any, unit: str, length: float) -> Float64:
    """q'.x of unit rows x from an index's answers for one query of length ``length``.

    Examples
    --------
    >>> inner_products([0.25, 2.0], "1-cos", 2.0)
    array([ 1.5, -2. ])
    """
    return UNITS[unit].recover(np.asarray(values, dtype=np.float64), length)


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

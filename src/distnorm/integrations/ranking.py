"""What the frameworks' rankers share: corrected scores of given items for one query, best first."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from distnorm.arrays import Floats
from distnorm.errors import DistnormError
from distnorm.normalization import ScoreNormalization

__all__ = ["ranked", "shifted", "side_of_queries"]


def side_of_queries(norm: ScoreNormalization, query_side: str | None) -> str:
    """The side that was named, else "query" or "text" where the normalization has it."""
    if query_side is not None:
        return norm.names.resolve(query_side)
    for name in ("query", "text"):
        if name in norm.sides:
            return name
    raise DistnormError(
        f"a normalization of the sides {norm.sides[0]} and {norm.sides[1]}",
        "the side of the queries",
        f"pass query_side={norm.sides[0]!r} or query_side={norm.sides[1]!r}",
    )


def shifted(norm: ScoreNormalization, query: Sequence[float], side: str) -> list[float]:
    """The vector of one query less s times the mean, as a list of d numbers."""
    row = norm.shift_queries(np.asarray([query], np.float64), modality=side)[0]
    return [float(value) for value in row]


def ranked(
    norm: ScoreNormalization,
    query: Sequence[float] | Floats,
    items: Sequence[Sequence[float]] | Floats,
    *,
    query_side: str | None = None,
    false_alarm_rate: float | None = None,
    k: int | None = None,
) -> list[tuple[int, float]]:
    """Positions and two-sided scores of the items, best first, lowest position first among equals.

    Of one query (d,) and items (n, d); left out are items whose score more than a share
    ``false_alarm_rate`` of non-matching pairs exceeds, and all beyond the first ``k``.
    """
    if not len(items):
        return []
    side = side_of_queries(norm, query_side)
    one, many = np.asarray(query, np.float32)[None], np.asarray(items, np.float32)
    if side == norm.sides[0]:
        scores = np.asarray(norm.similarity(one, many), np.float64)[0]
    else:
        scores = np.asarray(norm.similarity(many, one), np.float64)[:, 0]
    order = np.argsort(-scores, kind="stable")
    if false_alarm_rate is not None:
        order = order[scores[order] > norm.threshold(false_alarm_rate).value]
    return [(int(i), float(scores[i])) for i in order[:k]]

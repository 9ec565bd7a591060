"""Pure functions from ranks, scores and embeddings to the field's figures.

Hit-type recall@k is 1 for a query if any of its positives is among the first k items. With R
positives of ranks r_1 < r_2 < ...

    R-precision = #{r_j <= R} / R          mAP@R = (1/R) sum over r_j <= R of j / r_j

(Musgrave, Belongie, Lim: A Metric Learning Reality Check, ECCV 2020; used by ECCV Caption.)
Ties go to the item of lowest index; negative scores are ordinary scores.
"""

from __future__ import annotations

import numbers
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from distnorm.arrays import Array, Float64, Indices, Int64, NDArray, to_numpy
from distnorm.errors import DistnormError
from distnorm.metrics.positives import Positives
from distnorm.moments import Moments

__all__ = [
    "average_precision_at_r",
    "check_k",
    "check_scores",
    "k_occurrence",
    "modality_gap",
    "occupancy",
    "r_precision",
    "ranks_of_scores",
    "recall_at_k",
    "recall_of_ranks",
    "skewness",
]


def recall_at_k(
    scores: Array, positives: Any, k: int | Sequence[int] = (1, 5, 10)
) -> dict[int, float]:
    """Hit-type recall@k of a full matrix of scores.

    Parameters
    ----------
    scores : array or nested sequence, shape (n_queries, n_items)
        Any finite numbers, negative ones included.
    positives : sequence of int sequences, int array (n_queries,) or bool matrix
        Relevant items of each query, at least one.
    k : int or sequence of int
        Each at least 1; one larger than the gallery counts every query as a hit.

    Returns
    -------
    dict from k to float
        Shares of queries, in [0, 1].

    Raises
    ------
    DistnormError
        For scores that are no finite matrix, positives that do not fit it, or a bad k.

    Examples
    --------
    >>> recall_at_k([[0.9, 0.1], [0.8, -0.2]], [0, 1], k=(1, 2))
    {1: 0.5, 2: 1.0}
    """
    matrix = check_scores(scores, "scores")
    truth = Positives.of(positives, *matrix.shape)
    return recall_of_ranks(
        np.minimum.reduceat(ranks_of_scores(matrix, truth), truth.indptr[:-1]), k
    )


def check_scores(scores: Any, name: str) -> NDArray:
    """A floating matrix (queries, items) of finite scores on the host, or raise."""
    try:
        matrix = np.asarray(scores) if isinstance(scores, (list, tuple)) else to_numpy(scores)
    except (AttributeError, TypeError, ValueError) as error:
        raise DistnormError(f"{name} that are no matrix", "(queries, items)", "pass one") from error
    if str(matrix.dtype) == "bfloat16":
        matrix = matrix.astype(np.float32)  # of ml_dtypes: NumPy's sort and means are wrong for it
    if matrix.ndim != 2 or 0 in matrix.shape or matrix.dtype.kind != "f":
        raise DistnormError(
            f"{name} of shape {matrix.shape} and dtype {matrix.dtype}",
            "a floating matrix (queries, items)",
            "pass norm.similarity(...) or its transpose",
        )
    if not np.isfinite(matrix).all():
        row = int(np.flatnonzero(~np.isfinite(matrix).all(axis=1))[0])
        raise DistnormError(
            f"{name} with one that is no number in row {row}", "finite scores", "mend it"
        )
    return matrix


def ranks_of_scores(matrix: NDArray, positives: Positives) -> Int64:
    """Rank of every positive among all items, shape (pairs,); lowest index first on ties."""
    ranks = np.empty(len(positives.indices), dtype=np.int64)
    for pair, (row, item) in enumerate(zip(positives.rows, positives.indices, strict=True)):
        line = matrix[row]
        above = np.count_nonzero(line > line[item])
        ranks[pair] = 1 + above + np.count_nonzero(line[:item] == line[item])
    return ranks


def recall_of_ranks(ranks: Int64, k: int | Sequence[int] = (1, 5, 10)) -> dict[int, float]:
    """Share of queries whose best positive has rank <= k; ranks start at 1."""
    return {value: float(np.mean(ranks <= value)) for value in check_k(k)}


def check_k(k: int | Iterable[int]) -> tuple[int, ...]:
    """The ks as a tuple of ints, each at least 1, or raise."""
    given: Any = k.tolist() if hasattr(k, "tolist") else k
    values: tuple[Any, ...] = tuple(given) if isinstance(given, Iterable) else (given,)
    for value in values:
        whole = isinstance(value, numbers.Integral) and not isinstance(value, bool)
        if not whole or int(value) < 1:
            raise DistnormError(f"k = {value!r}", "integers from 1 on", "e.g. k=(1, 5, 10)")
    if not values:
        raise DistnormError("no k", "at least one", "e.g. k=(1, 5, 10)")
    return tuple(int(value) for value in values)


def r_precision(ranks: Int64, positives: Positives, relevant: Indices | None = None) -> Float64:
    """Share of each query's positives among its first R items; ranks of all pairs in order.

    R is ``relevant``, (n_queries,), where some positives are outside of the gallery.
    """
    count = positives.counts if relevant is None else relevant
    inside = (ranks <= count[positives.rows]).astype(np.float64)
    return np.add.reduceat(inside, positives.indptr[:-1]) / count


def average_precision_at_r(
    ranks: Int64, positives: Positives, relevant: Indices | None = None
) -> Float64:
    """AP@R of each query, shape (n_queries,); its mean is mAP@R. ``relevant``: `r_precision`."""
    count = positives.counts if relevant is None else relevant
    order = np.lexsort((ranks, positives.rows))
    ordered = ranks[order]
    position = np.arange(len(ordered)) - np.repeat(positives.indptr[:-1], positives.counts) + 1
    inside = ordered <= count[positives.rows]
    precision = np.where(inside, position / ordered, 0.0)
    return np.add.reduceat(precision, positives.indptr[:-1]) / count


def k_occurrence(top: Indices, n_items: int) -> Int64:
    """How often each item is among the k first, shape (n_items,), from (n_queries, k) indices."""
    return np.bincount(top.ravel(), minlength=n_items).astype(np.int64)


def skewness(counts: Int64) -> float:
    """Third standardised moment of k-occurrences (Radovanovic et al. 2010); 0 if all are equal."""
    deviation = counts - counts.mean()
    spread = float(np.sqrt(np.mean(deviation**2)))
    return float(np.mean(deviation**3)) / spread**3 if spread else 0.0


def occupancy(best: Indices, n_items: int) -> float:
    """Share of items that are some query's best item, from (n_queries,) indices."""
    return int(np.count_nonzero(np.bincount(best))) / n_items


def modality_gap(first: Moments, second: Moments) -> float:
    """Distance between the two sides' means (Liang et al., NeurIPS 2022)."""
    return float(np.linalg.norm(first.mean - second.mean))

"""Labelled pairs as evidence: recall@1 of held-out pairs.

Pair i is query i and item i; the gallery is the items of all pairs and what else is at hand. The
bias for a fold comes from the unlabelled samples and the queries of all other folds, never from
the fold itself, whether or not its rows are among the samples. A query counts by the reciprocal
of its match's rank rather than by a hit alone, which halves the noise that a hundred pairs have.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from distnorm.selection.planted import Folds, agreement
from distnorm.selection.scored import Scored

__all__ = ["Hits", "labelled_hits"]

Float64 = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Hits:
    """Reciprocal ranks of each candidate and query, (c, n), and what they come from."""

    tried: list[tuple[str, float]]
    values: Float64
    folds: Folds
    agreement: Callable[[str, float], tuple[Float64, float]]
    n_items: int


def labelled_hits(
    queries: Float64,
    matches: Float64,
    samples: Float64 | None,
    items: Float64 | None,
    tried: Sequence[tuple[str, float]],
    count: int,
    rng: np.random.Generator,
    most: int,
) -> Hits:
    """Rank each query's match under every candidate, cross-validated."""
    queried = {row.tobytes() for row in queries}
    taken = {row.tobytes() for row in matches}
    spare = _without(samples, queried, most, rng, queries.shape[1])
    extra = _without(items, taken, most, rng, queries.shape[1])
    gallery, match_of = _merged(matches)
    gallery = np.concatenate([gallery, extra])
    every = np.concatenate([queries, spare])
    methods = tuple(dict.fromkeys(method for method, _ in tried))
    scored = Scored(every, gallery, gallery, methods)
    n = len(queries)
    # Repeats of a query share a fold, or one would testify for the other.
    _, group = np.unique(queries, axis=0, return_inverse=True)
    of = (rng.permutation(group.max() + 1) % count)[group.ravel()]
    held = np.concatenate([of, np.full(len(spare), -1)])
    folds = Folds(of, [scored.biases(held != fold) for fold in range(count)])
    values = np.empty((len(tried), n))
    for fold in range(count):
        rows = np.flatnonzero(of == fold)
        for index, (method, strength) in enumerate(tried):
            scores = scored.scores[rows] - folds.bias(fold, method, strength)
            match = scores[np.arange(len(rows)), match_of[rows]]
            values[index, rows] = 1 / (1 + (scores > match[:, None]).sum(axis=1))
    within = Scored(queries, gallery, gallery)
    back = Scored(gallery, queries, queries, methods).biases(np.ones(len(gallery), dtype=bool))

    def judged(method: str, strength: float) -> tuple[Float64, float]:
        return agreement(within, folds, method, strength, back)

    return Hits(list(tried), values, folds, judged, len(gallery))


def _merged(rows: Float64) -> tuple[Float64, npt.NDArray[np.intp]]:
    """Distinct rows, and which of them each row is."""
    _, first, inverse = np.unique(rows, axis=0, return_index=True, return_inverse=True)
    return rows[first], inverse.ravel()


def _without(
    rows: Float64 | None, excluded: set[bytes], most: int, rng: np.random.Generator, d: int
) -> Float64:
    if rows is None:
        return np.empty((0, d))
    kept = rows[[row.tobytes() not in excluded for row in rows]]
    if len(kept) > most:
        kept = kept[np.sort(rng.choice(len(kept), most, replace=False))]
    return kept

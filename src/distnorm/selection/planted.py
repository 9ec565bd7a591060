"""What a candidate would do to matches, estimated without knowing a single one.

Held-out queries q, items y, scores P. No partner is known, and it need not be in the gallery; so
one is planted: item y becomes the match of q with the score

    v(y) = level + 0.65 m(y) + 3.3 s(y)

m(y), s(y) being mean and standard deviation of y's scores with the held-out queries. A candidate
finds it if at most one other item z has P(q, z) - a b(z) above v(y) - a b(y): one, since a gallery
may hold the true partner of q, which a planted match is no rival of. Planted recall is the mean
over all n x m pairs; ``level`` lets the dot product find four fifths.

Matches are drawn as the log is. Queries count as often as they were asked; in m(y) and s(y) like
ones count once together, or what people ask for most would have the highest matches; and item y is
planted in proportion to r(y), the queries whose best item it is over the kinds of them (their
density weights), so that popular items weigh more and hubs, which many kinds like best, do not.

So a match is like a non-match far out in y's own distribution: an item that all queries score
high gets high matches too, unless its scores spread less. Where the spread makes up for the mean,
as in a model on the data it was trained on, subtracting the mean harms, and this shows it; mutual
agreement does not. The two numbers and the level come from the development sets of
``benchmarks/selection``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from distnorm.metrics import occupancy
from distnorm.selection.scored import Scored

__all__ = ["Folds", "Log", "agreement", "draw_folds", "found_matches", "planted_recall"]

Float64 = npt.NDArray[np.float64]
Indices = npt.NDArray[np.intp]

_OF_MEAN, _OF_SPREAD, _LEVEL = 0.65, 3.3, 0.8
_FEW = 8


@dataclass(frozen=True)
class Folds:
    """Fold of each sample, and each fold's biases from all other folds."""

    of: Indices
    biases: list[dict[str, Float64]]

    def bias(self, fold: int, method: str, strength: float) -> Float64 | float:
        """Strength times bias, 0 for the dot product."""
        return strength * self.biases[fold][method] if strength else 0.0


def draw_folds(scored: Scored, count: int, rng: np.random.Generator) -> Folds:
    """Random folds of even size."""
    n = len(scored.samples)
    of = np.empty(n, dtype=np.intp)
    of[rng.permutation(n)] = np.arange(n) % count
    return Folds(of, [scored.biases(of != fold) for fold in range(count)])


@dataclass(frozen=True)
class Log:
    """How often each distinct sample was asked, (n,), and its weight by density, (n,)."""

    times: Float64
    kinds: Float64

    @classmethod
    def even(cls, n: int) -> Log:
        """Samples that all count alike."""
        return cls(np.ones(n), np.ones(n))

    def of_items(self, best: Indices, rows: npt.NDArray[np.bool_], m: int) -> Float64:
        """Chance of each of m items to be planted, from some samples' best items; (m,)."""
        asked = np.bincount(best[rows], self.times[rows], minlength=m)
        kinds = np.bincount(best[rows], self.kinds[rows], minlength=m)
        some = kinds > 0
        # An item that nobody asks for is planted as rarely as the least popular.
        chance = np.full(m, (asked[some] / kinds[some]).min())
        np.divide(asked, kinds, out=chance, where=some)
        return np.asarray(chance / chance.sum())


def planted_recall(
    scored: Scored, folds: Folds, candidates: Sequence[tuple[str, float]], log: Log | None = None
) -> Float64:
    """Share of planted matches that each candidate finds for each query, shape (c, n)."""
    scores = scored.scores
    n, m = scores.shape
    log = log or Log.even(n)
    best = scores.argmax(axis=1)
    shapes, chances = [], []
    for fold in range(len(folds.biases)):
        rows = folds.of == fold
        # Few rows tell no spread; then all samples shape the match.
        held = rows if rows.sum() >= _FEW else np.ones(n, dtype=bool)
        mean = np.average(scores[held], axis=0, weights=log.kinds[held])
        spread = np.average((scores[held] - mean) ** 2, axis=0, weights=log.kinds[held])
        shapes.append(_OF_MEAN * mean + _OF_SPREAD * np.sqrt(spread))
        chances.append(log.of_items(best, ~rows, m))
    each = [np.tile(c, int((folds.of == fold).sum())) for fold, c in enumerate(chances)]
    level = _quantile(_needed(scores, folds, shapes), _LEVEL, np.concatenate(each))
    recall = np.empty((len(candidates), n))
    for fold, shape in enumerate(shapes):
        rows = folds.of == fold
        for index, (method, strength) in enumerate(candidates):
            bias = folds.bias(fold, method, strength)
            recall[index, rows] = found_matches(
                scores[rows] - bias, level + shape - bias, chances[fold]
            )
    return recall


def found_matches(scores: Float64, matches: Float64, chances: Float64 | None = None) -> Float64:
    """For each row of ``scores``, (n, m), the share of items y whose match is found.

    ``matches``, (m,), is what y's score would be if it were the match. All others but one must
    lie below it. ``chances``, (m,), adding up to 1, say how much each item counts.
    """
    each = np.full(len(matches), 1 / len(matches)) if chances is None else chances
    best, next_best, bars = _leaders(scores)
    order = np.argsort(matches, kind="stable")
    above = np.concatenate([np.cumsum(each[order][::-1])[::-1], [0.0]])
    share: Float64 = above[np.searchsorted(matches[order], bars[0], side="right")]
    # The two leaders do not compete with their own scores as non-matches.
    for leader in (best, next_best):
        match = matches[leader]
        share = share + each[leader] * ((match > bars[1]).astype(float) - (match > bars[0]))
    return share


def _quantile(values: Float64, share: float, weights: Float64) -> float:
    """The value that ``share`` of the weight lies at or below."""
    order = np.argsort(values)
    reached = np.cumsum(weights[order])
    return float(values[order][np.searchsorted(reached, share * reached[-1])])


def agreement(
    scored: Scored, folds: Folds, method: str, strength: float, back: dict[str, Float64]
) -> tuple[Float64, float]:
    """Whether each held-out query is its best item's best query, (n,), and the occupancy.

    The two-sided score counts both ways: items are ranked by biases from the other folds, queries
    by ``back``, their own biases from the gallery.
    """
    scores = scored.scores
    best = np.empty(len(scores), dtype=np.intp)
    for fold in range(len(folds.biases)):
        rows = np.flatnonzero(folds.of == fold)
        best[rows] = np.argmax(scores[rows] - folds.bias(fold, method, strength), axis=1)
    their = scores - strength * back[method][:, None] if strength else scores
    mutual = their.argmax(axis=0)[best] == np.arange(len(scores))
    return mutual.astype(np.float64), occupancy(best, scores.shape[1])


def _needed(scores: Float64, folds: Folds, shapes: list[Float64]) -> Float64:
    """What the level must exceed for the dot product to find each planted match."""
    parts = []
    for fold, shape in enumerate(shapes):
        rows = scores[folds.of == fold]
        best, next_best, bars = _leaders(rows)
        needed = bars[0][:, None] - shape
        at = np.arange(len(rows))
        for leader in (best, next_best):
            needed[at, leader] = bars[1] - shape[leader]
        parts.append(needed.ravel())
    return np.concatenate(parts)


def _leaders(scores: Float64) -> tuple[Indices, Indices, Float64]:
    """Each row's two best items, and its second and third best score, (2, n)."""
    rest = scores.copy()
    rows = np.arange(len(rest))
    best = rest.argmax(axis=1)
    rest[rows, best] = -np.inf
    next_best = rest.argmax(axis=1)
    second = rest[rows, next_best]
    rest[rows, next_best] = -np.inf
    return best, next_best, np.stack([second, rest.max(axis=1)])

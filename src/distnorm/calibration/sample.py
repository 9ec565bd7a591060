"""Scores of pairs that do not match, from rows of both sides whose matches nobody has marked.

Of n images and m texts nearly all n m pairs do not match, but up to min(n, m) may, and these are
one pair in max(n, m): enough to ruin every rate below that. What is done about them:

* known pairs are left out;
* of as many images as texts, row i may belong to row i: it does if the diagonal's ranks in
  their rows are far above average (z > 5 under uniform ranks), and then it is left out;
* of images that each show one of the classes, the best class is left out (``best``);
* hidden matches, in any order, show in how many pairs are each other's best. Their share a_1 is
  compared with the share a_2 among the same scores without these pairs. Unrelated rows have
  a_1 = a_2; with matches a_1 - a_2 is the share of rows whose match is their best, times
  1 - a_2. Where it is significant (z > 3), that many of the highest scoring mutually best
  pairs are left out. With k times as many texts as images, an image may have k: then the mean
  of a_1 .. a_k is compared with a_(k+1).

Rows that the statistics were taken from would score too low with a bank, which holds them. They
are cut into folds, and scores of fold i with fold j (i != j) come from statistics of the others.
Of rows that a bank holds only in part, the others are looked at.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from distnorm.arrays import Array, CheckedRows, to_numpy
from distnorm.calibration.scorer import Scorer
from distnorm.calibration.side_check import check_sides
from distnorm.errors import DistnormError
from distnorm.methods.base import seed as check_seed
from distnorm.metrics.ranks import top_items

__all__ = ["MAX_ROWS", "NonMatches", "draw_nonmatches"]

MAX_ROWS = 2000
"""Rows of each side that a calibration looks at: 4 million pairs, 16 MB of scores."""

_FOLDS = 5
_MIN_ROWS = 5
_DIAGONAL_Z = 5.0
_HIDDEN_Z = 3.0
_MOST_PARTNERS = 10

Cells = tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]


@dataclass(frozen=True)
class NonMatches:
    """Scores (n, m), -inf where a pair is left out, and what was done about matches.

    ``pairs`` is none, given, rows, best, hidden or not found. ``hidden`` of the mutually best
    pairs, ``candidates`` from the best on, are left out as likely matches, give or take ``spread``.
    """

    scores: npt.NDArray[np.float32]
    pairs: str
    hidden: int
    candidates: Cells
    scores_of_candidates: npt.NDArray[np.float32]
    spread: float
    cross_fitted: bool


def draw_nonmatches(norm: Scorer, first: Array, second: Array, pairs: Any, seed: int) -> NonMatches:
    """Two-sided scores of at most `MAX_ROWS` rows of each side, matches left out."""
    names = [norm.names.plural(side) for side in norm.sides]
    one, two = both = norm.check_pair(first, second)
    n, m = one.shape[0], two.shape[0]
    for count, name in ((n, names[0]), (m, names[1])):
        if count < _MIN_ROWS:
            raise DistnormError(
                f"{count} {name} to calibrate with",
                f"at least {_MIN_ROWS}, better 100",
                f"pass more {name}; they need no labels and no partners",
            )
    for side, rows in zip(norm.sides, both, strict=True):
        check_sides(norm, side, rows)
    owner = _owner(pairs, n, m)
    seen = [
        norm.statistics[side].came_from(rows) for side, rows in zip(norm.sides, both, strict=True)
    ]
    check_seed("seed", seed)
    rng = np.random.default_rng(seed)
    cross = any(seen) and norm.spec.corrects
    keep_first, keep_second = _kept(norm, both, rng, everything=cross)
    left, right = _wide(one.take(keep_first)), _wide(two.take(keep_second))
    if cross:
        scores = _cross_fitted(norm, (left, right), seen, rng)
    else:
        scores = to_numpy(norm.similarity(left, right), np.float64).copy()
    finite = scores[np.isfinite(scores)]
    if finite.size == 0 or np.ptp(finite) <= 1e-6 * max(1.0, float(np.abs(finite).max())):
        raise DistnormError(
            f"{names[0]} and {names[1]} that all score alike",
            "rows that differ",
            "pass embeddings of different data: these are copies of one row",
        )
    word, none = (pairs if isinstance(pairs, str) else "not found"), np.zeros(0, dtype=np.intp)
    if owner is not None:
        word = "given"
        place = np.full(n, -1)
        place[keep_first] = np.arange(len(keep_first))
        kept = owner[keep_second]
        at = np.where(kept >= 0, place[kept], -1)
        scores[at[at >= 0], np.flatnonzero(at >= 0)] = -np.inf
    elif pairs is None and n == m and (cross or _diagonal_matches(scores)):
        # Folds of a cross-fit never meet themselves, so there the diagonal is gone already.
        word = "not found" if cross else "rows"
        np.fill_diagonal(scores, -np.inf)
    if word == "best":
        best = (
            _first_best(scores, axis=1)
            if cross
            else top_items(norm.ranking(left, right, norm.sides[0]), 1)[:, 0]
        )
        scores[np.arange(len(scores)), best] = -np.inf
    hidden, spread = 0, 0.0
    candidates: Cells = (none, none)
    if word == "not found":
        hidden, spread, candidates = _hidden_matches(scores)
        word = "hidden" if hidden else word
    values = scores[candidates].copy()
    scores[candidates[0][:hidden], candidates[1][:hidden]] = -np.inf
    single = scores.astype(np.float32), values.astype(np.float32)
    return NonMatches(single[0], word, hidden, candidates, single[1], spread, cross)


def _kept(
    norm: Scorer,
    sides: tuple[CheckedRows, CheckedRows],
    rng: np.random.Generator,
    *,
    everything: bool,
) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """Rows to look at: none that a bank holds; of as many on both sides the same."""
    paired = sides[0].shape[0] == sides[1].shape[0]
    drawn = [rng.permutation(sides[0].shape[0])[: 2 * MAX_ROWS]]
    drawn.append(drawn[0] if paired else rng.permutation(sides[1].shape[0])[: 2 * MAX_ROWS])
    fresh = [np.ones(len(rows), dtype=bool) for rows in drawn]
    for at, side in enumerate(norm.sides):
        statistics = norm.statistics[side]
        if statistics.bank and not everything:
            held = {row.tobytes() for row in to_numpy(statistics.bank_rows(), np.float32)}
            rows = to_numpy(sides[at].take(drawn[at]).rows, np.float32)
            fresh[at] = np.array([row.tobytes() not in held for row in rows])
    if paired:
        fresh[0] = fresh[1] = fresh[0] & fresh[1]
    for at, side in enumerate(norm.sides):
        count = int(fresh[at].sum())
        if count < _MIN_ROWS:
            name = norm.names.plural(side)
            raise DistnormError(
                f"{count} {name} that the bank does not hold",
                f"at least {_MIN_ROWS}",
                f"calibrate on other {name}, or on exactly those of the statistics",
            )
    first, second = (
        np.sort(rows[keep][:MAX_ROWS]) for rows, keep in zip(drawn, fresh, strict=True)
    )
    return first, second


def _owner(pairs: Any, n: int, m: int) -> npt.NDArray[np.intp] | None:
    """First-side row of each second-side row, or None where no pair is known."""
    if pairs is None or (isinstance(pairs, str) and pairs in ("none", "best")):
        return None
    if isinstance(pairs, str):
        if pairs != "rows":
            raise DistnormError(
                f"pairs {pairs!r}",
                "None, 'none', 'rows', 'best' or the row of each",
                "see calibrate",
            )
        if n != m:
            raise DistnormError(f"pairs 'rows' of {n} and {m} rows", "equal numbers", "pass rows")
        return np.arange(n)
    owner = np.asarray(pairs)
    if owner.shape != (m,) or owner.dtype.kind not in "iu" or owner.min() < -1 or owner.max() >= n:
        raise DistnormError(
            f"pairs of shape {owner.shape} and dtype {owner.dtype}",
            f"({m},) rows from 0 to {n - 1}, -1 for none",
            "give the first side's row of each row of the second",
        )
    return owner.astype(np.intp)


def _cross_fitted(
    norm: Scorer, sides: tuple[CheckedRows, CheckedRows], seen: list[bool], rng: np.random.Generator
) -> npt.NDArray[np.float64]:
    """Scores of fold i with fold j under statistics of all other folds; -inf within a fold."""
    first, second = sides
    n, m = first.shape[0], second.shape[0]
    one = rng.permutation(np.arange(n) % _FOLDS)
    two = one if n == m else rng.permutation(np.arange(m) % _FOLDS)
    scores = np.full((n, m), -np.inf)
    for i in range(_FOLDS):
        for j in range(i + 1, _FOLDS):
            fresh = {}
            for at, side in enumerate(norm.sides):
                if seen[at]:
                    outside = np.flatnonzero(((one, two)[at] != i) & ((one, two)[at] != j))
                    anew = norm.clone().partial_fit(**{side: sides[at].take(outside)})
                    fresh[side] = anew.statistics[side]
            # The choice of `auto` stays: folds are no reason to choose anew.
            rest = norm.with_statistics(fresh)
            for a, b in ((i, j), (j, i)):
                block = np.flatnonzero(one == a), np.flatnonzero(two == b)
                cells = rest.similarity(first.take(block[0]), second.take(block[1]))
                scores[np.ix_(*block)] = to_numpy(cells, np.float64)
    return scores


def _diagonal_matches(scores: npt.NDArray[np.float64]) -> bool:
    """Whether row i of one side belongs to row i of the other: ranks of the diagonal."""
    own = np.diagonal(scores)[:, None]
    below = ((scores < own).sum(axis=1) + 0.5 * ((scores == own).sum(axis=1) - 1)) / (
        scores.shape[1] - 1
    )
    z = (float(below.mean()) - 0.5) * math.sqrt(12 * len(below))
    # With few rows the largest possible z is small: there all of them must be near the top.
    return z > min(_DIAGONAL_Z, 0.4 * math.sqrt(12 * len(below)))


def _hidden_matches(scores: npt.NDArray[np.float64]) -> tuple[int, float, Cells]:
    """How many mutually best pairs are likely matches, its standard error, and all of them."""
    size = min(scores.shape)
    rounds = min(_MOST_PARTNERS, round(max(scores.shape) / size))
    left = scores.copy()
    peeled: list[Cells] = []
    shares = []
    for _ in range(rounds + 1):
        cells = _mutually_best(left)
        peeled.append(cells)
        shares.append(len(cells[0]) / size)
        left[cells] = -np.inf
    *before, after = shares
    mean = sum(before) / rounds
    error = math.sqrt((mean * (1 - mean) / rounds + after * (1 - after)) / size)
    none = np.zeros(0, dtype=np.intp)
    if after >= 1 or mean - after <= _HIDDEN_Z * error:
        return 0, 0.0, (none, none)
    rows, columns = (np.concatenate([cells[axis] for cells in peeled[:-1]]) for axis in (0, 1))
    order = np.argsort(-scores[rows, columns], kind="stable")
    scale = rounds * size / (1 - after)
    hidden = min(len(order), round((mean - after) * scale))
    return hidden, error * scale, (rows[order], columns[order])


def _mutually_best(scores: npt.NDArray[np.float64]) -> Cells:
    best = _first_best(scores, axis=1)
    rows = np.flatnonzero(_first_best(scores, axis=0)[best] == np.arange(len(best)))
    rows = rows[np.isfinite(scores[rows, best[rows]])]
    return rows, best[rows]


def _wide(rows: CheckedRows) -> CheckedRows:
    """The same rows in float64, in which ties are decided."""
    wide = CheckedRows(to_numpy(rows.rows, np.float64), rows.name)
    vars(wide)["unit_length"] = rows.unit_length
    return wide


def _first_best(scores: npt.NDArray[np.float64], axis: int) -> npt.NDArray[np.intp]:
    """The best of each row or column; of scores equal but for rounding, the lowest index."""
    best = scores.max(axis=axis, keepdims=True)
    close = scores >= best - 1e-12 * np.abs(np.where(np.isfinite(best), best, 0))
    return np.asarray(close.argmax(axis=axis))

"""Scores of pairs that do not match, from rows of both sides whose matches nobody has marked.

Of n images and m texts nearly all n m pairs do not match, but up to min(n, m) may, and these are
one pair in max(n, m): enough to ruin every rate below that. What is done about them:

* equal rows, and rows of one name, are one item: copies of an image or a caption count once, and
  known pairs of items are left out wherever their rows stand;
* of as many images as texts, row i may belong to row i: it does if the diagonal's ranks by the
  dot product are far above average (z > 5 under uniform ranks), and then it is left out;
* known pairs of which fewer than about 3 in 4 are right (a wrong one scores as often below the
  middle of its row as above) are said to be doubtful, and hidden matches are looked for as well;
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
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from distnorm.arrays import Array, CheckedRows, Float32, Float64, Indices, as_working, to_numpy
from distnorm.calibration.items import items_of, matching, owner_of
from distnorm.calibration.scorer import Scorer
from distnorm.calibration.side_check import check_sides
from distnorm.errors import DistnormError
from distnorm.methods.base import seed as check_seed
from distnorm.methods.statistics import SideStatistics
from distnorm.metrics.ranks import top_items
from distnorm.moments import Overlap

__all__ = [
    "MAX_ROWS",
    "NonMatches",
    "calibration_warnings",
    "draw_nonmatches",
    "labelled_pairs",
    "without_wrong",
]

MAX_ROWS = 2000
"""Rows of each side that a calibration looks at: 4 million pairs, 16 MB of scores."""

_FOLDS = 5
_MIN_ROWS = 5
_DIAGONAL_Z = 5.0
_HIDDEN_Z = 3.0
_MOST_PARTNERS = 10
_NEARLY, _MOSTLY_RIGHT, _FEWEST_PAIRS = 0.9, 0.75, 30

Cells = tuple[Indices, Indices]


@dataclass(frozen=True)
class NonMatches:
    """Scores (n, m), -inf where a pair is left out, and what was done about matches."""

    scores: Float32
    pairs: str  # none, given, rows, best, hidden or not found
    hidden: int  # so many candidates, left out as likely matches, give or take `spread`
    candidates: Cells  # mutually best pairs, from the best on
    scores_of_candidates: Float32
    spread: float
    cross_fitted: bool
    shared_rows: Mapping[str, Overlap | None]  # those that were fitted
    right_pairs: float | None  # about the share of known pairs that are right


def draw_nonmatches(
    norm: Scorer,
    first: Array,
    second: Array,
    pairs: Any,
    seed: int,
    called: Mapping[str, Any] | None = None,
) -> NonMatches:
    """Scores of at most `MAX_ROWS` rows per side without matches; rows of one name are one item."""
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
    owner = owner_of(pairs, n, m)
    statistics = [norm.statistics[side] for side in norm.sides]
    shared = {
        side: each.overlap(rows)
        for side, each, rows in zip(norm.sides, statistics, both, strict=True)
        if norm.spec.corrects
    }
    seen = [
        _same_rows(each, rows, shared.get(side))
        for side, each, rows in zip(norm.sides, statistics, both, strict=True)
    ]
    check_seed("seed", seed)
    rng = np.random.default_rng(seed)
    cross = any(seen) and norm.spec.corrects
    word = pairs if isinstance(pairs, str) else "not found"
    if owner is not None:
        word = "given"
    elif pairs is None and n == m and _aligned(one, two, rng):
        owner, word = np.arange(n), "rows"
    known = {norm.names.resolve(side): each for side, each in (called or {}).items()}
    items = items_of(norm.sides, both, known)
    for each, name, count in zip(items, names, (n, m), strict=True):
        if len(each.first) < _MIN_ROWS:
            raise DistnormError(
                f"{count} {name} of which {len(each.first)} differ: copies all score alike",
                f"at least {_MIN_ROWS} different ones",
                "pass embeddings of different data",
            )
    distinct = one.take(items[0].first), two.take(items[1].first)
    own = np.zeros(m, dtype=bool) if owner is None else owner == np.arange(m)
    aligned = owner is not None and 2 * own.sum() > (owner >= 0).sum()
    kept = _kept(norm, distinct, rng, everything=cross, aligned=aligned)
    left, right = (_wide(x.take(numbers)) for x, numbers in zip(distinct, kept, strict=True))
    if cross:
        outside = [
            _place(len(each.first), numbers)[each.of_row]
            for each, numbers in zip(items, kept, strict=True)
        ]
        scores = _cross_fitted(norm, (left, right), both, outside, seen, rng)
    else:
        scores = to_numpy(norm.similarity(left, right), np.float64).copy()
    finite = scores[np.isfinite(scores)]
    if finite.size == 0 or np.ptp(finite) <= 1e-6 * max(1.0, float(np.abs(finite).max())):
        raise DistnormError(
            f"{names[0]} and {names[1]} that all score alike",
            "rows that differ",
            "pass embeddings of different data: these are copies of one row",
        )
    none, right_share = np.zeros(0, dtype=np.intp), None
    if owner is not None:
        matches = matching(*items, owner)
        places = [
            _place(len(each.first), numbers) for each, numbers in zip(items, kept, strict=True)
        ]
        at = tuple(place[cells] for place, cells in zip(places, matches, strict=True))
        both_kept = (at[0] >= 0) & (at[1] >= 0)
        cells = at[0][both_kept], at[1][both_kept]
        right_share = _right_share(scores, cells)
        scores[cells] = -np.inf
    if word == "best":
        best = (
            _first_best(scores, axis=1)
            if cross
            else top_items(norm.ranking(left, right, norm.sides[0]), 1)[:, 0]
        )
        scores[np.arange(len(scores)), best] = -np.inf
    hidden, spread = 0, 0.0
    candidates: Cells = (none, none)
    doubtful = right_share is not None and right_share < _MOSTLY_RIGHT
    if word == "not found" or doubtful:
        hidden, spread, candidates = _hidden_matches(scores)
        word = "hidden" if hidden and not doubtful else word
    values = scores[candidates].copy()
    scores[candidates[0][:hidden], candidates[1][:hidden]] = -np.inf
    single = scores.astype(np.float32), values.astype(np.float32)
    return NonMatches(
        single[0], word, hidden, candidates, single[1], spread, cross, shared, right_share
    )


def labelled_pairs(labels: Any, n: int, m: int) -> Indices:
    """Pairs of a calibration from whether row i matches row i: that row where it does, else -1."""
    match = np.asarray(labels)
    if n != m or match.shape != (n,) or not np.isin(match, (0, 1)).all():
        raise DistnormError(
            f"labels of shape {match.shape} for {n} and {m} rows",
            "0 or 1 for each pair of rows",
            "give pairs row by row, and one label each",
        )
    return np.where(match.astype(bool), np.arange(n), -1)


def without_wrong(owner: Any, labels: Any) -> Indices:
    """The image row of each text, -1 where the label of that row says that both do not match."""
    rows, match = np.array(owner, dtype=np.intp), np.asarray(labels)
    if rows.shape == match.shape:
        rows[(match == 0) & (rows == np.arange(len(rows)))] = -1
    return rows


def calibration_warnings(table: Mapping[str, Any]) -> list[str]:
    """What to mind of a calibration, one line each."""
    lines = []
    right = table.get("right_pairs")
    if right is not None and right < _MOSTLY_RIGHT:
        lines.append(
            f"only about {right:.0%} of the given pairs score as matches do: are rows in order? "
            "Others were looked for and left out; check the pairs"
        )
    for side, shared in (table.get("shared_rows") or {}).items():
        if shared is not None and shared["fitted"]:
            how = (
                "scores come from statistics of the other rows"
                if table["cross_fitted"]
                else "their scores are those of rows that the statistics know"
            )
            said = str(Overlap(**shared)).replace("evaluated ", "")
            lines.append(f"{side} statistics were {said}: {how}")
    return lines


def _same_rows(statistics: SideStatistics, rows: CheckedRows, shared: Overlap | None) -> bool:
    """Whether statistics come from these rows, or from nearly these and hardly others.

    Not if weights were given that no bank keeps: no fold can be weighed like them.
    """
    if statistics.given and statistics.bank is None:
        return False
    if statistics.came_from(rows):
        return True
    n = rows.shape[0]
    nearly = shared is not None and shared.exact and shared.share >= _NEARLY
    return nearly and statistics.moments.count <= n / _NEARLY


def _aligned(one: CheckedRows, two: CheckedRows, rng: np.random.Generator) -> bool:
    """Whether row i belongs to row i, by the plain dot products: no statistics have a part."""
    some = np.sort(rng.permutation(one.shape[0])[:MAX_ROWS])
    left, right = (to_numpy(as_working(rows.take(some).rows), np.float64) for rows in (one, two))
    return _diagonal_matches(left @ right.T)


def _place(count: int, numbers: Indices) -> Indices:
    """Where each of ``count`` items stands among the kept ones, -1 for none."""
    place = np.full(count, -1)
    place[numbers] = np.arange(len(numbers))
    return place


def _right_share(scores: Float64, cells: Cells) -> float | None:
    """About which share of known pairs are right: a wrong one is as often low as high."""
    own = scores[cells]
    known = np.isfinite(own)
    if known.sum() < _FEWEST_PAIRS:
        return None
    middle = np.nanmedian(np.where(np.isfinite(scores), scores, np.nan), axis=1)[cells[0]]
    return float(np.clip(2 * np.mean(own[known] > middle[known]) - 1, 0.0, 1.0))


def _kept(
    norm: Scorer,
    sides: tuple[CheckedRows, CheckedRows],
    rng: np.random.Generator,
    *,
    everything: bool,
    aligned: bool,
) -> tuple[Indices, Indices]:
    """Rows to look at: none that a bank holds; of aligned sides the same."""
    paired = aligned and sides[0].shape[0] == sides[1].shape[0]
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


def _cross_fitted(
    norm: Scorer,
    items: tuple[CheckedRows, CheckedRows],
    rows: tuple[CheckedRows, CheckedRows],
    item_of_row: list[Indices],
    seen: list[bool],
    rng: np.random.Generator,
) -> Float64:
    """Scores of fold i with fold j under statistics of all other folds; -inf within a fold."""
    first, second = items
    n, m = first.shape[0], second.shape[0]
    one = rng.permutation(np.arange(n) % _FOLDS)
    two = one if n == m else rng.permutation(np.arange(m) % _FOLDS)
    folds = [
        np.where(place >= 0, fold[place], -1)
        for fold, place in zip((one, two), item_of_row, strict=True)
    ]
    scores = np.full((n, m), -np.inf, dtype=np.float64)
    for i in range(_FOLDS):
        for j in range(i + 1, _FOLDS):
            fresh = {}
            for at, side in enumerate(norm.sides):
                if seen[at]:
                    outside = np.flatnonzero((folds[at] >= 0) & ~np.isin(folds[at], (i, j)))
                    part = rows[at].take(outside)
                    weights = norm.statistics[side].weights_of(part)
                    anew = norm.clone().partial_fit(weights=weights, **{side: part})
                    fresh[side] = anew.statistics[side]
            # The choice of `auto` stays: folds are no reason to choose anew.
            rest = norm.with_statistics(fresh)
            for a, b in ((i, j), (j, i)):
                block = np.flatnonzero(one == a), np.flatnonzero(two == b)
                cells = rest.similarity(first.take(block[0]), second.take(block[1]))
                scores[np.ix_(*block)] = to_numpy(cells, np.float64)
    return scores


def _diagonal_matches(scores: Float64) -> bool:
    """Whether row i of one side belongs to row i of the other: ranks of the diagonal."""
    own = np.diagonal(scores)[:, None]
    below = ((scores < own).sum(axis=1) + 0.5 * ((scores == own).sum(axis=1) - 1)) / (
        scores.shape[1] - 1
    )
    z = (float(below.mean()) - 0.5) * math.sqrt(12 * len(below))
    # With few rows the largest possible z is small: there all of them must be near the top.
    return z > min(_DIAGONAL_Z, 0.4 * math.sqrt(12 * len(below)))


def _hidden_matches(scores: Float64) -> tuple[int, float, Cells]:
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


def _mutually_best(scores: Float64) -> Cells:
    best = _first_best(scores, axis=1)
    rows = np.flatnonzero(_first_best(scores, axis=0)[best] == np.arange(len(best)))
    rows = rows[np.isfinite(scores[rows, best[rows]])]
    return rows, best[rows]


def _wide(rows: CheckedRows) -> CheckedRows:
    """The same rows in float64, in which ties are decided."""
    wide = CheckedRows(to_numpy(rows.rows, np.float64), rows.name)
    vars(wide)["unit_length"] = rows.unit_length
    return wide


def _first_best(scores: Float64, axis: int) -> Indices:
    """The best of each row or column; of scores equal but for rounding, the lowest index."""
    best = scores.max(axis=axis, keepdims=True)
    close = scores >= best - 1e-12 * np.abs(np.where(np.isfinite(best), best, 0))
    return np.asarray(close.argmax(axis=axis))

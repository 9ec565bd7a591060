"""The distribution of the two-sided score over pairs that do not match, with its uncertainty.

    rate(t) = P(score > t | no match)        the false-alarm rate of the threshold t

In the body it is the share of the sampled pairs above t, beyond the highest 1 % (or the highest
100 pairs) a generalised Pareto tail. Pairs share their rows: n m pairs of n images and m texts
are worth far fewer independent ones. Intervals therefore come from a bootstrap that draws images
and texts, not pairs: with multiplicities w_i and v_j, pair (i, j) counts w_i v_j times (the
pigeonhole bootstrap of Owen, Annals of Applied Statistics 2007, conservative). Their half widths
on the log scale are stretched by Student's factor for min(n, m) - 1 degrees of freedom, and where
matches are hidden each replicate also draws how many there are.

The result is a table of scores and rates with bounds, plain values for a file; `reading` reads it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from distnorm.arrays import Array, Bools, Float32, Float64, blocks
from distnorm.calibration.sample import NonMatches, draw_nonmatches
from distnorm.calibration.score_kinds import score_kind
from distnorm.calibration.scorer import Scorer
from distnorm.calibration.tail import ParetoTail, fit_tails, tail_bins

__all__ = ["REPLICATES", "calibrate"]

REPLICATES = 200

_TAIL_RATE, _TAIL_PAIRS, _LARGEST_TAIL = 0.01, 100, 0.2
_BODY = (0.999, 0.99, 0.975, 0.95, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.15, 0.1, 0.07, 0.05)
_BODY_END = (0.04, 0.03, 0.02, 0.015)
_SMALLEST_RATE = 1e-8
_QUERY_RATE = 0.01


def calibrate(
    norm: Scorer,
    first: Array,
    second: Array,
    *,
    pairs: Any = None,
    seed: int = 0,
    names: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Where the two-sided score of non-matching pairs lies, from unlabelled, unpaired rows.

    Parameters
    ----------
    norm : ScoreNormalization, fitted
    first, second : array, shape (n, d), (m, d)
        Rows of both sides, at best others than the statistics come from, at least 5 each; of
        more than 2,000 a seeded choice is looked at.
    pairs : None, "none", "rows", "best" or int array of shape (m,)
        Which pairs match: unknown (see `distnorm.calibration.sample` for what is done about
        it), none at all, row i with row i, each row of the first side with its best of the
        second (classes), or the first side's row of each of the second (-1 for none).
    seed : int
    names : mapping from side to sequence, optional
        What rows are called, (n,) or None for a row: those of one name are one item, as equal
        rows are.

    Returns
    -------
    dict
        For `distnorm.calibration.reading` and for ``notes.calibration``.

    Raises
    ------
    DistnormError
        For unusable rows, fewer than 5 of a side, copies of one row, or a method without a
        two-sided score.
    """
    sample = draw_nonmatches(norm, first, second, pairs, seed, names)
    rng = np.random.default_rng([seed, 1])
    scores = sample.scores
    valid = np.isfinite(scores)
    count = int(valid.sum())
    ordered = np.sort(scores[valid]).astype(np.float64)
    rate = min(_LARGEST_TAIL, max(_TAIL_RATE, _TAIL_PAIRS / count))
    above = float(np.quantile(ordered, 1 - rate))
    exceeding = ordered[ordered > above] - above
    rate = len(exceeding) / count
    edges = tail_bins(exceeding)
    tallies = np.histogram(exceeding, np.append(edges, np.inf))[0].astype(np.float64)
    scale, shape = fit_tails(tallies[None], edges, float(exceeding.mean()))
    tail = ParetoTail(above, rate, float(scale[0]), float(shape[0]))

    body = np.array([r for r in _BODY + _BODY_END if r > 1.2 * rate])
    steps = int(np.ceil(4 * np.log10(rate / _SMALLEST_RATE)))
    far = rate * 10.0 ** (-np.arange(steps + 1) / 4)
    knots = np.concatenate([np.quantile(ordered, 1 - body), tail.quantile(far)])
    knots, at = np.unique(knots, return_index=True)
    rates = np.concatenate([body, far])[at]
    # Ties and the open end of a bounded tail: what lies above a knot, whatever was asked for.
    inside = knots <= above
    rates[inside] = 1 - np.searchsorted(ordered, knots[inside], side="right") / count
    rates = np.maximum(rates, _SMALLEST_RATE)
    low, high = _interval(sample, valid, knots, rates, tail, edges, float(exceeding.mean()), rng)
    return {
        "schema": 1,
        "score": score_kind(norm).to_dict(),
        "params": dict(norm.params),
        "n_rows": {norm.sides[0]: int(scores.shape[0]), norm.sides[1]: int(scores.shape[1])},
        "n_pairs": count,
        "pairs": sample.pairs,
        "hidden_matches": sample.hidden,
        "cross_fitted": sample.cross_fitted,
        "right_pairs": sample.right_pairs,
        "shared_rows": {
            side: None if each is None else each.to_dict()
            for side, each in sample.shared_rows.items()
        },
        "replicates": REPLICATES,
        "seed": seed,
        "tail": {**vars(tail), "exceedances": len(exceeding)},
        "knots": {
            "score": knots.tolist(),
            "rate": rates.tolist(),
            "low": low.tolist(),
            "high": high.tolist(),
        },
        "by_query": _by_query(norm, scores, valid, ordered),
    }


def _interval(
    sample: NonMatches,
    valid: Bools,
    knots: Float64,
    rates: Float64,
    tail: ParetoTail,
    edges: Float64,
    mean: float,
    rng: np.random.Generator,
) -> tuple[Float64, Float64]:
    """Lower and upper 95 % bounds of the rate at each knot."""
    n, m = sample.scores.shape
    rows = rng.multinomial(n, np.full(n, 1 / n), size=REPLICATES).astype(np.float32)
    columns = rng.multinomial(m, np.full(m, 1 / m), size=REPLICATES).astype(np.float32)
    hidden = np.rint(rng.normal(sample.hidden, sample.spread, REPLICATES)).astype(int)
    total = _weighted(valid, rows, columns)
    inside = np.flatnonzero(knots <= tail.above)
    levels = [*knots[inside], tail.above]
    counts = np.stack([_weighted(sample.scores > t, rows, columns) for t in levels], axis=1)
    i, j = np.nonzero(sample.scores > tail.above)
    z = sample.scores[i, j].astype(np.float64) - tail.above
    bins = np.searchsorted(edges, z, side="right") - 1
    tallies = np.stack(
        [
            np.bincount(bins, weights=rows[r, i] * columns[r, j], minlength=len(edges))
            for r in range(REPLICATES)
        ]
    ).astype(np.float64)
    for replicate, drawn in enumerate(hidden if len(sample.candidates[0]) else ()):
        # The point estimate left `sample.hidden` candidates out; a replicate leaves others out.
        drawn = int(np.clip(drawn, 0, len(sample.candidates[0])))
        changed = slice(min(drawn, sample.hidden), max(drawn, sample.hidden))
        sign = 1.0 if drawn < sample.hidden else -1.0
        a, b = (cells[changed] for cells in sample.candidates)
        weight = sign * rows[replicate, a] * columns[replicate, b]
        score = sample.scores_of_candidates[changed].astype(np.float64)
        total[replicate] += weight.sum()
        for level, t in enumerate(levels):
            counts[replicate, level] += weight[score > t].sum()
        beyond = score > tail.above
        np.add.at(
            tallies[replicate],
            np.searchsorted(edges, score[beyond] - tail.above, side="right") - 1,
            weight[beyond],
        )
    total = np.maximum(total, 1.0)
    scale, shape = fit_tails(np.maximum(tallies, 0.0), edges, mean)
    drawn_rates = np.empty((REPLICATES, len(knots)))
    drawn_rates[:, inside] = counts[:, :-1] / total[:, None]
    outside = knots > tail.above
    for r in range(REPLICATES):
        rate = max(counts[r, -1] / total[r], 1e-12)
        one = ParetoTail(tail.above, float(rate), float(scale[r]), float(shape[r]))
        drawn_rates[r, outside] = one.survival(knots[outside])
    drawn_rates = np.clip(drawn_rates, _SMALLEST_RATE / 100, 1.0)
    low, high = np.percentile(drawn_rates, [2.5, 97.5], axis=0)
    stretch = _student(min(n, m) - 1) / 1.96
    low = np.minimum(rates, rates * (np.minimum(low, rates) / rates) ** stretch)
    high = np.maximum(rates, rates * (np.maximum(high, rates) / rates) ** stretch)
    return np.minimum.accumulate(low), np.minimum(1.0, np.maximum.accumulate(high[::-1])[::-1])


def _weighted(cells: Bools, rows: Float32, columns: Float32) -> Float64:
    """Sum over true cells of w_i v_j, for each replicate; (r,)."""
    total = np.zeros(len(rows))
    for part in blocks(cells.shape[0], 512):
        total += ((rows[:, part] @ cells[part].astype(np.float32)) * columns).sum(axis=1)
    return total


def _student(degrees: int) -> float:
    """97.5 % point of Student's t, by Cornish-Fisher; exact enough from 4 degrees on."""
    z = 1.959964
    terms = (
        (z**3 + z) / 4,
        (5 * z**5 + 16 * z**3 + 3 * z) / 96,
        (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384,
    )
    return z + sum(term / float(degrees) ** (k + 1) for k, term in enumerate(terms))


def _by_query(norm: Scorer, scores: Float32, valid: Bools, ordered: Float64) -> dict[str, Any]:
    """How one global threshold treats single queries: false-alarm rates at 1 % overall.

    ``variation`` is the coefficient of variation over queries, beyond what counting alone gives.
    """
    above = scores > np.quantile(ordered, 1 - _QUERY_RATE)
    summary: dict[str, Any] = {"rate": _QUERY_RATE}
    for axis, side in ((1, norm.sides[0]), (0, norm.sides[1])):
        sizes = valid.sum(axis=axis)
        rates = (above.sum(axis=axis) / np.maximum(sizes, 1))[sizes > 0]
        mean = float(rates.mean())
        counting = mean * (1 - mean) / float(sizes[sizes > 0].mean())
        spread = max(float(rates.var()) - counting, 0.0) ** 0.5
        summary[side] = {
            "variation": spread / mean if mean else None,
            "median": float(np.median(rates)),
            "percentile_95": float(np.quantile(rates, 0.95)),
            "highest": float(rates.max()),
        }
    return summary

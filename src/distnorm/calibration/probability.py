"""P(match) from labelled pairs, for a stated prior.

Scores s of pairs with labels y in {0, 1} are weighted so that matches make up the share pi, the
prior: of all pairs that will be asked about, how many match? On them a monotone step function
(isotonic regression) or a logistic curve (Platt 1999) is fitted:

    p(s) = P(match | s, prior pi)

For another prior pi' the odds change by one factor, the same for every score:

    p' / (1 - p') = p / (1 - p) * [pi' / (1 - pi')] / [pi / (1 - pi)]

Expected calibration error = sum over bins of (share of pairs in the bin) |mean p - share of
matches|, over ten equal bins of p, with every p predicted by a fit that has not seen the pair's
rows (five folds), at the prior. The bins are the reliability diagram.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from distnorm.arrays import Array, Bools, Float64, Indices, to_numpy
from distnorm.calibration.items import Items, items_of, matching
from distnorm.calibration.reading import as_scores, check_settings
from distnorm.calibration.score_kinds import score_kind
from distnorm.calibration.scorer import Scorer
from distnorm.errors import DistnormError, require
from distnorm.methods.base import seed as check_seed

__all__ = ["fit_probability", "match_probability", "probability_of", "reliability"]


_FOLDS, _BINS, _MIN_PER_KIND = 5, 10, 5
_MAX_ROWS, _MAX_NONMATCHES = 1000, 20_000


def fit_probability(
    norm: Scorer,
    first: Array,
    second: Array,
    labels: Any = None,
    *,
    prior: float | None = None,
    method: str = "isotonic",
    seed: int = 0,
    names: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """A curve from two-sided scores to P(match).

    Parameters
    ----------
    norm : ScoreNormalization, fitted
        On other rows, for a bank holds its own rows too dear.
    first, second : array, shape (n, d)
        Pairs, row by row.
    labels : sequence of n bools, optional
        Whether row i is a match. Left out, all rows are, and different rows' pairs are not.
    prior : float, optional
        Share of matches among the pairs to be asked about; the labels' share if left out, and
        needed where there are none.
    method : {"isotonic", "platt"}
        Isotonic needs some hundred matches, Platt's two numbers make do with some dozen.
    seed : int
        Of the folds.
    names : mapping from side to sequence, optional
        What rows are called: those of one name are one item, as equal rows are.

    Returns
    -------
    dict
        For ``notes.probability``: ``prior``, ``knots`` or ``curve``, counts, and with
        ``expected_calibration_error`` and ``reliability`` how well it holds on unseen rows.

    Raises
    ------
    DistnormError
        For unpaired rows, fewer than 5 matches or non-matches, or a prior out of range.
    MissingExtraError
        Without scikit-learn.
    """
    require("sklearn.isotonic", "calibration")
    if method not in ("isotonic", "platt"):
        raise DistnormError(f"method {method!r}", "'isotonic' or 'platt'", "pick one")
    known = {norm.names.resolve(side): each for side, each in (names or {}).items()}
    scores, match, rows, items = _labelled(norm, first, second, labels, known)
    if prior is None:
        if labels is None:
            raise DistnormError(
                "no prior",
                "the share of matches among the pairs to be asked about",
                "pass prior=, e.g. 0.5 for pairs from a list of likely ones",
            )
        prior = float(match.mean())
    prior = _prior(prior)
    check_seed("seed", seed)
    drawn = np.random.default_rng(seed).permutation(np.arange(len(items[0].first)) % _FOLDS)
    folds = drawn[items[0].of_row[rows]]  # all rows of an image are in one fold, with their texts
    unseen = np.full(len(scores), np.nan)
    for fold in range(_FOLDS):
        # Pairs across folds belong to no fold: either of their rows would have been seen.
        held, rest = (folds == fold).all(axis=1), (folds != fold).all(axis=1)
        if held.any() and 0 < match[rest].sum() < rest.sum():
            curve = _fit(scores[rest], match[rest], prior, method)
            unseen[held] = _read(curve, scores[held])
    judged = ~np.isnan(unseen)
    bins, error = reliability(unseen[judged], match[judged], prior=prior)
    return {
        "schema": 1,
        "score": score_kind(norm).to_dict(),
        "params": dict(norm.params),
        "method": method,
        "prior": prior,
        "n_matches": int(match.sum()),
        "n_non_matches": int((~match).sum()),
        "non_matches": "labelled" if labels is not None else "pairs of different rows",
        **_fit(scores, match, prior, method),
        "expected_calibration_error": error,
        "reliability": bins,
        "folds": _FOLDS,
        "seed": seed,
    }


def probability_of(norm: Scorer) -> Mapping[str, Any]:
    """The curve in ``norm.notes``, if it is one of this very method and strength."""
    table = norm.notes.probability
    if table is None:
        dropped = ", which new statistics made void" * ("probability" in norm.notes.dropped)
        raise DistnormError(
            f"a normalization without probabilities{dropped}",
            "labelled pairs",
            "call calibrate_probability(..., prior=) first",
        )
    check_settings(norm, table)
    return table


def match_probability(
    table: Mapping[str, Any], scores: Array, *, prior: float | None = None
) -> Float64:
    """P(match) of scores, at the curve's own prior or another."""
    p = _read(table, as_scores(scores))
    if prior is None or prior == table["prior"]:
        return p
    odds = p / (1 - p) * _odds(_prior(prior)) / _odds(table["prior"])
    return np.asarray(odds / (1 + odds))


def reliability(
    probabilities: Array, matches: Any, *, prior: float | None = None, bins: int = _BINS
) -> tuple[list[dict[str, float]], float]:
    """The reliability diagram and the expected calibration error.

    Parameters
    ----------
    probabilities : array, shape (n,)
    matches : bool array, shape (n,)
    prior : float, optional
        Weigh pairs so that matches make up this share.
    bins : int

    Returns
    -------
    list of dict
        Each bin that holds pairs: ``probability`` (mean), ``matches`` (share) and ``share``.
    float
        Expected calibration error.
    """
    p, y = as_scores(probabilities), np.asarray(matches, dtype=bool)
    weights = _weights(y, prior) if prior is not None else np.full(len(p), 1 / max(1, len(p)))
    place = np.minimum((p * bins).astype(int), bins - 1)
    diagram, error = [], 0.0
    for bin_ in range(bins):
        w = weights * (place == bin_)
        total = float(w.sum())
        if total <= 0:
            continue
        mean, share = float((w * p).sum() / total), float((w * y).sum() / total)
        diagram.append({"probability": mean, "matches": share, "share": total})
        error += total * abs(mean - share)
    return diagram, error


def _labelled(
    norm: Scorer, first: Array, second: Array, labels: Any, names: Mapping[str, Any]
) -> tuple[Float64, Bools, Indices, tuple[Items, Items]]:
    """Scores, labels and (row, row) of each pair, and what items the rows are."""
    one, two = norm.check_pair(first, second)
    n = one.shape[0]
    items = items_of(norm.sides, (one, two), names)
    own = to_numpy(norm.paired_similarity(one, two), np.float64)
    rows = np.stack([np.arange(n)] * 2, axis=1)
    if labels is not None:
        match = np.asarray(labels)
        if match.shape != (n,) or not np.isin(match, (0, 1)).all():
            raise DistnormError(
                f"labels of shape {match.shape}",
                f"({n},) zeros and ones",
                "write 1 for a match and 0 for none, one per pair",
            )
        match = match.astype(bool)
    else:
        few = min(n, _MAX_ROWS)
        start = np.arange(few)
        cross = to_numpy(norm.similarity(one.take(start), two.take(start)), np.float64)
        # Copies of an image or a text are one item: its partners are no non-matches.
        many = len(items[1].first)
        one_of, other_of = (each.of_row[:few] for each in items)
        images, texts = matching(*items, np.arange(n))
        same = np.isin(one_of[:, None] * many + other_of, images * many + texts)
        at = np.argwhere(~same)
        order = np.argsort(cross[at[:, 0], at[:, 1]], kind="stable")
        # Evenly through the sorted scores: the shape stays, a million pairs do not.
        at = at[order[np.linspace(0, len(order) - 1, min(len(order), _MAX_NONMATCHES)).astype(int)]]
        own = np.concatenate([own, cross[at[:, 0], at[:, 1]]])
        rows = np.concatenate([rows, at])
        match = np.arange(len(own)) < n
    for what, count in (("matches", match.sum()), ("non-matches", (~match).sum())):
        if count < _MIN_PER_KIND:
            raise DistnormError(
                f"{count} {what}", f"at least {_MIN_PER_KIND}, better 100", "label more pairs"
            )
    return own, match, rows, items


def _fit(scores: Float64, match: Bools, prior: float, method: str) -> dict[str, Any]:
    """Knots of the isotonic curve, or slope and intercept of the logistic one."""
    weights = _weights(match, prior) * len(scores)
    # Nothing is certain that so few pairs have shown.
    margin = 0.5 / (1 + min(match.sum(), (~match).sum()))
    if method == "isotonic":
        model = require("sklearn.isotonic", "calibration").IsotonicRegression(
            out_of_bounds="clip", y_min=margin * min(prior, 1 - prior) * 2, y_max=1 - margin
        )
        model.fit(scores, match.astype(np.float64), sample_weight=weights)
        x, y = np.asarray(model.X_thresholds_), np.asarray(model.y_thresholds_)
        return {"knots": {"score": x.tolist(), "probability": y.tolist()}}
    center, spread = float(scores.mean()), float(scores.std()) or 1.0
    linear = require("sklearn.linear_model", "calibration")
    model = linear.LogisticRegression(C=1e4, max_iter=1000)
    model.fit(((scores - center) / spread)[:, None], match, sample_weight=weights)
    slope = float(model.coef_[0, 0]) / spread
    return {"curve": {"slope": slope, "intercept": float(model.intercept_[0]) - slope * center}}


def _read(table: Mapping[str, Any], scores: Float64) -> Float64:
    if "knots" in table:
        knots = table["knots"]
        return np.asarray(np.interp(scores, knots["score"], knots["probability"]))
    curve = table["curve"]
    with np.errstate(over="ignore"):
        p = 1 / (1 + np.exp(-(curve["slope"] * scores + curve["intercept"])))
    return np.asarray(np.clip(p, 1e-12, 1 - 1e-12))


def _weights(match: Bools, prior: float) -> Float64:
    """Weights of sum 1 of which matches have the share ``prior``."""
    ones, zeros = max(1, int(match.sum())), max(1, int((~match).sum()))
    weights = np.where(match, prior / ones, (1 - prior) / zeros)
    return np.asarray(weights / weights.sum())


def _prior(value: Any) -> float:
    if (
        isinstance(value, bool)
        or not isinstance(value, (int, float, np.floating))
        or not 0 < value < 1
    ):
        raise DistnormError(f"prior {value!r}", "a number between 0 and 1", "the share of matches")
    return float(value)


def _odds(p: float) -> float:
    return p / (1 - p)

"""The rule that picks method and strength for queries of each side, without labels.

1. Samples are queries; the gallery at hand is what they search. Their partners may be missing.
2. `nnn`, `is`, `dn2`, `dn` at strengths w/8 .. w, w = n / (n + 50) for n distinct samples: a bias
   from few samples is noise in part, and a small strength takes a small part of it.
3. In five folds each is fitted on four and judged on the fifth by the planted matches that it
   finds (`distnorm.selection.planted`): recall as it would be if matches were like the items'
   own extremes.
4. Strength has a price, net gain = gain - (1/10 + 2/n) strength: planted matches promise too
   much, by about that, and where a strength gains little not even the sign is known.
5. The start is `nnn` at its best net gain: on the development sets nothing fixed was better.
6. Another method replaces it only if its net gain is larger by more than two standard errors.
7. The dot product stays where the net gain is not above 0, the gain not above its standard
   error, fewer than four folds in five agree on its sign, or mutual agreement (each query's best
   item has it as its own best query) or occupancy falls by more than a standard error.
8. With fewer than eight distinct samples or two items there is no evidence: dot product.
9. With labelled pairs, recall of held-out pairs takes the place of 3 and 4.

Mutual agreement alone was tried first. It follows recall where a shifted model is corrected, but
rises just as much where correction harms (a model on the very data it was made for), so it may
veto and not choose. ``benchmarks/selection`` has the figures.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from distnorm.arrays import Array, as_working, check_embeddings, check_lengths, to_numpy
from distnorm.errors import DistnormError
from distnorm.methods.sides import Sides
from distnorm.selection.checks import looks_wrong, same_rows
from distnorm.selection.labelled import labelled_hits
from distnorm.selection.planted import Folds, agreement, draw_folds, planted_recall
from distnorm.selection.results import Candidate, Selection, SideChoice
from distnorm.selection.scored import CORRECTIONS, SHIFTS, Scored

__all__ = ["select", "strength_weight"]

Float64 = npt.NDArray[np.float64]

_PRICE, _PRICE_OF_FEW = 0.1, 2.0
_LEAD = 2.0
_FOLDS, _FOLDS_AGREEING = 5, 0.8
_HALF_WEIGHT = 50
_SHARES = tuple(k / 8 for k in range(1, 9))
_LEAST_SAMPLES, _LEAST_PAIRS = 8, 20
_MOST_ROWS, _MOST_PAIRS = 5000, 2000
_MOST_SAMPLES, _MOST_ITEMS = 1000, 2000
_RESAMPLES = 500


def select(
    images: Array | None = None,
    texts: Array | None = None,
    *,
    gallery: dict[str, Array] | None = None,
    pairs: tuple[Array, Array] | None = None,
    shift: bool = False,
    seed: int = 0,
    sides: tuple[str, str] = ("image", "text"),
    input: str = "unit",
) -> Selection:
    """Choose method and strength for queries of each side; see the module for the rule.

    Parameters
    ----------
    images, texts : array, shape (n, d) and (m, d), optional
        Unlabelled, unpaired samples of the first and the second side.
    gallery : mapping from side to array, optional
        Items at hand, where they are not the samples of that side.
    pairs : pair of arrays of one shape, optional
        Labelled pairs, row by row, at least 20: the choice rests on them instead.
    shift : bool
        Only what an index of raw vectors needs no change for (dot, ridge, dn).
    seed : int
        Of folds, bootstrap, and of what is drawn from large inputs: up to 5,000 evenly spaced rows
        are looked at, 1,000 distinct samples of them judged against 2,000 items.
    sides : tuple of two str
    input : {"unit", "any"}

    Raises
    ------
    DistnormError
        For unusable rows or too few pairs.

    Examples
    --------
    >>> import numpy as np, distnorm
    >>> rng = np.random.default_rng(0)
    >>> X, Y = (distnorm.normalize(rng.normal(0.2, 1, (60, 16))) for _ in range(2))
    >>> distnorm.select(X, Y)["text"].samples
    60
    """
    names = Sides.of(sides)
    one, two = names.first, names.second
    samples = _rows({one: images, two: texts}, names, input)
    items = {**samples, **_rows(gallery or {}, names, input)}
    labelled = _pairs(pairs, names, input)
    every = [*samples.values(), *items.values(), *labelled.values()]
    if not every:
        raise DistnormError("no samples", f"{names.plural(one)} or {names.plural(two)}", "give one")
    if len({x.shape[1] for x in every}) > 1:
        raise DistnormError("rows of different dimensions", "one model's", "embed all alike")
    warnings = looks_wrong(samples, items, names)
    chosen = {}
    for number, side in enumerate((one, two)):
        rng = np.random.default_rng([seed, number])
        other = names.other(side)
        if labelled:
            chosen[side] = _from_pairs(labelled, samples, items, side, other, shift, rng)
        else:
            chosen[side] = _from_samples(samples, items, side, other, shift, rng, names)
    return Selection(chosen, seed, warnings)


def strength_weight(samples: int) -> float:
    """Largest strength that so many distinct samples allow: n / (n + 50)."""
    return samples / (samples + _HALF_WEIGHT)


def _from_samples(
    samples: dict[str, Float64],
    items: dict[str, Float64],
    side: str,
    other: str,
    shift: bool,
    rng: np.random.Generator,
    names: Sides,
) -> SideChoice:
    if side not in samples:
        return _no_evidence(f"no sample of {names.plural(side)}", 0, len(items.get(other, ())))
    distinct = _distinct(samples[side])
    queries = _drawn(distinct, _MOST_SAMPLES, rng)
    if other not in items:
        why = f"no {names.plural(other)} to rank: the gallery is missing"
        return _no_evidence(why, len(distinct), 0)
    at_hand = _drawn(_distinct(items[other]), _MOST_ITEMS, rng)
    if same_rows(queries, at_hand):
        why = f"{names.plural(side)} and {names.plural(other)} are the same rows"
        return _no_evidence(why, len(distinct), len(at_hand))
    if len(queries) < _LEAST_SAMPLES:
        why = f"{len(queries)} distinct {side} samples, fewer than {_LEAST_SAMPLES}"
        return _no_evidence(why, len(queries), len(at_hand))
    if len(at_hand) < 2:
        return _no_evidence("a gallery of one item: nothing to rank", len(queries), 1)
    scale = _drawn(samples[other], _MOST_ITEMS, rng) if other in samples else at_hand
    methods = _methods(shift, samples, other)
    scored = Scored(queries, at_hand, scale, methods)
    folds = draw_folds(scored, _FOLDS, rng)
    weight = strength_weight(len(distinct))
    tried = [("dot", 0.0), *((m, share * weight) for m in methods for share in _SHARES)]
    recall = planted_recall(scored, folds, tried)
    back = Scored(at_hand, queries, queries, methods).biases(np.ones(len(at_hand), dtype=bool))

    def judged(method: str, strength: float) -> tuple[Float64, float]:
        return agreement(scored, folds, method, strength, back)

    price = _PRICE + _PRICE_OF_FEW / len(distinct)
    return _decide(tried, recall, folds, judged, rng, len(distinct), len(at_hand), price)


def _from_pairs(
    labelled: dict[str, Float64],
    samples: dict[str, Float64],
    items: dict[str, Float64],
    side: str,
    other: str,
    shift: bool,
    rng: np.random.Generator,
) -> SideChoice:
    methods = _methods(shift, samples, other)
    n = len(labelled[side])
    hits = labelled_hits(
        labelled[side],
        labelled[other],
        samples.get(side),
        items.get(other),
        [("dot", 0.0), *((m, share) for m in methods for share in _SHARES)],
        _FOLDS,
        rng,
        _MOST_ITEMS,
    )
    return _decide(
        hits.tried, hits.values, hits.folds, hits.agreement, rng, n, hits.n_items, 0.0, "labelled"
    )


def _decide(
    tried: Sequence[tuple[str, float]],
    recall: Float64,
    folds: Folds,
    judged: Callable[[str, float], tuple[Float64, float]],
    rng: np.random.Generator,
    n: int,
    n_items: int,
    price: float,
    evidence: str = "planted",
) -> SideChoice:
    """Best strength of each method, then the method, then whether it may leave the dot product."""
    change = recall - recall[0]
    gains = change.mean(axis=1)
    weights = rng.multinomial(
        recall.shape[1], np.full(recall.shape[1], 1 / recall.shape[1]), _RESAMPLES
    )
    bootstrap = weights @ change.T / recall.shape[1]
    nets = gains - price * np.array([strength for _, strength in tried])
    base_agreement, base_occupancy = judged("dot", 0.0)
    candidates, at, agreeing = [], [], []
    for method in dict.fromkeys(method for method, _ in tried):
        curve = [i for i, (name, _) in enumerate(tried) if name == method]
        best = curve[int(np.argmax(nets[curve]))]
        mutual, occupied = judged(*tried[best])
        low, high = np.percentile(bootstrap[:, best], [2.5, 97.5])
        per_fold = [change[best, folds.of == fold].mean() for fold in np.unique(folds.of)]
        candidates.append(
            Candidate(
                method,
                tried[best][1],
                float(gains[best]),
                _error(change[best]),
                (float(low), float(high)),
                float(nets[best]),
                int(sum(value > 0 for value in per_fold)),
                float(mutual.mean()),
                occupied,
                tuple(tried[i][1] for i in curve),
                tuple(float(gains[i]) for i in curve),
            )
        )
        at.append(best)
        agreeing.append(mutual)
    pick, reason = 1, f"the start, {candidates[1].method}, was not beaten"
    for index in range(2, len(candidates)):
        lead = candidates[index].net - candidates[pick].net
        if lead > _LEAD * _error(change[at[index]] - change[at[pick]]):
            reason = f"{candidates[index].method} leads {candidates[pick].method} beyond noise"
            pick = index
    best_of_all = candidates[pick]
    veto = _veto(best_of_all, folds, price)
    if not veto and _falls(agreeing[pick] - base_agreement):
        veto = f"{best_of_all.method} lowers mutual agreement"
    slack = math.sqrt(base_occupancy * (1 - base_occupancy) / n_items)
    if not veto and best_of_all.occupancy < base_occupancy - slack:
        veto = f"{best_of_all.method} finds fewer of the items"
    if veto:
        pick, reason = 0, f"{veto}: the dot product stays"
    chosen = candidates[pick]
    return SideChoice(
        chosen.method,
        chosen.strength,
        reason,
        evidence,
        n,
        n_items,
        len(folds.biases),
        tuple(candidates),
        _more(n, best_of_all, evidence),
    )


def _veto(best: Candidate, folds: Folds, price: float) -> str:
    """Why the best correction is not good enough, or nothing."""
    if best.net <= 0:
        return f"{best.method} gains too little" if price else f"{best.method} gains nothing"
    if best.gain <= best.error:
        return f"the gain of {best.method} is within noise"
    if best.folds < _FOLDS_AGREEING * len(folds.biases):
        return f"folds disagree about {best.method}"
    return ""


def _falls(change: Float64) -> bool:
    return bool(change.mean() < -_error(change))


def _error(values: Float64) -> float:
    return float(values.std(ddof=1) / math.sqrt(len(values))) if len(values) > 1 else math.inf


def _more(n: int, best: Candidate, evidence: str) -> str:
    if evidence == "labelled":
        return (
            f"four times as many pairs ({4 * n}) would halve the standard error of the gain, now "
            f"{100 * best.error:.1f} points"
        )
    return (
        f"four times as many samples ({4 * n}) would halve the standard error of the gain, now "
        f"{100 * best.error:.1f} points, and raise the largest strength from "
        f"{strength_weight(n):.2f} to {strength_weight(4 * n):.2f}"
    )


def _methods(shift: bool, samples: dict[str, Float64], other: str) -> tuple[str, ...]:
    """Candidates beside the dot product; ridge is fitted over rows of the items' side."""
    if not shift:
        return CORRECTIONS
    return SHIFTS if not samples or other in samples else SHIFTS[1:]


def _no_evidence(why: str, n: int, n_items: int) -> SideChoice:
    more = f"{_LEAST_SAMPLES} distinct samples allow a first choice, 300 a good one"
    return SideChoice("dot", 0.0, f"{why}: the dot product stays", "none", n, n_items, more=more)


def _rows(
    arrays: dict[str, Any], names: Sides, input: str, most: int = _MOST_ROWS
) -> dict[str, Float64]:
    """Checked rows of each side in float64, evenly spaced ones where there are many."""
    checked_rows = {}
    for key, x in arrays.items():
        if x is None:
            continue
        side = names.resolve(key)
        rows = check_embeddings(x, names.plural(side))
        check_lengths(rows, names.plural(side), "auto", input)
        step = -(-rows.shape[0] // most)
        rows = rows[::step, ...] if step > 1 else rows
        checked_rows[side] = to_numpy(as_working(rows), np.float64)
    return checked_rows


def _pairs(pairs: tuple[Array, Array] | None, names: Sides, input: str) -> dict[str, Float64]:
    if pairs is None:
        return {}
    by_side = {names.first: pairs[0], names.second: pairs[1]}
    sizes = [len(x) for x in pairs]
    if len(sizes) != 2 or sizes[0] != sizes[1] or sizes[0] < _LEAST_PAIRS:
        raise DistnormError(
            f"pairs of {' and '.join(map(str, sizes))} rows",
            f"as many on both sides, at least {_LEAST_PAIRS}",
            "label more, or leave pairs out",
        )
    return _rows(by_side, names, input, _MOST_PAIRS)


def _distinct(rows: Float64) -> Float64:
    """Rows without repeats, in their order: a repeated query is no new evidence."""
    _, first = np.unique(rows, axis=0, return_index=True)
    return rows if len(first) == len(rows) else rows[np.sort(first)]


def _drawn(rows: Float64, most: int, rng: np.random.Generator) -> Float64:
    if len(rows) <= most:
        return rows
    return rows[np.sort(rng.choice(len(rows), most, replace=False))]

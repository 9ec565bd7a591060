"""The rule that picks method and strength for queries of each side, without labels.

1. Samples are queries; the gallery at hand is what they search. Their partners may be missing.
2. `is`, `nnn`, `sinkhorn` at strengths w/16 .. w, w = n / (n + 20) for n effective samples (the
   sum of their density weights): a bias from few samples is noise in part, and a small strength
   takes a small part of it. Where the samples cover the items narrowly, sinkhorn is none of them:
   it cannot leave own matches out.
3. In five folds each is fitted on four, weighed as the normalization weighs, and judged on the
   fifth by the planted matches that it finds (`distnorm.selection.planted`): recall as it would be
   if matches were like the items' own extremes, and both drawn as the samples are.
4. Strength a has a price, with g the largest gain of all and h what the dot product misses of the
   planted matches:

       net gain = gain - 0.5 v (1 - g / h)^2 a^2 - 4 a / n

   True gains rise with a small strength almost wherever planted ones do, and harm comes as its
   square: so a weak reason for a correction leads to a weak one, and not to none. Where a
   correction recovers most of what is missed, it is no accident and costs less. v is what two
   halves of the dimensions say (`distnorm.selection.views`): more where the search is easy or
   what all queries give an item does not reach its matches, less where neither is so.
5. The start is `is` at its best net gain.
6. Another method replaces it only if its net gain is larger by more than three standard errors.
7. The dot product stays where the net gain is not above 0, the gain not above its standard
   error, fewer than four folds in five agree on its sign, mutual agreement (each query's best item
   has it as its own best query) rises by less than half a standard error, or occupancy falls by
   more than one.
8. With fewer than eight distinct samples or two items there is no evidence: dot product. Nor is
   there with fewer than fifty effective samples that cover less than a fifth of the items and
   count evenly: they tell of a corner, and their own matches stay in.
9. With labelled pairs, recall of held-out pairs takes the place of 3 and 4, `dn2` and `dn` join the
   candidates, `nnn` is the start, and mutual agreement need not rise.

Mutual agreement alone was tried first. It follows recall where a shifted model is corrected, but
rises just as much where correction harms (a model on the very data it was made for), so it may
veto and not choose. ``benchmarks/selection`` has the figures.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from distnorm.arrays import Array
from distnorm.errors import DistnormError
from distnorm.methods.coverage import Coverage
from distnorm.methods.registry import METHODS
from distnorm.methods.sides import Sides
from distnorm.selection.checks import looks_wrong, same_rows
from distnorm.selection.decision import Evidence, decide, strength_weight
from distnorm.selection.labelled import labelled_hits
from distnorm.selection.planted import agreement, draw_folds, planted_recall
from distnorm.selection.results import Selection, SideChoice
from distnorm.selection.samples import (
    Sample,
    drawn,
    numbers_drawn,
    pairs_of,
    rows_of,
    scale_weights,
)
from distnorm.selection.scored import OF_PAIRS, OF_SAMPLES, SHIFTS, Scored
from distnorm.selection.views import price_factor

__all__ = ["select"]

Float64 = npt.NDArray[np.float64]

_FOLDS = 5
_EIGHTHS = tuple(k / 8 for k in range(1, 9))
_SHARES = tuple(sorted((1 / 16, 3 / 16, *_EIGHTHS)))
_LEAST_SAMPLES = 8
_FEW, _CORNER = 50, 0.2
_MOST_SAMPLES, _MOST_ITEMS = 1000, 2000


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
    weights: str | Mapping[str, Any] = "density",
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
        Of folds, bootstrap, and of what is drawn from large inputs: up to 5,000 rows are looked
        at, the same in whatever order they come, 1,000 distinct samples of them judged against
        2,000 items.
    sides : tuple of two str
    input : {"unit", "any"}
    weights : {"density", "even"}, or mapping from side to one of them or an array of shape (n,)
        How the samples count in what is fitted.

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
    samples, counted = rows_of({one: images, two: texts}, names, input, weights)
    items = {**samples, **rows_of(gallery or {}, names, input)[0]}
    labelled = pairs_of(pairs, names, input)
    every = [*samples.values(), *items.values(), *labelled.values()]
    if not every:
        raise DistnormError("no samples", f"{names.plural(one)} or {names.plural(two)}", "give one")
    if len({x.shape[1] for x in every}) > 1:
        raise DistnormError("rows of different dimensions", "one model's", "embed all alike")
    warnings = looks_wrong(samples, items, names)
    chosen = {}
    for number, side in enumerate((one, two)):
        rng = np.random.default_rng([seed, number])
        if labelled:
            chosen[side] = _from_pairs(labelled, samples, items, side, names, shift, rng)
        else:
            chosen[side] = _from_samples(samples, counted, items, side, names, shift, rng)
    return Selection(chosen, seed, warnings)


def _from_samples(
    samples: dict[str, Float64],
    counted: dict[str, str | Float64],
    items: dict[str, Float64],
    side: str,
    names: Sides,
    shift: bool,
    rng: np.random.Generator,
) -> SideChoice:
    other = names.other(side)
    if side not in samples:
        return _no_evidence(f"no sample of {names.plural(side)}", 0, len(items.get(other, ())))
    distinct = Sample.of(samples[side], counted[side])
    queries = distinct.drawn(_MOST_SAMPLES, rng)
    if other not in items:
        why = f"no {names.plural(other)} to rank: the gallery is missing"
        return _no_evidence(why, len(distinct), 0)
    at_hand = drawn(np.unique(items[other], axis=0), _MOST_ITEMS, rng)
    if same_rows(queries.rows, at_hand):
        why = f"{names.plural(side)} and {names.plural(other)} are the same rows"
        return _no_evidence(why, len(distinct), len(at_hand))
    if len(queries) < _LEAST_SAMPLES:
        why = f"{len(queries)} distinct {side} samples, fewer than {_LEAST_SAMPLES}"
        return _no_evidence(why, len(queries), len(at_hand))
    if len(at_hand) < 2:
        return _no_evidence("a gallery of one item: nothing to rank", len(queries), 1)
    scale, of_scale = at_hand, None
    if other in samples:
        known = samples[other]
        chosen = numbers_drawn(len(known), _MOST_ITEMS, rng)
        scale = known[chosen]
        of = counted[other]
        of_scale = scale_weights(scale, of if isinstance(of, str) else of[chosen])
    log = queries.log()
    methods = _methods(shift, samples, other)
    scored = Scored(queries.rows, at_hand, scale, methods, queries.weighing, of_scale)
    whole = np.ones(len(queries), dtype=bool)
    coverage = scored.coverage(whole, log.kinds)
    gated = scored.weighing.gated
    if not gated and coverage.effective_rows < _FEW and coverage.share < _CORNER:
        why = f"{coverage.effective_rows:.0f} effective samples ask for few of the items"
        return _no_evidence(why, len(distinct), len(at_hand))
    if gated and coverage.narrow:
        methods = tuple(m for m in methods if "own" in METHODS[m].parameters or not _banked(m))
    folds = draw_folds(scored, _FOLDS, rng)
    coverage = replace(
        coverage, effective_rows=coverage.effective_rows * len(distinct) / len(queries)
    )
    worth = coverage.effective_rows
    weight = strength_weight(worth)
    tried = [("dot", 0.0), *((m, share * weight) for m in methods for share in _SHARES)]
    recall = planted_recall(scored, folds, tried, log)
    back = Scored(at_hand, queries.rows, queries.rows, methods)
    biases = back.biases(np.ones(len(at_hand), dtype=bool))

    def judged(method: str, strength: float) -> tuple[Float64, float]:
        return agreement(scored, folds, method, strength, biases)

    factor = price_factor(scored.samples, at_hand, log.kinds, rng)
    evidence = Evidence(tried, recall, folds, judged, log.times, len(at_hand), worth, factor=factor)
    return _with_figures(decide(evidence, len(distinct), rng), coverage)


def _from_pairs(
    labelled: dict[str, Float64],
    samples: dict[str, Float64],
    items: dict[str, Float64],
    side: str,
    names: Sides,
    shift: bool,
    rng: np.random.Generator,
) -> SideChoice:
    other = names.other(side)
    methods = _methods(shift, samples, other) if shift else OF_PAIRS
    hits = labelled_hits(
        labelled[side],
        labelled[other],
        samples.get(side),
        items.get(other),
        [("dot", 0.0), *((m, share) for m in methods for share in _EIGHTHS)],
        _FOLDS,
        rng,
        _MOST_ITEMS,
    )
    n = len(labelled[side])
    evidence = Evidence(
        hits.tried, hits.values, hits.folds, hits.agreement, np.ones(n), hits.n_items
    )
    return decide(evidence, n, rng)


def _with_figures(choice: SideChoice, coverage: Coverage) -> SideChoice:
    return replace(
        choice,
        effective_samples=coverage.effective_rows,
        effective_items=coverage.effective_items,
        coverage=min(coverage.share, 1.0),
        kinds=None if coverage.kinds is None else min(coverage.kinds, 1.0),
    )


def _methods(shift: bool, samples: dict[str, Float64], other: str) -> tuple[str, ...]:
    """Candidates beside the dot product; ridge is fitted over rows of the items' side."""
    if not shift:
        return OF_SAMPLES
    return SHIFTS if not samples or other in samples else SHIFTS[1:]


def _banked(method: str) -> bool:
    return METHODS[method].needs_bank


def _no_evidence(why: str, n: int, n_items: int) -> SideChoice:
    more = f"{_LEAST_SAMPLES} distinct samples allow a first choice, 300 a good one"
    return SideChoice("dot", 0.0, f"{why}: the dot product stays", "none", n, n_items, more=more)

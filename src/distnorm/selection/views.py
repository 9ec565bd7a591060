"""What two halves of the dimensions say of each other: a second look at what a correction is worth.

Planted matches are made from the spread of scores and cannot tell a search that is easy from one
that is hard. Related queries and items can: the dimensions, mixed at random, are cut into halves A
and B, whose scores P_A + P_B = P are nearly independent but for what truly relates query and item.

    confirmed  how far each query's second best item in A lies above its other items in B, against
               A: 0 where the best are noise, 1 where the halves say the same. Items' means are
               taken out.
    carried    slope of the scores in B of each item and its second best query in A on the item's
               mean score in B: 1 where what all queries give an item reaches its best ones too and
               so is a bias, 0 where it does not, and taking it away would harm.

Second best, since the best one may be the match itself, where the gallery holds it: it would say
how clear a match is and not how clear the search is among all that is no match.

The price of strength is multiplied by (confirmed / 0.68)^4 exp(0.5 - carried), carried within 0 and
1.5: low where matches are noisy or biased, high where neither is so. The numbers come from the
development sets of ``benchmarks/selection``.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

__all__ = ["price_factor", "views"]

Float64 = npt.NDArray[np.float64]

_MIXES = 4
_LEAST_DIMENSIONS = 16
_USUAL, _POWER = 0.68, 4
_HALF_WAY, _MOST_CARRIED = 0.5, 1.5


def price_factor(
    queries: Float64, items: Float64, kinds: Float64, rng: np.random.Generator
) -> float:
    """What the price of strength is multiplied by; 1 where nothing can be told."""
    if queries.shape[1] < _LEAST_DIMENSIONS:
        return 1.0
    confirmed, carried = views(queries, items, kinds, rng)
    if not (math.isfinite(confirmed) and math.isfinite(carried)):
        return 1.0
    bias = min(max(carried, 0.0), _MOST_CARRIED)
    return (min(max(confirmed, 0.0), 1.0) / _USUAL) ** _POWER * math.exp(_HALF_WAY - bias)


def views(
    queries: Float64, items: Float64, kinds: Float64, rng: np.random.Generator
) -> tuple[float, float]:
    """``confirmed`` and ``carried`` of queries, (n, d), that count as ``kinds``, and items, (m, d).

    Means over a few random mixes; nan where scores do not vary.
    """
    d = queries.shape[1]
    scores = queries @ items.T
    leads, found, slopes = [], [], []
    for _ in range(_MIXES):
        signs = rng.choice([-1.0, 1.0], d)
        half = rng.permutation(d)[: d // 2]
        first = _mixed(queries, signs)[:, half] @ _mixed(items, signs)[:, half].T
        for one, other in ((first, scores - first), (scores - first, first)):
            there = np.average(other, axis=0, weights=kinds)
            here = one - np.average(one, axis=0, weights=kinds)
            at = _second_best(here)
            leads.append(_lead(here, at, kinds))
            found.append(_lead(other - there, at, kinds))
            centred = here - here.mean(axis=1, keepdims=True)
            asked = other[_second_best(centred.T), np.arange(len(there))]
            spread = there - there.mean()
            with np.errstate(invalid="ignore", divide="ignore"):
                slopes.append(np.float64(spread @ asked) / (spread @ spread))
    lead = float(np.mean(leads))
    return float(np.mean(found)) / lead if lead > 0 else math.nan, float(np.mean(slopes))


def _second_best(scores: Float64) -> npt.NDArray[np.intp]:
    """Each row's second largest."""
    rest = scores.copy()
    rest[np.arange(len(rest)), rest.argmax(axis=1)] = -np.inf
    return np.asarray(rest.argmax(axis=1))


def _mixed(rows: Float64, signs: Float64) -> Float64:
    """Rows in an orthonormal basis without favourites: the Hartley transform of random signs."""
    waves = np.fft.fft(rows * signs, axis=1, norm="ortho")
    return np.asarray(waves.real - waves.imag)


def _lead(scores: Float64, at: npt.NDArray[np.intp], kinds: Float64) -> float:
    """How far one item a row lies above the row's mean, in standard deviations."""
    above = scores[np.arange(len(at)), at] - scores.mean(axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        return float(np.average(above / scores.std(axis=1), weights=kinds))

"""From what candidates gain to a choice: price, lead, vetoes, and the reasons in words.

`distnorm.selection.rule` states the rule; its points 4 to 7 are here.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from distnorm.selection.planted import Folds
from distnorm.selection.results import Candidate, SideChoice

__all__ = ["PRICE", "Evidence", "decide", "strength_weight"]

Float64 = npt.NDArray[np.float64]

PRICE = 0.5
"""What strength 1 costs where little is to be gained; ``benchmarks/selection/tradeoff`` set it."""

_PRICE_OF_FEW = 4.0
_LEAD = 3.0
_FOLDS_AGREEING = 0.8
_RISE, _FALL = 0.5, -1.0
_HALF_WEIGHT = 20
_RESAMPLES = 500


@dataclass(frozen=True)
class Evidence:
    """What candidates are judged by: recall of each for each query, (c, n), and how queries count.

    ``worth`` are the effective samples, None for labelled pairs, whose strength has no price.
    ``price`` is that of strength 1, ``factor`` what `distnorm.selection.views` makes of it.
    """

    tried: Sequence[tuple[str, float]]
    recall: Float64
    folds: Folds
    judged: Callable[[str, float], tuple[Float64, float]]
    times: Float64
    items: int
    worth: float | None = None
    price: float = PRICE
    factor: float = 1.0

    @property
    def shares(self) -> Float64:
        """What each query counts, adding up to 1."""
        return np.asarray(self.times / self.times.sum())

    def error(self, values: Float64) -> float:
        """Standard error of the mean of one number per query, each counting its share."""
        n = len(values)
        if n < 2:
            return math.inf
        squares = np.sum((self.shares * (values - self.shares @ values)) ** 2)
        return math.sqrt(float(squares) * n / (n - 1))

    def costs(self, strengths: Float64, most: float, samples: float = 1) -> Float64:
        """What strengths cost if ``most`` is the largest gain, with so many times the samples."""
        if self.worth is None:
            return np.zeros_like(strengths)
        missed = 1 - float(self.recall[0] @ self.shares)
        recovered = most / missed if missed > 0 else 0.0
        square = self.price * self.factor * (1 - min(1.0, max(0.0, recovered))) ** 2
        return square * strengths**2 + _PRICE_OF_FEW / (samples * self.worth) * strengths

    def agrees(self, change: Float64) -> bool:
        """Whether mutual agreement rises, or for labelled pairs does not fall, beyond noise."""
        n, least = len(change), _FALL if self.worth is None else _RISE
        return n < 2 or bool(change.mean() >= least * change.std(ddof=1) / math.sqrt(n))


def strength_weight(samples: float) -> float:
    """Largest strength that so many effective samples allow: n / (n + 20)."""
    return samples / (samples + _HALF_WEIGHT)


def decide(evidence: Evidence, n: int, rng: np.random.Generator) -> SideChoice:
    """Best strength of each method, then the method, then whether it may leave the dot product."""
    tried, folds, shares = evidence.tried, evidence.folds, evidence.shares
    change = evidence.recall - evidence.recall[0]
    gains = change @ shares
    resampled = rng.multinomial(len(shares), np.full(len(shares), 1 / len(shares)), _RESAMPLES)
    weights = resampled * shares
    bootstrap = weights @ change.T / weights.sum(axis=1, keepdims=True)
    most = float(gains.max())
    costs = evidence.costs(np.array([strength for _, strength in tried]), most)
    nets = gains - costs
    base_agreement, base_occupancy = evidence.judged("dot", 0.0)
    candidates, at, agreeing = [], [], []
    for method in dict.fromkeys(method for method, _ in tried):
        curve = [i for i, (name, _) in enumerate(tried) if name == method]
        best = curve[int(np.argmax(nets[curve]))]
        mutual, occupied = evidence.judged(*tried[best])
        low, high = np.percentile(bootstrap[:, best], [2.5, 97.5])
        per_fold = [change[best, folds.of == fold].mean() for fold in np.unique(folds.of)]
        candidate = Candidate(
            method,
            tried[best][1],
            float(gains[best]),
            evidence.error(change[best]),
            (float(low), float(high)),
            float(nets[best]),
            int(sum(value > 0 for value in per_fold)),
            float(mutual.mean()),
            occupied,
            tuple(tried[i][1] for i in curve),
            tuple(float(gains[i]) for i in curve),
        )
        veto = _veto(candidate, folds, costs[curve]) if method != "dot" else ""
        if not veto and not evidence.agrees(mutual - base_agreement):
            does = "lowers" if evidence.worth is None else "does not raise"
            veto = f"{does} mutual agreement"
        slack = math.sqrt(base_occupancy * (1 - base_occupancy) / evidence.items)
        if not veto and occupied < base_occupancy - slack:
            veto = "finds fewer of the items"
        candidates.append(replace(candidate, outweighed=veto))
        at.append(best)
        agreeing.append(mutual)
    pick, reason = 1, f"the start, {candidates[1].method}, was not beaten"
    for index in range(2, len(candidates)):
        lead = candidates[index].net - candidates[pick].net
        if lead > _LEAD * evidence.error(change[at[index]] - change[at[pick]]):
            reason = f"{candidates[index].method} leads {candidates[pick].method} beyond noise"
            pick = index
    best_of_all = candidates[pick]
    if best_of_all.outweighed:
        reason = f"{best_of_all.method} {best_of_all.outweighed}: the dot product stays"
        pick = 0
    chosen = candidates[pick]
    named = tuple(_told(entry, chosen, best_of_all) for entry in candidates)
    return SideChoice(
        chosen.method,
        chosen.strength,
        reason,
        "planted" if evidence.worth is not None else "labelled",
        n,
        evidence.items,
        len(folds.biases),
        named,
        _more(n, best_of_all, evidence, most),
    )


def _told(entry: Candidate, chosen: Candidate, leader: Candidate) -> Candidate:
    """A candidate that another outdoes says so."""
    if entry.method in ("dot", chosen.method) or entry.outweighed:
        return entry
    if entry.net > leader.net:
        return replace(entry, outweighed=f"leads {leader.method} within noise only")
    return replace(entry, outweighed=f"net {100 * entry.net:+.1f} < {100 * leader.net:+.1f}")


def _veto(best: Candidate, folds: Folds, costs: Float64) -> str:
    """Why a correction is not good enough, or nothing; at its best gain where no net is left."""
    if best.net <= 0:
        at = max(range(len(best.gains)), key=best.gains.__getitem__)
        gain = best.gains[at]
        if gain <= 0 or not costs[at]:
            return "gains nothing"
        return f"gains too little: price {100 * costs[at]:.1f} > gain {100 * gain:.1f}"
    if best.gain <= best.error:
        return f"gains within noise: error {100 * best.error:.1f} > gain {100 * best.gain:.1f}"
    if best.folds < _FOLDS_AGREEING * len(folds.biases):
        return f"gains in {best.folds} of {len(folds.biases)} folds only"
    return ""


def _more(n: int, best: Candidate, evidence: Evidence, most: float) -> str:
    worth = evidence.worth
    if worth is None:
        return (
            f"four times as many pairs ({4 * n}) would halve the standard error of the gain, now "
            f"{100 * best.error:.1f} points"
        )
    still = np.array(best.gains) - evidence.costs(np.array(best.strengths), most, 4)
    if best.net <= 0 and still.max() <= 0:
        return f"more samples would not change that: {best.method} gains less than it costs"
    if best.net > 0 and best.strength < max(best.strengths) and best.gain > 4 * best.error:
        return "more samples would change little: gain and strength are not limited by them"
    return (
        f"four times as many samples ({4 * n}) would halve the standard error of the gain, now "
        f"{100 * best.error:.1f} points, and raise the largest strength from "
        f"{strength_weight(worth):.2f} to {strength_weight(4 * worth):.2f}"
    )

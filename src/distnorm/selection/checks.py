"""Samples that cannot be what they are called: one side's rows given as the other's."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from distnorm.methods.sides import Sides

__all__ = ["looks_wrong", "same_rows"]

Float64 = npt.NDArray[np.float64]

_ENOUGH = 30


def same_rows(first: Float64 | None, second: Float64 | None) -> bool:
    """Whether most rows of one side are rows of the other, to the last bit."""
    if first is None or second is None:
        return False
    shared = {row.tobytes() for row in first} & {row.tobytes() for row in second}
    return len(shared) > 0.5 * min(len(first), len(second))


def looks_wrong(
    samples: dict[str, Float64], items: dict[str, Float64], names: Sides
) -> tuple[str, ...]:
    """Sentences about suspicious samples.

    Where a model has a modality gap, rows of one side lie far from the other side's mean. So a
    side whose rows are no further from the other's mean than sampling explains is either of a
    model without a gap, or is the other side under a wrong name.
    """
    one, two = names.first, names.second
    left = samples.get(one, items.get(one))
    right = samples.get(two, items.get(two))
    if left is None or right is None:
        return ()
    warnings = []
    for side, rows in ((one, left), (two, right)):
        if len(rows) > 1 and not np.ptp(rows, axis=0).any():
            warnings.append(f"all {names.plural(side)} are the same row")
    if min(len(left), len(right)) >= _ENOUGH and not warnings:
        gap = float(np.linalg.norm(left.mean(axis=0) - right.mean(axis=0)))
        noise = math.sqrt(sum(float(x.var(axis=0).sum()) / (len(x) - 1) for x in (left, right)))
        if gap < 1.2 * noise:
            warnings.append(
                f"the means of {names.plural(one)} and {names.plural(two)} are {gap:.3f} apart, "
                f"{noise:.3f} of it explained by sampling: a model without a modality gap, or one "
                "side's rows given as the other's"
            )
    for side in (one, two):
        other = names.other(side)
        three = (samples.get(side), items.get(side), items.get(other))
        if any(x is None for x in three) or samples[side] is items[side]:
            continue
        mean, own, theirs = (x.mean(axis=0) for x in three if x is not None)
        if np.linalg.norm(mean - theirs) < 0.5 * np.linalg.norm(mean - own):
            warnings.append(
                f"the samples called {names.plural(side)} lie nearer to the gallery of "
                f"{names.plural(other)}: rows of the wrong side?"
            )
    return tuple(warnings)

"""Statistics of inputs, of all their rows or of a random sample."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from distnorm.arrays import Float64, NDArray
from distnorm.errors import DistnormError
from distnorm.fitting.inputs import Input, Inputs, SummedRows, Wanted
from distnorm.methods.base import seed as check_seed
from distnorm.methods.statistics import SideStatistics
from distnorm.moments import Moments
from distnorm.normalization import ScoreNormalization
from distnorm.system.progress import Progress

__all__ = ["Fit", "fit_inputs"]


@dataclass(frozen=True)
class Fit:
    """Rows of each side that a fit went over, those that failed, and texts that were cut."""

    rows: dict[str, int]
    failed: int
    over_long: int


def fit_inputs(
    norm: ScoreNormalization,
    inputs: Inputs,
    *,
    samples: int | None = None,
    seed: int = 0,
    weights: Mapping[str, Float64] | None = None,
    progress: Progress | None = None,
) -> Fit:
    """Fit an unfitted normalization on inputs; it then knows their model and prompt.

    ``samples`` are so many rows per side, drawn without replacement over all inputs of the side;
    what cannot be read is replaced by the next drawn. ``weights`` by side say how much each of all
    its rows counts, (n,). Raises `DistnormError` for fewer rows than samples, rows that no
    statistics can be taken of, or weights of others.
    """
    norm.model, norm.prompt = inputs.model_id, inputs.prompt
    check_seed("seed", seed)
    numbers = {norm.names.resolve(side): values for side, values in (weights or {}).items()}
    _check_weighed(numbers, inputs, samples)
    rng = np.random.default_rng(seed)
    wanted = {side: samples or sum(map(len, given)) for side, given in inputs.sides.items()}
    total, done = sum(wanted.values()), 0
    counts = {}
    for side, given in inputs.sides.items():
        before = done
        whole = norm.spec.needs_bank or norm.weights != "even" or samples is not None
        whole = whole or side in numbers
        summed = [] if whole else [x for x in given if isinstance(x, SummedRows)]
        for moments in _summed(norm, side, summed):
            done += moments.count
            if progress is not None:
                progress(done, total)
        here = given if whole else [x for x in given if not isinstance(x, SummedRows)]
        blocks = _all(here) if samples is None else _sampled(here, side, samples, rng)
        for part in [_joined(blocks)] if whole else blocks:
            rows: dict[str, Any] = {side: part}
            norm.partial_fit(weights=numbers.get(side), **rows)
            done += len(part)
            if progress is not None:
                progress(done, total)
        counts[side] = done - before
    fitted_on = {
        "samples": samples,
        "seed": seed,
        "inputs": {side: [x.note() for x in given] for side, given in inputs.sides.items()},
    }
    norm.notes = replace(norm.notes, fitted_on=fitted_on)
    every = [x for given in inputs.sides.values() for x in given]
    return Fit(counts, sum(x.failed for x in every), sum(x.over_long for x in every))


def _check_weighed(weights: Mapping[str, Float64], inputs: Inputs, samples: int | None) -> None:
    for side, values in weights.items():
        rows = sum(map(len, inputs.sides.get(side, ())))
        if len(values) != rows or samples is not None:
            sampled = "" if samples is None else f", of which {samples} are drawn"
            raise DistnormError(
                f"{len(values)} weights for {rows} {side} rows{sampled}",
                "one number per row, and all rows fitted",
                "give a number for each row in their order, and no --samples",
            )


def _summed(norm: ScoreNormalization, side: str, given: Sequence[SummedRows]) -> Iterator[Moments]:
    """Add inputs whose rows are added up elsewhere; gives each part of their moments."""
    if not given:
        return
    before, spec = norm.statistics[side].moments, norm.spec
    total = Moments(order=before.order, rank=before.rank)
    name = norm.names.plural(side)
    wanted = Wanted(name, before.order, before.rank, spec.name, norm.input, norm.dimension)
    for x in given:
        for part in x.moments(wanted):
            total.include(part)
            yield part
    added = SideStatistics(before.merge(total), None)
    norm.state = norm.state.with_statistics({side: added})


def _all(given: list[Input]) -> Iterator[NDArray]:
    for x in given:
        yield from x.take(None)


def _sampled(
    given: list[Input], side: str, samples: int, rng: np.random.Generator
) -> Iterator[NDArray]:
    ends = np.cumsum([len(x) for x in given])
    if samples > ends[-1]:
        raise DistnormError(
            f"{ends[-1]} {side} rows", f"at least --samples {samples}", "lower --samples"
        )
    order = rng.permutation(int(ends[-1]))
    while samples:
        if not len(order):
            raise DistnormError(
                f"{side} rows of which {samples} too few can be read",
                "more that can",
                "lower --samples, or mend the files",
            )
        drawn, order = np.sort(order[:samples]), order[samples:]
        for x, end in zip(given, ends, strict=True):
            start = end - len(x)
            inside = drawn[(drawn >= start) & (drawn < end)] - start
            if len(inside):
                for part in x.take(inside):
                    samples -= len(part)
                    yield part


def _joined(blocks: Iterator[NDArray]) -> NDArray:
    parts = list(blocks)
    return parts[0] if len(parts) == 1 else np.concatenate(parts)

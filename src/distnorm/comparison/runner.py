"""The one loop of all comparisons: splits, every method fitted and evaluated, sums, intervals."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

from distnorm.arrays import Indices
from distnorm.comparison.draws import Draw
from distnorm.comparison.protocol import Protocol
from distnorm.comparison.results import Comparison
from distnorm.comparison.tally import Outcome, Tally
from distnorm.errors import DistnormError
from distnorm.normalization import ScoreNormalization
from distnorm.system.progress import Progress
from distnorm.system.threads import single_threaded_blas, threads

__all__ = ["Experiment", "run"]

_SMALL = 1 << 20


@dataclass(frozen=True)
class Experiment:
    """What one task brings to a comparison."""

    task: str
    sizes: dict[str, int]
    # by kind of evaluated rows the image of each (None: rows are images)
    owners: dict[str, Indices | None]
    draws: Iterable[Draw]
    evaluate: Callable[[ScoreNormalization, Draw], Outcome]
    diagnose: Callable[[Sequence[ScoreNormalization], Draw], dict[str, Any]] | None = None
    rule: str | None = None  # makes scores of captions
    units: int | None = None  # what is drawn together, if not images

    @property
    def is_small(self) -> bool:
        """Whether products of the evaluated rows are done sooner than BLAS's threads wake up."""
        # The first two sizes are those of the sides.
        return math.prod(list(self.sizes.values())[:2]) <= _SMALL


def run(experiment: Experiment, protocol: Protocol, progress: Progress | None = None) -> Comparison:
    """Fit and evaluate every method on every split; ``progress`` counts evaluations."""
    with single_threaded_blas() if experiment.is_small else nullcontext():
        return _run(experiment, protocol, progress)


def _run(experiment: Experiment, protocol: Protocol, progress: Progress | None) -> Comparison:
    norms = protocol.norms
    if experiment.task != "classification" and any(norm.prior != "none" for norm in norms):
        raise DistnormError(
            f"a class prior for {experiment.task}", "methods without one", "leave prior out"
        )
    tally = Tally(norms, experiment.owners, experiment.units or experiment.sizes["n_images"])
    diagnostics: dict[str, Any] | None = None

    def split(number: int, draw: Draw) -> Iterator[Outcome]:
        nonlocal diagnostics
        fitted = _fitted(norms, draw)
        for norm in fitted:
            yield experiment.evaluate(norm, draw)
        if number == 0 and experiment.diagnose is not None:
            diagnostics = experiment.diagnose(fitted, draw)

    total = len(norms) * protocol.splits
    outcomes = (_side_by_side if experiment.is_small else _in_turn)(split, experiment.draws)
    for done, outcome in enumerate(outcomes):
        tally.record(done % len(norms), outcome)
        if progress is not None:
            progress(done + 1, total)
    results = tally.results(protocol.splits, protocol.seed, rule=experiment.rule)
    return Comparison(experiment.task, experiment.sizes, protocol.to_dict(), results, diagnostics)


_Of = Callable[[int, Draw], Iterator[Outcome]]


def _in_turn(split: _Of, draws: Iterable[Draw]) -> Iterator[Outcome]:
    for number, draw in enumerate(draws):
        yield from split(number, draw)


def _side_by_side(split: _Of, draws: Iterable[Draw]) -> Iterator[Outcome]:
    """Of small splits two at a time, in their order: Python itself lets no more than that run."""
    workers = min(2, threads())
    with ThreadPoolExecutor(workers, "distnorm") as pool:
        ahead: deque[Future[list[Outcome]]] = deque()
        for number, draw in enumerate(draws):
            ahead.append(pool.submit(lambda *which: list(split(*which)), number, draw))
            if len(ahead) > workers:
                yield from ahead.popleft().result()
        while ahead:
            yield from ahead.popleft().result()


def _fitted(norms: Sequence[ScoreNormalization], draw: Draw) -> list[ScoreNormalization]:
    """Covariances first: whoever needs means alone finds them among what is kept of the rows."""
    fitted = [norm.clone() for norm in norms]
    called = dict(zip(("images", "texts"), norms[0].sides, strict=True))
    fit = {called[side]: rows for side, rows in draw.fit.items()}
    for norm in fitted:
        for side, rows in fit.items():
            norm.check(rows, side)
    for norm in sorted(fitted, key=lambda norm: -norm.spec.order):
        norm.fit(**fit)
    return fitted

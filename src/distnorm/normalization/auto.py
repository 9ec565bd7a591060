"""Method ``auto``: a normalization that chooses by itself, then is what it chose.

Which method, with which parameters and strength, serves the queries of a side is a question put to
`resolve`. For every other method the answer is what the caller asked for; for ``auto`` it is the
choice of `distnorm.selection`, possibly another for each side. Any two biases make a score,

    score(x, y) = x.y - s_Y b_Y(x) - s_X b_X(y)

so item biases, rankings and two-sided scores need to know no more than that. The choice is made
when it is first asked for, from all rows then fitted, and is the same for rows in any order, chunks
and shards.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from distnorm.arrays import Array, CheckedRows
from distnorm.errors import DistnormError
from distnorm.methods.registry import METHODS
from distnorm.normalization.correction import Correction
from distnorm.normalization.notes import Notes
from distnorm.normalization.state import State

__all__ = ["READ_OFF", "choose", "resolve", "strength_text"]

READ_OFF = dict.fromkeys(("calibration", "probability", "class_prior"))
"""Notes that are read off the scores, which another choice makes void."""


def resolve(state: State, side: str, choice: Callable[[], Mapping[str, Any]]) -> Correction:
    """What serves queries of ``side``; ``choice`` is called under ``auto`` alone.

    There the strength is the chosen one times that of the normalization (1 unless set; 0 keeps
    the dot product).
    """
    spec, strength = state.spec, state.strength[side]
    if not spec.chooses:
        return Correction(spec, strength if spec.corrects else 0.0, state.params, side, state)
    if not strength:
        return Correction(METHODS["dot"], 0.0, {}, side, state)
    chosen = choice()["sides"][side]
    method = METHODS[chosen["method"]]
    return Correction(method, strength * chosen["strength"], method.params, side, state)


def strength_text(state: State, notes: Notes) -> str:
    """Strength for queries of each side, in one line; under ``auto`` what was chosen, if it was."""
    if not state.spec.chooses:
        return ", ".join(f"{side}={value:g}" for side, value in state.strength.items())
    selection = notes.selection
    if selection is None:
        return "not chosen yet"
    every = [resolve(state, side, lambda: selection) for side in state.sides]
    return ", ".join(f"{each.side}={each.method.name}@{each.strength:.2f}" for each in every)


def _weights(state: State, side: str) -> Any:
    """How the rows of a side count: by density, all alike, or by numbers."""
    statistics = state.statistics[side]
    weights = statistics.bank_weights() if statistics.given else None
    return state.weights if weights is None else weights


def choose(
    state: State, pairs: tuple[Array, Array] | None, gallery: Mapping[str, Array | None]
) -> dict[str, Any]:
    """The choice from the fitted rows, in plain values; see `ScoreNormalization.choose`."""
    from distnorm.selection import select

    if not state.spec.chooses:
        raise DistnormError(
            f"choose of {state.spec.name!r}", "method 'auto'", "use distnorm.make('auto')"
        )
    rows = {
        side: CheckedRows(statistics.bank_rows(), state.names.plural(side))
        for side, statistics in state.statistics.items()
        if statistics.moments.count
    }
    if not rows:
        raise DistnormError("an unfitted 'auto'", "samples to choose from", "call fit first")
    selection = select(
        *(rows.get(side) for side in state.sides),
        gallery={side: x for side, x in gallery.items() if x is not None},
        pairs=pairs,
        shift=bool(state.params["shift"]),
        seed=state.params["seed"],
        sides=state.sides,
        input=state.input,
        weights={side: _weights(state, side) for side in rows},
    )
    chosen = dict(selection.sides)
    for side in state.sides:
        if chosen[side].method != "dot" and side not in rows:
            why = f"no {state.names.plural(side)} are fitted: the dot product stays"
            chosen[side] = replace(chosen[side], method="dot", strength=0.0, why=why)
    return replace(selection, sides=chosen).to_dict()

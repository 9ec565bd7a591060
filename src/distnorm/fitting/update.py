"""Bring statistics up to date with the stores they were fitted on, from the difference alone.

With n rows of sum S fitted at a commit of a store, A the rows added since and R those removed,

    count' = n + |A| - |R|,   sum' = S + sum(A) - sum(R).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from distnorm.arrays import NDArray
from distnorm.errors import DistnormError
from distnorm.normalization import ScoreNormalization
from distnorm.normalization.state import State
from distnorm.store.layout import Commit, at_commit
from distnorm.store.rows import StoredRows, rows_changed

__all__ = ["Update", "update"]


@dataclass(frozen=True)
class Update:
    """Rows that were added to and removed from statistics, by side."""

    added: dict[str, int]
    removed: dict[str, int]


def update(
    norm: ScoreNormalization, places: Iterable[str] = (), *, beside: str | Path | None = None
) -> Update:
    """Add rows that came into the stores of a normalization since, and take out those that left.

    It was fitted by `fit_inputs`, without samples, and is changed in place. ``places`` say where
    stores are now; what is not named is looked for by its name, in the current folder and in that
    of ``beside``, the normalization's file. Raises `DistnormError`, and changes nothing, if it was
    fitted on a sample or on no store, a store is missing or another one, rows that left it are not
    kept, or the method cannot give rows back.
    """
    stores = {commit.id: commit for commit in map(Commit.read, places)}
    about = norm.notes.fitted_on
    notes = [] if about is None else [note for v in about["inputs"].values() for note in v]
    if about is None or not any("id" in note for note in notes) or about["samples"] is not None:
        raise DistnormError(
            "a normalization that was fitted on a sample"
            if about is not None and about["samples"] is not None
            else "a normalization that names no store it was fitted on",
            "one of all rows of a store, by `distnorm fit`",
            "fit it anew",
        )
    if norm.weighting == "given":
        raise DistnormError(
            "statistics of rows that were given weights",
            "rows that count alike, or by density",
            "fit anew, with the weights of all rows",
        )
    added: dict[str, list[NDArray]] = {}
    removed: dict[str, list[NDArray]] = {}
    new_notes: dict[str, list[dict[str, Any]]] = {}
    for side, inputs in about["inputs"].items():
        for note in inputs:
            if "id" not in note:
                new_notes.setdefault(side, []).append(note)
                continue
            folder = _store(note, stores, beside).folder
            rows = at_commit(folder, partial(StoredRows, side=side))
            came, left = rows_changed(rows, side, note["commit"])
            added.setdefault(side, []).extend(came)
            removed.setdefault(side, []).extend(left)
            new_notes.setdefault(side, []).append(rows.note())
    ours = {**about, "inputs": new_notes}
    # Whoever scores meanwhile never sees rows added that are still to be taken out.
    state = norm.state
    for parts, change in ((added, State.with_rows), (removed, State.without_rows)):
        rows_of: dict[str, Any] = {s: np.concatenate(p) for s, p in parts.items() if p}
        if rows_of:
            state = change(state, rows_of)
    norm.state = state
    norm.notes = replace(norm.notes, fitted_on=ours)
    return Update(_counts(added), _counts(removed))


def _counts(parts: dict[str, list[NDArray]]) -> dict[str, int]:
    return {side: sum(map(len, given)) for side, given in parts.items()}


def _store(
    note: dict[str, Any], stores: dict[str | None, Commit], beside: str | Path | None
) -> Commit:
    """The store that a note names, wherever it is now."""
    name = note["store"]
    homes = [Path()] if beside is None else [Path(), Path(beside).parent]
    for commit in (stores.get(note["id"]), *(Commit.read(home / name) for home in homes)):
        if commit is not None and commit.id == note["id"]:
            return commit
    raise DistnormError(
        f"no store, or another one, at {name}",
        "the store that the normalization was fitted on",
        "name its place with --images or --texts, or fit anew",
    )

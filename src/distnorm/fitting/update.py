"""Bring statistics up to date with the stores they were fitted on, from the difference alone.

With n rows of sum S fitted at commit c of a store, A the rows added and R those removed since,

    count' = n + |A| - |R|,   sum' = S + sum(A) - sum(R).

Vectors of A are read from the shards that have any, those of R from the store's ``removed/``.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from distnorm.errors import DistnormError
from distnorm.fitting.inputs import StoredRows
from distnorm.fitting.statistics import FITTED_ON, store_note
from distnorm.normalization import ScoreNormalization
from distnorm.store.vectors import stored

__all__ = ["Update", "update"]

Rows = npt.NDArray[Any]


@dataclass(frozen=True)
class Update:
    """Rows that were added to and removed from statistics, by side."""

    added: dict[str, int]
    removed: dict[str, int]


def update(norm: ScoreNormalization, moved: dict[str, str] | None = None) -> Update:
    """Add rows that came into the stores of a normalization since, and take out those that left.

    Parameters
    ----------
    norm : ScoreNormalization
        Fitted by `fit_inputs`, without samples; changed in place.
    moved : mapping from store id to path, optional
        Where stores are now, if not where they were.

    Raises
    ------
    DistnormError
        If it was fitted on a sample or on no store, a store is missing or another one, its
        ``removed`` is incomplete, or the method cannot give rows back. Nothing is changed then.
    """
    about = norm.notes.get(FITTED_ON)
    stores = [] if about is None else [n for v in about["inputs"].values() for n in v if "id" in n]
    if about is None or not stores or about["samples"] is not None:
        raise DistnormError(
            "a normalization that was fitted on a sample"
            if about is not None and about["samples"] is not None
            else "a normalization that names no store it was fitted on",
            "one of all rows of a store, by `distnorm fit`",
            "fit it anew",
        )
    added: dict[str, list[Rows]] = {}
    removed: dict[str, list[Rows]] = {}
    notes: dict[str, list[dict[str, Any]]] = {}
    for side, inputs in about["inputs"].items():
        for note in inputs:
            if "id" not in note:
                notes.setdefault(side, []).append(note)
                continue
            rows = StoredRows(_place(note, moved or {}), side)
            more, less = _difference(rows, side, note)
            added.setdefault(side, []).extend(more)
            removed.setdefault(side, []).extend(less)
            notes.setdefault(side, []).append(store_note(rows))
    ours = {**about, "inputs": notes}
    before = dict(norm._statistics)
    try:
        for parts, change in ((added, norm.partial_fit), (removed, norm.remove)):
            rows_of: dict[str, Any] = {s: np.concatenate(p) for s, p in parts.items() if p}
            if rows_of:
                change(**rows_of)
    except BaseException:
        norm._statistics = before
        norm.notes[FITTED_ON] = about
        raise
    norm.notes[FITTED_ON] = ours
    return Update(_counts(added), _counts(removed))


def _counts(parts: dict[str, list[Rows]]) -> dict[str, int]:
    return {side: sum(map(len, given)) for side, given in parts.items()}


def _place(note: dict[str, Any], moved: dict[str, str]) -> str:
    path = moved.get(note["id"], note["store"])
    found = stored(path)
    if found.get("id") != note["id"]:
        raise DistnormError(
            f"no store, or another one, at {path}",
            "the store that the normalization was fitted on",
            "name its place with --images or --texts, or fit anew",
        )
    return str(path)


def _difference(rows: StoredRows, side: str, note: dict[str, Any]) -> tuple[list[Rows], list[Rows]]:
    """Vectors that came and that left since a commit."""
    since = note["commit"]
    left, left_digest = _left(Path(rows.path), side, since)
    if side != "image":
        return list(rows.read(np.flatnonzero(rows.commit > since))), [left] if len(left) else []
    # Distinct pictures: what matters is which contents are there, not in how many rows.
    before = np.concatenate([rows.digest[rows.commit <= since], left_digest])
    came = rows.rows[~np.isin(rows.digest[rows.rows], before)]
    _, first = np.unique(left_digest, return_index=True)
    went = np.sort(first[~np.isin(left_digest[first], rows.digest)])
    return list(rows.read(came)), [left[went]] if len(went) else []


def _left(store: Path, side: str, since: int) -> tuple[Rows, npt.NDArray[np.bytes_]]:
    """Vectors and hashes of rows that were there at a commit and are not now."""
    parts = list(_logs(store, side, since))
    if not parts:
        return np.empty((0, 0)), np.empty(0, dtype="S64")
    return np.concatenate([x for x, _ in parts]), np.concatenate([digest for _, digest in parts])


def _logs(store: Path, side: str, since: int) -> Iterator[tuple[Rows, npt.NDArray[np.bytes_]]]:
    for commit in sorted(map(int, stored(store)["removed"])):
        if commit <= since:
            continue
        path = store / "removed" / f"removed_{commit}.npz"
        if not path.is_file():
            raise DistnormError(f"no {path}", "the vectors of removed rows", "fit anew")
        with np.load(path, allow_pickle=False) as log:
            old = log["commit"] <= since
            yield log[side][old], log["hash"][old]

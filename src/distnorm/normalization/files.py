"""A normalization's state and notes as settings and tensors of `distnorm.storage`.

Tensors: ``<side>.sum``, ``<side>.totals`` and, by method, ``<side>.second``, ``<side>.factor``,
``<side>.bank``, ``<side>.bank_weights``; ``notes/class_images.*``. Settings: method, strengths,
parameters, sides, model id, prompt style, counts, weights, prior, whether rows had unit
length and ``notes``, see `distnorm.normalization.notes`.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from distnorm import storage
from distnorm.arrays import Float64, to_numpy
from distnorm.errors import DistnormError
from distnorm.methods.statistics import SideStatistics
from distnorm.moments import Moments
from distnorm.normalization.forms import SETTINGS, check_class_images, check_side, check_statistics
from distnorm.normalization.notes import Notes
from distnorm.normalization.state import State

__all__ = ["read_state", "write_state"]

Path = str | os.PathLike[str]

_CLASS_IMAGES = "notes/class_images."


def write_state(path: Path, state: State, settings: Mapping[str, Any], notes: Notes) -> None:
    """Write statistics, whole or not at all; ``settings`` is what ``to_dict`` says of them."""
    if state.dimension is None and state.spec.corrects:
        raise DistnormError("an unfitted normalization", "statistics to save", "call fit first")
    tensors: dict[str, Any] = {}
    sides: dict[str, Any] = {}
    for side, statistics in state.statistics.items():
        moments = statistics.moments
        given = {"given": statistics.given} if statistics.given or statistics.weighted else {}
        sides[side] = {"count": moments.count, "unit_length": moments.unit_length, **given}
        if not moments.count:
            continue
        for key, values in moments.to_arrays().items():
            tensors[f"{side}.{key}"] = np.ascontiguousarray(values)
        if statistics.weights is not None:
            tensors[f"{side}.bank_weights"] = np.concatenate(statistics.weights)
        if statistics.bank:
            tensors[f"{side}.bank"] = np.ascontiguousarray(to_numpy(statistics.bank_rows()))
    images = notes.class_images if notes.class_prior is not None else None
    for key, values in (images or {}).items():
        tensors[f"{_CLASS_IMAGES}{key}"] = np.ascontiguousarray(values)
    if state.weights != "even":
        settings = {**settings, "weights": state.weights}
    storage.write(path, {**settings, "notes": notes.to_dict(), "statistics": sides}, tensors)


def read_state(path: Path, model: str | None, dimension: int | None) -> tuple[State, Notes]:
    """What `write_state` wrote; an error for another model or another dimension."""
    settings, tensors, _ = storage.read(path, SETTINGS)
    name = os.fspath(path)
    check_statistics(name, settings)
    if model is not None and settings["model"] is not None and settings["model"] != model:
        raise DistnormError(
            f"statistics of model {settings['model']!r} in {os.fspath(path)}",
            f"model {model!r}",
            "fit a normalization with that model's embeddings",
        )
    if dimension is not None and settings["dimension"] not in (None, dimension):
        raise DistnormError(
            f"statistics of {settings['dimension']} dimensions in {os.fspath(path)}",
            f"{dimension} dimensions",
            "fit a normalization with that model's embeddings",
        )
    weighting = settings.get("weights", "even")
    state = State.of(
        settings["method"],
        settings["strength"],
        tuple(settings["sides"]),
        settings["model"],
        settings["prompt"],
        settings["input"],
        settings["params"],
        {"given": "even"}.get(weighting, weighting),
        settings.get("sketch", True),
        settings.get("prior", "none"),
    )
    if state.spec.chooses and "sides" not in (
        settings.get("notes", {}).get("selection") or {"sides": 0}
    ):
        raise DistnormError(f"{name} without what was chosen", "a choice", "fit it again")
    statistics = {}
    for side, about in settings["statistics"].items():
        if not about["count"]:
            continue
        empty, arrays = state.statistics[side], _under(f"{side}.", tensors)
        check_side(name, side, about["count"], about["unit_length"], arrays, empty)
        bank, weights = arrays.pop("bank", None), arrays.pop("bank_weights", None)
        moments = Moments.from_arrays(
            arrays, count=about["count"], unit_length=about["unit_length"], rank=empty.moments.rank
        )
        parts = None if weights is None else (weights,)
        of_numbers = about.get("given", _of_numbers(weighting, moments, weights))
        rows = None if empty.bank is None else (bank,)
        statistics[side] = SideStatistics(moments, rows, parts, of_numbers)
    notes = Notes.from_dict(settings.get("notes", {}))
    kept = _under(_CLASS_IMAGES, tensors)
    check_class_images(name, notes.class_prior, kept, state.dimension or settings["dimension"])
    return state.with_statistics(statistics), replace(notes, class_images=kept or None)


def _of_numbers(weighting: str, moments: Moments, weights: Float64 | None) -> bool:
    """Whether numbers say what rows count, where a file does not: density gives at most 1."""
    if weighting == "density":
        return weights is not None and bool(weights.max() > 1 + 1e-9)
    return weights is not None or moments.weight != moments.count


def _under(prefix: str, tensors: Mapping[str, Any]) -> dict[str, Any]:
    """Tensors whose names begin so, by the rest of their names."""
    return {k.removeprefix(prefix): x for k, x in tensors.items() if k.startswith(prefix)}

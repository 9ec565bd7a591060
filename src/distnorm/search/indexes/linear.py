"""The linear part of biases, taken out of a search: a shorter list is long enough then.

A bias b(x) of an item is mostly a linear function of it. With w from least squares on a sample of
the rows, and the residual r(x) = b(x) - w.x,

    q.x - b(x) = (q - w).x - r(x)

the query q - w fetches items in nearly the right order, and r, which varies far less than b, ranks
them again. With m the lowest residual of all items and v the last (q - w).x of a fetched list, no
item outside it scores above v - m. The scores are the same; only the list to fetch is shorter.

    w   shape (d,), float32, in the list of what is complete;   r   a number per item, beside b
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from distnorm.arrays import Float64, NDArray, normalize
from distnorm.errors import DistnormError
from distnorm.search.indexes.bias_store import About, lower_bound
from distnorm.search.indexes.system import System

__all__ = ["LinearPart", "about_linear", "fitted", "linear_part", "some_rows"]

# Rows to fit to, and the weight that keeps w short where there are few.
_SAMPLE, _WEIGHT = 4096, 0.1
# What is left of the distance from the mean to the lowest must be at most this.
_WORTH = 0.8


@dataclass(frozen=True)
class LinearPart:
    """The vector w, and the lowest and the mean of the residuals of all items."""

    vector: Float64
    lowest: float = np.inf
    mean: float = 0.0

    def residuals(self, system: System, rows: NDArray, biases: Float64) -> Float64:
        """b(x) - w.x of rows as the index scores them."""
        return biases - scored(system, rows) @ self.vector

    def lowered(self, residuals: Float64) -> LinearPart:
        """With a bound for these as well."""
        return replace(self, lowest=min(self.lowest, lower_bound(residuals)))

    def to_dict(self) -> dict[str, Any]:
        """For the list of what is complete."""
        vector = self.vector.astype("<f4").tobytes()
        return {
            "vector": base64.b64encode(vector).decode(),
            "lowest": self.lowest,
            "mean": self.mean,
        }


def scored(system: System, rows: NDArray) -> Float64:
    """Rows as the index's scores are made of them: a cosine system knows directions alone."""
    wide = rows.astype(np.float64)
    return np.asarray(normalize(wide) if system.metric == "cos" else wide, np.float64)


def linear_part(about: Mapping[str, Any], dimension: int) -> LinearPart | None:
    """What is stated of it; None for biases that were stored without one."""
    stated = about.get("linear")
    if stated is None:
        return None
    try:
        vector = np.frombuffer(base64.b64decode(stated["vector"], validate=True), "<f4")
    except (binascii.Error, ValueError):
        vector = np.empty(0, np.float32)
    if vector.shape != (dimension,) or not np.isfinite(vector).all():
        raise DistnormError(
            "a linear part of biases that is damaged",
            f"{dimension} numbers",
            "store them again: distnorm index bias SPEC --normalization FILE --fresh",
        )
    return LinearPart(vector.astype(np.float64), float(stated["lowest"]), float(stated["mean"]))


def some_rows(system: System, batch: int) -> NDArray:
    """The first rows with a direction that the index gives back, enough to fit to."""
    parts: list[NDArray] = []
    with system.plain_errors("read vectors"):
        for _, rows in system.vectors(batch):
            parts.append(rows[np.isfinite(rows).all(axis=1) & rows.any(axis=1)])
            if sum(map(len, parts)) >= _SAMPLE:
                break
    return np.concatenate(parts)[:_SAMPLE] if parts else np.empty((0, system.dimension), np.float32)


def fitted(system: System, rows: NDArray, biases: Float64) -> LinearPart | None:
    """By least squares to some rows (n, d); None where it would not help."""
    if len(rows) < 2:
        return None
    rows = scored(system, rows)
    mean = rows.mean(axis=0)
    apart, wanted = rows - mean, biases - biases.mean()
    # The smaller of both forms: d x d, or n x n of fewer rows.
    few = len(rows) < rows.shape[1]
    gram = apart @ apart.T if few else apart.T @ apart
    weight = _WEIGHT * float(np.trace(gram)) / rows.shape[1]
    if not weight > 0:
        return None
    gram[np.diag_indices_from(gram)] += weight
    vector = (
        apart.T @ np.linalg.solve(gram, wanted) if few else np.linalg.solve(gram, apart.T @ wanted)
    )
    vector = vector.astype(np.float32).astype(np.float64)
    residuals = biases - rows @ vector
    before, after = (float(each.mean() - each.min()) for each in (biases, residuals))
    if not np.isfinite(vector).all() or not after < _WORTH * before:
        return None
    return LinearPart(vector)


def about_linear(about: About, part: LinearPart | None) -> About:
    """What is stated, with this linear part."""
    kept = {key: value for key, value in about.items() if key != "linear"}
    return kept if part is None else {**kept, "linear": part.to_dict()}

"""Streaming, mergeable first and second moments of embeddings.

For rows x_1 .. x_n in R^d the state is (count, sums), never the mean itself:

    count = n,   sum = sum_i x_i,   squares = sum_i |x_i|^2,   second = sum_i x_i x_i'

    mean m       = sum / n
    covariance S = second / n - m m'           (population; the second cumulant of the sample)
    standard error of m: e = sqrt(tr(S) / (n - 1)), the expected length of m - E[x]

A row with a weight w counts as w rows: each sum holds w times its term, and n in the mean and the
covariance is the sum of the weights; in the error it is how many rows they are worth, on any scale.

Adding sums is associative and commutative, so any chunking, order and sharding gives the same
statistics up to float64 rounding, and subtracting a shard's sums takes it out again.

With ``rank`` the second moment is kept as F'F + (residual / d) I, F of shape (rank, d): after
each block the leading ``rank`` directions of [F; block] stay and the energy of the others goes
into the residual, so traces are exact and directions approximate (Liberty, Simple and
Deterministic Matrix Sketching, KDD 2013, is the idea; the isotropic rest is ours).
"""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping

import numpy as np

from distnorm.arrays import (
    Array,
    CheckedRows,
    Float64,
    NDArray,
    as_working,
    blocks,
    check_form,
    is_unit_length,
    to_numpy,
)
from distnorm.errors import DistnormError
from distnorm.moments.sketch import RowSketch
from distnorm.moments.sums import sum_rows
from distnorm.moments.uncertainty import MeanUncertainty
from distnorm.moments.weights import check_weights, counted_rows

__all__ = ["Moments"]


class Moments:
    """Count, float64 sum and, on request, second moment of embeddings.

    Parameters
    ----------
    dimension : int, optional
        d; taken from the first update when left out.
    order : {1, 2}
        2 keeps the second moment as well.
    rank : int, optional
        Keep the second moment at this rank instead of in full, (rank, d) numbers for d x d.
    sketch : bool
        Whether to keep which rows these are, as far as `RowSketch` does.

    Attributes
    ----------
    count : int
    weight : float
        Sum of the rows' weights; ``count`` where they have none.
    worth : float
        Rows that they are worth, on any scale of the weights; see `update`.
    sum : ndarray, shape (d,), float64
    squares : float
        Sum of the squared lengths.
    second : ndarray, shape (d, d), float64, or None
    factor, residual : ndarray, shape (<= rank, d), float64, or None; float, energy outside it
    unit_length : bool or None
        Whether all rows had length 1; None before the first update.
    sketch : RowSketch or None
        Which rows these are; None where that is not kept, as in older files.

    Examples
    --------
    >>> import numpy as np
    >>> shard = Moments().update(np.array([[1.0, 0.0], [0.0, 1.0]]))
    >>> shard.merge(Moments().update(np.array([[1.0, 0.0]]))).mean
    array([0.66666667, 0.33333333])
    """

    def __init__(
        self,
        dimension: int | None = None,
        *,
        order: int = 1,
        rank: int | None = None,
        sketch: bool = True,
    ) -> None:
        if order not in (1, 2):
            raise DistnormError(
                f"order {order!r}", "1 (mean) or 2 (covariance)", "pass one of them"
            )
        if dimension is not None and not isinstance(dimension, (int, np.integer)):
            raise DistnormError(
                f"a dimension of type {type(dimension).__name__}",
                "a whole number",
                "rows go to update: Moments().update(x)",
            )
        whole = isinstance(rank, (int, np.integer)) and not isinstance(rank, bool)
        if rank is not None and (not whole or rank < 1):
            raise DistnormError(
                f"rank {rank!r}", "a positive integer", "leave it out for full rank"
            )
        self.order = order
        self.rank = None if rank is None or order != 2 else int(rank)
        self.count = 0
        self.weight = self.worth = 0.0
        self.sum: Float64 = np.zeros(dimension or 0)
        self.squares = 0.0
        self.second: Float64 | None = None
        self.factor: Float64 | None = None
        self.residual = 0.0
        self.unit_length: bool | None = None
        self.sketch: RowSketch | None = RowSketch.empty() if sketch else None
        self._dimension = dimension
        if dimension is not None:
            self._allocate(dimension)

    def _allocate(self, dimension: int) -> None:
        self._dimension = dimension
        self.sum = np.zeros(dimension)
        if self.order == 2 and self.rank is None:
            self.second = np.zeros((dimension, dimension))
        elif self.rank is not None:
            self.factor = np.zeros((0, dimension))

    @property
    def dimension(self) -> int | None:
        """The d of the rows, None before it is known."""
        return self._dimension

    def __repr__(self) -> str:
        """One line: what is kept and over how many rows."""
        kind = "" if self.order == 1 else f", rank={self.rank or 'full'}"
        return f"Moments(count={self.count}, dimension={self.dimension}, order={self.order}{kind})"

    def update(
        self,
        x: Array,
        name: str = "embeddings",
        weights: Float64 | None = None,
        *,
        exact: bool = False,
        worth: float | None = None,
    ) -> Moments:
        """Add rows; on an error nothing is added.

        Parameters
        ----------
        x : array, shape (n, d), float16, bfloat16, float32 or float64
            Of any array-API library, memory-mapped too, read in blocks; `CheckedRows` as they are.
        name : str
            What to call the rows in messages.
        weights : ndarray, shape (n,), optional
            How many rows each stands for, finite, not all 0; 1 if left out. Rows of 0 are left out.
        exact : bool
            Add NumPy rows up in float64 however many: where they begin and end does not matter.
        worth : float, optional
            Rows that they are worth with these weights; their number if left out.

        Raises
        ------
        DistnormError
            For input that is no matrix of finite, non-zero rows that fit, or unusable weights.
        """
        seen = x if isinstance(x, CheckedRows) else None
        x = check_form(x, name, self.dimension)
        if weights is not None:
            x, weights, name = counted_rows(x, check_weights(weights, x.shape[0], name), name)
        full = self.order == 2 and self.rank is None
        sums = sum_rows(x, name, second=full, seen=seen is not None, exact=exact, weights=weights)
        part = Moments(x.shape[1], order=self.order, rank=self.rank, sketch=False)
        part.count, part.sum = sums.count, sums.sum
        part.weight = part.worth = float(sums.count if weights is None else weights.sum())
        if weights is not None:
            part.worth = float(sums.count if worth is None else worth)
        part.squares, part.second = sums.squares, sums.second
        part.sketch = None if self.sketch is None else RowSketch.of(x, sums.signs)
        part.unit_length = is_unit_length(x) if seen is None else seen.unit_length
        if self.rank is not None and part.factor is not None:
            for rows in blocks(x.shape[0], max(512, 4 * self.rank)):
                block = to_numpy(as_working(x[rows, ...]), np.float64)
                if weights is not None:
                    block = np.sqrt(weights[rows])[:, None] * block
                part.factor, rest = _leading(part.factor, block, self.rank)
                part.residual += rest
        return self.include(part)

    def first_order(self) -> Moments:
        """Count, sum and lengths alone, as a new object of order 1."""
        first = Moments(self.dimension)
        first.count, first.weight, first.worth = self.count, self.weight, self.worth
        first.sum, first.squares, first.unit_length = self.sum, self.squares, self.unit_length
        first.sketch = self.sketch
        return first

    def merge(self, other: Moments) -> Moments:
        """Moments over both shards, as a new object; associative and commutative."""
        return copy.deepcopy(self).include(other)

    def include(self, other: Moments) -> Moments:
        """Add other rows by their moments, in place."""
        self._accept(other)
        self._add(other, 1)
        return self

    def remove(self, shard: Moments | Array) -> Moments:
        """Take rows out again: those of ``shard``, given as rows or as their moments.

        What is left agrees with never having added them to about 1e-12 of what was there:
        good for deletes, not for removing nearly everything.

        Raises
        ------
        DistnormError
            If the shard has at least as many rows as there are, or the second moment is kept
            at low rank (it cannot be subtracted).
        """
        if self.rank is not None:
            raise DistnormError(
                f"a removal from moments of rank {self.rank}",
                "order 1, or order 2 in full",
                "merge the shards that stay instead",
            )
        if not isinstance(shard, Moments):
            shard = Moments(order=self.order).update(shard)
        self._accept(shard)
        if shard.count >= self.count or not shard.weight < self.weight:
            raise DistnormError(
                f"{shard.count} rows to remove from {self.count}",
                "fewer rows than there are",
                "start from empty moments instead",
            )
        self._add(shard, -1)
        return self

    def decay(self, factor: float) -> Moments:
        """These moments as if of round(factor * count) rows, at least 1; factor in (0, 1].

        A new object. All sums shrink alike, so mean and covariance stay until rows are added.
        """
        if (
            isinstance(factor, bool)
            or not isinstance(factor, (int, float, np.floating))
            or not 0 < factor <= 1
        ):
            raise DistnormError(f"factor {factor!r}", "above 0, at most 1", "1 forgets nothing")
        result = copy.deepcopy(self)
        if not self.count:
            return result
        result.count = max(1, round(factor * self.count))
        share = result.count / self.count
        weighted = self.weight != self.count
        result.weight = self.weight * share if weighted else float(result.count)
        result.worth = self.worth * share if weighted else result.weight
        result.sum = share * result.sum
        result.squares *= share
        result.residual *= share
        if result.second is not None:
            result.second = share * result.second
        if result.factor is not None:
            result.factor = math.sqrt(share) * result.factor
        return result

    def _accept(self, other: Moments) -> None:
        """Raise unless ``other`` can be added; take its dimension if none is known."""
        if (self.order, self.rank) != (other.order, other.rank):
            raise DistnormError(
                f"{other!r}",
                f"moments like {self!r}",
                "build all shards with the same order and rank",
            )
        if self.dimension is None and other.dimension is not None:
            self._allocate(other.dimension)
        elif other.dimension is not None and self.dimension != other.dimension:
            raise DistnormError(
                f"moments of {other.dimension} dimensions",
                f"{self.dimension} dimensions",
                "merge statistics of one and the same model",
            )
        if self.count and other.count and self.unit_length != other.unit_length:
            raise DistnormError(
                "normalised and un-normalised rows in one set of statistics",
                "unit length everywhere or nowhere",
                "apply distnorm.normalize to the raw rows",
            )

    def _add(self, other: Moments, sign: int) -> None:
        if not other.count:
            return
        self.count += sign * other.count
        self.weight += sign * other.weight
        self.worth += sign * other.worth
        self.sum = self.sum + sign * other.sum
        self.squares += sign * other.squares
        self.unit_length = other.unit_length
        mine, theirs = self.sketch, other.sketch
        self.sketch = None if mine is None or theirs is None else mine.add(theirs, sign)
        if self.second is not None and other.second is not None:
            self.second = self.second + sign * other.second
        if self.factor is not None and other.factor is not None and self.rank is not None:
            self.factor, rest = _leading(self.factor, other.factor, self.rank)
            self.residual += other.residual + rest

    @property
    def mean(self) -> Float64:
        """Mean of the rows, shape (d,), float64."""
        self._require_rows()
        return self.sum / self.weight

    def covariance(self) -> Float64:
        """Population covariance, shape (d, d), float64; low rank plus isotropic rest if so kept."""
        m = self.mean
        if self.second is None:
            return self.second_moment() - np.outer(m, m)
        covariance: Float64 = np.multiply.outer(-self.weight * m, m)
        covariance += self.second
        covariance /= self.weight
        return covariance

    def second_moment(self) -> Float64:
        """E[x x'], shape (d, d), float64."""
        self._require_rows()
        if self.second is not None:
            return self.second / self.weight
        if self.factor is None:
            raise DistnormError(
                "moments of order 1", "order 2 for a covariance", "build with Moments(order=2)"
            )
        d = self.factor.shape[1]
        total: Float64 = self.factor.T @ self.factor + np.eye(d) * (self.residual / d)
        return total / self.weight

    def uncertainty(self) -> MeanUncertainty:
        """How sure the mean is; see `MeanUncertainty`."""
        m = self.mean
        norm = float(np.linalg.norm(m))
        spread = max(0.0, self.squares / self.weight - norm**2)
        error = math.sqrt(spread / (self.worth - 1)) if self.worth > 1 else math.inf
        relative = error / norm if norm else math.inf
        cosine = math.sqrt(max(0.0, 1 - relative**2)) if math.isfinite(relative) else 0.0
        return MeanUncertainty(self.count, norm, error, relative, cosine)

    def to_arrays(self) -> dict[str, NDArray]:
        """The state as named arrays, for a file; all float64 but those of the sketch."""
        totals = [self.squares, self.residual]
        if self.weight != self.count or self.worth != self.weight:
            totals.append(self.weight)
        if self.worth != self.weight:
            totals.append(self.worth)
        arrays = {"sum": self.sum, "totals": np.array(totals)}
        if self.second is not None:
            arrays["second"] = self.second
        if self.factor is not None:
            arrays["factor"] = self.factor
        return arrays if self.sketch is None else {**arrays, **self.sketch.to_arrays()}

    @classmethod
    def from_arrays(
        cls,
        arrays: Mapping[str, NDArray],
        *,
        count: int,
        unit_length: bool | None,
        rank: int | None,
    ) -> Moments:
        """Rebuild what `to_arrays` gave."""
        order = 2 if "second" in arrays or "factor" in arrays else 1
        state = cls(arrays["sum"].shape[0], order=order, rank=rank)
        state.count, state.sum, state.unit_length = count, arrays["sum"], unit_length
        state.squares, state.residual, *weights = (float(v) for v in arrays["totals"])
        state.weight = weights[0] if weights else float(count)
        state.worth = weights[-1] if weights else state.weight
        state.second = arrays.get("second")
        state.factor = arrays.get("factor")
        state.sketch = RowSketch.from_arrays(arrays) if "sketch" in arrays else None
        return state

    def _require_rows(self) -> None:
        if not self.count:
            raise DistnormError("moments of no rows", "at least one row", "call update first")


def _leading(factor: Float64, rows: Float64, rank: int) -> tuple[Float64, float]:
    """The leading ``rank`` directions of both together, and the energy of the others."""
    stacked = np.vstack([factor, rows])
    if len(stacked) <= rank:
        return stacked, 0.0
    energies, directions = np.linalg.eigh(stacked @ stacked.T)
    return directions[:, -rank:].T @ stacked, float(np.clip(energies[:-rank], 0, None).sum())

"""Moments and banks of a column of vectors as aggregations of Ray Data, of all rows or each group.

zero, aggregate_block, combine and finalize are those of `distnorm.moments.Moments`: empty, update,
merge, itself. Rows are added up in float64 whatever the size of a block, so that any blocks in any
order give one fit's statistics up to float64 rounding.
"""

from __future__ import annotations

import pickle
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from distnorm.arrays import check_rows
from distnorm.distributed.banks import Reservoir, hashed, row_keys
from distnorm.distributed.clusters import plain_ray_errors
from distnorm.distributed.sums import add_rows
from distnorm.errors import DistnormError, require
from distnorm.methods.base import positive_integer
from distnorm.methods.base import seed as check_seed
from distnorm.moments import Moments, check_weights
from distnorm.store.vector_files import arrow_rows

if TYPE_CHECKING:
    from ray.data.aggregate import AggregateFn, AggregateFnV2
else:
    _aggregate = require("ray.data.aggregate", "ray")
    AggregateFn, AggregateFnV2 = _aggregate.AggregateFn, _aggregate.AggregateFnV2

__all__ = ["BankAggregate", "MomentsAggregate", "moments_of"]

Float64 = npt.NDArray[np.float64]


class MomentsAggregate(AggregateFnV2):
    """`distnorm.moments.Moments` of a column of vectors.

    With ``weights`` this makes an ``AggregateFn``, as Ray's ``AggregateFnV2`` is handed one column.

    Parameters
    ----------
    on : str
        Column of lists of one length, or tensors, in float16, float32 or float64.
    weights : str, optional
        Column that says how many rows each stands for.
    order, rank : int, optional
        As of `Moments`; results at a ``rank`` depend a little on the blocks.
    name : str, optional
        Of the result; ``moments(on)`` if left out.

    Raises
    ------
    DistnormError
        From the work itself: for a column that is not there, empty cells, NaN, zeros, different
        lengths, and weights below 0.

    Examples
    --------
    >>> found = dataset.aggregate(MomentsAggregate(on="vector"))  # doctest: +SKIP
    >>> found["moments(vector)"].mean  # doctest: +SKIP
    >>> dataset.groupby("language").aggregate(MomentsAggregate(on="vector"))  # doctest: +SKIP
    """

    def __new__(cls, on: str = "embedding", weights: str | None = None, **settings: Any) -> Any:
        """An aggregation of one column, or of two."""
        return super().__new__(cls) if weights is None else _Weighted(on, weights, **settings)

    def __init__(
        self,
        on: str = "embedding",
        weights: str | None = None,
        *,
        order: int = 1,
        rank: int | None = None,
        name: str | None = None,
    ) -> None:
        self._on, self._sums = on, _Sums(on, weights, order, rank)
        super().__init__(name or f"moments({on})", bytes, on=on, ignore_nulls=False)

    def aggregate_block(self, block: Any) -> bytes:
        """Moments of one block, pickled: Ray looks into what it moves but for bytes."""
        return self._sums.of(block)

    def combine(self, current_accumulator: bytes, new: bytes) -> bytes:
        """Moments of both."""
        return self._sums.both(current_accumulator, new)

    def finalize(self, accumulator: bytes) -> Moments:
        """The moments."""
        return self._sums.result(accumulator)

    def _validate(self, schema: Any) -> None:
        if schema is not None:
            _require_column(schema.names, self._on)


def moments_of(
    dataset: Any,
    on: str = "embedding",
    weights: str | None = None,
    *,
    order: int = 1,
    rank: int | None = None,
) -> Moments:
    """`MomentsAggregate` of all rows, in one pass that keeps none of them.

    ``Dataset.aggregate`` hands all rows through the object store; here the tasks that read a block
    add it up, and only moments travel.

    Parameters
    ----------
    dataset : ray.data.Dataset
    on, weights, order, rank
        As of `MomentsAggregate`.

    Returns
    -------
    Moments

    Raises
    ------
    DistnormError
        As of `MomentsAggregate`.
    """
    sums = _Sums(on, weights, order, rank)
    total = sums.empty()
    found = dataset.map_batches(
        _summed, fn_kwargs={"sums": sums}, batch_format="pyarrow", batch_size=None
    )
    with plain_ray_errors():
        for batch in found.iter_batches(batch_size=None, batch_format="pyarrow"):
            for cell in batch["moments"].to_pylist():
                one = pickle.loads(cell)
                if isinstance(one, DistnormError):
                    raise one
                total.include(one)
    return sums.sound(total)


def _summed(block: Any, sums: _Sums) -> Any:
    """Moments of a block, or what is wrong with it: one cell."""
    arrow = require("pyarrow", "ray")
    try:
        cell = sums.of(block)
    except DistnormError as error:
        cell = pickle.dumps(error)
    return arrow.table({"moments": arrow.array([cell], arrow.large_binary())})


class _Weighted(AggregateFn):
    """The same of a column of vectors and one of weights."""

    def __init__(
        self, on: str, weights: str, *, order: int = 1, rank: int | None = None, name: str = ""
    ) -> None:
        sums = _Sums(on, weights, order, rank)
        super().__init__(
            init=lambda key: b"",
            merge=sums.both,
            name=name or f"moments({on})",
            accumulate_block=lambda total, block: sums.both(total, sums.of(block)),
            finalize=sums.result,
        )


class _Sums:
    """Moments of blocks, pickled, and of both of two."""

    def __init__(self, on: str, weights: str | None, order: int, rank: int | None) -> None:
        Moments(order=order, rank=rank)  # settings are refused here, not on a worker
        self._on, self._weights, self._kind = on, weights, (order, rank)

    def of(self, block: Any) -> bytes:
        table, moments = _table(block), self.empty()
        if len(table):
            _require_column(table.column_names, self._on)
            rows = arrow_rows(table, [self._on], "a block")
            weights = None if self._weights is None else _numbers(table, self._weights)
            add_rows(moments, rows, f"column {self._on!r}", weights=weights)
        return pickle.dumps(moments)

    def both(self, one: bytes, other: bytes) -> bytes:
        if not one or not other:
            return one or other
        both: Moments = pickle.loads(one).include(pickle.loads(other))
        return pickle.dumps(both)

    def result(self, total: bytes) -> Moments:
        return self.sound(pickle.loads(total) if total else self.empty())

    def sound(self, moments: Moments) -> Moments:
        if self._weights is not None and not moments.count:
            raise DistnormError(
                f"weights in column {self._weights!r} that are all 0", "some above 0", "mend them"
            )
        return moments

    def empty(self) -> Moments:
        order, rank = self._kind
        return Moments(order=order, rank=rank)


class BankAggregate(AggregateFn):
    """Random rows of a column of vectors: for a seed the same, whatever the partitions.

    The result is a `distnorm.distributed.banks.Reservoir`; its `in_order` gives numbers and rows.

    Parameters
    ----------
    on : str
        Column of vectors.
    ids : str
        Column of what tells rows apart: whole numbers or texts, each once.
    size : int
        Rows to draw; all if there are fewer.
    weights : str, optional
        Column of how likely each row is to be drawn next, such as how often it was asked.
    seed : int
    name : str, optional
        Of the result; ``bank(on)`` if left out.

    Raises
    ------
    DistnormError
        As of `MomentsAggregate`.
    """

    def __init__(
        self,
        on: str = "embedding",
        ids: str = "id",
        *,
        size: int,
        weights: str | None = None,
        seed: int = 0,
        name: str | None = None,
    ) -> None:
        positive_integer("size", size)
        check_seed("seed", seed)
        self._on, self._ids, self._weights = on, ids, weights
        self._size, self._seed = size, seed
        super().__init__(
            init=lambda key: b"",
            merge=self._both,
            name=name or f"bank({on})",
            accumulate_block=lambda total, block: self._both(total, self._drawn(block)),
            finalize=self._result,
        )

    def _drawn(self, block: Any) -> bytes:
        """What is drawn from one block, pickled."""
        table, drawn = _table(block), Reservoir.empty(self._size)
        if len(table):
            for column in (self._on, self._ids):
                _require_column(table.column_names, column)
            rows = arrow_rows(table, [self._on], "a block")
            check_rows(rows, f"column {self._on!r}", 0)
            ids = table.column(self._ids)
            whole = require("pyarrow", "ray").types.is_integer(ids.type)
            names = ids.to_pylist()
            numbers = np.array(names, dtype=np.int64) if whole else hashed(names)
            weights = None
            if self._weights is not None:
                name = f"rows of column {self._weights!r}"
                weights = _numbers(table, self._weights)
                if weights.any():  # a block may have none, the whole not
                    weights = check_weights(weights, len(table), name)
            drawn = drawn.add(row_keys(numbers, self._seed, weights), numbers, rows)
        return pickle.dumps(drawn)

    def _both(self, one: bytes, other: bytes) -> bytes:
        if not one or not other:
            return one or other
        both: Reservoir = pickle.loads(one).merge(pickle.loads(other))
        return pickle.dumps(both)

    def _result(self, total: bytes) -> Reservoir:
        drawn: Reservoir = pickle.loads(total) if total else Reservoir.empty(self._size)
        return drawn


def _table(block: Any) -> Any:
    return require("ray.data.block", "ray").BlockAccessor.for_block(block).to_arrow()


def _numbers(table: Any, name: str) -> Float64:
    """A column of numbers, one in every row."""
    _require_column(table.column_names, name)
    column = table.column(name)
    if column.null_count:
        raise DistnormError(
            f"column {name!r} with {column.null_count} empty cells",
            "a number in every row",
            "fill them: a weight of 0 leaves a row out",
        )
    return np.asarray(column.to_numpy(zero_copy_only=False), dtype=np.float64)


def _require_column(names: Any, column: str) -> None:
    if column not in names:
        raise DistnormError(
            f"rows without the column {column!r}",
            f"one of {', '.join(map(repr, list(names)[:8]))}",
            "name the column that there is, or mend the schema",
        )

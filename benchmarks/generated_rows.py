"""Rows that tasks of Ray make as they need them; in a module of its own, as workers import it."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

BLOCK = 1 << 17  # rows that one task makes


def generated(rows: int, dimension: int, block: int = BLOCK) -> Any:
    """A data set of ``row`` and ``vector``, made block by block by the tasks that use it."""
    import ray.data

    count = math.ceil(rows / block)
    numbers = ray.data.range(count, override_num_blocks=count)
    return numbers.map_batches(
        _made,
        batch_size=1,
        batch_format="pyarrow",
        fn_kwargs={"rows": rows, "dimension": dimension, "block": block},
    )


def _made(batch: Any, rows: int, dimension: int, block: int) -> Any:
    return table_of(batch["id"].to_pylist()[0], rows, dimension, block)


def table_of(number: int, rows: int, dimension: int, block: int) -> Any:
    """One block."""
    import pyarrow

    first, last = number * block, min(rows, (number + 1) * block)
    # One block of noise for all, shifted in steps: drawing anew would cost more than what is timed.
    noise = _noise(block, dimension)
    values = np.roll(noise, 7919 * number)[: (last - first) * dimension]
    vectors = pyarrow.FixedSizeListArray.from_arrays(pyarrow.array(values), dimension)
    return pyarrow.table({"row": np.arange(first, last), "vector": vectors})


_KEPT: dict[tuple[int, int], np.ndarray] = {}


def _noise(block: int, dimension: int) -> np.ndarray:
    if (block, dimension) not in _KEPT:
        rng = np.random.default_rng(0)
        _KEPT[block, dimension] = rng.standard_normal(block * dimension, dtype=np.float32) + 0.1
    return _KEPT[block, dimension]

"""The k best in float64, for queries whose items lie closer together than float32 can tell.

Items are read in the order of their index, so that an item whose score is no more than the k-th
best so far has lost. Of copies of one item with one bias only the first k of a block are looked at:
thousands of copies cost no more than others.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from distnorm.arrays import blocks
from distnorm.exact.decision import KBest, products
from distnorm.exact.engines import NumpyEngine
from distnorm.exact.gallery import Gallery

__all__ = ["exhaustive"]

_Float64 = npt.NDArray[np.float64]
_Places = npt.NDArray[np.intp]
_ITEMS, _QUERIES = 4096, 256


def exhaustive(
    queries: _Float64, rows: Gallery, k: int, bias: _Float64 | None
) -> tuple[_Float64, _Places]:
    """Scores and indices of the k best, shape (n, k)."""
    engine = NumpyEngine(queries)
    best = [KBest(k) for _ in queries]
    for columns in blocks(len(rows), _ITEMS):
        items = rows.block(columns, engine)
        offset = None if bias is None else bias[columns]
        block, error = engine.block(items, rows.longest(items, columns, engine), offset)
        surplus = _copies_beyond(items, offset, k)
        for some in blocks(len(queries), _QUERIES):
            scores = engine.part(engine.scores(some, block), slice(None))
            scores[:, surplus] = -np.inf
            for at, line in enumerate(scores, start=some.start):
                near = _near(line, best[at].least, error[at], k)
                if len(near):
                    exact = products(items[near][None], queries[at][None])[0]
                    best[at].add(
                        exact if offset is None else exact - offset[near], near + columns.start
                    )
    return np.stack([one.scores for one in best]), np.stack([one.places for one in best])


def _near(line: _Float64, least: float, error: float, k: int) -> _Places:
    """Which of the next items may be among the best."""
    if k < len(line):
        least = max(least, np.partition(line, -k)[-k] - error)
    return np.flatnonzero((line + error >= least) & (line > -np.inf))


def _copies_beyond(items: _Float64, bias: _Float64 | None, k: int) -> _Places:
    """Items that come after k copies of themselves."""
    columns: list[npt.NDArray[Any]] = [items] if bias is None else [items, bias[:, None]]
    bits = np.ascontiguousarray(np.concatenate(columns, axis=1)).view(np.uint64)
    factors = np.random.default_rng(0).integers(1, 1 << 63, bits.shape[1], dtype=np.uint64)
    _, first, which, counts = np.unique(
        np.einsum("ij,j->i", bits, factors | np.uint64(1)),
        return_index=True,
        return_inverse=True,
        return_counts=True,
    )
    if counts.max() <= k:
        return np.empty(0, dtype=np.intp)
    order = np.argsort(which, kind="stable")
    rank = np.arange(len(order)) - np.repeat(np.cumsum(counts) - counts, counts)
    beyond: _Places = np.sort(order[rank >= k])
    # A sum of products of bits might be the same for others.
    same = (bits[beyond] == bits[first[which[beyond]]]).all(axis=1)
    return np.compress(same, beyond)

"""One pass over all items that keeps every one that could still belong to a query's k best.

An engine (`exact.engines`) gives scores s' with |s' - s| <= e. Of the items seen so far
let f be the k-th largest lower bound s' - e: at least k items truly score f or more. An item whose
upper bound s' + e is below f is none of the k best, now or ever; all others are kept. At the end
their scores are computed in float64, and the k best of these *are* the k best of all: nothing is
left to chance, only the number of those kept depends on the engine's precision.

f is raised after 1, 2, 4, 8 ... blocks of items: as many new items reach it in between as are
wanted, so that work beyond the products grows with the logarithm of the gallery. A query with far
more candidates than k (near-equal scores within the engine's precision) is given up here, and left
to an engine of higher precision.

Who computes what: many queries are shared out among threads, each of which multiplies and looks at
its own tile while that is in its cache; of a few queries all threads do all, each with some of the
items, as these take time to read.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import numpy.typing as npt

from distnorm.arrays import blocks
from distnorm.exact.candidates import Candidates
from distnorm.exact.engines import FewEngine
from distnorm.exact.gallery import Gallery
from distnorm.exact.tiles import Source, rounded_up, within, work_through
from distnorm.system.threads import single_threaded_blas, threads

__all__ = ["FEW", "scan"]

FEW = 32
"""Queries up to which threads share the items, not the queries."""

_Float64 = npt.NDArray[np.float64]
_Progress = Callable[[int], None]
# The fewest queries of a part, where there are as many.
_ROWS = 128
# For a few queries: numbers in a chunk of items, scores in a tile, and its most columns.
_CHUNK, _TILE, _WIDEST = 1 << 19, 1 << 20, 1 << 18


def scan(
    engine: Any, n: int, items: Gallery, k: int, bias: _Float64 | None, progress: _Progress
) -> list[Candidates] | None:
    """Candidates of all n queries of ``engine``; None if scores may leave float32's range."""
    source = Source(engine, items, bias)
    if isinstance(engine, FewEngine):
        return _by_items(source, n, k, progress)
    return _by_parts(source, n, k, progress)


def _by_items(source: Source, n: int, k: int, progress: _Progress) -> list[Candidates] | None:
    """For a few queries: each thread takes some of the items, which take time to read."""
    engine, items = source.engine, source.items
    found = Candidates(slice(0, n), k)
    workers = threads()
    # Chunks begin at the same items for any number of queries: a `Gallery` knows them again.
    chunk = max(1, _CHUNK // items.shape[1])
    width = max(engine.tile_columns, _TILE // n, workers * chunk)
    width = rounded_up(min(_WIDEST, width), chunk)
    room = np.empty((n, min(width, len(items))), dtype=np.float32)

    with ThreadPoolExecutor(workers) as pool, single_threaded_blas():
        for columns in blocks(len(items), width):
            w = columns.stop - columns.start
            tile = room[:, :w]

            def multiply(share: slice, columns: slice = columns, tile: Any = tile) -> float:
                start, longest = columns.start, 0.0
                whole = slice(start + share.start, start + share.stop)
                known, rows = items.known(within(whole, chunk), engine), items.shown(whole, engine)
                if known is not None and rows is not None:
                    # Nothing to look at: as few steps in Python as can be.
                    engine.multiply(rows, tile[:, share])
                    return known
                for some in within(share, chunk):
                    here = slice(start + some.start, start + some.stop)
                    block = items.block(here, engine)
                    engine.multiply(block, tile[:, some])
                    longest = max(longest, items.longest(block, here, engine, tile[0, some]))
                return longest

            shares = list(blocks(w, rounded_up(-(-w // workers), chunk)))
            longest = max((map if len(shares) == 1 else pool.map)(multiply, shares))
            bias = source.bias(columns)
            if not source.fits(longest, bias):
                return None
            scores = tile, None if bias is None else bias.astype(np.float32)
            error = engine.error(longest, bias)
            found.see(engine, scores, slice(0, n), columns.start, w, error)
            progress(columns.stop)
    return [found]


def _by_parts(source: Source, n: int, k: int, progress: _Progress) -> list[Candidates] | None:
    """For many queries: each thread multiplies some of them, and looks at what it has."""
    workers = threads()
    rows, stripes = _parts(n, len(source.items), source.engine, workers)
    parts = [[Candidates(part, k) for part in rows] for _ in stripes]
    if not work_through(source, parts, stripes, workers, lambda scores: progress(scores // n)):
        return None
    found, *others = parts
    for stripe in others:
        for one, other in zip(found, stripe, strict=True):
            one.absorb(other)
    return found


def _parts(n: int, m: int, engine: Any, workers: int) -> tuple[list[slice], list[slice]]:
    """Queries of each part, and the stripes of items that are searched side by side.

    Parts of many queries are multiplied fastest; where that makes fewer parts than threads, the
    items are divided too.
    """
    count = max(-(-n // engine.tile_rows), min(workers, n // _ROWS), 1)
    if count >= workers:
        # As many for each thread.
        count = -(-count // workers) * workers
    rows = list(blocks(n, -(-n // count)))
    stripes = -(-workers // len(rows))
    return rows, list(blocks(m, rounded_up(-(-m // stripes), engine.tile_columns)))

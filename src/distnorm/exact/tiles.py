"""Tiles of queries and items: who multiplies which, and who looks at it.

Each thread multiplies a tile with an engine of its own, one thread of BLAS each, and has it looked
at while it is in the processor's cache.
"""

from __future__ import annotations

import bisect
import threading
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from distnorm.arrays import blocks
from distnorm.exact.engines import NumpyEngine, heaviest
from distnorm.exact.gallery import Gallery
from distnorm.system.threads import run_in_threads, threads

__all__ = ["Part", "Shares", "Source", "rounded_up", "show_products", "within", "work_through"]

_Float64 = npt.NDArray[np.float64]
_Progress = Callable[[int], None]
# Queries and items of a tile of about 8 MB; eight bytes of a mask may be added at a time, so at
# most 8 x 255 items.
TILE = [1020, 2040]
# Scores from which another thread is worth starting.
_WORTH = 1 << 18


class Part(Protocol):
    """Some queries, and what is known of them after the tiles seen so far."""

    rows: slice

    def see(self, engine: Any, scores: Any, rows: slice, start: int, w: int, error: Any) -> None:
        """Look at one tile: scores of these queries (``rows`` of it) with w items from ``start``.

        ``error`` is that of each query's scores.
        """


class Source:
    """Blocks of items and of their bias as an engine takes them."""

    def __init__(self, engine: Any, items: Gallery, bias: _Float64 | None) -> None:
        self.engine, self.items, self._bias = engine, items, bias

    def prepared(self, columns: slice) -> Any:
        """A block, and the error of scores with it; None if they may leave its range."""
        block = self.items.block(columns, self.engine)
        longest = self.items.longest(block, columns, self.engine)
        bias = self.bias(columns)
        return self.engine.block(block, longest, bias) if self.fits(longest, bias) else None

    def bias(self, columns: slice) -> _Float64 | None:
        """What to subtract from each score."""
        return None if self._bias is None else self._bias[columns]

    def fits(self, longest: float, bias: _Float64 | None) -> bool:
        """Whether scores with items no longer than this stay in the engine's range."""
        largest = float(self.engine.sizes.max()) * longest + heaviest(bias)
        return bool(largest < self.engine.format.largest)


class _Block(Protocol):
    engine: Any

    def prepared(self, columns: slice) -> Any:
        """As `Source.prepared`."""


class _Columns:
    """Blocks of the right side of a product, without a bias and without a bound."""

    def __init__(self, engine: Any, block: Callable[[slice], npt.NDArray[Any]], n: int) -> None:
        self.engine, self._block, self._error = engine, block, np.zeros(n)

    def prepared(self, columns: slice) -> Any:
        return (self._block(columns), None), self._error


@dataclass(frozen=True)
class Shares:
    """Bands of n queries and stripes of m items that some threads go through, tile by tile."""

    bands: list[slice]
    stripes: list[slice]
    columns: int
    workers: int

    @classmethod
    def of(cls, n: int, m: int, rows: int | None = None) -> Shares:
        """Of all threads, each with as much; ``rows`` is the most queries of a tile."""
        workers = max(1, min(threads(), -(-n * m // _WORTH)))
        bands = list(blocks(n, min(TILE[0], -(-n // workers), rows or n)))
        # A handful of queries: the time goes into reading the items.
        columns = TILE[1] if n > 8 else 8 * TILE[1]
        each = -(-m * len(bands) // max(workers, len(bands)))
        return cls(bands, list(blocks(m, rounded_up(each, columns))), columns, workers)


def show_products(
    left: npt.NDArray[Any],
    block: Callable[[slice], npt.NDArray[Any]],
    m: int,
    part: Callable[[slice], Any],
) -> list[list[Any]]:
    """Show parts all products of (n, d) rows with m others, which ``block`` reads, in threads.

    ``part`` makes one for some of the rows. Returns those of each band of rows, which have seen
    one stripe of the others each.
    """
    shares = Shares.of(len(left), m)
    parts = [[part(rows) for rows in shares.bands] for _ in shares.stripes]
    columns = _Columns(NumpyEngine(left), block, len(left))
    work_through(columns, parts, shares.stripes, shares.workers, lambda _: None, shares.columns)
    return [list(band) for band in zip(*parts, strict=True)]


def work_through(
    source: _Block,
    parts: list[list[Any]],
    stripes: list[slice],
    workers: int,
    report: _Progress,
    columns: int | None = None,
) -> bool:
    """Show the parts of each stripe of items all its tiles, ``columns`` wide, in some threads.

    Reports scores done. False if they may leave the range of the engine's numbers.
    """
    work = _Work(source, parts, stripes, columns or source.engine.tile_columns)
    run_in_threads(work, min(workers, len(stripes) * len(parts[0])), report)
    return not work.out_of_range


class _Work:
    """Parts of the queries, each to be looked at with every block of a stripe of items in turn.

    A thread takes the part that has come least far, so that all parts of a stripe read the same
    few blocks at about the same time: from the cache, and prepared once.
    """

    def __init__(
        self, source: _Block, parts: list[list[Part]], stripes: list[slice], columns: int
    ) -> None:
        self._source = source
        self._parts = parts
        self._blocks = [within(stripe, columns) for stripe in stripes]
        # Parts that nobody has: blocks done, stripe, part. The least far is first.
        self._idle = [(0, s, p) for s in range(len(stripes)) for p in range(len(parts[0]))]
        self._left = [[len(parts[0])] * len(one) for one in self._blocks]
        self._ready: dict[tuple[int, int], Future[Any]] = {}
        self._lock = threading.Lock()
        self._done = 0
        self._stopped = self.out_of_range = False

    def stop(self) -> None:
        """Have every thread end after what it is at."""
        self._stopped = True

    def run(self, report: _Progress) -> None:
        """Take parts until there are none, or something went wrong."""
        engine = self._source.engine.another()
        while not self._stopped:
            with self._lock:
                if not self._idle:
                    return
                block, stripe, part = self._idle.pop(0)
            columns = self._blocks[stripe][block]
            ready = self._prepared(stripe, block)
            if ready is None:
                self.out_of_range = True
                return self.stop()
            items, error = ready
            one, w = self._parts[stripe][part], columns.stop - columns.start
            h = one.rows.stop - one.rows.start
            scores = engine.scores(one.rows, items)
            one.see(engine, scores, slice(0, h), columns.start, w, error[one.rows])
            with self._lock:
                self._left[stripe][block] -= 1
                if not self._left[stripe][block]:
                    del self._ready[stripe, block]
                self._done += h * w
                report(self._done)
                if block + 1 < len(self._blocks[stripe]):
                    bisect.insort(self._idle, (block + 1, stripe, part))

    def _prepared(self, stripe: int, block: int) -> Any:
        """A block as it is multiplied, made ready by the first who comes."""
        ready = self._begun(stripe, block)
        if not ready.done() and block + 1 < len(self._blocks[stripe]):
            # Somebody is at it: the next one meanwhile.
            self._begun(stripe, block + 1)
        return ready.result()

    def _begun(self, stripe: int, block: int) -> Future[Any]:
        """A block that is ready, or that another thread makes ready."""
        with self._lock:
            mine = (stripe, block) not in self._ready
            ready = self._ready.setdefault((stripe, block), Future())
        if mine:
            try:
                ready.set_result(self._source.prepared(self._blocks[stripe][block]))
            except BaseException as error:
                ready.set_exception(error)
        return ready


def rounded_up(number: int, unit: int) -> int:
    """The next multiple of ``unit``."""
    return -(-number // unit) * unit


def within(outer: slice, step: int) -> list[slice]:
    """Slices that cover ``outer`` in order, each of at most ``step``."""
    return [
        slice(outer.start + part.start, outer.start + part.stop)
        for part in blocks(outer.stop - outer.start, step)
    ]

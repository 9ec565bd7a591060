"""Exact top-k by inner product, with an optional bias of each item.

    score(q, x) = q . x - bias(x)

Items are ordered by sums of products in float64 of the input as it is; equal ones by the lowest
index (`exact.decision`). So the order depends neither on BLAS, threads and block sizes nor on the
precision of the search. That precision only decides how fast the few items are found whose scores
are worth computing: half precision on a GPU (`exact.on_device`), bfloat16 on processors with units
for it (`exact.bfloat16`), else float32 (`exact.scan`, with the bounds of `exact.engines`). Queries
whose best items lie closer together than a precision can tell are done again with the next, at last
in float64.

The gallery is read in blocks: memory grows with the number of queries times k, not with m.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import numpy.typing as npt

from distnorm.arrays import (
    Array,
    as_working,
    blocks,
    check_embeddings,
    in_library_of,
    take_rows,
    to_numpy,
)
from distnorm.device.settings import in_memory
from distnorm.errors import DistnormError, require
from distnorm.exact.bfloat16 import Bfloat16Engine, bfloat16_pays
from distnorm.exact.candidates import Candidates
from distnorm.exact.decision import PairScores, best_first
from distnorm.exact.engines import FewEngine, NumpyEngine
from distnorm.exact.exhaustive import exhaustive
from distnorm.exact.gallery import Gallery, check_bias, device_bias
from distnorm.exact.scan import FEW, scan
from distnorm.system.progress import Progress
from distnorm.system.shards import ShardedRows
from distnorm.system.threads import threads

__all__ = ["check_k", "topk"]

_Found = tuple[npt.NDArray[np.float64], npt.NDArray[np.intp]]

# Results kept at once: queries beyond this times k read the gallery again.
_RESULTS = 1 << 20
# The same on a device.
_ON_DEVICE = 1 << 24
# Numbers of items that lie in a processor's cache together.
_CACHED = 1 << 21
# Products from which loading torch to send rows to a GPU pays.
_PAYS = 1e12
_PRECISIONS = ("auto", "half", "bfloat16", "float32")


def topk(
    queries: Array,
    items: Array | ShardedRows | Gallery,
    k: int = 10,
    bias: Any = None,
    *,
    precision: str = "auto",
    progress: Progress | None = None,
) -> tuple[Array, Array]:
    """The k items of highest q . x - bias, best first; the lowest index first on ties.

    What decides are scores in float64; of equal ones the lowest index comes first.

    Parameters
    ----------
    queries : array, shape (n, d)
    items : array, ShardedRows or Gallery, shape (m, d)
        Of any precision. Memory-mapped arrays and shards are read block by block.
    k : int
        At least 1; k larger than m gives all m.
    bias : array, shape (m,), optional
        To subtract, e.g. of `ScoreNormalization.item_bias`.
    precision : {"auto", "half", "bfloat16", "float32"}
        Of the first pass; the result is the same. "auto" takes half precision for items on a GPU,
        and for very large jobs where there is one, and bfloat16 for large jobs on a processor
        that multiplies it faster, with torch; "half" takes the GPU's steps everywhere.
    progress : callable, optional
        Called with (items read, items to read) now and then.

    Returns
    -------
    scores : array, shape (n, min(k, m))
        In the library and on the device of ``queries``; float32, or float64 if an input is:
        the scores that decided, rounded.
    indices : array of int, shape (n, min(k, m))

    Raises
    ------
    DistnormError
        For unusable rows, k below 1 or a bias of another shape.

    Examples
    --------
    >>> import numpy as np
    >>> scores, rows = topk(np.eye(2, dtype="float32"), np.eye(2)[[1, 0, 1]], 2)
    >>> rows.tolist()
    [[1, 0], [0, 2]]
    """
    queries = check_embeddings(queries, "queries")
    rows = _gallery(items, queries.shape[1])
    k = min(check_k(k), len(rows))
    device = _device(precision, queries, rows)
    if device is not None:
        return _on_device(queries, rows, k, bias, device, precision != "float32", progress)
    offset = check_bias(bias, len(rows))
    left = to_numpy(as_working(queries))
    wide = rows.is_wide or left.dtype == np.float64
    scores = np.empty((len(left), k), dtype=np.float64 if wide else np.float32)
    places = np.empty((len(left), k), dtype=np.intp)
    low = {"auto": None, "bfloat16": True}.get(precision, False)
    parts = list(blocks(len(left), max(1, _RESULTS // k)))
    for number, part in enumerate(parts):

        def report(done: int, before: int = number) -> None:
            if progress is not None:
                progress(before * len(rows) + done, len(parts) * len(rows))

        best, places[part] = _search(left[part], rows, k, offset, report, low)
        with np.errstate(over="ignore"):
            scores[part] = best
    return in_library_of(queries, scores), in_library_of(queries, places)


def check_k(k: Any, name: str = "k") -> int:
    """A number of items to list; raises for what is none."""
    if not isinstance(k, (int, np.integer)) or isinstance(k, bool) or k < 1:
        got = f"{name} = {' '.join(repr(k).split())[:40]}"
        raise DistnormError(got, "an integer from 1 on", "ask for one item at least")
    return int(k)


def _gallery(items: Array | ShardedRows | Gallery, dimension: int) -> Gallery:
    if not isinstance(items, Gallery):
        return Gallery(items, dimension)
    if items.shape[1] != dimension:
        raise DistnormError(
            f"items of shape {items.shape}",
            f"{dimension} dimensions",
            "use embeddings of one and the same model on both sides",
        )
    return items


def _device(precision: str, queries: Array, rows: Gallery) -> str | None:
    """The device to compute on: the items' own, or a GPU that a large job is worth sending to."""
    if precision not in _PRECISIONS:
        raise DistnormError(
            f"precision {precision!r}", "'auto', 'half', 'bfloat16' or 'float32'", "leave it out"
        )
    if rows.on_device:
        return rows.device
    work = float(queries.shape[0]) * queries.shape[1] * len(rows)
    if precision == "auto" and (work < _PAYS or importlib.util.find_spec("torch") is None):
        return None
    if precision != "float32" and require("torch", "torch").cuda.is_available():
        return "cuda"
    return "cpu" if precision == "half" else None


def _on_device(
    queries: Array,
    rows: Gallery,
    k: int,
    bias: Any,
    device: str,
    low: bool,
    progress: Progress | None,
) -> tuple[Array, Array]:
    """`topk` on a device; queries that it cannot settle are done on the host."""
    from distnorm.device.operations import tensor_of
    from distnorm.exact.on_device import DeviceSearch, usual_rows

    torch = require("torch", "torch")
    given = tensor_of(queries, device)
    offset = device_bias(bias, len(rows), device)
    wide = rows.is_wide or given.dtype == torch.float64
    scores = torch.empty((len(given), k), dtype=torch.float64, device=device)
    places = torch.empty((len(given), k), dtype=torch.int64, device=device)
    usual = usual_rows(given)
    left = [np.flatnonzero(~usual)]
    numbers = np.flatnonzero(usual)
    parts = list(blocks(len(numbers), max(1, _ON_DEVICE // k)))
    for number, part in enumerate(parts):

        def report(done: int, m: int, before: int = number) -> None:
            if progress is not None:
                progress(before * m + done, len(parts) * m)

        some: Any = numbers[part] if len(numbers) < len(given) else part
        with in_memory("a search"):
            search = DeviceSearch(given[some], rows, k, offset, low=low)
            scores[some], places[some], open_rows = search.run(report)
        left.append(numbers[part][open_rows])
    others = np.concatenate(left)
    if len(others):
        asked = to_numpy(as_working(take_rows(queries, others)))
        found = _search(asked, rows, k, check_bias(bias, len(rows)), _silent)
        for kept, values in zip((scores, places), found, strict=True):
            kept[others] = torch.from_numpy(values).to(device)
    if not wide:
        scores = scores.float()
    if torch.is_tensor(queries):
        return scores.to(queries.device), places.to(queries.device)
    return in_library_of(queries, scores.cpu().numpy()), in_library_of(
        queries, places.cpu().numpy()
    )


def _search(
    queries: npt.NDArray[Any],
    rows: Gallery,
    k: int,
    bias: npt.NDArray[np.float64] | None,
    report: Callable[[int], None],
    low: bool | None = False,
) -> _Found:
    """The k best of some queries, in the first precision that can tell."""
    scores = np.empty((len(queries), k))
    places = np.empty((len(queries), k), dtype=np.intp)
    left = np.arange(len(queries))
    with np.errstate(over="ignore"):
        narrow = queries.astype(np.float32, copy=False)
    first: Any = FewEngine if len(queries) <= FEW else None
    if low or (low is None and bfloat16_pays(len(queries), *rows.shape)):
        first = Bfloat16Engine
    for engine in (first, NumpyEngine):
        if engine is None:
            continue
        here = engine(narrow[left])
        found = scan(here, len(left), rows, k, bias, report)
        report = _silent
        if found is None:
            continue
        some = _rescored(found, PairScores(queries[left], rows, bias), k)
        if some is None:
            # These units do not compute as assumed: nothing of theirs is used.
            continue
        crowded = np.concatenate([one.crowded for one in found])
        sure = left[~crowded]
        scores[sure], places[sure] = some
        left = left[crowded]
        if not len(left):
            return scores, places
    scores[left], places[left] = exhaustive(queries[left].astype(np.float64), rows, k, bias)
    return scores, places


def _silent(done: int) -> None:
    del done


def _rescored(found: list[Candidates], pairs: PairScores, k: int) -> _Found | None:
    """Results of all queries that are not crowded; None if a score is out of its bounds."""
    with ThreadPoolExecutor(threads()) as pool:
        # A single part is not worth starting a thread.
        spread = map if len(found) == 1 else pool.map
        parts = list(spread(lambda one: _best(one, pairs, k), found))
    kept = [part for part in parts if part is not None]
    if len(kept) < len(parts):
        return None
    return np.concatenate([p[0] for p in kept]), np.concatenate([p[1] for p in kept])


def _best(one: Candidates, pairs: PairScores, k: int) -> _Found | None:
    row, column, lower, upper = one.finish()
    score = _scored(pairs, row + one.rows.start, column)
    if not ((score >= lower) & (score <= upper)).all():
        return None
    counts = np.bincount(row, minlength=len(one.crowded))[~one.crowded]
    inside = np.arange(counts.max(initial=k)) < counts[:, None]
    padded = np.full(inside.shape, -np.inf)
    padded[inside] = score
    best = (np.cumsum(counts) - counts)[:, None] + best_first(padded)[:, :k]
    return score[best], column[best]


def _scored(
    pairs: PairScores, row: npt.NDArray[np.intp], column: npt.NDArray[np.intp]
) -> npt.NDArray[np.float64]:
    """Scores of pairs, sorted by row; where items come often, those that fit the cache at a time.

    A long list of each query reads most items from memory once for every query else.
    """
    if len(row) < len(pairs.items):
        return pairs.of(row, column)
    part = column // max(1, _CACHED // pairs.items.shape[1])
    order = np.argsort(part, kind="stable")
    edges = np.flatnonzero(np.diff(part[order], prepend=-1))
    score = np.empty(len(row))
    for some in np.split(order, edges[1:]):
        score[some] = pairs.of(row[some], column[some])
    return score

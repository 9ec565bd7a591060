"""Exact top-k by inner product, with an optional bias of each item.

    score(q, x) = q . x - bias(x)

Items are ordered by sums of products in float64 of the input as it is; equal ones by the lowest
index (`exact.decision`). So the order depends neither on BLAS, threads and block sizes nor on the
precision of the search. That precision only decides how fast the few items are found whose scores
are worth computing (`exact.scan`, with the bounds of `exact.engines`): bfloat16 on a GPU, else
float32. Queries whose best items lie closer together than a precision can tell
are done again with the next, at last in float64.

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
    to_numpy,
)
from distnorm.errors import DistnormError, require
from distnorm.exact.bfloat16 import TorchEngine
from distnorm.exact.candidates import Candidates
from distnorm.exact.decision import PairScores, best_first
from distnorm.exact.engines import FewEngine, NumpyEngine
from distnorm.exact.exhaustive import exhaustive
from distnorm.exact.gallery import Gallery, check_bias
from distnorm.exact.scan import FEW, scan
from distnorm.system.progress import Progress
from distnorm.system.shards import ShardedRows
from distnorm.system.threads import threads

__all__ = ["topk"]

_Found = tuple[npt.NDArray[np.float64], npt.NDArray[np.intp]]

# Results kept at once: queries beyond this times k read the gallery again.
_RESULTS = 1 << 20
# Products from which loading torch to send rows to a GPU pays.
_PAYS = 1e12


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
    precision : {"auto", "bfloat16", "float32"}
        Of the first pass; the result is the same. "auto" takes bfloat16 (with torch) for items
        on a GPU and for very large jobs where there is one.
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
    if not isinstance(k, (int, np.integer)) or isinstance(k, bool) or k < 1:
        words = " ".join(repr(k).split())[:40]
        raise DistnormError(f"k = {words}", "an integer from 1 on", "ask for one item at least")
    k = min(int(k), len(rows))
    offset = check_bias(bias, len(rows))
    left = to_numpy(as_working(queries))
    wide = rows.is_wide or left.dtype == np.float64
    fast = _fast_engine(precision, left, rows, offset is not None)
    scores = np.empty((len(left), k), dtype=np.float64 if wide else np.float32)
    places = np.empty((len(left), k), dtype=np.intp)
    parts = list(blocks(len(left), max(1, _RESULTS // k)))
    for number, part in enumerate(parts):

        def report(done: int, before: int = number) -> None:
            if progress is not None:
                progress(before * len(rows) + done, len(parts) * len(rows))

        best, places[part] = _search(left[part], rows, k, offset, fast, report)
        with np.errstate(over="ignore"):
            scores[part] = best
    return in_library_of(queries, scores), in_library_of(queries, places)


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


def _fast_engine(
    precision: str, queries: npt.NDArray[Any], rows: Gallery, biased: bool
) -> Callable[[Any], Any] | None:
    """The bfloat16 engine if there is to be one: on a GPU, or where it is asked for."""
    if precision not in ("auto", "bfloat16", "float32"):
        raise DistnormError(
            f"precision {precision!r}", "'auto', 'bfloat16' or 'float32'", "leave it out"
        )
    if precision == "float32":
        return None
    device: str | None = rows.device
    if precision == "auto" and device == "cpu":
        work = float(queries.size) * len(rows)
        if work < _PAYS or importlib.util.find_spec("torch") is None:
            return None
        device = _gpu(require("torch", "torch"))
    if device is None:
        return None
    torch, place = require("torch", "torch"), device
    return lambda rows: TorchEngine(rows, torch, place, biased)


def _gpu(torch: Any) -> str | None:
    """Where a large job on arrays is worth sending."""
    return "cuda" if torch.cuda.is_available() else None


def _search(
    queries: npt.NDArray[Any],
    rows: Gallery,
    k: int,
    bias: npt.NDArray[np.float64] | None,
    fast: Callable[[Any], Any] | None,
    report: Callable[[int], None],
) -> _Found:
    """The k best of some queries, in the first precision that can tell."""
    scores = np.empty((len(queries), k))
    places = np.empty((len(queries), k), dtype=np.intp)
    left = np.arange(len(queries))
    with np.errstate(over="ignore"):
        narrow = queries.astype(np.float32, copy=False)
    first = FewEngine if len(queries) <= FEW else None
    for engine in (fast or first, NumpyEngine):
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
    score = pairs.of(row + one.rows.start, column)
    if not ((score >= lower) & (score <= upper)).all():
        return None
    counts = np.bincount(row, minlength=len(one.crowded))[~one.crowded]
    inside = np.arange(counts.max(initial=k)) < counts[:, None]
    padded = np.full(inside.shape, -np.inf)
    padded[inside] = score
    best = (np.cumsum(counts) - counts)[:, None] + best_first(padded)[:, :k]
    return score[best], column[best]

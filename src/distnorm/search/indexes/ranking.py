"""Lists of an index: raw, by a shifted query, or fetched longer and ranked again by stored biases.

A linear method changes the query and nothing else. Any other method needs a bias per item, stored
beside it: the list of highest q.x is fetched longer than asked for and ranked again by
q.x - b(x). With m the lowest stored bias and v the last q.x of the fetched list, no item outside
it scores above v - m: where the system compares with every item, a list whose k-th score reaches
that is surely the exact one, and with ``certify`` it grows until it is.

Lists are best first; equal scores go to the lowest id.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from distnorm.arrays import Array
from distnorm.calibration.score_kinds import score_kind
from distnorm.errors import DistnormError
from distnorm.normalization import ScoreNormalization
from distnorm.search.indexes.arguments import one_of, positive, query_rows
from distnorm.search.indexes.bias_store import About
from distnorm.search.indexes.biases import bias_store, column_of
from distnorm.search.indexes.recovery import inner_products, linear_queries, query_biases
from distnorm.search.indexes.results import Both, Found
from distnorm.search.indexes.system import System

__all__ = ["MODES", "Mode", "best_first", "search"]

Float64 = npt.NDArray[np.float64]
Mode = Literal["dot", "normalized", "both"]
MODES = ("dot", "normalized", "both")


class _Answer(NamedTuple):
    """Ids of one query's list, their inner products, and their biases if they came along."""

    ids: list[Any]
    products: Float64
    biases: Any


def best_first(ids: Sequence[Any], scores: Float64, k: int) -> list[int]:
    """Places of the k best, best first; equal scores go to the lowest id."""
    order = np.argsort(-scores, kind="stable")[:k]
    if not len(order):
        return []
    # All that may tie with the last one.
    near = np.flatnonzero(~(scores < scores[order[-1]])).tolist()
    return sorted(near, key=lambda at: (-scores[at], type(ids[at]).__name__, ids[at]))[:k]


def search(
    system: System,
    queries: Array,
    k: int,
    norm: ScoreNormalization | None = None,
    mode: Mode | None = None,
    *,
    side: str = "text",
    overfetch: int | None = None,
    certify: bool = False,
) -> Found | Both:
    """`Index.search` for queries of ``side``."""
    mode = mode or ("dot" if norm is None else "normalized")
    one_of("mode", mode, MODES)
    capabilities = system.capabilities
    rows = query_rows(queries, capabilities.query_dimension)
    k = positive(k, "k")
    if capabilities.at_most(k) < k:
        raise DistnormError(
            f"k = {k}", f"at most {capabilities.max_k}: {system.system}'s limit", "ask for fewer"
        )
    first = max(k, positive(overfetch, "overfetch") if overfetch else max(100, 10 * k))
    if system.metric == "l2":
        system.check_unit_rows()
    if mode == "dot":
        return _raw(system, rows, k)
    if norm is None:
        raise DistnormError(
            f"mode {mode!r} without a normalization", "normalization=", "fit or load one"
        )
    system.check_normalization(norm)
    normalized = _normalized(system, rows, k, norm, side, first, certify)
    return normalized if mode == "normalized" else Both(_raw(system, rows, k), normalized)


def _raw(system: System, rows: Float64, k: int) -> Found:
    """The k items of highest q.x of each query."""
    lists = _nearest(system, rows, k)
    return Found(
        tuple(tuple(answer.ids) for answer in lists),
        tuple(answer.products for answer in lists),
        score_kind(None).label,
        "dot",
        0.0,
        (system.exact,) * len(lists),
    )


def _normalized(
    system: System,
    rows: Float64,
    k: int,
    norm: ScoreNormalization,
    side: str,
    first: int,
    certify: bool,
) -> Found:
    """The k items of highest normalized score of each query; ``side`` is the queries' own."""
    missing, certain = 0, [system.exact] * len(rows)
    if norm.correction(side).shifts_queries:
        shifted, constants, score = linear_queries(norm, rows, side)
        factor, lists = 1.0, _nearest(system, shifted, k)
    else:
        constants, factor, score = query_biases(norm, rows, side)
        if system.capabilities.bias_dimension:
            lists = _nearest(system, rows, k, last=-1.0)
        else:
            lists, certain, missing = _ranked_again(system, rows, k, norm, side, first, certify)
    return Found(
        tuple(tuple(answer.ids) for answer in lists),
        tuple(factor * (a.products - c) for a, c in zip(lists, constants, strict=True)),
        score,
        norm.method,
        norm.strength[side],
        tuple(certain),
        missing,
    )


def _nearest(system: System, rows: Float64, k: int, *, last: float = 0.0) -> list[_Answer]:
    """The nearest items, ties in order."""
    lists = []
    for ids, products, _ in _answers(system, rows, k, last=last):
        if len(ids) > 1 and not (products[:-1] > products[1:]).all():
            order = best_first(ids, products, k)
            ids, products = [ids[at] for at in order], products[order]
        lists.append(_Answer(ids, products, None))
    return lists


def _answers(
    system: System, rows: Float64, k: int, column: str | None = None, *, last: float = 0.0
) -> list[_Answer]:
    """What the system returns, as inner products.

    ``last`` is a query's last number where a dimension holds the bias.
    """
    if system.capabilities.bias_dimension:
        rows = np.concatenate([rows, np.full((len(rows), 1), last)], axis=1)
    sent = np.ascontiguousarray(rows, dtype=np.float32)
    lengths = np.linalg.norm(sent.astype(np.float64), axis=1)
    with system.plain_errors("search"):
        answers = system.nearest(sent, k, column)
    unit = system.capabilities.unit
    return [
        _Answer(list(hits.ids), inner_products(hits.values, unit, float(length)), hits.biases)
        for hits, length in zip(answers, lengths, strict=True)
    ]


def _ranked_again(
    system: System,
    rows: Float64,
    k: int,
    norm: ScoreNormalization,
    side: str,
    first: int,
    certify: bool,
) -> tuple[list[_Answer], list[bool], int]:
    """Lists by q.x - b(x), which of them are surely exact, and how many items lack a bias."""
    if not norm.spec.has_item_bias:
        # Says which methods do.
        norm.item_bias(rows[:1], modality=side)
    column, about = _published(system, norm, side)
    want = system.capabilities.at_most(first)
    lists = [_Answer([], np.empty(0), None)] * len(rows)
    certain = [False] * len(rows)
    missing: set[Any] = set()
    left = list(range(len(rows)))
    while left:
        answers = _answers(system, rows[left], want, column)
        stored = _stored_biases(system, column, answers)
        for at, (ids, products, _), biases in zip(left, answers, stored, strict=True):
            unknown = np.isnan(biases)
            missing.update(ids[place] for place in np.flatnonzero(unknown))
            scores = products - np.where(unknown, about["mean"], biases)
            order = best_first(ids, scores, k)
            lists[at] = _Answer([ids[place] for place in order], scores[order], None)
            reach = products[-1] - about["lowest"] if len(ids) else -np.inf
            reached = len(order) == k and scores[order[-1]] >= reach
            certain[at] = system.exact and (len(ids) < want or reached)
        left = [at for at in left if system.exact and not certain[at]]
        if want == system.capabilities.max_k or not certify:
            break
        want = system.capabilities.at_most(4 * want)
    return lists, certain, len(missing)


def _stored_biases(system: System, column: str, answers: list[_Answer]) -> list[Float64]:
    """Biases of each list; those that did not come along are asked for once for all queries."""
    lists = [answer.ids for answer in answers if answer.biases is None]
    ids = list(dict.fromkeys(item for one in lists for item in one))
    known: dict[Any, float] = {}
    if ids:
        with system.plain_errors("read biases"):
            known = dict(zip(ids, bias_store(system).read(column, ids).tolist(), strict=True))
    return [
        np.array(
            [known[item] for item in answer.ids] if answer.biases is None else answer.biases,
            dtype=np.float64,
        )
        for answer in answers
    ]


def _published(system: System, norm: ScoreNormalization, side: str) -> tuple[str, About]:
    """The column with the biases of a normalization, and what is stated about them."""
    column = column_of(norm, norm.names.other(side))
    with system.plain_errors("read biases"):
        published = {} if system.biases is None else system.biases.published()
    if column not in published:
        others = ", ".join(sorted(about["method"] for about in published.values()))
        raise DistnormError(
            f"no stored bias of this {norm.method!r} normalization in {system.place}"
            + (f" (there are some of: {others})" if others else ""),
            "a bias per item",
            "run index.upload_bias(normalization) or: distnorm index bias SPEC "
            "--normalization FILE",
        )
    return column, published[column]

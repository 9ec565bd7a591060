"""Lists of an index: raw, by a shifted query, or fetched longer and ranked again by stored biases.

A linear method changes the query and nothing else. Any other method needs a bias per item, stored
beside it: the list of highest q.x is fetched longer than asked for and ranked again by
q.x - b(x). With m the lowest stored bias and v the last q.x of the fetched list, no item outside
it scores above v - m: where the system compares with every item, a list whose k-th score reaches
that is surely the exact one, and with ``certify`` it grows until it is. Where a linear part of the
biases is stored (see `linear`), q - w and the residuals take the place of q and the biases.

Lists are best first; equal scores go to the lowest id.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, NamedTuple

import numpy as np

from distnorm.arrays import Array, Float64, is_unit_length
from distnorm.calibration.score_kinds import score_kind
from distnorm.errors import DistnormError
from distnorm.exact import check_k
from distnorm.normalization import ScoreNormalization
from distnorm.search.indexes.arguments import one_of, query_rows, whole
from distnorm.search.indexes.bias_store import About, BiasFolder, residual_of
from distnorm.search.indexes.biases import published, read_stored
from distnorm.search.indexes.keys import check_begun, found_column
from distnorm.search.indexes.linear import LinearPart, linear_part
from distnorm.search.indexes.recovery import UNITS, inner_products, linear_queries, query_biases
from distnorm.search.indexes.results import Both, Found
from distnorm.search.indexes.system import System

__all__ = ["MODES", "Mode", "Request", "best_first", "published_bias", "search"]

Mode = Literal["dot", "normalized", "both"]
MODES = ("dot", "normalized", "both")
# How much longer than asked for a list may grow to hold all that ties with its last item.
_TIES = 16


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


@dataclass(frozen=True)
class Request:
    """What is asked of a list, for queries of ``side``; the rest as `Index.search` takes it."""

    side: str
    k: int
    offset: int = 0
    overfetch: int | None = None
    certify: bool = False
    filter: Any = None
    fields: Sequence[str] = ()


def search(
    system: System,
    queries: Array,
    norm: ScoreNormalization | None,
    mode: Mode | None,
    request: Request,
) -> Found | Both:
    """`Index.search`."""
    mode = mode or ("dot" if norm is None else "normalized")
    one_of("mode", mode, MODES)
    capabilities = system.capabilities
    rows = query_rows(queries, capabilities.query_dimension)
    k, offset, fields = check_k(request.k), whole(request.offset, "offset"), request.fields
    if capabilities.at_most(k + offset) < k + offset:
        raise DistnormError(
            f"k = {k}" + (f" after an offset of {offset}" if offset else ""),
            f"at most {capabilities.max_k}: {system.system}'s limit",
            "ask for fewer",
        )
    if request.filter is not None and not system.filters:
        raise DistnormError(
            f"filter= for {system.place}", "a system with filters", "leave filter out"
        )
    if isinstance(fields, str):
        raise DistnormError(f"fields={fields!r}", "a list of names", f"pass fields=[{fields!r}]")
    k += offset
    wide = request.overfetch
    longer = max(k, check_k(wide, "overfetch")) if wide else None
    request = replace(request, k=k, overfetch=longer)
    system.offers("raw")
    if system.metric == "l2":
        system.check_unit_rows()

    def finished(found: Found) -> Found:
        ids = tuple(each[offset:] for each in found.ids)
        scores = tuple(each[offset:] for each in found.scores)
        return replace(found, ids=ids, scores=scores, fields=_fields(system, ids, fields))

    if mode == "dot":
        return finished(_raw(system, rows, request))
    if norm is None:
        raise DistnormError(
            f"mode {mode!r} without a normalization", "normalization=", "fit or load one"
        )
    system.check_normalization(norm)
    normalized = finished(_normalized(system, rows, norm, request))
    if mode == "normalized":
        return normalized
    return Both(finished(_raw(system, rows, request)), normalized)


def _fields(
    system: System, ids: tuple[tuple[Any, ...], ...], fields: Sequence[str]
) -> tuple[tuple[dict[str, Any], ...], ...] | None:
    """Fields of the items of each list, asked for once for all queries."""
    if not fields:
        return None
    asked = list(dict.fromkeys(item for one in ids for item in one))
    with system.plain_errors("read fields"):
        known = system.payloads(asked, list(fields)) if asked else {}
    return tuple(tuple(known.get(item, {}) for item in one) for one in ids)


def _raw(system: System, rows: Float64, request: Request) -> Found:
    """The k items of highest q.x of each query."""
    lists, certain = _nearest(system, rows, request)
    return Found(
        tuple(tuple(answer.ids) for answer in lists),
        tuple(answer.products for answer in lists),
        _dot_score(system, rows),
        "dot",
        0.0,
        tuple(certain),
    )


def _dot_score(system: System, rows: Float64) -> str:
    """What the values of a list of the dot product are."""
    if not system.probe.scores:
        return "dot ranking score"
    unit = system.unit_rows and is_unit_length(rows)
    return score_kind(None).label if unit else "dot product"


def _normalized(system: System, rows: Float64, norm: ScoreNormalization, request: Request) -> Found:
    """The k items of highest normalized score of each query."""
    missing, side = 0, request.side
    if norm.correction(side).shifts_queries:
        system.offers("shift")
        shifted, constants, score = linear_queries(norm, rows, side)
        if not system.probe.scores:
            constants, score = np.zeros(len(rows)), f"{norm.method} ranking score"
        factor, (lists, certain) = 1.0, _nearest(system, shifted, request)
    else:
        system.offers("biases")
        constants, factor, score = query_biases(norm, rows, side)
        if system.capabilities.bias_dimension:
            lists, certain = _nearest(system, rows, request, last=-1.0)
        else:
            lists, certain, missing = _ranked_again(system, rows, norm, request)
    return Found(
        tuple(tuple(answer.ids) for answer in lists),
        tuple(factor * (a.products - c) for a, c in zip(lists, constants, strict=True)),
        score,
        norm.method,
        norm.strength[side],
        tuple(certain),
        missing,
    )


def _nearest(
    system: System, rows: Float64, request: Request, *, last: float = 0.0
) -> tuple[list[_Answer], list[bool]]:
    """The nearest items, ties in order, and which lists are surely exact.

    A system breaks ties in its own way: a few more items are fetched until what ties with the last
    one of a list is all there.
    """
    k, want = request.k, system.capabilities.at_most(request.k + 1)
    lists = [_Answer([], np.empty(0), None)] * len(rows)
    certain, left = [False] * len(rows), list(range(len(rows)))
    while left:
        cut = []
        answers = _answers(system, rows[left], want, filter=request.filter, last=last)
        for at, (ids, products, _) in zip(left, answers, strict=True):
            if len(ids) == want > k and products[k - 1] == products[-1]:
                cut.append(at)
            whole_tie = len(ids) > k or len(ids) < want or _all_of(system, ids, request)
            if len(ids) > 1 and not (products[:-1] > products[1:]).all():
                order = best_first(ids, products, k)
                ids, products = [ids[place] for place in order], products[order]
            lists[at] = _Answer(ids[:k], products[:k], None)
            long = len(lists[at].ids) == k or _all_of(system, ids, request)
            certain[at] = system.certifies and whole_tie and at not in cut and long
        wider = system.capabilities.at_most(4 * want)
        if wider == want or want > _TIES * k + 1000:
            break
        left, want = cut, wider
    return lists, certain


def _all_of(system: System, ids: Sequence[Any], request: Request) -> bool:
    """Whether a list holds every item; what a filter leaves is not known."""
    return request.filter is None and len(ids) >= system.count()


def _answers(
    system: System,
    rows: Float64,
    k: int,
    column: str | None = None,
    *,
    filter: Any = None,
    last: float = 0.0,
    best: int = 0,
    mean: float = 0.0,
) -> list[_Answer]:
    """What the system returns, as inner products.

    ``last`` is a query's last number where a dimension holds the bias. With ``best`` the system
    itself chooses so many by their numbers, ``mean`` where there is none.
    """
    if system.capabilities.bias_dimension:
        rows = np.concatenate([rows, np.full((len(rows), 1), last)], axis=1)
    sent = np.ascontiguousarray(rows, dtype=np.float32)
    lengths = np.linalg.norm(sent.astype(np.float64), axis=1)
    with system.plain_errors("search"):
        if best and column:
            answers = system.subtracting(sent, min(best, k), k, column, mean, filter)
        else:
            answers = system.nearest(sent, k, column, filter)
    unit, lists = "ip" if best else system.capabilities.unit, []
    for hits, length in zip(answers, lengths, strict=True):
        ids = list(hits.ids)
        system.check_ids(ids)
        values = np.asarray(hits.values, dtype=np.float64)
        if system.probe.scores:
            values = inner_products(values, unit, float(length))
        elif not UNITS[unit].rising:
            values = -values
        lists.append(_Answer(ids, values, hits.biases))
    return lists


def _ranked_again(
    system: System, rows: Float64, norm: ScoreNormalization, request: Request
) -> tuple[list[_Answer], list[bool], int]:
    """Lists by q.x - b(x), which of them are surely exact, and how many items lack a bias."""
    k, side = request.k, request.side
    if not norm.spec.has_item_bias:
        # Says which methods do.
        norm.item_bias(rows[:1], modality=side)
    column, about = published_bias(system, norm, side)
    # Of an index that changed since, nobody knows whose biases these are.
    certifies = system.certifies and system.unchanged(about)
    linear = _usable(system, rows, about)
    lowest, longer = about["lowest"], max(100, 10 * k)
    if linear is not None:
        rows, lowest, longer = rows - linear.vector, linear.lowest, max(50, 5 * k)
    want = system.capabilities.at_most(request.overfetch or longer)
    lists = [_Answer([], np.empty(0), None)] * len(rows)
    certain = [False] * len(rows)
    missing: set[Any] = set()
    lengths = [0] * len(rows)
    left = list(range(len(rows)))
    while left:
        numbers = residual_of(column) if linear else column
        # A folder in the place of the system's own: its answers bring no biases along.
        beside = None if isinstance(system.biases, BiasFolder) else numbers
        mean = linear.mean if linear else about["mean"]
        # Ranked by the system, a list does not say how far it reached: none is certain.
        best = 2 * k + 10 if beside and system.subtracts and not certifies else 0
        answers = _answers(
            system, rows[left], want, beside, filter=request.filter, best=best, mean=mean
        )
        stored = _stored_biases(system, numbers, answers)
        if linear is not None:
            stored = _without_residuals(system, column, linear, answers, stored)
        for at, (ids, products, _), biases in zip(left, answers, stored, strict=True):
            lengths[at], unknown = len(ids), np.isnan(biases)
            missing.update(ids[place] for place in np.flatnonzero(unknown))
            scores = products - np.where(unknown, mean, biases)
            order = best_first(ids, scores, k)
            lists[at] = _Answer([ids[place] for place in order], scores[order], None)
            reach = products[-1] - lowest if len(ids) else -np.inf
            # Above, not at it: an item of the same score and a lower id may be outside.
            reached = len(order) == k and bool(scores[order[-1]] > reach)
            certain[at] = certifies and (reached or _all_of(system, ids, request))
        left = [at for at in left if certifies and not certain[at]]
        # A list shorter than what was asked for does not grow.
        left = [at for at in left if lengths[at] == want]
        if want == system.capabilities.max_k or not request.certify:
            break
        want = system.capabilities.at_most(4 * want)
    return lists, certain, len(missing)


def _usable(system: System, rows: Float64, about: About) -> LinearPart | None:
    """The linear part of stored biases, where a query without it still has a direction."""
    linear = linear_part(about, system.capabilities.query_dimension)
    if linear is None or np.linalg.norm(rows - linear.vector, axis=1).min(initial=1) < 1e-3:
        return None
    return linear


def _without_residuals(
    system: System, column: str, linear: LinearPart, answers: list[_Answer], stored: list[Float64]
) -> list[Float64]:
    """Residuals, those of items that were written with their bias alone worked out."""
    ids = [
        answer.ids[place]
        for answer, residuals in zip(answers, stored, strict=True)
        for place in np.flatnonzero(np.isnan(residuals))
    ]
    if not ids:
        return stored
    ids = list(dict.fromkeys(ids))
    biases = read_stored(system, column, ids)
    known = {item: float(b) for item, b in zip(ids, biases, strict=True) if np.isfinite(b)}
    with system.plain_errors("read vectors"):
        read = system.rows_of(list(known)) if known else {}
    both = [item for item in known if item in read]
    if not both:
        return stored
    rows = np.stack([np.asarray(read[item]) for item in both])
    found = linear.residuals(system, rows, np.array([known[item] for item in both]))
    by_id = dict(zip(both, found.tolist(), strict=True))
    return [
        np.array([by_id.get(item, b) for item, b in zip(answer.ids, residuals, strict=True)])
        for answer, residuals in zip(answers, stored, strict=True)
    ]


def _stored_biases(system: System, column: str, answers: list[_Answer]) -> list[Float64]:
    """Biases of each list; those that did not come along are asked for once for all queries."""
    lists = [answer.ids for answer in answers if answer.biases is None]
    ids = list(dict.fromkeys(item for one in lists for item in one))
    known: dict[Any, float] = {}
    if ids:
        known = dict(zip(ids, read_stored(system, column, ids).tolist(), strict=True))
    return [
        np.array(
            [known[item] for item in answer.ids] if answer.biases is None else answer.biases,
            dtype=np.float64,
        )
        for answer in answers
    ]


def published_bias(system: System, norm: ScoreNormalization, side: str) -> tuple[str, About]:
    """The column with the biases of a normalization, and what is stated about them."""
    listing = {} if system.biases is None else published(system)
    column = found_column(system, norm, norm.names.other(side), listing)
    if column not in listing:
        check_begun(system, norm, column)
        others = ", ".join(sorted(about["method"] for about in listing.values()))
        raise DistnormError(
            f"no stored bias of this {norm.method!r} normalization in {system.place}"
            + (f" (there are some of: {others})" if others else ""),
            "a bias per item",
            "run index.upload_bias(normalization) or: distnorm index bias SPEC "
            "--normalization FILE",
        )
    return column, listing[column]

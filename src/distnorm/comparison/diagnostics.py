"""What a correction changes, beyond recall: gap, hubs, and the ladder of approximations.

The ladder makes the paper's claim visible. With the exact item bias over queries x_1 .. x_n

    b(y) = tau log mean_j exp(x_j . y / tau)

and its cumulant expansions b_0 = 0, b_1 = m.y, b_2 = m.y + (1/2 tau) y' S y, each order's
figure is the share of the variance of b over held-out items y that it explains,

    1 - Var(b - b_k) / Var(b)

which is 0 for order 0, negative where an order makes things worse, and 1 if exact up to a
constant. Queries are the rows the statistics come from, items the evaluated rows of the other
side, so that no item's own partner is among the queries (at most 5,000 rows of each). The
approximations take mean and covariance from the same queries as the exact bias, plainly: no
shrinkage, no fitted scale, only the additive constant is free. The correlation beside it
forgives a wrong scale too, which is what ranking by q.y - b(y) does not.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from distnorm.arrays import (
    Array,
    CheckedRows,
    Float64,
    Indices,
    Int64,
    as_working,
    blocks,
    checked,
    rows_per_block,
    to_numpy,
)
from distnorm.methods.bank import inverted_softmax_bias
from distnorm.methods.linear import linear_bias
from distnorm.methods.quadratic import shrunk_covariance
from distnorm.methods.sides import Sides
from distnorm.metrics import k_occurrence, modality_gap, occupancy, skewness
from distnorm.metrics.ranks import top_items
from distnorm.moments import Moments
from distnorm.normalization import ScoreNormalization

__all__ = [
    "diagnose",
    "hubness",
    "ladder",
    "occurrence_counts",
    "pair_similarity",
    "similarity_histograms",
]


_HUB_K = 10
_HUBS_SHOWN = 5
_INVERSE_TEMPERATURES = (20.0, 50.0, 100.0)
_LADDER_ROWS = 5000


def hubness(
    norm: ScoreNormalization,
    queries: Array,
    items: Array,
    side: str,
    *,
    rows: Indices | None = None,
    before: Int64 | None = None,
) -> dict[str, Any]:
    """k-occurrence skewness (k = 10), top-1 occupancy, and hubs beside their counts ``before``.

    ``side`` is the queries'; hubs are called by ``rows``, the items' rows in the whole data.
    """
    top = top_items(norm.ranking(queries, items, side), _HUB_K)
    counts = k_occurrence(top, items.shape[0])
    earlier = counts if before is None else before
    names = np.arange(items.shape[0]) if rows is None else rows

    def most_frequent(by: Int64) -> list[dict[str, int]]:
        return [
            {"item": int(names[i]), "count": int(counts[i]), "count_before": int(earlier[i])}
            for i in np.argsort(-by, kind="stable")[:_HUBS_SHOWN]
        ]

    return {
        "k": int(top.shape[1]),
        "k_occurrence_skewness": skewness(counts),
        "occupancy": occupancy(top[:, 0], items.shape[0]),
        "hubs": most_frequent(counts),
        "hubs_before": most_frequent(earlier),
    }


def occurrence_counts(norm: ScoreNormalization, queries: Array, items: Array, side: str) -> Int64:
    """How many queries find each item among their first 10, shape (m,)."""
    return k_occurrence(top_items(norm.ranking(queries, items, side), _HUB_K), items.shape[0])


def similarity_histograms(
    norms: Mapping[str, ScoreNormalization],
    images: Array,
    texts: Array,
    image_of_text: Indices,
    *,
    bins: int = 60,
) -> dict[str, dict[str, dict[str, list[float]]]]:
    """Densities within and across the sides, for panels of linear methods; 1,000 rows at most.

    Panel -> series -> ``edges`` (bins + 1) and ``density`` (bins); one range for all.
    """
    one, two = next(iter(norms.values())).sides
    rows = np.linspace(0, len(image_of_text) - 1, min(len(image_of_text), 1000)).astype(np.intp)
    own, place = np.unique(image_of_text[rows], return_inverse=True)
    found: dict[str, dict[str, Float64]] = {}
    for panel, norm in norms.items():
        left, right = _wide(images, own), _wide(texts, rows)
        if norm.spec.corrects:
            left = norm.shift_queries(CheckedRows(left, one), modality=one)
            right = norm.shift_queries(CheckedRows(right, two), modality=two)
        across = left @ right.T
        true = np.zeros(across.shape, dtype=bool)
        true[place, np.arange(len(rows))] = True
        found[panel] = {
            f"{one} and its {two}": across[true],
            f"{one} and other {two}": across[~true],
            f"two {Sides.plural(one)}": (left @ left.T)[np.triu_indices(len(own), 1)],
            f"two {Sides.plural(two)}": (right @ right.T)[np.triu_indices(len(rows), 1)],
        }
    every = [v for series in found.values() for v in series.values() if len(v)]
    span = (min(float(v.min()) for v in every), max(float(v.max()) for v in every))
    return {
        panel: {
            name: _histogram(values, span, bins) for name, values in series.items() if len(values)
        }
        for panel, series in found.items()
    }


def pair_similarity(images: Array, texts: Array, image_of_text: Indices) -> dict[str, Any]:
    """Count, mean and std of x.y over true pairs and over all others, in float64, without a matrix.

    sum x.y = (sum x).(sum y) and sum (x.y)^2 = trace(X'X Y'Y)
    """
    first, second = _second_moments(images), _second_moments(texts)
    paired = []
    for part in blocks(texts.shape[0], rows_per_block(texts.shape[1], itemsize=8)):
        own, _ = np.unique(image_of_text[part], return_inverse=True)
        left = _wide(images, own)[np.searchsorted(own, image_of_text[part])]
        paired.append(np.einsum("ij,ij->i", left, _wide(texts, part)))
    true = np.concatenate(paired)
    count = images.shape[0] * texts.shape[0]
    total, squares = float(first[0] @ second[0]), float(np.sum(first[1] * second[1]))
    return {
        "pairs": _spread(len(true), float(true.sum()), float((true**2).sum())),
        "non_pairs": _spread(
            count - len(true), total - float(true.sum()), squares - float((true**2).sum())
        ),
    }


def ladder(bank: Array, items: Array, *inverse_temperatures: float) -> list[dict[str, float]]:
    """Explained variance of the exact log-partition over ``bank``, and correlation, by order."""
    wide_bank, wide_items = (to_numpy(as_working(x), np.float64) for x in (bank, items))
    moments = Moments(order=2).update(CheckedRows(wide_bank, "bank"))
    first = linear_bias(wide_items, moments.mean)
    spread = shrunk_covariance(moments, 0.0).along(wide_items)
    rungs = []
    for beta in inverse_temperatures:
        exact = inverted_softmax_bias(wide_items, wide_bank, beta, moments.mean)
        for order, rung in enumerate((np.zeros_like(exact), first, first + beta / 2 * spread)):
            rungs.append(
                {
                    "order": order,
                    "inverse_temperature": beta,
                    "explained_variance": _explained(exact, rung),
                    "correlation": _correlation(exact, rung),
                }
            )
    return rungs


def diagnose(
    norms: Sequence[ScoreNormalization],
    images: Array,
    texts: Array,
    fit_rows: Mapping[str, Array],
    *,
    image_of_text: Indices | None = None,
    rows: tuple[Indices, Indices] | None = None,
) -> dict[str, Any]:
    """Diagnostics of fitted methods, the dot product first, on evaluated rows.

    ``rows`` are their numbers in the whole data, ``fit_rows`` what gave the statistics.
    """
    first, second = (checked(x, name) for x, name in ((images, "images"), (texts, "texts")))
    left, right = first.rows, second.rows
    banks = {side: x.rows if isinstance(x, CheckedRows) else x for side, x in fit_rows.items()}
    one, two = norms[0].sides
    means = {side: norms[0].moments(side) for side in (one, two)}
    both = [m for m in means.values() if m]
    gap = modality_gap(*both) if len(both) == 2 else None
    image_rows, text_rows = rows if rows is not None else (None, None)
    ways = {
        name: (pair, side, numbers, occurrence_counts(norms[0], *pair, side))
        for name, pair, side, numbers in (
            ("text_retrieval", (first, second), one, text_rows),
            ("image_retrieval", (second, first), two, image_rows),
        )
    }
    pairs = {f"{one}_bias": ("texts", left), f"{two}_bias": ("images", right)}
    return {
        "modality_gap": gap,
        "mean_norm": {
            side: float(np.linalg.norm(m.mean)) if m else None for side, m in means.items()
        },
        "mean_uncertainty": {
            side: m.uncertainty().to_dict() if m else None for side, m in means.items()
        },
        "similarity": None
        if image_of_text is None
        else pair_similarity(left, right, image_of_text),
        "histograms": None
        if image_of_text is None
        else similarity_histograms(_panels(norms), left, right, image_of_text),
        "hubness": [
            {
                "method": norm.method,
                "strength": dict(norm.strength),
                **{
                    name: hubness(norm, *pair, side, rows=numbers, before=counts)
                    for name, (pair, side, numbers, counts) in ways.items()
                },
            }
            for norm in norms
        ],
        "selection": next((n.selection.to_dict() for n in norms if n.selection is not None), None),
        "ladder": {
            name: ladder(banks[side][:_LADDER_ROWS], items[:_LADDER_ROWS], *_INVERSE_TEMPERATURES)
            for name, (side, items) in pairs.items()
            if side in banks
        },
    }


def _panels(norms: Sequence[ScoreNormalization]) -> dict[str, ScoreNormalization]:
    """The dot product, and of the methods that shift queries by a mean the strongest."""
    plain = [norm for norm in norms if not norm.spec.corrects]
    shifts = [n for n in norms if n.spec.corrects and n.spec.shifts_queries and n.spec.order == 1]
    strongest = sorted(shifts, key=lambda norm: -max(norm.strength.values()))[:1]
    return {norm.method: norm for norm in plain + strongest}


def _histogram(values: Float64, span: tuple[float, float], bins: int) -> dict[str, list[float]]:
    density, edges = np.histogram(values, bins=bins, range=span, density=True)
    return {"edges": edges.tolist(), "density": density.tolist()}


def _wide(x: Array, rows: Indices | slice) -> Float64:
    if isinstance(rows, slice) or isinstance(x, np.ndarray):
        return to_numpy(as_working(x[rows]), np.float64)
    return to_numpy(as_working(x[rows.tolist()]), np.float64)


def _second_moments(x: Array) -> tuple[Float64, Float64]:
    """Sum of rows and X'X."""
    d = x.shape[1]
    total, gram = np.zeros(d), np.zeros((d, d))
    for part in blocks(x.shape[0], rows_per_block(d, itemsize=8)):
        wide = _wide(x, part)
        total += wide.sum(axis=0)
        gram += wide.T @ wide
    return total, gram


def _spread(count: int, total: float, squares: float) -> dict[str, float] | None:
    if not count:
        return None
    mean = total / count
    variance = max(squares / count - mean**2, 0.0)
    return {"count": count, "mean": _figure(mean), "std": _figure(variance**0.5)}


def _explained(exact: Float64, rung: Float64) -> float:
    spread = float(np.var(exact))
    return _figure(1 - float(np.var(exact - rung)) / spread) if spread else 1.0


def _correlation(exact: Float64, rung: Float64) -> float:
    if np.ptp(rung) == 0 or np.ptp(exact) == 0:
        return 0.0
    return _figure(float(np.corrcoef(exact, rung)[0, 1]))


def _figure(value: float) -> float:
    """Without the last digits, which depend on how many threads multiplied."""
    return round(value, 9)

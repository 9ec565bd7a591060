"""What a correction changes, beyond recall: gap, hubs, and the ladder of approximations.

The ladder makes the paper's claim visible. With the exact item bias over queries x_1 .. x_n

    b(y) = tau log mean_j exp(x_j . y / tau)

and its cumulant expansions b_0 = 0, b_1 = m.y, b_2 = m.y + (1/2 tau) y' S y, each order's
figure is the share of the variance of b over held-out items y that it explains,

    1 - Var(b - b_k) / Var(b)

which is 0 for order 0, negative where an order makes things worse, and 1 if exact up to a
constant. Queries are the rows the statistics come from, items the evaluated rows of the other
side, so that no item's own partner is among the queries.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from distnorm.arrays import Array, as_working, to_numpy
from distnorm.biases.bank import inverted_softmax_bias
from distnorm.biases.linear import linear_bias
from distnorm.biases.quadratic import QuadraticBias
from distnorm.metrics import k_occurrence, modality_gap, occupancy, skewness
from distnorm.moments import Moments
from distnorm.normalization import ScoreNormalization
from distnorm.ranks import top_items

__all__ = ["diagnose", "hubness", "ladder"]

_HUB_K = 10
_HUBS_SHOWN = 5
_INVERSE_TEMPERATURES = (20.0, 50.0, 100.0)
_LADDER_ROWS = 5000


def hubness(norm: ScoreNormalization, queries: Array, items: Array, side: str) -> dict[str, Any]:
    """k-occurrence skewness (k = 10), top-1 occupancy and the most frequent hubs.

    Parameters
    ----------
    norm : ScoreNormalization, fitted
    queries, items : array, shape (n, d), (m, d)
    side : str
        The queries' side.
    """
    top = top_items(norm.ranking(queries, items, side), _HUB_K)
    counts = k_occurrence(top, items.shape[0])
    hubs = np.lexsort((np.arange(len(counts)), -counts))[:_HUBS_SHOWN]
    return {
        "k": int(top.shape[1]),
        "k_occurrence_skewness": skewness(counts),
        "occupancy": occupancy(top[:, 0], items.shape[0]),
        "hubs": [{"item": int(i), "count": int(counts[i])} for i in hubs],
    }


def ladder(bank: Array, items: Array, inverse_temperature: float) -> list[dict[str, float]]:
    """Explained variance and correlation of orders 0, 1 and 2 with the exact log-partition.

    Parameters
    ----------
    bank : array, shape (n, d)
        Queries: the exact bias is taken over them, and so are mean and covariance.
    items : array, shape (m, d)
    inverse_temperature : float
        1/tau.
    """
    wide_bank, wide_items = (to_numpy(as_working(x), np.float64) for x in (bank, items))
    exact = inverted_softmax_bias(wide_items, wide_bank, inverse_temperature)
    moments = Moments(order=2).update(wide_bank)
    first = linear_bias(wide_items, moments.mean)
    second = QuadraticBias(beta=inverse_temperature, shrinkage=0.0).from_moments(moments)
    rungs = [np.zeros_like(exact), first, second(wide_items)]
    return [
        {
            "order": order,
            "inverse_temperature": inverse_temperature,
            "explained_variance": _explained(exact, rung),
            "correlation": _correlation(exact, rung),
        }
        for order, rung in enumerate(rungs)
    ]


def diagnose(
    norms: Sequence[ScoreNormalization],
    images: Array,
    texts: Array,
    fit_rows: Mapping[str, Array],
) -> dict[str, Any]:
    """Diagnostics of fitted methods, the first of them the dot product, on evaluated rows.

    ``fit_rows`` are the rows behind the statistics, by keyword ("images", "texts").
    """
    one, two = norms[0].sides
    means = {side: norms[0].moments(side) for side in (one, two)}
    first, second = means[one], means[two]
    pairs = {f"{one}_bias": ("texts", images), f"{two}_bias": ("images", texts)}
    return {
        "modality_gap": modality_gap(first, second) if first and second else None,
        "mean_norm": {
            side: float(np.linalg.norm(m.mean)) if m else None for side, m in means.items()
        },
        "mean_uncertainty": {
            side: m.uncertainty().to_dict() if m else None for side, m in means.items()
        },
        "hubness": [
            {
                "method": norm.method,
                "strength": dict(norm.strength),
                "text_retrieval": hubness(norm, images, texts, one),
                "image_retrieval": hubness(norm, texts, images, two),
            }
            for norm in norms
        ],
        "ladder": {
            name: [
                rung
                for beta in _INVERSE_TEMPERATURES
                for rung in ladder(fit_rows[side][:_LADDER_ROWS], items[:_LADDER_ROWS], beta)
            ]
            for name, (side, items) in pairs.items()
            if side in fit_rows
        },
    }


def _explained(exact: npt.NDArray[np.float64], rung: npt.NDArray[np.float64]) -> float:
    spread = float(np.var(exact))
    return 1 - float(np.var(exact - rung)) / spread if spread else 1.0


def _correlation(exact: npt.NDArray[np.float64], rung: npt.NDArray[np.float64]) -> float:
    if np.ptp(rung) == 0 or np.ptp(exact) == 0:
        return 0.0
    return float(np.corrcoef(exact, rung)[0, 1])

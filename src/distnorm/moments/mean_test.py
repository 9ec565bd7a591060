"""Whether statistics still fit: means compared in units of what sampling alone gives.

Sample means m_A and m_B of n_A and n_B rows of one distribution with covariance S differ by d
with E|d|^2 = tr V, V = S_A / n_A + S_B / n_B. |d|^2 is then a sum of chi-squares with the
eigenvalues of V as weights; with c_k = tr V^k it is matched in three moments (Buckley, Eagleson,
Australian Journal of Statistics 1988),

    nu = c_2^3 / c_3^2,     T = nu + sqrt(2 nu) (|d|^2 - c_1) / sqrt(2 c_2)  ~  chi-square(nu)

with the tail of chi-square by Wilson and Hilferty's cube root (1931). nu, the effective number of
dimensions, takes a covariance: of second-order statistics, of a bank, or of a probe. Where there
is none, 3 dimensions of equal weight are assumed (CLIP ViT-B/16 on COCO has 7), which makes the
test say "different" less readily; results say so.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from distnorm.errors import DistnormError
from distnorm.moments.moments import Moments

__all__ = ["MeanTest", "compare_means"]

ASSUMED_DIMENSIONS = 3

Float64 = npt.NDArray[np.float64]


@dataclass(frozen=True)
class MeanTest:
    """Two means compared.

    Attributes
    ----------
    counts : tuple of two int
    distance : float
        |m_A - m_B|.
    expected : float
        Root mean square distance of two such samples of one distribution, sqrt(tr V).
    dimensions : float
        nu.
    assumed : bool
        Whether ``dimensions`` was assumed for want of a covariance.
    p_value : float
        Probability of such a distance or more without a difference.
    """

    counts: tuple[int, int]
    distance: float
    expected: float
    dimensions: float
    assumed: bool
    p_value: float

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {**vars(self), "counts": list(self.counts)}


def compare_means(
    first: Moments,
    second: Moments,
    *,
    covariances: tuple[Float64 | None, Float64 | None] | None = None,
) -> MeanTest:
    """Test whether two sets of moments have one mean."""
    if first.dimension != second.dimension:
        raise DistnormError(
            f"means of {first.dimension} and {second.dimension} dimensions", "one model", "refit"
        )
    for each in (first, second):
        if each.count < 2 or each.weight <= 1:
            raise DistnormError(
                f"a mean of {min(each.count, each.weight):g} rows",
                "at least 2",
                "a single row has no spread",
            )
    if covariances is None:
        covariances = (_own_covariance(first), _own_covariance(second))
    d = first.mean - second.mean
    square = float(d @ d)
    spreads = [_spread(each) / each.weight for each in (first, second)]
    total = sum(spreads)
    weighted = [(c, s) for c, s in zip(covariances, spreads, strict=True) if c is not None]
    if total <= 0:
        return MeanTest(
            _counts(first, second), math.sqrt(square), 0.0, 0.0, True, float(square <= 0)
        )
    if weighted:
        weight = sum(s for _, s in weighted)
        v: Float64 = np.zeros_like(weighted[0][0])
        for covariance, share in weighted:
            v = v + covariance * (share / max(float(np.trace(covariance)), 1e-300))
        v = v * (total / max(weight, 1e-300))
        square_v = v @ v
        # Traces of powers: cheaper than eigenvalues.
        c1, c2, c3 = total, float(np.trace(square_v)), float(np.sum(square_v * v))
    else:
        c1, c2, c3 = (total**k / ASSUMED_DIMENSIONS ** (k - 1) for k in (1, 2, 3))
    nu = c2**3 / c3**2
    statistic = nu + math.sqrt(2 * nu) * (square - c1) / math.sqrt(2 * c2)
    return MeanTest(
        _counts(first, second),
        math.sqrt(square),
        math.sqrt(total),
        nu,
        not weighted,
        _chi_square_tail(statistic, nu),
    )


def _own_covariance(moments: Moments) -> Float64 | None:
    return moments.covariance() if moments.order == 2 and moments.count >= 2 else None


def _spread(moments: Moments) -> float:
    """tr(S), unbiased."""
    mean = moments.mean
    n = moments.weight
    return max(0.0, moments.squares / n - float(mean @ mean)) * n / (n - 1)


def _counts(first: Moments, second: Moments) -> tuple[int, int]:
    return first.count, second.count


def _chi_square_tail(x: float, nu: float) -> float:
    if x <= 0:
        return 1.0
    z = ((x / nu) ** (1 / 3) - (1 - 2 / (9 * nu))) / math.sqrt(2 / (9 * nu))
    return 0.5 * math.erfc(z / math.sqrt(2))

"""Whether statistics still fit: means compared in units of what sampling alone gives.

Sample means m_A and m_B of n_A and n_B rows of one distribution with covariance S differ by d
with E|d|^2 = tr V, V = S_A / n_A + S_B / n_B. |d|^2 is then a sum of chi-squares with the
eigenvalues of V as weights; with c_k = tr V^k it is matched in three moments (Buckley, Eagleson,
Australian Journal of Statistics 1988),

    nu = c_2^3 / c_3^2,     T = nu + sqrt(2 nu) (|d|^2 - c_1) / sqrt(2 c_2)  ~  chi-square(nu)

with the tail by Wilson and Hilferty's cube root (1931). nu, the effective number of dimensions,
takes a covariance: of second-order statistics, of a bank, of a probe, or that of the folded rows
in the sketch (`distnorm.moments.sketch`), less what folding and their small number add. Where
there is none, 3 dimensions of equal weight are assumed (CLIP ViT-B/16 on COCO has 7), which makes
the test say "different" less readily; results say so.

Rows that come r times on average count as n / r: an image once per caption is one image. Where rows
have weights, n is how many they are worth, on any scale of the weights.

Rows in a stream hang together: n of them in a row are cut into blocks of b, and the block means
give V_B = (their covariance) / (number of blocks) and its own error, so that T / nu follows F
with nu and about nu (n / b - 1) degrees of freedom (tail: Paulson 1942). Right if rows further
apart than a block are independent.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from distnorm.arrays import Float64, Floats
from distnorm.errors import DistnormError
from distnorm.moments.moments import Moments

__all__ = ["BlockError", "MeanTest", "compare_means"]

ASSUMED_DIMENSIONS = 3
_FEWEST_POINTS = 16


@dataclass(frozen=True)
class MeanTest:
    """Two means compared."""

    counts: tuple[int, int]
    distance: float  # |m_A - m_B|
    expected: float  # root mean square of it for two samples of one distribution, sqrt(tr V)
    dimensions: float  # nu
    assumed: bool  # whether nu was assumed for want of a covariance
    p_value: float  # probability of such a distance or more without a difference

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {**vars(self), "counts": list(self.counts)}


@dataclass(frozen=True)
class BlockError:
    """tr V of a mean by block means, and of how many blocks."""

    variance: float
    blocks: int

    @classmethod
    def of(cls, rows: Floats, block: int) -> BlockError:
        """Of rows in their order, (n, d); at least 2 blocks."""
        count = len(rows) // block
        if count < 2:
            raise DistnormError(
                f"{len(rows)} rows in blocks of {block}", "2 blocks at least", "use shorter blocks"
            )
        last = np.asarray(rows[len(rows) - count * block :], dtype=np.float64)
        means = last.reshape(count, block, -1).mean(axis=1)
        spread = float(((means - means.mean(axis=0)) ** 2).sum()) / (count - 1)
        return cls(spread / count, count)


def compare_means(
    first: Moments,
    second: Moments,
    *,
    covariances: tuple[Float64 | None, Float64 | None] | None = None,
    of_blocks: BlockError | None = None,
) -> MeanTest:
    """Test whether two sets of moments have one mean; ``of_blocks`` is the second's error."""
    if first.dimension != second.dimension:
        raise DistnormError(
            f"means of {first.dimension} and {second.dimension} dimensions", "one model", "refit"
        )
    for each in (first, second):
        if each.count < 2 or each.worth <= 1:
            raise DistnormError(
                f"a mean of {min(each.count, each.worth):g} rows",
                "at least 2",
                "a single row has no spread",
            )
    if covariances is None:
        covariances = (_own_covariance(first), _own_covariance(second))
    d = first.mean - second.mean
    square = float(d @ d)
    errors = [_error(each) for each in (first, second)]
    if of_blocks is not None:
        plain = _spread(second) / second.worth
        errors[1] = max(plain, of_blocks.variance)
    total = sum(errors)
    if total <= 0:
        return MeanTest(
            _counts(first, second), math.sqrt(square), 0.0, 0.0, True, float(square <= 0)
        )
    shapes = [
        (_shape_of(c) if c is not None else _shape_of_points(each), error)
        for c, each, error in zip(covariances, (first, second), errors, strict=True)
        if c is not None or each.sketch is not None
    ]
    known = [(shape, error) for shape, error in shapes if shape is not None]
    assumed = not known
    if assumed:
        known = [((1 / ASSUMED_DIMENSIONS, float(ASSUMED_DIMENSIONS)), 1.0)]
    weight = sum(error for _, error in known) or 1.0
    r2, nu = (sum(shape[k] * error for shape, error in known) / weight for k in (0, 1))
    # T / nu, with |d|^2 / c_1 of mean 1 and variance 2 r2.
    ratio = 1 + (square / total - 1) / math.sqrt(min(nu * r2, 1.0))
    if of_blocks is None:
        p = _chi_square_tail(nu * ratio, nu)
    else:
        degrees = nu * (of_blocks.blocks - 1) * (total / errors[1]) ** 2
        p = _f_tail(ratio, nu, degrees)
    return MeanTest(_counts(first, second), math.sqrt(square), math.sqrt(total), nu, assumed, p)


Shape = tuple[float, float]
"""tr S^2 / (tr S)^2, and the effective number of dimensions."""


def _shape_of(covariance: Float64) -> Shape | None:
    # Traces of powers: cheaper than eigenvalues.
    square = covariance @ covariance
    c1, c2, c3 = np.trace(covariance), np.trace(square), np.sum(square * covariance)
    return (float(c2 / c1**2), float(c2**3 / c3**2)) if c1 > 0 and c3 > 0 else None


def _shape_of_points(moments: Moments) -> Shape | None:
    """From the folded rows of the sketch, corrected for their number and for the folding."""
    sketch = moments.sketch
    if sketch is None or sketch.points is None or len(sketch.points) < _FEWEST_POINTS:
        return None
    k, p = sketch.points.shape
    rows = sketch.points.astype(np.float64)
    shape = _shape_of(np.cov(rows.T))
    if shape is None:
        return None
    r2, nu = shape
    # Of normal rows (Himeno, Yamada 2014); folding adds (tr S)^2 / p to tr S^2.
    r2 = (k - 1) ** 2 / ((k - 2) * (k + 1)) * (r2 - 1 / (k - 1))
    if moments.dimension is not None and moments.dimension > p:
        r2 = (r2 - 1 / p) / (1 + 1 / p)
    least = 1 / (moments.dimension or 1)
    return float(np.clip(r2, least, 1.0)), nu


def _own_covariance(moments: Moments) -> Float64 | None:
    return moments.covariance() if moments.order == 2 and moments.count >= 2 else None


def _spread(moments: Moments) -> float:
    """tr(S), unbiased."""
    mean = moments.mean
    n = moments.worth
    spread = max(0.0, moments.squares / moments.weight - float(mean @ mean))
    return spread * n / (n - 1)


def _error(moments: Moments) -> float:
    """E|m - E m|^2 of rows that are independent but for repeats."""
    repeats = 1.0 if moments.sketch is None else moments.sketch.repeats
    if moments.weight != moments.count:
        repeats = 1.0  # weights have taken repeats into account
    return _spread(moments) * repeats / moments.worth


def _counts(first: Moments, second: Moments) -> tuple[int, int]:
    return first.count, second.count


def _chi_square_tail(x: float, nu: float) -> float:
    if x <= 0:
        return 1.0
    z = ((x / nu) ** (1 / 3) - (1 - 2 / (9 * nu))) / math.sqrt(2 / (9 * nu))
    return 0.5 * math.erfc(z / math.sqrt(2))


def _f_tail(x: float, first: float, second: float) -> float:
    """P(F > x) for such degrees of freedom, by Paulson's normal approximation."""
    if x <= 0:
        return 1.0
    a, b, root = 2 / (9 * first), 2 / (9 * second), x ** (1 / 3)
    z = ((1 - b) * root - (1 - a)) / math.sqrt(b * root**2 + a)
    return 0.5 * math.erfc(z / math.sqrt(2))

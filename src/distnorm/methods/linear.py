"""Order 1: the mean of the queries, Distribution Normalization.

    b(y) = m . y          m = mean of the queries, shape (d,);  y: items, shape (n, d)

Half of it, on either side, is the score of Zhou, Ren, Li, Zabih, Lim: Test-Time Distribution
Normalization for Contrastively Learned Vision-language Models, NeurIPS 2023, arXiv 2302.11084.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from distnorm.arrays import Array, as_working, from_numpy, namespace
from distnorm.moments import Moments

__all__ = ["LinearBias", "linear_bias"]


def linear_bias(items: Array, mean: npt.NDArray[np.float64]) -> Array:
    """``items @ mean``: shapes (n, d) and (d,) give (n,), in the items' library.

    Examples
    --------
    >>> import numpy as np
    >>> linear_bias(np.array([[1.0, 0.0]]), np.array([0.3, 0.1]))
    array([0.3])
    """
    working = as_working(items)
    return namespace(working).matmul(working, from_numpy(mean, working))


class LinearBias:
    """The mean of a bank of queries as an item bias.

    Parameters
    ----------
    moments : Moments, optional
        Statistics at hand; `fit` computes them from rows instead.
    """

    def __init__(self, moments: Moments | None = None) -> None:
        self.moments = moments or Moments()

    def fit(self, bank: Array) -> LinearBias:
        """Take the mean of ``bank``, shape (m, d).

        Raises
        ------
        DistnormError
            For rows that are no embeddings.
        """
        self.moments = Moments().update(bank, "bank")
        return self

    def __call__(self, items: Array) -> Array:
        """Biases of ``items``, shape (n, d), as (n,)."""
        return linear_bias(items, self.moments.mean)

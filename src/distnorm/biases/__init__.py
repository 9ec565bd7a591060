"""Item biases: how well an item already matches a typical query.

Every normalization here subtracts such a bias from the dot product. One class each, all with
``fit(bank)`` and ``bias(items) -> (n,)``; strengths are applied outside, in
`distnorm.normalization`.
"""

from distnorm.biases.bank import InvertedSoftmaxBias, NearestNeighborBias
from distnorm.biases.linear import LinearBias
from distnorm.biases.quadratic import QuadraticBias
from distnorm.biases.ridge import RidgeBias
from distnorm.biases.sinkhorn import SinkhornBias

__all__ = [
    "InvertedSoftmaxBias",
    "LinearBias",
    "NearestNeighborBias",
    "QuadraticBias",
    "RidgeBias",
    "SinkhornBias",
]

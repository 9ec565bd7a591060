"""Item biases: how well an item already matches a typical query.

Every normalization here subtracts such a bias from the dot product. One class each, all with
``fit(bank)`` and ``bias(items) -> (n,)``; strengths are applied outside, in
`distnorm.normalization`.
"""

from distnorm.methods.bank import InvertedSoftmaxBias, NearestNeighborBias
from distnorm.methods.linear import LinearBias
from distnorm.methods.quadratic import QuadraticBias
from distnorm.methods.ridge import RidgeBias
from distnorm.methods.sinkhorn import SinkhornBias

__all__ = [
    "InvertedSoftmaxBias",
    "LinearBias",
    "NearestNeighborBias",
    "QuadraticBias",
    "RidgeBias",
    "SinkhornBias",
]

"""A method with its statistics: fit on unlabelled rows, apply to scores."""

from distnorm.normalization.factories import DistributionNormalization, load, make
from distnorm.normalization.normalization import ScoreNormalization

__all__ = ["DistributionNormalization", "ScoreNormalization", "load", "make"]

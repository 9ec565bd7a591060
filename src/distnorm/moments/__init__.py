"""Count, sum and second moment of rows: what every statistic here is made of."""

from distnorm.moments.moments import Moments

__all__ = ["Moments"]

"""Count, sum and second moment of rows: what every statistic here is made of."""

from distnorm.moments.moments import Moments
from distnorm.moments.sketch import Overlap, RowSketch, content_hashes
from distnorm.moments.sums import LARGEST_EXACT
from distnorm.moments.weights import check_weights, counted_rows, density_weights, per_row

__all__ = [
    "LARGEST_EXACT",
    "Moments",
    "Overlap",
    "RowSketch",
    "check_weights",
    "content_hashes",
    "counted_rows",
    "density_weights",
    "per_row",
]

"""How sure a mean is: its standard error, and what that leaves of its direction."""

from __future__ import annotations

import math
from dataclasses import dataclass

__all__ = ["MeanUncertainty"]


@dataclass(frozen=True)
class MeanUncertainty:
    """How far the sample mean can be from the mean of the whole distribution.

    ``standard_error`` is the expected length of the error, e = sqrt(tr(S) / (n - 1)), n the sum of
    weights; infinite for one row. ``cosine`` is that between sample mean and true mean, the share
    of the mean that is direction and not noise: sqrt(max(0, |m|^2 - e^2)) / |m|.
    """

    count: int  # rows the mean rests on
    norm: float  # length of the sample mean
    standard_error: float
    relative_error: float  # e / |m|
    cosine: float

    def __repr__(self) -> str:
        """One line with the three figures that answer "is my sample large enough?"."""
        return (
            f"MeanUncertainty(count={self.count}, norm={self.norm:.4f}, "
            f"standard_error={self.standard_error:.4f}, cosine={self.cosine:.3f})"
        )

    def to_dict(self) -> dict[str, float | int | None]:
        """Plain numbers for JSON; infinity becomes None."""
        return {key: value if math.isfinite(value) else None for key, value in vars(self).items()}

    def samples_for(self, relative_error: float) -> int | None:
        """Rows needed to bring the relative error down to ``relative_error``; None if unknown."""
        if not math.isfinite(self.relative_error) or not relative_error > 0:
            return None
        variance = self.standard_error**2 * (self.count - 1)
        return math.ceil(variance / (relative_error * self.norm) ** 2) + 1

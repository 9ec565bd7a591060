"""torchmetrics: CLIPScore with distribution normalization.

    score(x, y) = w S(x, y),  S = (x - s_X m_X) . (y - s_Y m_Y),  w = 100 as torchmetrics has it

torchmetrics clips the *mean* at 0; here nothing is clipped unless ``clip`` says so (then each pair,
as in the paper of CLIPScore): a corrected score below 0 is ordinary.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from distnorm.errors import require
from distnorm.normalization import ScoreNormalization

if TYPE_CHECKING:
    from torch import Tensor
    from torchmetrics import Metric
else:
    Metric = require("torchmetrics", "torchmetrics").Metric
    Tensor = Any

__all__ = ["NormalizedCLIPScore"]


class NormalizedCLIPScore(Metric):
    """Mean corrected score of matching pairs; sums are added up over processes.

    Parameters
    ----------
    norm : ScoreNormalization
        Fitted on rows that are not scored here.
    weight : float
    clip : bool
        Count a pair below 0 as 0.
    **options
        torchmetrics' own.

    Examples
    --------
    >>> import torch, distnorm
    >>> from distnorm.integrations.torchmetrics import NormalizedCLIPScore
    >>> X = torch.eye(4)
    >>> norm = distnorm.DistributionNormalization(strength=0.5).fit(images=X, texts=X)
    >>> metric = NormalizedCLIPScore(norm)
    >>> metric.update(X, X)
    >>> metric.compute()
    tensor(81.2500)
    """

    is_differentiable = False
    higher_is_better = True
    full_state_update = False
    total: Tensor
    count: Tensor

    def __init__(
        self, norm: ScoreNormalization, weight: float = 100.0, clip: bool = False, **options: Any
    ) -> None:
        super().__init__(**options)
        import torch

        self.norm, self.weight, self.clip = norm, weight, clip
        self.add_state("total", torch.zeros((), dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("count", torch.zeros((), dtype=torch.int64), dist_reduce_fx="sum")

    def update(self, images: Tensor, texts: Tensor) -> None:
        """Add pairs: unit rows, shapes (n, d) and (n, d)."""
        scores: Any = self.norm.paired_similarity(images, texts)
        if self.clip:
            scores = scores.clamp(min=0)
        self.total += scores.sum(dtype=self.total.dtype).to(self.total.device)
        self.count += scores.shape[0]

    def compute(self) -> Tensor:
        """Weight times the mean, a float32 scalar; NaN before any pair."""
        return (self.weight * self.total / self.count).float()

"""Exact search over vectors at hand."""

from distnorm.exact import Gallery, topk
from distnorm.search.mixed import MixedResult, topk_mixed

__all__ = ["Gallery", "MixedResult", "topk", "topk_mixed"]

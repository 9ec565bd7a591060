"""Exact search over vectors at hand."""

from distnorm.exact.gallery import Gallery
from distnorm.exact.top_k import topk
from distnorm.search.mixed import MixedResult, topk_mixed

__all__ = ["Gallery", "MixedResult", "topk", "topk_mixed"]

"""Exact search over vectors at hand."""

from distnorm.search.exact import topk
from distnorm.search.gallery import Gallery
from distnorm.search.mixed import MixedResult, topk_mixed

__all__ = ["Gallery", "MixedResult", "topk", "topk_mixed"]

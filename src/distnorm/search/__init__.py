"""Exact search over vectors at hand."""

from distnorm.search.exact import topk
from distnorm.search.gallery import Gallery

__all__ = ["Gallery", "topk"]

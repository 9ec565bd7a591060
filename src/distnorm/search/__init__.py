"""Exact search over vectors at hand."""

from distnorm.search.exact import topk

__all__ = ["topk"]

"""Exact search: a closed room, of which others import what stands here.

`distnorm.metrics.ranks` alone imports `distnorm.exact.counting` as well.
"""

from distnorm.exact.counting import KeptProducts, places
from distnorm.exact.decision import KBest
from distnorm.exact.gallery import Gallery
from distnorm.exact.largest import KLargest
from distnorm.exact.tiles import show_products
from distnorm.exact.top_k import check_k, topk

__all__ = [
    "Gallery",
    "KBest",
    "KLargest",
    "KeptProducts",
    "check_k",
    "places",
    "show_products",
    "topk",
]

"""The index you already have: searched by dot or normalized, with nothing changed but the query."""

from distnorm.search.indexes.base import Index, Mode
from distnorm.search.indexes.biases import Check, Upload
from distnorm.search.indexes.results import Both, Found, Pair
from distnorm.search.indexes.specs import SYSTEMS, is_spec, open_index

__all__ = [
    "SYSTEMS",
    "Both",
    "Check",
    "Found",
    "Index",
    "Mode",
    "Pair",
    "Upload",
    "is_spec",
    "open_index",
]

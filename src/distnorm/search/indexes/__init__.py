"""The index you already have: searched by dot or normalized, with nothing changed but the query."""

from distnorm.search.indexes.base import Index
from distnorm.search.indexes.biases import Upload
from distnorm.search.indexes.check import Check
from distnorm.search.indexes.ranking import Mode
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

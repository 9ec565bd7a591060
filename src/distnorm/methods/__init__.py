"""Methods, one file each or one per family: item biases, query shifts and transforms.

Every method subtracts how well an item already matches a typical query. A new method is a file
that builds a `distnorm.methods.base.Method` and a line in `distnorm.methods.registry`.
"""

from distnorm.methods.base import Method
from distnorm.methods.registry import METHODS, find_method, list_methods, parse_method

__all__ = ["METHODS", "Method", "find_method", "list_methods", "parse_method"]

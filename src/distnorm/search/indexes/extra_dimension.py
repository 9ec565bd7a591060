"""A bias inside the vectors: one more dimension, for an inner product index that is built anew.

    [q, -1] . [x, b(x)] = q.x - b(x)          [q, 0] . [x, b(x)] = q.x

The last number of the query switches between the normalized and the raw score, query by query.
Rows are no longer of unit length, so neither cosine nor L2 will do.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from distnorm.arrays import Array, as_working, check_embeddings, to_numpy
from distnorm.errors import DistnormError

__all__ = ["items_with_bias", "queries_for_bias"]


def items_with_bias(items: Array, bias: Any) -> npt.NDArray[np.float32]:
    """Rows to index, shape (n, d + 1), of items (n, d) and `item_bias` (n,).

    Raises
    ------
    DistnormError
        For unusable rows or another number of biases.
    """
    rows = to_numpy(as_working(check_embeddings(items, "items")), np.float32)
    column = np.asarray(to_numpy(bias), dtype=np.float32)
    if column.shape != (len(rows),) or not np.isfinite(column).all():
        raise DistnormError(
            f"a bias of shape {column.shape}", f"({len(rows)},) finite", "fit it to the items"
        )
    return np.concatenate([rows, column[:, None]], axis=1)


def queries_for_bias(queries: Array, *, normalized: bool = True) -> npt.NDArray[np.float32]:
    """Queries for such an index, shape (n, d + 1): normalized, or raw.

    Examples
    --------
    >>> queries_for_bias([[0.6, 0.8]]).tolist()[0][-1]
    -1.0
    """
    rows = to_numpy(as_working(check_embeddings(queries, "queries")), np.float32)
    last = np.full((len(rows), 1), -1.0 if normalized else 0.0, dtype=np.float32)
    return np.concatenate([rows, last], axis=1)

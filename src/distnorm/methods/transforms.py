"""Methods that change both vectors: subtract the mean, then divide by the length.

    score(x, y) = cos(x - s_X m_X, y - s_Y m_Y)

The length left is each row's own, so this is no shift of the query and no bias of an item.
"""

from __future__ import annotations

from distnorm.arrays import Array, Float64, as_working, from_numpy, namespace
from distnorm.errors import DistnormError
from distnorm.methods.base import Method
from distnorm.methods.linear import PAPER

__all__ = ["CENTERED", "DN_RENORM", "renormalized"]


def renormalized(rows: Array, mean: Float64 | None, name: str) -> Array:
    """Rows less ``mean`` at unit length; an error if one of them is exactly the mean."""
    x = as_working(rows)
    xp = namespace(x)
    x = x if mean is None else x - from_numpy(mean, x)
    lengths = xp.sqrt(xp.sum(x * x, axis=1, keepdims=True))
    if not bool(xp.all(lengths > 0)):
        raise DistnormError(
            f"{name} with a row equal to the subtracted mean",
            "rows that differ from it",
            "fit on rows that differ from each other, or lower the strength",
        )
    return x / lengths


CENTERED = Method(
    "centered",
    "centred cosine: subtract the mean, re-normalise",
    "GR-CLIP; I0T",
    strength=1.0,
    transform=renormalized,
)
DN_RENORM = Method(
    "dn-renorm",
    "DN on raw embeddings, re-normalised (the authors' zero-shot variant)",
    PAPER,
    transform=renormalized,
    rows="raw",
)

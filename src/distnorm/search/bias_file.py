"""Biases of a store's items, kept in a file between searches and added to as the store grows.

The file is safetensors: ``bias`` (m,) float64, and in its metadata the checksum of the
normalization and the side of the items. Rows are in the order of the store.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from distnorm.arrays import to_numpy
from distnorm.errors import DistnormError
from distnorm.normalization import ScoreNormalization
from distnorm.system.files import atomic_write
from distnorm.system.progress import Progress

__all__ = ["bias_of", "kept_bias"]

Float64 = npt.NDArray[np.float64]
_ROWS = 1 << 15


def bias_of(
    norm: ScoreNormalization, items: Any, side: str, progress: Progress | None = None
) -> Float64:
    """`ScoreNormalization.item_bias` of all items, in blocks where the method allows."""
    return np.concatenate([np.empty(0), *_parts(norm, items, side, 0, progress)])


def kept_bias(
    path: Path,
    norm: ScoreNormalization,
    checksum: str,
    items: Any,
    side: str,
    progress: Progress | None = None,
) -> tuple[Float64, int, int]:
    """Biases of a store's items, how many the file held, and how many were computed and added."""
    bias = np.empty(0)
    if path.exists():
        bias = _read(path, checksum, side)
    known = len(bias)
    if known > len(items):
        raise DistnormError(
            f"{known} biases in {path} for {len(items)} items",
            "as many, or fewer",
            f"items were removed: delete {path} and search again",
        )
    if known == len(items):
        return bias, known, 0
    # Where each bias depends on all items, what is known of some is of no use.
    parts = [bias if norm.correction(norm.names.other(side)).item_by_item else np.empty(0)]
    try:
        for part in _parts(norm, items, side, len(parts[0]), progress):
            parts.append(part)
    finally:
        # What an interrupted run has computed counts in the next one.
        bias = np.concatenate(parts)
        if len(bias) > known:
            _write(path, bias, checksum, side)
    return bias, known, len(items) - known


def _parts(
    norm: ScoreNormalization, items: Any, side: str, start: int, progress: Progress | None
) -> Iterator[Float64]:
    """Biases of the items from ``start`` on; progress is told when the next part is asked for."""
    alone = norm.correction(norm.names.other(side)).item_by_item
    step = _ROWS if alone else len(items)
    for first in range(start, len(items), step):
        last = min(first + step, len(items))
        yield to_numpy(norm.item_bias(items[first:last], modality=side), np.float64)
        if progress is not None:
            progress(last, len(items))


def _read(path: Path, checksum: str, side: str) -> Float64:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, "numpy") as file:
            about = file.metadata() or {}
            bias = np.asarray(file.get_tensor("bias"), dtype=np.float64)
    except (SafetensorError, OSError) as error:
        raise DistnormError(
            f"{path}, which cannot be read", "a file of biases", "delete it, or name another --bias"
        ) from error
    if about.get("normalization") != checksum or about.get("side") != side:
        raise DistnormError(
            f"biases of another normalization or side in {path}",
            "those of this one",
            "name another --bias, or delete the file",
        )
    return bias


def _write(path: Path, bias: Float64, checksum: str, side: str) -> None:
    from safetensors.numpy import save

    about = {"normalization": checksum, "side": side}
    with atomic_write(path) as file:
        file.write(save({"bias": bias}, about))

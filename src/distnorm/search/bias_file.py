"""Biases of a store's items, kept in a file between searches and added to as the store grows.

The file is safetensors: ``bias`` (m,) float64, and in its metadata the checksum of the
normalization and the side of the items. Rows are in the order of the store.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from distnorm.arrays import blocks, to_numpy
from distnorm.errors import DistnormError
from distnorm.normalization import ScoreNormalization
from distnorm.system.files import atomic_write
from distnorm.system.progress import Progress

__all__ = ["bias_of", "kept_bias"]

_ROWS = 1 << 15


def bias_of(
    norm: ScoreNormalization, items: Any, side: str, progress: Progress | None = None
) -> npt.NDArray[np.float64]:
    """`ScoreNormalization.item_bias` of all items, in blocks where the method allows."""
    bias = np.empty(len(items))
    for rows in blocks(len(items), _ROWS if _item_by_item(norm, side) else len(items)):
        bias[rows] = to_numpy(norm.item_bias(items[rows], modality=side), np.float64)
        if progress is not None:
            progress(rows.stop, len(items))
    return bias


def kept_bias(
    path: Path,
    norm: ScoreNormalization,
    checksum: str,
    items: Any,
    side: str,
    progress: Progress | None = None,
) -> tuple[npt.NDArray[np.float64], int, int]:
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
    if known and not _item_by_item(norm, side):
        # Each of these depends on all items.
        bias = np.empty(0)
    try:
        for rows in blocks(len(items) - len(bias), _ROWS if _item_by_item(norm, side) else 1 << 62):
            start = len(bias)
            block = items[start : start + rows.stop - rows.start]
            new = to_numpy(norm.item_bias(block, modality=side), np.float64)
            bias = np.concatenate([bias, new])
            if progress is not None:
                progress(len(bias), len(items))
    finally:
        # What an interrupted run has computed counts in the next one.
        if len(bias) > known:
            _write(path, bias, checksum, side)
    return bias, known, len(items) - known


def _item_by_item(norm: ScoreNormalization, side: str) -> bool:
    """Whether an item's bias is the same whatever other items it is computed with."""
    return norm.correction(norm.names.other(side)).item_by_item


def _read(path: Path, checksum: str, side: str) -> npt.NDArray[np.float64]:
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


def _write(path: Path, bias: npt.NDArray[np.float64], checksum: str, side: str) -> None:
    from safetensors.numpy import save

    about = {"normalization": checksum, "side": side}
    with atomic_write(path) as file:
        file.write(save({"bias": bias}, about))

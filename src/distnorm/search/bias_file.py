"""Biases of a store's items, kept in a file between searches and added to as the store grows.

The file is one of `distnorm.storage`: ``bias`` (m,) float64 and ``rows`` (m, 16), a hash of the
vector that each is of. A bias is a function of the vector alone, so rows that moved, left or came
are known by what they are. The settings name the normalization by its checksum, the side of the
items, the store by its id and its commit.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError, safe_open

from distnorm import storage
from distnorm.arrays import to_numpy
from distnorm.errors import DistnormError
from distnorm.normalization import ScoreNormalization
from distnorm.store.layout import Commit
from distnorm.system import schema
from distnorm.system.files import plain_errors
from distnorm.system.progress import Progress

__all__ = ["BLOCK", "Kept", "bias_of", "kept_bias"]

Float64 = npt.NDArray[np.float64]
Keys = npt.NDArray[np.bytes_]

BLOCK = 1 << 15
"""Rows whose biases are computed together, from each multiple of it on."""

_KEY = 16
_REMEDY = "delete it, or name another --bias"
_FORM = schema.record(
    {
        "kept": schema.one_of("biases"),
        "normalization": schema.text,
        "side": schema.text,
        "store": schema.optional(schema.text),
        "commit": schema.optional(schema.whole(0)),
    }
)


@dataclass(frozen=True)
class Kept:
    """Biases (n,) of all items: how many the file had, were added to it, and left it."""

    bias: Float64
    known: int
    added: int
    dropped: int


def bias_of(
    norm: ScoreNormalization, items: Any, side: str, progress: Progress | None = None
) -> Float64:
    """`ScoreNormalization.item_bias` of all items, in blocks where the method allows."""
    rows = np.arange(len(items))
    return np.concatenate([np.empty(0), *_parts(norm, items, side, rows, progress)])


def kept_bias(
    path: Path,
    norm: ScoreNormalization,
    checksum: str,
    items: Any,
    side: str,
    progress: Progress | None = None,
    *,
    commit: Commit | None = None,
) -> Kept:
    """Biases of the items of a store at ``commit``, from the file as far as it has them.

    Raises
    ------
    DistnormError
        For a damaged file, or one of another normalization, side or store.
    """
    keys = _row_keys(items)
    held, values = np.empty(0, keys.dtype), np.empty(0)
    with plain_errors(path):
        exists = path.exists()
    if exists:
        held, values = _read(path, checksum, side, keys, commit)
    order = np.argsort(held, kind="stable")
    held, values = held[order], values[order]
    at = np.minimum(np.searchsorted(held, keys), max(0, len(held) - 1))
    found = held[at] == keys if len(held) else np.zeros(len(keys), dtype=bool)
    dropped = int((~np.isin(np.unique(held), keys)).sum())
    known = int(found.sum())
    whole = not norm.correction(norm.names.other(side)).item_by_item
    if whole and not np.array_equal(held, np.sort(keys)):
        # Where each bias depends on all items, what is known of some is of no use.
        found[:] = False
    bias = np.full(len(keys), np.nan)
    bias[found] = values[at[found]]
    lacking, done = np.flatnonzero(~found), 0
    if not len(lacking) and not dropped:
        return Kept(bias, known, 0, 0)
    try:
        for part in _parts(norm, items, side, lacking, progress):
            bias[lacking[done : done + len(part)]] = part
            done += len(part)
    finally:
        # What an interrupted run has computed counts in the next one.
        if done or (dropped and not len(lacking)):
            there = ~np.isnan(bias)
            _write(path, keys[there], bias[there], checksum, side, commit)
    return Kept(bias, known, len(keys) - known, dropped)


def _parts(
    norm: ScoreNormalization,
    items: Any,
    side: str,
    rows: npt.NDArray[np.intp],
    progress: Progress | None,
) -> Iterator[Float64]:
    """Biases of some rows of the items; progress is told when the next part is asked for."""
    alone = norm.correction(norm.names.other(side)).item_by_item
    step = BLOCK if alone else max(1, len(rows))
    for first in range(0, len(rows), step):
        part = rows[first : first + step]
        # A slice where that is the same: shards need not be copied.
        run = slice(int(part[0]), int(part[-1]) + 1)
        block = items[run] if run.stop - run.start == len(part) else items[part]
        yield to_numpy(norm.item_bias(block, modality=side), np.float64)
        if progress is not None:
            progress(len(items) - len(rows) + first + len(part), len(items))


def _row_keys(items: Any) -> Keys:
    """Sixteen bytes for the content of each row."""
    keys = np.empty(len(items), dtype=f"S{_KEY}")
    for first in range(0, len(items), BLOCK):
        block = np.ascontiguousarray(items[first : first + BLOCK])
        kind = f"{block.dtype.str} {block.shape[1:]}".encode()
        for row, x in enumerate(block):
            keys[first + row] = hashlib.blake2b(x.data, digest_size=_KEY, key=kind[:64]).digest()
    return keys


def _read(
    path: Path, checksum: str, side: str, keys: Keys, commit: Commit | None
) -> tuple[Keys, Float64]:
    """Keys and biases that a file holds."""
    bias: npt.NDArray[Any] | None
    old = _by_number(path)
    if old is not None:
        about, bias = old
    else:
        about, tensors, _ = storage.read(path, _FORM, what="a file of biases", remedy=_REMEDY)
        bias, held = tensors.get("bias"), tensors.get("rows")
        if bias is None or held is None or held.shape != (*bias.shape, _KEY):
            raise DistnormError(f"{path} without a bias per row", "one each", _REMEDY)
    if about.get("normalization") != checksum or about.get("side") != side:
        raise DistnormError(
            f"biases of another normalization or side in {path}", "those of this one", _REMEDY
        )
    store = None if commit is None else commit.id
    if None not in (store, about.get("store")) and about["store"] != store:
        raise DistnormError(f"biases of another store in {path}", "those of this one", _REMEDY)
    if not np.isfinite(bias).all() or bias.ndim != 1:
        raise DistnormError(f"{path} with biases that are no numbers", "finite ones", _REMEDY)
    if old is None:
        return np.ascontiguousarray(held, np.uint8).view(f"S{_KEY}").ravel(), bias
    # Rows by their numbers mean what they meant where none has ever left.
    stayed = commit is not None and commit.number is not None and not commit.removed
    if not stayed or len(bias) > len(keys):
        raise DistnormError(
            f"biases by row number in {path}, as older versions kept them",
            "biases by content, as items may have left since",
            f"delete {path} and search again",
        )
    return keys[: len(bias)], bias


def _by_number(path: Path) -> tuple[dict[str, str], Float64] | None:
    """Settings and biases of a file of older versions, None for any other file."""
    try:
        with safe_open(path, "numpy") as file:
            about = file.metadata() or {}
            if "distnorm" in about or "normalization" not in about:
                return None
            return about, np.asarray(file.get_tensor("bias"), dtype=np.float64)
    except (SafetensorError, OSError, UnicodeError, ValueError, TypeError):
        return None


def _write(
    path: Path, keys: Keys, bias: Float64, checksum: str, side: str, commit: Commit | None
) -> None:
    about = {
        "kept": "biases",
        "normalization": checksum,
        "side": side,
        "store": None if commit is None else commit.id,
        "commit": None if commit is None else commit.number,
    }
    rows = np.frombuffer(keys.tobytes(), np.uint8).reshape(len(keys), _KEY)
    storage.write(path, about, {"bias": bias, "rows": rows})

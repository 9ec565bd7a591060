"""Ids of items in a file of arrays: numbers, texts, UUIDs and bytes, each of them in its own type.

Whole numbers of 64 bits and texts are arrays of their own kind under ``ids``; anything else, and
what is mixed, is a JSON text per id under ``marked_ids``: ``["uuid", "..."]``. NumPy would make
texts of mixed ids, round large numbers, and cut zeros off the end of bytes and texts.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

import numpy as np

from distnorm.arrays import NDArray
from distnorm.errors import DistnormError

__all__ = ["arrays_of_ids", "ids_of_arrays"]

_LEAST, _MOST = -(2**63), 2**63 - 1


def arrays_of_ids(ids: Sequence[Any]) -> dict[str, NDArray]:
    """Arrays that hold these ids."""
    ids = [item.item() if isinstance(item, np.generic) else item for item in ids]
    if all(type(item) is int and _LEAST <= item <= _MOST for item in ids):
        return {"ids": np.array(ids, dtype=np.int64)}
    if all(type(item) is str and not item.endswith("\0") for item in ids):
        return {"ids": np.array(ids, dtype=np.str_)}
    return {"marked_ids": np.array([_marked(item) for item in ids], dtype=np.str_)}


def ids_of_arrays(arrays: Mapping[str, NDArray]) -> list[Any]:
    """The ids that `arrays_of_ids` took."""
    if "marked_ids" not in arrays:
        ids: list[Any] = arrays["ids"].tolist()
        return ids
    return [_unmarked(*json.loads(text)) for text in arrays["marked_ids"].tolist()]


def _marked(item: Any) -> str:
    if isinstance(item, UUID):
        return json.dumps(["uuid", str(item)])
    if isinstance(item, bytes):
        return json.dumps(["bytes", item.hex()])
    if isinstance(item, (int, str)) and not isinstance(item, bool):
        return json.dumps(["", item])
    raise DistnormError(
        f"an id of type {type(item).__name__}",
        "whole numbers, texts, UUIDs or bytes",
        "name another column of ids with id=",
    )


def _unmarked(kind: str, value: Any) -> Any:
    if kind == "uuid":
        return UUID(value)
    return bytes.fromhex(value) if kind == "bytes" else value

"""Vectors written as people keep them: Parquet files, folders of .npy shards, Lance data sets."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

pa = pytest.importorskip("pyarrow")
import pyarrow.parquet as pq

SIZES = (300, 1, 250, 149)  # skewed


def parts(rows: Any, sizes: Any = SIZES) -> list[Any]:
    return np.split(rows, np.cumsum(sizes)[:-1])


def lists(rows: Any, kind: str = "fixed") -> Any:
    flat = pa.array(np.ascontiguousarray(rows).ravel())
    if kind == "fixed":
        return pa.FixedSizeListArray.from_arrays(flat, rows.shape[1])
    offsets = np.arange(len(rows) + 1, dtype=np.int32) * rows.shape[1]
    return pa.ListArray.from_arrays(offsets, flat)


def parquet_folder(
    folder: Path, rows: Any, kind: str = "fixed", sizes: Any = SIZES, group: int = 100
) -> Path:
    folder.mkdir()
    for number, part in enumerate(parts(rows, sizes)):
        table = pa.table({"id": np.arange(len(part)), "emb": lists(part, kind)})
        pq.write_table(table, folder / f"part-{number}.parquet", row_group_size=group)
    return folder


def npy_folder(folder: Path, rows: Any, sizes: Any = SIZES) -> Path:
    (folder / "img_emb").mkdir(parents=True)
    for number, part in enumerate(parts(rows, sizes)):
        np.save(folder / "img_emb" / f"img_emb_{number}.npy", part)
    return folder


def lance_set(folder: Path, rows: Any, sizes: Any = SIZES) -> Path:
    lance = pytest.importorskip("lance", reason="needs the extra 'ray'")
    for number, part in enumerate(parts(rows, sizes)):
        table = pa.table({"id": np.arange(len(part)), "emb": lists(part)})
        lance.write_dataset(table, folder, mode="create" if number == 0 else "append")
    return folder

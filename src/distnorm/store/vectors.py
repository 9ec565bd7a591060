"""Embeddings from files: .npy, .npz, .safetensors, .parquet, .csv and folders of shards.

.npy and .safetensors are memory-mapped, so a file larger than memory can be fitted. Which files of
a folder count is the business of `distnorm.store.layout`.
"""

from __future__ import annotations

import json
import os
import re
import struct
import zipfile
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from distnorm.errors import DistnormError, require
from distnorm.store.layout import PARTS, Commit, at_commit
from distnorm.system.files import missing_file, plain_errors
from distnorm.system.shards import ShardedRows

__all__ = ["has_vectors", "open_embeddings", "read_embeddings", "read_sides"]

_SAFETENSORS_DTYPES = {"F16": np.float16, "F32": np.float32, "F64": np.float64}
_PARQUET_COLUMNS = ("embedding", "emb", "vector", "embeddings")


def read_embeddings(
    path: str | os.PathLike[str] | Commit, side: str = "image", *, key: str | None = None
) -> npt.NDArray[Any]:
    """Read one side's embeddings, memory-mapped where the format allows.

    Parameters
    ----------
    path : path or Commit
        .npy, .npz, .safetensors, .parquet, .csv (one row per line, a head is skipped), or a
        clip-retrieval folder.
    side : str
        Which side's shards of a folder, and which array of a file that holds several.
    key : str, optional
        Name of the array or column; else the only one, or the one named after the side.

    Returns
    -------
    ndarray, shape (n, d)

    Raises
    ------
    DistnormError
        For a missing, unreadable or ambiguous file.
    """
    if isinstance(path, Commit):
        rows = open_embeddings(path, side, key=key)
    else:
        rows = at_commit(path, lambda commit: open_embeddings(commit, side, key=key))
    return np.concatenate(rows.parts) if isinstance(rows, ShardedRows) else rows


def read_sides(paths: Mapping[str, str | os.PathLike[str]]) -> dict[str, npt.NDArray[Any]]:
    """`read_embeddings` of several sides; those of one store are of one commit, row by row."""
    rows: dict[str, npt.NDArray[Any]] = {}
    for place in dict.fromkeys(os.fspath(path) for path in paths.values()):
        own = [side for side, path in paths.items() if os.fspath(path) == place]
        rows |= at_commit(place, partial(_read_all, own))
    return {side: rows[side] for side in paths}


def open_embeddings(
    path: str | os.PathLike[str] | Commit, side: str = "image", *, key: str | None = None
) -> npt.NDArray[Any] | ShardedRows:
    """As `read_embeddings`, but several shards of a folder stay in their files."""
    commit = path if isinstance(path, Commit) else Commit.read(path)
    with plain_errors(commit.folder):
        if not commit.folder.is_dir():
            return _read_file(commit.folder, side, key)
    parts = _shards(commit, side)
    return parts[0] if len(parts) == 1 else ShardedRows(parts)


def has_vectors(path: Path) -> bool:
    """Whether a Parquet file holds a column of embeddings."""
    floating = require("pyarrow", "embed").types.is_floating
    schema = require("pyarrow.parquet", "embed").read_schema(path)
    return any(floating(field.type.value_type) for field in _lists(schema))


def _read_file(target: Path, side: str, key: str | None) -> npt.NDArray[Any]:
    if not target.exists():
        raise missing_file(target)
    readers = {
        ".npy": _read_npy,
        ".npz": _read_npz,
        ".safetensors": _read_safetensors,
        ".parquet": _read_parquet,
        ".csv": _read_csv,
    }
    reader = readers.get(Path(target.name.removesuffix(".new")).suffix.lower())
    if reader is None:
        raise DistnormError(
            f"{target} of type {target.suffix or 'unknown'}",
            ".npy, .npz, .safetensors, .parquet, .csv or a clip-retrieval folder",
            "save the matrix with numpy.save",
        )
    try:
        return reader(target, side, key)
    except DistnormError:
        raise
    except (ValueError, OSError, EOFError, KeyError, struct.error, zipfile.BadZipFile) as error:
        why = str(error).splitlines()[0] if str(error) else "empty"
        raise DistnormError(
            f"{target}, which cannot be read ({why})",
            f"a whole {target.suffix} file of numbers",
            "write it again: it is truncated, damaged or holds objects",
        ) from error


def _read_npy(path: Path, side: str, key: str | None) -> npt.NDArray[Any]:
    del side, key
    return np.load(path, mmap_mode="r", allow_pickle=False)  # type: ignore[no-any-return]


def _read_npz(path: Path, side: str, key: str | None) -> npt.NDArray[Any]:
    # Opened here: NumPy leaves a file open that turns out not to be an archive.
    with path.open("rb") as raw, np.load(raw, allow_pickle=False) as file:
        return np.asarray(file[_choose(list(file.files), path, side, key)])


def _read_safetensors(path: Path, side: str, key: str | None) -> npt.NDArray[Any]:
    size = path.stat().st_size
    with path.open("rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        if length > size - 8:
            raise ValueError("its header is longer than the file")
        header = json.loads(file.read(length))
    header.pop("__metadata__", None)
    entry = header[_choose(list(header), path, side, key)]
    shape, (start, stop) = tuple(entry["shape"]), entry["data_offsets"]
    kind = np.uint16 if entry["dtype"] == "BF16" else _SAFETENSORS_DTYPES.get(entry["dtype"])
    if kind is None:
        raise DistnormError(
            f"{path} of dtype {entry['dtype']}", "F16, BF16, F32 or F64", "convert it first"
        )
    if 8 + length + stop > size or not all(shape) or stop - start != np.prod(shape) * kind().nbytes:
        raise ValueError("it ends before its data")
    raw: npt.NDArray[Any] = np.memmap(path, kind, "r", offset=8 + length + start, shape=shape)
    if entry["dtype"] == "BF16":
        return (np.asarray(raw).astype(np.uint32) << 16).view(np.float32)
    return raw


def _read_parquet(path: Path, side: str, key: str | None) -> npt.NDArray[Any]:
    parquet = require("pyarrow.parquet", "parquet")
    file = parquet.ParquetFile(path)
    names = [field.name for field in _lists(file.schema_arrow)]
    column = file.read([_choose(names, path, side, key)]).column(0).combine_chunks()
    if column.null_count:
        raise DistnormError(f"{path} with empty rows", "an embedding in every row", "drop them")
    lengths = require("pyarrow.compute", "parquet").list_value_length(column).unique().to_pylist()
    if len(lengths) > 1:
        raise DistnormError(
            f"{path} with rows of {min(lengths)} to {max(lengths)} numbers",
            "one length",
            "drop the rows of another length, or embed them again",
        )
    flat = column.flatten().to_numpy(zero_copy_only=False)
    return np.asarray(flat.reshape(len(column), -1))


def _lists(schema: Any) -> list[Any]:
    types = require("pyarrow", "parquet").types
    tests = (types.is_list, types.is_large_list, types.is_fixed_size_list)
    return [field for field in schema if any(test(field.type) for test in tests)]


def _read_csv(path: Path, side: str, key: str | None) -> npt.NDArray[Any]:
    del side, key
    with path.open(encoding="utf-8") as file:
        head = re.match(r"\s*[-+.\d]|\s*nan|\s*inf", file.readline(), re.IGNORECASE) is None
    return np.loadtxt(path, delimiter=",", dtype=np.float32, ndmin=2, skiprows=int(head))


def _shards(commit: Commit, side: str) -> list[npt.NDArray[Any]]:
    part = PARTS.get(side, f"{side}_emb")
    files = commit.counted_files(part)
    if not files:
        raise DistnormError(
            f"the directory {commit.folder} without {part}/*.npy",
            "a clip-retrieval folder, or a file",
            f"name the {side} embeddings' file",
        )
    shards = [_first_rows(_read_file(file, side, None), file, rows) for file, rows in files]
    if len({(rows.shape[1:], rows.dtype) for rows in shards}) > 1:
        raise DistnormError(
            f"{commit.folder / part} with shards of different dimensions or dtypes",
            "one kind",
            "split it",
        )
    return shards


def _read_all(sides: list[str], commit: Commit) -> dict[str, npt.NDArray[Any]]:
    return {side: read_embeddings(commit, side) for side in sides}


def _first_rows(rows: npt.NDArray[Any], file: Path, count: int | None) -> npt.NDArray[Any]:
    """The rows of a shard that count."""
    if count is None:
        return rows
    if rows.ndim != 2 or len(rows) < count:
        raise DistnormError(
            f"{file} of shape {rows.shape}", f"{count} rows as store.json says", "embed again"
        )
    return rows[:count]


def _choose(names: list[str], path: Path, side: str, key: str | None) -> str:
    candidates = [key] if key is not None else [side, f"{side}s", *_PARQUET_COLUMNS]
    for name in candidates:
        if name in names:
            return name
    if key is None and len(names) == 1:
        return names[0]
    raise DistnormError(
        f"{path} with {', '.join(map(repr, names)) or 'no matrices'}",
        f"one called {candidates[0]!r}, or a single one",
        "rename it, or save the matrix alone with numpy.save",
    )

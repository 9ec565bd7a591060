"""Embeddings from files: .npy, .npz, .safetensors, .parquet, .csv and clip-retrieval folders.

.npy and .safetensors are memory-mapped, so a file larger than memory can be fitted. A folder
in the clip-retrieval layout holds ``img_emb/img_emb_0.npy``, ``text_emb/text_emb_0.npy`` and so
on, with rows in the order of the files' numbers. Where a ``store.json`` says which of them count,
others are left alone: they belong to a run that is under way or was cut off.
"""

from __future__ import annotations

import json
import os
import re
import struct
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from distnorm.errors import DistnormError, require
from distnorm.system.files import missing_file
from distnorm.system.shards import ShardedRows

__all__ = [
    "PARTS",
    "open_embeddings",
    "read_embeddings",
    "read_model",
    "read_names",
    "shard_files",
    "shard_path",
    "stored",
]

PARTS = {"image": "img_emb", "text": "text_emb"}
_SAFETENSORS_DTYPES = {"F16": np.float16, "F32": np.float32, "F64": np.float64}
_PARQUET_COLUMNS = ("embedding", "emb", "vector", "embeddings")


def read_embeddings(
    path: str | os.PathLike[str], side: str = "image", *, key: str | None = None
) -> npt.NDArray[Any]:
    """Read one side's embeddings, memory-mapped where the format allows.

    Parameters
    ----------
    path : path
        .npy, .npz, .safetensors, .parquet, .csv (a row a line, a head is skipped), or a
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
    target = Path(path)
    if target.is_dir():
        return _read_folder(target, side)
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


def open_embeddings(
    path: str | os.PathLike[str], side: str = "image", *, key: str | None = None
) -> npt.NDArray[Any] | ShardedRows:
    """As `read_embeddings`, but several shards of a folder stay in their files."""
    target = Path(path)
    if not target.is_dir():
        return read_embeddings(target, side, key=key)
    parts = _shards(target, side)
    return parts[0] if len(parts) == 1 else ShardedRows(parts)


def read_model(path: str | os.PathLike[str]) -> str | None:
    """The model id that a store's ``store.json`` names, None where nothing does."""
    found = stored(path).get("model_id")
    return None if found is None else str(found)


def stored(path: str | os.PathLike[str]) -> dict[str, Any]:
    """What a store's ``store.json`` says; nothing where there is none.

    Raises
    ------
    DistnormError
        If it is damaged.
    """
    marker = Path(path) / "store.json"
    if not marker.is_file():
        return {}
    try:
        found = json.loads(marker.read_text("utf-8"))
    except ValueError as error:
        raise DistnormError(f"{marker}, which is damaged", "whole JSON", "embed again") from error
    if not isinstance(found, dict):
        raise DistnormError(f"{marker}, which is damaged", "a JSON object", "embed again")
    return found


def shard_path(path: str | os.PathLike[str], part: str, number: int) -> Path:
    """The file of one shard: ``part`` is "img_emb", "text_emb" or "metadata"."""
    return Path(path) / part / f"{part}_{number}.{'parquet' if part == 'metadata' else 'npy'}"


def shard_files(path: str | os.PathLike[str], part: str) -> list[Path]:
    """A folder's shards in the order of rows.

    A shard that ``store.json`` calls pending counts in its new version, which a run that was cut
    off has not given its name yet.
    """
    about = stored(path)
    if "shards" not in about:
        end = "parquet" if part == "metadata" else "npy"
        return sorted((Path(path) / part).glob(f"*.{end}"), key=_number)
    files = []
    for number in sorted(map(int, about["shards"])):
        file = shard_path(path, part, number)
        newer = file.with_name(f"{file.name}.new")
        if number in about.get("pending", ()) and newer.exists():
            file = newer
        if file.exists() or (Path(path) / part).is_dir():
            files.append(file)
    return files


def read_names(path: str | os.PathLike[str], side: str = "image") -> list[str]:
    """What each row is called: its path or its caption, else its number.

    Parameters
    ----------
    path : path
        As `read_embeddings`; only a store's ``metadata`` folder holds names.
    side : str
        Images go by their path, texts by their caption.

    Raises
    ------
    DistnormError
        If there are names for another number of rows.
    """
    rows = len(open_embeddings(path, side))
    files = shard_files(path, "metadata")
    if not files:
        return [f"#{row}" for row in range(rows)]
    parquet = require("pyarrow.parquet", "parquet")
    wanted = ("image_path", "path", "url") if side == "image" else ("caption", "text")
    names: list[str] = []
    for file in files:
        table = parquet.read_table(file)
        column = next((name for name in wanted if name in table.column_names), None)
        found = [None] * table.num_rows if column is None else table.column(column).to_pylist()
        names += [
            f"#{len(names) + i}" if name is None else str(name) for i, name in enumerate(found)
        ]
    if len(names) != rows:
        raise DistnormError(
            f"{path} with {rows} {side} rows and metadata of {len(names)}",
            "one line a row",
            "embed again",
        )
    return names


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
    arrow = require("pyarrow", "parquet")
    file = parquet.ParquetFile(path)
    names = [
        field.name
        for field in file.schema_arrow
        if arrow.types.is_list(field.type)
        or arrow.types.is_large_list(field.type)
        or arrow.types.is_fixed_size_list(field.type)
    ]
    column = file.read([_choose(names, path, side, key)]).column(0).combine_chunks()
    if column.null_count:
        raise DistnormError(f"{path} with empty rows", "an embedding in every row", "drop them")
    flat = column.flatten().to_numpy(zero_copy_only=False)
    if len(flat) % max(1, len(column)):
        raise DistnormError(f"{path} with rows of different lengths", "one length", "mend it")
    return np.asarray(flat.reshape(len(column), -1))


def _read_csv(path: Path, side: str, key: str | None) -> npt.NDArray[Any]:
    del side, key
    with path.open(encoding="utf-8") as file:
        head = re.match(r"\s*[-+.\d]|\s*nan|\s*inf", file.readline(), re.IGNORECASE) is None
    return np.loadtxt(path, delimiter=",", dtype=np.float32, ndmin=2, skiprows=int(head))


def _read_folder(path: Path, side: str) -> npt.NDArray[Any]:
    parts = _shards(path, side)
    return parts[0] if len(parts) == 1 else np.concatenate(parts)


def _shards(path: Path, side: str) -> list[npt.NDArray[Any]]:
    name = PARTS.get(side, f"{side}_emb")
    shards = shard_files(path, name)
    if not shards:
        raise DistnormError(
            f"the directory {path} without {name}/*.npy",
            "a clip-retrieval folder, or a file",
            f"name the {side} embeddings' file",
        )
    parts = [read_embeddings(shard, side) for shard in shards]
    if len({(part.shape[1:], part.dtype) for part in parts}) > 1:
        raise DistnormError(
            f"{path / name} with shards of different dimensions or dtypes", "one kind", "split it"
        )
    return parts


def _number(path: Path) -> tuple[int, str]:
    digits = re.findall(r"\d+", path.stem)
    return (int(digits[-1]) if digits else -1, path.stem)


def _choose(names: list[str], path: Path, side: str, key: str | None) -> str:
    wanted = [key] if key is not None else [side, f"{side}s", *_PARQUET_COLUMNS]
    for name in wanted:
        if name in names:
            return name
    if key is None and len(names) == 1:
        return names[0]
    raise DistnormError(
        f"{path} with {', '.join(map(repr, names)) or 'no matrices'}",
        f"one called {wanted[0]!r}, or a single one",
        "rename it, or save the matrix alone with numpy.save",
    )

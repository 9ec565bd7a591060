"""Embeddings from files and folders of shards.

.npy and .safetensors are memory-mapped, so a file larger than memory can be fitted. Which files of
a folder count is the business of `distnorm.store.layout`; how a format is read, and which of
several matrices is meant, that of the modules beside this one.
"""

from __future__ import annotations

import os
import re
import struct
import warnings
import zipfile
import zlib
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from tokenize import TokenError
from typing import Any

import numpy as np
import numpy.typing as npt

from distnorm.array_kinds import shape_error
from distnorm.errors import DistnormError, DistnormWarning
from distnorm.store.column_files import is_lance
from distnorm.store.layout import PARTS, Commit, at_commit, has_shards, in_order, is_store
from distnorm.store.vector_choice import check_names, choose, without_key
from distnorm.store.vector_files import (
    arrow_vectors,
    read_arrow,
    read_npy,
    read_npz,
    read_safetensors,
)
from distnorm.store.vector_json import json_vectors, read_json
from distnorm.store.vector_text import read_table, table_vectors
from distnorm.system.conversions import CONVERSIONS, RAW, kind_of_file, kind_of_folder
from distnorm.system.files import missing_file, plain_errors
from distnorm.system.shards import ShardedRows

__all__ = ["has_vectors", "open_embeddings", "read_embeddings", "read_sides", "shard_files"]

_READERS: Mapping[str, Callable[[Path], Mapping[str, Callable[[], npt.NDArray[Any]]]]] = {
    ".npy": read_npy,
    ".npz": read_npz,
    ".safetensors": read_safetensors,
    ".parquet": read_arrow,
    ".arrow": read_arrow,
    ".feather": read_arrow,
    ".lance": read_arrow,
    ".csv": read_table,
    ".tsv": read_table,
    ".txt": read_table,
    ".vec": read_table,
    ".json": read_json,
    ".jsonl": read_json,
    ".ndjson": read_json,
}
_BINARY = (".npy", ".npz", ".safetensors")
_ARROW = (".parquet", ".arrow", ".feather")
_PICTURES = (".jpg", ".jpeg", ".png", ".webp")
_SHARDS = (".npy", ".safetensors", ".parquet", ".arrow", ".feather")
_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_NUMBER = re.compile(r"\d*|c\d{3}|[0-9a-f]{8,}|(?=.*\d)[0-9A-Za-z]{16,}")
_TEXTS = (".csv", ".tsv", ".txt", ".vec")


def read_embeddings(
    path: str | os.PathLike[str] | Commit, side: str = "image", *, key: str | None = None
) -> npt.NDArray[Any]:
    """Read one side's embeddings, memory-mapped where the format allows.

    Parameters
    ----------
    path : path or Commit
        .npy, .npz, .safetensors, .parquet, .arrow, .feather, a Lance data set; .csv, .tsv and .txt
        with one row per line, columns of numbered names or a column of lists; .json and .jsonl; or
        a folder of shards, clip-retrieval's or a plain one.
    side : str
        Which side's shards of a folder, and which array of a file that holds several.
    key : str, optional
        Name of the array or column (of numbered columns: what precedes the number); else the
        one named after the side, or the only one that is not another side's. A file of one
        nameless matrix has none.

    Returns
    -------
    ndarray, shape (n, d)

    Raises
    ------
    DistnormError
        For a missing, unreadable or ambiguous file, and a key for one without names.

    Warns
    -----
    DistnormWarning
        For columns that were left out: row numbers, names, labels.
    """
    if isinstance(path, Commit):
        rows = open_embeddings(path, side, key=key)
    else:
        rows = at_commit(path, lambda commit: open_embeddings(commit, side, key=key))
    return np.concatenate(rows.parts) if isinstance(rows, ShardedRows) else rows


def read_sides(
    paths: Mapping[str, str | os.PathLike[str]], keys: Mapping[str, str] | None = None
) -> dict[str, npt.NDArray[Any]]:
    """`read_embeddings` of several sides; those of one store are of one commit, row by row.

    ``keys`` are names of arrays or columns by side.
    """
    named = {side: [(keys or {}).get(side, os.fspath(path))] for side, path in paths.items()}
    check_names(named)
    rows: dict[str, npt.NDArray[Any]] = {}
    for place in dict.fromkeys(os.fspath(path) for path in paths.values()):
        own = [side for side, path in paths.items() if os.fspath(path) == place]
        rows |= at_commit(place, partial(_read_all, own, keys or {}))
    return {side: rows[side] for side in paths}


def open_embeddings(
    path: str | os.PathLike[str] | Commit, side: str = "image", *, key: str | None = None
) -> npt.NDArray[Any] | ShardedRows:
    """As `read_embeddings`, but several shards of a folder stay in their files."""
    commit = path if isinstance(path, Commit) else Commit.read(path)
    with plain_errors(commit.folder):
        if not commit.folder.is_dir() or is_lance(commit.folder):
            return _read_file(commit.folder, side, key)
    parts = _shards(commit, side, key)
    return parts[0] if len(parts) == 1 else ShardedRows(parts)


def has_vectors(path: str | os.PathLike[str]) -> bool:
    """Whether a file or folder holds embeddings, rather than pictures or words to embed.

    So do files of kinds that have to be converted first: reading them says how.
    """
    target = Path(path)
    if is_lance(target):
        return arrow_vectors(target)
    if target.is_dir():
        if has_shards(target) or kind_of_folder(target):
            return True
        return bool(_plain_shards(target)) or _part_of(target) is not None
    end = target.suffix.lower()
    if end in _ARROW:
        return arrow_vectors(target)
    if end in (".json", ".jsonl", ".ndjson"):
        return json_vectors(target)
    if end in _TEXTS:
        return table_vectors(target)
    return end in _BINARY or (
        end in CONVERSIONS and end not in (".gz", ".zip", ".bz2", ".xz", ".zst")
    )


def _read_file(target: Path, side: str, key: str | None) -> npt.NDArray[Any]:
    if not target.exists():
        raise missing_file(target)
    end = ".lance" if is_lance(target) else Path(target.name.removesuffix(".new")).suffix.lower()
    found = kind_of_file(target) if target.is_file() else None
    if found == ".lfs" or (end not in _READERS and end not in CONVERSIONS):
        end = found or end
    if end in CONVERSIONS:
        raise DistnormError(
            f"{target}, a {end} file",
            "a matrix in .npy, .npz, .safetensors, .parquet or .csv",
            f"convert it: {CONVERSIONS[end]}".replace("FILE", repr(str(target))),
        )
    reader = _READERS.get(end)
    if reader is None:
        raise DistnormError(
            f"{target} of type {target.suffix or 'unknown'}",
            f"{', '.join(_READERS)}, or a folder of shards",
            f"save the matrix with numpy.save; of numbers without a head, {RAW}".replace(
                "FILE", repr(str(target))
            ),
        )
    try:
        matrices = reader(target)
        rows = matrices[choose(list(matrices), target, side, key)]()
        if not rows.ndim:
            raise shape_error(rows.shape, str(target))
        return rows
    except DistnormError as error:
        remedy = error.remedy.replace("FILE", repr(str(target)))
        raise type(error)(error.got, error.expected, remedy) from error.__cause__
    except MemoryError as error:
        raise DistnormError(
            f"{target}, which needs more memory than there is",
            "one that fits, and is not damaged",
            "save the matrix as .npy, which is read in parts",
        ) from error
    except _UNREADABLE as error:
        why = str(error).splitlines()[0] if str(error) else "empty"
        raise DistnormError(
            f"{target}, which cannot be read ({why})",
            f"a whole {target.suffix} file of numbers",
            "write it again: it is truncated, damaged or holds objects",
        ) from error


_UNREADABLE = (
    ValueError,
    OSError,
    EOFError,
    LookupError,
    TypeError,
    AttributeError,
    OverflowError,
    RuntimeError,  # of encodings that pyarrow does not read, nesting, members under a password
    struct.error,
    zipfile.BadZipFile,
    zlib.error,
)


def shard_files(
    commit: Commit, side: str, key: str | None = None
) -> tuple[list[tuple[Path, int | None]], Path, str | None]:
    """The files of one side's rows in a folder, their place, and which of a file's matrices counts.

    With each file the rows that count of it, None for all. ``key`` is the name of a series of
    files, or of a column of the only series of Parquet files.

    Raises
    ------
    DistnormError
        If there are none, they are another side's, or it is not plain which are meant.
    """
    part = PARTS.get(side, f"{side}_emb")
    inside: str | None = None
    name: str | None = None
    files, place = commit.counted_files(part), commit.folder / part
    if not files and side not in PARTS:
        # Sides of other names, such as query and document: whichever the folder has alone.
        others = [name for name in PARTS.values() if commit.counted_files(name)]
        if len(others) == 1:
            part = others[0]
            files, place = commit.counted_files(part), commit.folder / part
    if not files and not is_store(commit.folder) and not has_shards(commit.folder):
        place = commit.folder
        foreign = kind_of_folder(place)
        if foreign is not None:
            kind, convert = foreign
            remedy = f"convert it: {convert}".replace("FILE", repr(str(place)))
            raise DistnormError(f"{place}, {kind}", "a file or a folder of vectors", remedy)
        named = _part_of(place)
        if named not in (None, side) and key is None:
            raise DistnormError(
                f"the folder {place} for the {side} side",
                f"one of {side} embeddings, such as {PARTS.get(side, part)}",
                "name the other folder, or the folder above both",
            )
        series = _plain_shards(place)
        if series:
            single = next(iter(series.values()))[0] if len(series) == 1 else None
            column = single is not None and single.suffix == ".parquet" and key not in series
            inside = key if column else None
            only = single is not None and (key is None or named is not None or column)
            name = next(iter(series)) if only else choose(list(series), place, side, key)
            files = [(file, None) for file in series[name]]
    held = [other for other in commit.held if other != side]
    if not files and held and side in PARTS:
        raise DistnormError(
            f"{commit.folder}, which has {' and '.join(held)} embeddings alone",
            f"a store with the {side} side",
            f"pass it as the {held[0]} side, if the two were swapped, or embed its {side} side",
        )
    if not files:
        raise DistnormError(
            f"the directory {commit.folder} without {part}/*.npy",
            "a clip-retrieval folder, a folder of shards, or a file",
            f"embed its pictures first: distnorm embed {commit.folder} --model NAME --out store"
            if any(each.suffix.lower() in _PICTURES for each in commit.folder.iterdir())
            else _single_vectors(commit.folder) or f"name the {side} embeddings' file",
        )
    if key is not None and key not in (name, inside):
        raise without_key(key, place, side)
    if not is_store(commit.folder):
        _say_lacking([file for file, _ in files], place)
    return files, place, inside


def _single_vectors(folder: Path) -> str:
    """How files of a vector each become a matrix; empty where there are none."""
    if not any(folder.glob("*.npy")):
        return ""
    return (
        f"of files with a vector each: numpy.save('rows.npy', numpy.stack([numpy.load(f) for f in "
        f"sorted(glob.glob({str(folder / '*.npy')!r}))]))"
    )


def _shards(commit: Commit, side: str, key: str | None) -> list[npt.NDArray[Any]]:
    files, place, inside = shard_files(commit, side, key)
    shards = [_first_rows(_read_file(file, side, inside), file, rows) for file, rows in files]
    for (file, _), rows in zip(files, shards, strict=True):
        if rows.shape[1:] != shards[0].shape[1:] or (rows.dtype.kind != shards[0].dtype.kind):
            raise DistnormError(
                f"{place} with shards of different dimensions or kinds of numbers: {file.name} of "
                f"shape {rows.shape} in {rows.dtype}",
                f"{shards[0].shape[1:]} in floats as in {files[0][0].name}",
                "keep shards of one model in a folder",
            )
    return shards


def _say_lacking(files: list[Path], place: Path) -> None:
    """Warn of numbers that a series of shards leaves out."""
    found = [re.search(r"(\d{1,9})(?:[_-]of[_-](\d{1,9}))?$", file.stem) for file in files]
    matches = [match for match in found if match is not None]
    numbers = {int(match[1]) for match in matches}
    if len(numbers) != len(files):
        return
    count = max((int(match[2] or 0) for match in matches), default=0)
    last = max(max(numbers) + 1, min(numbers) + count)
    if last - min(numbers) == len(numbers) or last - min(numbers) > 2 * len(numbers):
        return
    lacking = [number for number in range(min(numbers), last) if number not in numbers]
    shown = ", ".join(map(str, lacking[:5])) + (" ..." if len(lacking) > 5 else "")
    words = f"{place}: shards of the numbers {shown} are not there ({len(lacking)} in all)"
    warnings.warn(words, DistnormWarning, stacklevel=6)


def _read_all(
    sides: list[str], keys: Mapping[str, str], commit: Commit
) -> dict[str, npt.NDArray[Any]]:
    return {side: read_embeddings(commit, side, key=keys.get(side)) for side in sides}


def _first_rows(rows: npt.NDArray[Any], file: Path, count: int | None) -> npt.NDArray[Any]:
    """The rows of a shard that count."""
    if count is None:
        return rows
    if rows.ndim != 2 or len(rows) < count:
        raise DistnormError(
            f"{file} of shape {rows.shape}", f"{count} rows as store.json says", "embed again"
        )
    return rows[:count]


def _part_of(folder: Path) -> str | None:
    """The side whose folder of shards this is, by its name."""
    name = folder.resolve().name
    found = next((side for side, part in PARTS.items() if part == name), None)
    return found if found and any(folder.glob("*.npy")) else None


def _plain_shards(folder: Path) -> dict[str, list[Path]]:
    """Files of vectors right in a folder, in series by the part of their names before a number."""
    for end in _SHARDS:
        series: dict[str, list[Path]] = {}
        files = sorted(folder.glob(f"*{end}"), key=in_order)
        if end == ".parquet":
            # What engines write: hidden files aside, and folders such as language=de.
            files = [file for file in files if not file.name.startswith((".", "_"))]
            files = files or sorted(folder.glob(f"*=*/**/[!._]*{end}"))
        for file in files:
            stem = re.sub(r"[\s_.-]*\d+([_-]of[_-]\d+)?$", "", file.stem)
            series.setdefault(stem, []).append(file)
        names = {_name_of_part(stem) for stem in series}
        if end == ".parquet" and len(series) > 1 and len(names) == 1:
            series = {names.pop(): files}
        found = {stem: files for stem, files in series.items() if _is_matrix(files[0])}
        if found:
            return found
    return {}


def _name_of_part(stem: str) -> str:
    """What parts of one data set have in common: Spark and Ray add numbers and ids to names."""
    words = re.split(r"[\W_]+", _ID.sub("", stem))
    return "_".join(word for word in words if not _NUMBER.fullmatch(word)) or "part"


def _is_matrix(file: Path) -> bool:
    if file.suffix in _ARROW:
        return arrow_vectors(file)
    if file.suffix != ".npy":
        return True
    try:
        return bool(np.load(file, mmap_mode="r", allow_pickle=False).ndim > 1)
    except (ValueError, OSError, EOFError, SyntaxError, TokenError):
        return True  # reading it says what is wrong

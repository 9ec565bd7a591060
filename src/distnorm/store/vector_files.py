"""Matrices in binary files: .npy, .npz, .safetensors, Parquet, Lance, Arrow; and from others.

A reader gives the matrices of a file by name, each to be read when it is asked for.
"""

from __future__ import annotations

import json
import math
import re
import struct
import tokenize
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError, safe_open

from distnorm.errors import DistnormError, require
from distnorm.store.column_files import column_file, is_lance
from distnorm.store.vector_choice import called_vectors, speaks_of_vectors
from distnorm.store.vector_packed import unpacking
from distnorm.system.separated import named_twice

__all__ = [
    "arrow_columns",
    "arrow_rows",
    "arrow_vectors",
    "families",
    "list_depth",
    "read_arrow",
    "read_npy",
    "read_npz",
    "read_safetensors",
]

Matrix = npt.NDArray[Any]
Matrices = Mapping[str, Callable[[], Matrix]]

_SAFETENSORS = {
    "F16": np.float16,
    "F32": np.float32,
    "F64": np.float64,
    "BF16": np.uint16,
    "I8": np.int8,
    "U8": np.uint8,
    "BOOL": np.bool_,
}
_BOX = 4  # numbers
_SAVE = "numpy.save('rows.npy', x)"


def read_npy(path: Path) -> Matrices:
    """The one array, memory-mapped."""
    with path.open("rb") as file:
        start = file.read(6)
    if start[:2] == b"PK":
        return read_npz(path)
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except (tokenize.TokenError, SyntaxError, OverflowError) as error:
        # NumPy reads the header as Python, and raises what Python does.
        raise ValueError("its header is damaged") from error
    except ValueError as error:
        if "Object arrays" in str(error) or "Python objects" in str(error):
            raise _objects(path) from error
        raise
    fields = array.dtype.names
    if fields is not None:
        nested = [name for name in fields if array.dtype[name].shape]
        if not nested:
            raise DistnormError(
                f"{path} of records with {', '.join(map(repr, fields[:6]))}",
                "a matrix of numbers",
                "x = numpy.lib.recfunctions.structured_to_unstructured(numpy.load(FILE)); " + _SAVE,
            )
        return {name: lambda name=name: array[name] for name in nested}  # type: ignore[misc]
    return {"": lambda: array}


def read_npz(path: Path) -> Matrices:
    """The arrays that may be embeddings, by their names."""
    with path.open("rb") as raw:
        if raw.read(6) == b"\x93NUMPY":
            return read_npy(path)
    # Opened here: NumPy leaves a file open that turns out not to be an archive.
    with path.open("rb") as raw, np.load(raw, allow_pickle=False) as file:
        names = list(file.files)
        if {"indices", "indptr", "shape"} <= set(names) or {"row", "col", "shape"} <= set(names):
            raise DistnormError(
                f"{path}, a sparse matrix",
                "a dense one",
                f"x = scipy.sparse.load_npz(FILE).toarray(); {_SAVE}",
            )
        forms = {name: _npz_form(file, name) for name in names}

    def loaded(name: str) -> Matrix:
        with path.open("rb") as raw, np.load(raw, allow_pickle=False) as file:
            return np.asarray(file[name])

    _refuse_single(forms, path, "numpy.load(FILE)")
    return {name: lambda name=name: loaded(name) for name in _likely(forms)}  # type: ignore[misc]


def read_safetensors(path: Path) -> Matrices:
    """The tensors that may be embeddings, memory-mapped; bfloat16 becomes float32."""
    size = path.stat().st_size
    try:
        with safe_open(path, framework="numpy"):
            pass  # the library's own look at offsets, shapes and sizes
    except SafetensorError as error:
        raise ValueError(str(error)) from error
    with path.open("rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        if length > size - 8:
            raise ValueError("its header is longer than the file")
        header = json.loads(file.read(length))
    header.pop("__metadata__", None)
    forms = {}
    for name, entry in header.items():
        kind = _SAFETENSORS.get(entry["dtype"], np.dtype(np.void))
        forms[name] = (tuple(map(int, entry["shape"])), np.dtype(kind))

    def mapped(name: str) -> Matrix:
        entry, (shape, dtype) = header[name], forms[name]
        start, stop = map(int, entry["data_offsets"])
        if dtype.kind == "V":
            raise DistnormError(
                f"{path} of dtype {entry['dtype']}", "F16, BF16, F32 or F64", "convert it first"
            )
        nbytes = math.prod(shape) * dtype.itemsize
        if start < 0 or 8 + length + stop > size or not nbytes or stop - start != nbytes:
            raise ValueError("it ends before its data")
        raw: Matrix = np.memmap(path, dtype, "r", offset=8 + length + start, shape=shape)
        if entry["dtype"] == "BF16":
            return (np.asarray(raw).astype(np.uint32) << 16).view(np.float32)
        return raw

    _refuse_single(forms, path, "safetensors.numpy.load_file(FILE)")
    bfloat = {name for name, entry in header.items() if entry["dtype"] == "BF16"}
    likely = _likely(forms | {name: (forms[name][0], np.dtype(np.float32)) for name in bfloat})
    return {name: lambda name=name: mapped(name) for name in likely}  # type: ignore[misc]


def read_arrow(path: Path) -> Matrices:
    """Columns of lists of numbers, or columns of numbers that make rows together."""
    arrow = require("pyarrow", "parquet")
    if path.suffix.lower() == ".parquet" or is_lance(path):
        file = column_file(path)
        schema, table = file.schema_arrow, file.read
    else:
        whole = _arrow_table(path)
        schema = whole.schema
        table = whole.select

    found = arrow_columns(schema, path, arrow.types)
    return {
        name: lambda columns=columns: arrow_rows(table(columns), columns, path)  # type: ignore[misc]
        for name, columns in found.items()
    }


def _arrow_start(path: Path) -> tuple[Any, Callable[[str], Any]]:
    """The schema of a Parquet or Arrow file, and what gives a column's first cell (None: none)."""
    if path.suffix.lower() == ".parquet" or is_lance(path):
        file = column_file(path)

        def first(column: str) -> Any:
            batch = next(file.iter_batches(batch_size=1, columns=[column]), None)
            return batch.column(0)[0].as_py() if batch is not None and len(batch) else None

        return file.schema_arrow, first
    table = _arrow_table(path)
    return table.schema, lambda column: table.column(column)[0].as_py() if len(table) else None


def arrow_vectors(path: Path) -> bool:
    """Whether a Parquet or Arrow file holds embeddings, rather than pictures or words to embed."""
    types = require("pyarrow", "parquet").types
    try:
        schema, first = _arrow_start(path)
    except (ValueError, OSError, NotImplementedError):
        return True  # reading it says what is wrong
    lists = {field.name: list_depth(field.type, types) for field in schema}
    flat = {name: kind for name, (depth, kind) in lists.items() if not depth}
    if sum(map(types.is_floating, flat.values())) > 7:
        return True
    # Beside words, lists may be boxes or tokens of something to embed.
    words = any(not types.is_primitive(kind) for kind in flat.values())
    for name, (depth, kind) in lists.items():
        floats = types.is_floating(kind)
        if depth and (floats or types.is_integer(kind)):
            long = floats and depth == 1 and words and len(first(name) or ()) > _BOX
            if not words or long or speaks_of_vectors(name):
                return True
    return False


def arrow_columns(schema: Any, path: Path | str, types: Any) -> dict[str, list[str]]:
    """Matrices of an Arrow schema by name: one column of lists, or those of numbers in a row."""
    lists = {field.name: list_depth(field.type, types) for field in schema}
    lists = {name: found for name, found in lists.items() if found[0]}
    named_twice(path, [field.name for field in schema if list_depth(field.type, types)[0]])
    floats = [name for name, (_, value) in lists.items() if types.is_floating(value)]
    numeric = [name for name, (_, value) in lists.items() if types.is_integer(value)]
    found = {name: [name] for name in floats or numeric}
    if not found:
        wide = [field.name for field in schema if types.is_floating(field.type)]
        found = families(wide, path)
    # What is called so is meant, and not boxes or colours beside it: reading it says what it is.
    called = called_vectors if found else speaks_of_vectors
    return found | {
        field.name: [field.name]
        for field in schema
        if field.name not in found
        and called(field.name)
        and (field.name in lists or not (types.is_primitive(field.type) or _is_words(field, types)))
    }


def _is_words(field: Any, types: Any) -> bool:
    """Whether texts under a name are what it may mean: features of a product."""
    kind = getattr(field.type, "value_type", field.type)
    return field.name.lower().endswith("features") and not types.is_binary(kind)


def arrow_rows(table: Any, columns: list[str], place: Path | str, start: int = 0) -> Matrix:
    """The matrix of one of `arrow_columns` of an Arrow table, whose first row has number ``start``.

    Raises
    ------
    DistnormError
        For empty cells, several vectors in a cell, different lengths, and no rows.
    """
    if len(columns) > 1:
        parts = [table.column(name).to_numpy(zero_copy_only=False) for name in columns]
        return np.column_stack(parts)
    return _list_rows(table.column(columns[0]), place, columns[0], start)


def families(names: Iterable[str], path: Path | str) -> dict[str, list[str]]:
    """Columns of numbered names, emb_0, emb_1 ..., in the order of their numbers, by prefix."""
    numbered: dict[str, dict[int, str]] = {}
    for name in names:
        match = re.fullmatch(r"(.*?)[\s_.\-\[(]*(\d{1,7})[\])]?", name.strip())
        if match:
            numbered.setdefault(match[1], {})[int(match[2])] = name
    found = {}
    for prefix, columns in numbered.items():
        if len(columns) < 2:
            continue
        first, last = min(columns), max(columns)
        if last - first + 1 != len(columns):
            lacking = next(n for n in range(first, last) if n not in columns)
            if len(columns) < (last - first + 1) // 2:
                continue  # years, versions: no dimensions
            raise DistnormError(
                f"{path} with columns {columns[first]} to {columns[last]} without number {lacking}",
                "every dimension",
                "write the table again",
            )
        found[prefix] = [columns[number] for number in sorted(columns)]
    return found


def _packed(column: Any, path: Path | str, name: str) -> DistnormError:
    """The error for a column that is called embedding, or so, and holds no lists of numbers."""
    first = next((cell.as_py() for cell in column if cell.is_valid), None)
    code = unpacking(first)
    return DistnormError(
        f"{path}, column {name!r} of {column.type}",
        "lists of numbers",
        f"x = numpy.array([{code} for v in pandas.read_parquet(FILE)[{name!r}]]); {_SAVE}"
        if code
        else "name the column that holds them with --key (key=), or write the file again",
    )


def _refuse_single(forms: Mapping[str, Any], path: Path, load: str) -> None:
    """Raise for a file that has an array of its own for every vector."""
    shapes = {shape for shape, _ in forms.values()}
    if len(forms) > 2 and len(shapes) == 1 and len(next(iter(shapes))) == 1:
        raise DistnormError(
            f"{path} with {len(forms)} single vectors, such as {next(iter(forms))!r}",
            "one matrix",
            f"x = numpy.stack(list({load}.values())); {_SAVE}",
        )


def _objects(path: Path) -> DistnormError:
    return DistnormError(
        f"{path}, which holds Python objects (a list, a dict or rows of different lengths)",
        "a matrix of numbers",
        "if you trust it, x = numpy.load(FILE, allow_pickle=True); numpy.save('rows.npy', "
        "numpy.stack(list(x)).astype('float32')), or of x.item().values() if it is a dict",
    )


def _npz_form(file: Any, name: str) -> tuple[tuple[int, ...], np.dtype[Any]]:
    """Shape and dtype of an array of an archive, from its head alone."""
    member = name if name in file.zip.namelist() else f"{name}.npy"
    with file.zip.open(member) as entry:
        version = np.lib.format.read_magic(entry)
        read = getattr(np.lib.format, f"read_array_header_{version[0]}_0", None)
        if read is None:
            array = np.asarray(file[name])
            return array.shape, array.dtype
        shape, _, dtype = read(entry)
        return shape, dtype


def _likely(forms: Mapping[str, tuple[tuple[int, ...], np.dtype[Any]]]) -> list[str]:
    """Names of the float matrices; else of what comes next to them, for an error that says so."""
    numbers = {name: form for name, form in forms.items() if form[1].kind in "fiub"}
    # What is called so is meant, and not boxes or scales beside it: reading it says what it is.
    called = [
        name for name, (_, kind) in forms.items() if kind.kind != "f" and called_vectors(name)
    ]
    for kinds, least in (("f", 2), ("fiub", 2), ("fiub", 0)):
        names = [n for n, (shape, dtype) in numbers.items() if dtype.kind in kinds]
        names = [n for n in names if len(numbers[n][0]) >= least]
        flat = [n for n in names if len(numbers[n][0]) == 2]
        if flat or names:
            return list(dict.fromkeys([*(flat or names), *called]))
    return list(forms)


def _arrow_table(path: Path) -> Any:
    ipc = require("pyarrow.ipc", "parquet")
    arrow = require("pyarrow", "parquet")
    try:
        return ipc.open_file(arrow.memory_map(str(path))).read_all()
    except arrow.ArrowInvalid:
        return ipc.open_stream(arrow.memory_map(str(path))).read_all()


def list_depth(kind: Any, types: Any) -> tuple[int, Any]:
    """How many lists deep a type is, and the type of the innermost values."""
    depth = 0
    while True:
        kind = getattr(kind, "storage_type", kind)
        if not any(is_one(kind) for is_one in _list_kinds(types)):
            return depth, kind
        depth, kind = depth + 1, kind.value_type


def _list_kinds(types: Any) -> list[Callable[[Any], bool]]:
    """Arrow's kinds of lists; some came later than the oldest version that is used."""
    names = ("list", "large_list", "fixed_size_list", "list_view", "large_list_view")
    return [getattr(types, f"is_{name}") for name in names if hasattr(types, f"is_{name}")]


def _single(chunk: Any, compute: Any) -> bool:
    """Whether every cell is a list of one list."""
    return bool(len(chunk)) and set(compute.list_value_length(chunk).to_pylist()) == {1}


def _list_rows(column: Any, path: Path | str, name: str, start: int) -> Matrix:
    arrow, compute = require("pyarrow", "parquet"), require("pyarrow.compute", "parquet")
    where = f"{path}, column {name!r},"
    depth, value = list_depth(column.type, arrow.types)
    if not depth or not (arrow.types.is_primitive(value) or arrow.types.is_null(value)):
        raise _packed(column, path, name)
    parts: list[Matrix] = []
    for chunk in column.chunks:
        chunk = getattr(chunk, "storage", chunk)
        if chunk.null_count:
            first = int(np.flatnonzero(chunk.is_null().to_numpy(zero_copy_only=False))[0])
            raise DistnormError(
                f"{where} with {chunk.null_count} empty cells, first in row "
                f"{start + first + sum(len(part) for part in parts)}",
                "an embedding in every row",
                "drop these rows on both sides",
            )
        while list_depth(chunk.type, arrow.types)[0] > 1 and _single(chunk, compute):
            chunk = chunk.flatten()  # (1, d), as models give it for one item
        if list_depth(chunk.type, arrow.types)[0] > 1:
            raise DistnormError(
                f"{where} with several vectors in a cell",
                "one embedding in each row",
                "pool them to one, such as their mean",
            )
        lengths = compute.list_value_length(chunk).to_numpy(zero_copy_only=False)
        if not len(lengths):
            continue
        flat = chunk.flatten().to_numpy(zero_copy_only=False)
        if (lengths != lengths[0]).any() or (parts and parts[0].shape[1] != lengths[0]):
            counts = sorted({*map(int, lengths), *(part.shape[1] for part in parts)})
            raise DistnormError(
                f"{where} with rows of different lengths ({', '.join(map(str, counts[:4]))})",
                "one length",
                "drop or embed again the rows of another length",
            )
        parts.append(flat.reshape(len(lengths), int(lengths[0])))
    if not parts:
        raise DistnormError(f"{where} without a row", "embeddings", "write the file again")
    return parts[0] if len(parts) == 1 else np.concatenate(parts)

"""What people hand in where a matrix of embeddings belongs, and the way from there to one."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

import array_api_compat as compat
import numpy as np

from distnorm.errors import DistnormError

__all__ = [
    "check_range",
    "dtype_error",
    "matrix_of",
    "not_an_array",
    "shape_error",
    "sound_on_device",
]

_POOLED = (
    *("image_embeds", "text_embeds", "image_features", "text_features"),
    *("pooler_output", "sentence_embedding", "embeddings"),
)
# Kinds of torch's devices whose rows are checked block by block: an answer costs nothing there.
_ANSWERED_BY_BLOCK = ("cpu", "meta", "mps")
_SHORTEST, _LONGEST = 1e-15, 1e15
_EMPTY = ("FakeTensor", "UninitializedParameter", "UninitializedBuffer")
_SHORT = {"|V2": "bfloat16", "|V1": "float8_e4m3fn"}  # as NumPy reads what ml_dtypes wrote
_REMEDIES = {
    "uint8": "packed bits become rows of -1 and 1: numpy.unpackbits(x, axis=1) * 2.0 - 1; "
    "quantised rows need their ranges",
    "int8": "packed bits (sentence-transformers' 'binary') become rows of -1 and 1: "
    "numpy.unpackbits((x.astype('int16') + 128).astype('uint8'), axis=1) * 2.0 - 1; "
    "quantised rows need their ranges",
    "bool": "bits become rows of -1 and 1: x * 2.0 - 1",
    "object": "make numbers of it: numpy.stack(list(x)).astype('float32')",
}


def matrix_of(x: Any, name: str) -> Any:
    """Lists as NumPy arrays; raises for what only looks like a dense array (masked, sparse)."""
    if isinstance(x, np.ndarray):
        return x if type(x) in (np.ndarray, np.memmap) else _unmasked(x, name)
    if isinstance(x, (list, tuple)):
        return _of_list(x, name)
    if str(getattr(x, "layout", "")).startswith("torch.sparse"):
        raise DistnormError(f"{name} as a sparse tensor", "a dense array", "pass its .to_dense()")
    if type(x).__module__.partition(".")[0] == "sparse":
        raise DistnormError(f"{name} as a sparse array", "a dense array", "pass its .todense()")
    if getattr(x, "is_nested", False):
        remedy = "pool or stack it to one row per embedding"
        raise DistnormError(f"{name} as a nested tensor", "a dense array", remedy)
    if getattr(x, "is_meta", False) or type(x).__name__ in _EMPTY:
        got = f"{name} as a tensor on the device 'meta', without values"
        raise DistnormError(got, "numbers", "load the model's weights first")
    return x


def not_an_array(x: Any, name: str) -> DistnormError:
    """The error for an object that is no array, with the call that makes one of it."""
    kind = type(x).__name__
    sparse = hasattr(x, "toarray") or str(getattr(x, "layout", "")).startswith("torch.sparse")
    dense = "pass its .toarray()" if hasattr(x, "toarray") else "pass its .to_dense()"
    return DistnormError(
        f"{name} as a sparse matrix ({kind})" if sparse else f"{name} of type {kind}",
        "an array of shape (rows, dimensions)",
        dense if sparse else _way_from(x, name),
    )


def dtype_error(x: Any, name: str) -> DistnormError:
    """The error for numbers that are no floats of 16, 32 or 64 bits."""
    dtype = str(x.dtype).removeprefix("torch.")
    if getattr(x, "is_quantized", False):
        remedy = "pass its .dequantize()"
    elif dtype.startswith("complex"):
        remedy = "pass real numbers"
    elif dtype.startswith(("<U", ">U", "|S", "StringDType")):
        remedy = "embed these words first, e.g. with `distnorm embed`"
    elif dtype in _SHORT:
        remedy = f"if ml_dtypes wrote them: x.view(ml_dtypes.{_SHORT[dtype]}).astype('float32')"
    elif dtype.startswith(("[", "{", "|V")):
        remedy = "take one field of the structured array: x['field']"
    else:
        to = "to(torch.float32)" if "torch" in str(x.dtype) else "astype('float32')"
        remedy = _REMEDIES.get(dtype) or _of_bytes(x)
        remedy = remedy or f"convert with {to} if these are embeddings"
        if "torch" in str(x.dtype):
            remedy = remedy.replace("x.astype", "x.numpy().astype").replace("(x,", "(x.numpy(),")
    got = f"{name} of dtype {x.dtype}"
    return DistnormError(got, "float16, bfloat16, float32 or float64", remedy)


def _of_bytes(x: Any) -> str:
    """The remedy for whole numbers of many bytes that are those of bytes, as packed bits are."""
    if not isinstance(x, np.ndarray) or x.dtype.kind not in "iu" or not x.size:
        return ""
    low, high = int(x.min()), int(x.max())
    if -128 <= low < 0 and high <= 127:
        return _REMEDIES["int8"]
    whole = low >= 0 and high <= 255
    return _REMEDIES["uint8"].replace("(x,", "(x.astype('uint8'),") if whole else ""


def shape_error(shape: tuple[int, ...], name: str) -> DistnormError:
    """The error for arrays that have not two axes."""
    if 0 in shape:
        remedy = "pass embeddings"
    elif len(shape) < 2:
        remedy = "use x[None, :] for one embedding" if shape else "this is a single number"
    elif 1 in shape:
        remedy = f"drop the axis of length 1: x.squeeze({shape.index(1)})"
    else:
        remedy = (
            "pool to one row per embedding, as the model does (its image_embeds, text_embeds or "
            "pooler_output); a plain reshape would mix items"
        )
        if len(shape) == 3:
            remedy += (
                f", unless the {shape[1]} are captions of each: x.reshape(-1, {shape[2]}), with "
                "their items in image_of_text (--image-of-text)"
            )
    return DistnormError(f"{name} of shape {shape}", "2-D (rows, dimensions)", remedy)


def check_range(name: str, xp: Any, squares: Any) -> None:
    """Raise where products of rows of these squared lengths may leave what floats hold."""
    if not bool(xp.all((squares >= _SHORTEST**2) & (squares <= _LONGEST**2))):
        raise DistnormError(
            f"{name} with rows of lengths that products of floats do not hold",
            f"lengths from {_SHORTEST:g} to {_LONGEST:g}",
            "scale the rows, or apply distnorm.normalize (--normalize on the command line)",
        )


def _way_from(x: Any, name: str) -> str:
    """What to call on an object that holds embeddings in its own way; ``name`` begins as a side."""
    module = type(x).__module__.partition(".")[0]
    if module in ("pandas", "polars"):
        names = list(getattr(x, "columns", ()))
        lists = [name for name in names if len(x) and hasattr(x[name].to_list()[0], "__len__")]
        if lists or not names:
            return f"pass numpy.stack(list(x{[lists[0]] if lists else ''}))"
        return "pass .to_numpy() of its embedding columns"
    if module == "pyarrow":
        if hasattr(x, "to_numpy") and hasattr(x, "strides"):
            return "pass its .to_numpy()"
        return f"pass numpy.stack(x{['NAME'] if hasattr(x, 'column_names') else ''}.to_pylist())"
    if module == "tensorflow":
        return "pass its .numpy()"
    if isinstance(x, str) or hasattr(x, "__fspath__"):
        return "read the file first, e.g. numpy.load(path)"
    of_images = name.startswith("image")
    for field in sorted(_POOLED, key=lambda field: field.startswith("image") != of_images):
        if isinstance(x, Mapping) and x.get(field) is not None:
            return f"pass its [{field!r}], one row per item"
        if not callable(getattr(x, field, callable)):
            return f"pass its .{field}, one row per item"
    if hasattr(x, "last_hidden_state"):
        return "pool its .last_hidden_state over the tokens, as the model does: one row per item"
    if isinstance(x, Mapping):
        keys = ", ".join(map(repr, list(x)[:6])) or "none"
        return f"pass one of its values (keys: {keys}), or numpy.stack(list(x.values()))"
    data = getattr(x, "data", None)
    if isinstance(data, list) and data and hasattr(data[0], "embedding"):
        return "pass [one.embedding for one in x.data]"
    if isinstance(x, bytes):
        return "pass numpy.frombuffer(x, 'float32').reshape(-1, DIMENSIONS)"
    for way, call in (("__array__", "asarray"), ("__dlpack__", "from_dlpack")):
        if hasattr(x, way) and not hasattr(x, "column_names"):
            return f"pass numpy.{call}(x)"
    if hasattr(x, "column_names"):
        return "pass the rows of one column: numpy.asarray(x['embedding'][:])"
    if hasattr(x, "__getitem__") and hasattr(x, "__len__"):
        return "pass its values as an array: numpy.asarray(x[:])"
    if hasattr(x, "__iter__"):
        return "pass numpy.stack(list(x))"
    return "pass a NumPy, torch or array-API array"


def _unmasked(x: Any, name: str) -> Any:
    """A subclass of ndarray as the plain array it holds, unless entries are masked."""
    # Who has a masked array has imported numpy.ma, seven milliseconds that others are spared.
    if "numpy.ma" in sys.modules and np.ma.is_masked(x):
        first = int(np.nonzero(np.ma.getmaskarray(x))[0][0]) if x.ndim else 0
        raise DistnormError(
            f"{name} as a masked array, first masked in row {first}",
            "a number in every place",
            "drop such rows: numpy.ma.compress_rows(x)",
        )
    return np.asarray(x)


def _of_list(x: Any, name: str) -> Any:
    try:
        maybe = "numpy.ma" in sys.modules
        masked = maybe and any(isinstance(row, np.ma.MaskedArray) for row in x)
        array = _unmasked(np.ma.stack(x), name) if masked else np.asarray(x)
    except DistnormError:
        raise
    except (ValueError, TypeError, OverflowError, RuntimeError) as error:
        axes = {getattr(one, "ndim", 1) for one in x}
        lacking = next((row for row, one in enumerate(x) if one is None), None)
        if isinstance(x, tuple) and len(x) < 5 and max(axes) > 1:
            got, remedy = f"{name} as a tuple of {len(x)} arrays", "pass one of them, x[0] or x[1]"
        elif lacking is not None:
            got, remedy = f"{name} with None in row {lacking}", "drop or embed again that row"
        elif max(axes) > 1:
            got = f"{name} as a list of matrices"
            remedy = "pool each to one row per embedding, such as the mean of its tokens' rows"
        elif isinstance(error, ValueError):
            got, remedy = f"{name} as a ragged list", "give every row the same length"
        else:
            got, remedy = f"{name} as a list of objects", "stack them first, e.g. torch.stack(x)"
        raise DistnormError(got, "a matrix", remedy) from error
    if array.dtype == object:
        got = f"{name} of dtype object, from a list with what is no number or too large for one"
        raise DistnormError(got, "numbers", "give every row as a list of floats")
    return array


def sound_on_device(x: Any) -> bool:
    """Whether nothing is suspicious in a tensor on a GPU, read once and answered once."""
    if not compat.is_torch_array(x) or x.device.type in _ANSWERED_BY_BLOCK:
        return False
    import torch  # the caller's: there are tensors

    dtype = None if x.dtype == torch.float64 else torch.float32
    lengths = torch.linalg.vector_norm(x.detach(), dim=1, dtype=dtype)
    return bool((lengths.isfinite() & (lengths > 0)).all())

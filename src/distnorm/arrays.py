"""The only file that knows which array library it is handed.

Everything else in distnorm works on what these functions return. Array libraries are
recognised through array-api-compat, which looks at what the caller has already
imported: nothing here imports a framework that is not in use.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import array_api_compat as compat
import numpy as np
import numpy.typing as npt

from distnorm.array_kinds import (
    check_range,
    dtype_error,
    matrix_of,
    not_an_array,
    shape_error,
    sound_on_device,
)
from distnorm.errors import DistnormError

__all__ = [
    "REQUIREMENTS",
    "UNIT_TOLERANCE",
    "Array",
    "Bools",
    "CheckedRows",
    "Float32",
    "Float64",
    "Floats",
    "Indices",
    "Int64",
    "NDArray",
    "UInt64",
    "as_working",
    "blocks",
    "check_embeddings",
    "check_form",
    "check_lengths",
    "check_rows",
    "check_same_kind",
    "checked",
    "copied",
    "from_numpy",
    "in_library_of",
    "is_unit_length",
    "like_array",
    "namespace",
    "normalize",
    "numbers_of",
    "rows_per_block",
    "take_rows",
    "to_numpy",
]

Array = Any
# What NumPy arrays hold.
NDArray = npt.NDArray[Any]
Bools = npt.NDArray[np.bool_]
Float32 = npt.NDArray[np.float32]
Float64 = npt.NDArray[np.float64]
Floats = npt.NDArray[np.floating]
Indices = npt.NDArray[np.intp]
Int64 = npt.NDArray[np.int64]
UInt64 = npt.NDArray[np.uint64]

UNIT_TOLERANCE = 5e-3
"""Largest deviation of a row's length from 1 that still counts as unit length.

Rows stored as float16 are off by up to 1e-3; raw CLIP output has lengths of 5 to 12.
"""

REQUIREMENTS = ("unit", "raw", "any")
"""What length rows may have to have."""

BLOCK_BYTES = 1 << 25
_EXACT_ROWS = 1 << 12
_SMALLEST_SQUARE = 1e-24


def namespace(x: Array) -> Any:
    """Array-API namespace of ``x`` (NumPy, torch, or any other supported library)."""
    if isinstance(x, np.ndarray) and hasattr(np, "astype"):
        # NumPy from 2.1 on is one itself; that of array-api-compat takes longer to import.
        return np
    return compat.array_namespace(x)


def rows_per_block(row_items: int, *, itemsize: int = 4, budget: int = BLOCK_BYTES) -> int:
    """Rows of ``row_items`` numbers that fit into ``budget`` bytes, at least one."""
    return max(1, budget // max(1, row_items * itemsize))


def blocks(n: int, size: int) -> Iterator[slice]:
    """Slices that cover ``range(n)`` in order, each of at most ``size``."""
    for start in range(0, n, size):
        yield slice(start, min(start + size, n))


def as_working(x: Array) -> Array:
    """``x`` in the dtype it is computed in: float32 for half precision, else unchanged."""
    if isinstance(x, np.ndarray):
        return x.astype(np.float32) if x.dtype == np.float16 else np.asarray(x)
    xp = namespace(x)
    return x if x.dtype in (xp.float32, xp.float64) else xp.astype(x, xp.float32)


def to_numpy(x: Array, dtype: npt.DTypeLike | None = None) -> NDArray:
    """``x`` as a NumPy array on the host; bfloat16 becomes float32."""
    if not isinstance(x, np.ndarray):
        try:
            x = _on_host(x)
        except (AttributeError, TypeError, RuntimeError, OverflowError) as error:
            raise not_an_array(x, "values") from error
    return np.asarray(x, dtype=dtype)


def numbers_of(x: Any, name: str) -> Float64:
    """Numbers in any array or list, of any shape, in float64; raises for anything else."""
    try:
        values = to_numpy(matrix_of(x, name) if compat.is_array_api_obj(x) else np.asarray(x))
        if values.dtype.kind in "cMm":
            raise TypeError(values.dtype)
        return np.asarray(values, np.float64)
    except (TypeError, ValueError, OverflowError, RuntimeError) as error:
        if isinstance(error, DistnormError) and isinstance(x, np.ndarray):
            raise
        raise DistnormError(
            f"{name} of type {type(x).__name__}", "numbers", "pass an array or a list of numbers"
        ) from error


def _on_host(x: Array) -> NDArray:
    if compat.is_torch_array(x):
        x = x.detach().cpu()
        return x.float().numpy() if "bfloat16" in str(x.dtype) else x.numpy()  # type: ignore[no-any-return]
    try:
        return np.from_dlpack(x)
    except (BufferError, RuntimeError):
        # On another device: bring it to the host first.
        return np.from_dlpack(compat.to_device(x, "cpu"))


def from_numpy(values: NDArray, like: Array) -> Array:
    """``values`` in the library, dtype and on the device of ``like`` (half becomes float32)."""
    like = like[:0, ...] if like.ndim > 1 else like[:0]
    working = as_working(like)
    if isinstance(working, np.ndarray):
        return values.astype(working.dtype, copy=False)
    xp = namespace(working)
    contiguous = np.ascontiguousarray(values)
    return xp.asarray(contiguous, dtype=working.dtype, device=compat.device(working))


def in_library_of(like: Array, values: NDArray) -> Array:
    """``values`` in the library and on the device of ``like``, their own dtype kept."""
    if isinstance(like, np.ndarray):
        return values
    return namespace(like).asarray(values, device=compat.device(like))


def like_array(x: Array, like: Array) -> Array:
    """``x`` in the library and dtype and on the device of ``like``; no copy if it is so already."""
    if isinstance(x, np.ndarray) and isinstance(like, np.ndarray):
        return x.astype(like.dtype, copy=False)
    if _kind(x) == _kind(like) and x.dtype == like.dtype:
        return x
    return from_numpy(to_numpy(x), like)


def take_rows(x: Array, rows: Indices) -> Array:
    """The rows of ``x`` with these numbers, in their order."""
    if isinstance(x, np.ndarray):
        return x[rows]
    xp = namespace(x)
    return xp.take(x, xp.asarray(rows, device=compat.device(x)), axis=0)


def copied(x: Array) -> Array:
    """A copy that later changes of ``x`` do not reach; a memory-mapped file stays on disk."""
    if isinstance(x, np.memmap):
        return x
    return x.clone() if compat.is_torch_array(x) else namespace(x).asarray(x, copy=True)


def normalize(x: Array) -> Array:
    """Divide each row by its length.

    Parameters
    ----------
    x : array, shape (n, d), floating
        Embeddings; no row may be all zeros.

    Returns
    -------
    array, shape (n, d)
        Rows of unit length, same library, dtype and device as ``x``.

    Raises
    ------
    DistnormError
        If ``x`` is not a finite 2-D floating array without zero rows.

    Examples
    --------
    >>> import numpy as np
    >>> normalize(np.array([[3.0, 4.0]]))
    array([[0.6, 0.8]])
    """
    x = check_embeddings(x, "embeddings")
    xp = namespace(x)
    working = as_working(x)
    with np.errstate(over="ignore", under="ignore"):
        squares = xp.sum(working * working, axis=1, keepdims=True)
    usual = xp.isfinite(squares) & (squares > _SMALLEST_SQUARE)
    if not bool(xp.all(usual)):
        # Squares of these rows leave what floats hold; their shares of the largest entry do not.
        largest = xp.max(xp.abs(working), axis=1, keepdims=True)
        working = working / xp.where(usual, xp.ones_like(largest), largest)
        squares = xp.sum(working * working, axis=1, keepdims=True)
    return xp.astype(working / xp.sqrt(squares), x.dtype)


def check_embeddings(x: Array, name: str, *, dimension: int | None = None) -> Array:
    """Return ``x`` if it is a matrix (n, d) of usable embeddings, else raise.

    It has at least one row, in float16, bfloat16, float32 or float64; nested lists are taken as
    NumPy arrays, and `CheckedRows` are not looked at again. ``name`` is what messages call it, such
    as ``"images"``; ``dimension`` the d that is required. Raises `DistnormError` for other shapes
    and dtypes, another dimension, NaN, infinity or all-zero rows.
    """
    seen = isinstance(x, CheckedRows)
    x = check_form(x, name, dimension)
    if seen or sound_on_device(x):
        return x
    for rows in blocks(x.shape[0], rows_per_block(x.shape[1])):
        check_rows(x[rows, ...], name, rows.start)
    return x


@dataclass(frozen=True, eq=False)
class CheckedRows:
    """Rows (n, d) that `checked` has looked at: whoever is handed them does not look again."""

    rows: Array
    name: str  # what messages call them
    # what was computed of all rows and may be of use again
    memo: dict[Any, Any] = field(default_factory=dict, init=False, repr=False)

    @property
    def shape(self) -> tuple[int, int]:
        """Number of rows and of dimensions."""
        return int(self.rows.shape[0]), int(self.rows.shape[1])

    @cached_property
    def unit_length(self) -> bool:
        """`is_unit_length`, looked at once."""
        return is_unit_length(self.rows)

    def take(self, numbers: Indices) -> CheckedRows:
        """The rows with these numbers, in their order; of unit length if all rows are."""
        part = CheckedRows(take_rows(self.rows, numbers), self.name)
        if vars(self).get("unit_length"):
            vars(part)["unit_length"] = True
        return part


def checked(x: Array | CheckedRows, name: str, *, dimension: int | None = None) -> CheckedRows:
    """``x`` after `check_embeddings`, in a form that remembers it: the door of public calls."""
    rows = check_embeddings(x, name, dimension=dimension)
    return x if isinstance(x, CheckedRows) else CheckedRows(rows, name)


def check_form(x: Array, name: str, dimension: int | None = None) -> Array:
    """The part of `check_embeddings` that needs no look at the values: type, dtype, shape."""
    if isinstance(x, CheckedRows):
        if dimension in (None, x.shape[1]):
            return x.rows
        x = x.rows
    x = matrix_of(x, name)
    if not compat.is_array_api_obj(x):
        raise not_an_array(x, name)
    if isinstance(x, np.ndarray) and str(x.dtype) == "bfloat16":
        x = x.astype(np.float32)  # of ml_dtypes, which NumPy's own functions do not know
    elif isinstance(x, np.ndarray) and x.dtype.kind == "f" and not x.dtype.isnative:
        x = x.astype(x.dtype.newbyteorder("="))
    dtype = str(x.dtype)
    if not any(dtype.endswith(kind) for kind in ("float16", "float32", "float64")):
        raise dtype_error(x, name)
    shape = tuple(x.shape)
    if len(shape) != 2:
        raise shape_error(shape, name)
    if 0 in shape:
        raise DistnormError(
            f"{name} of shape {shape}", "at least one row and one dimension", "pass embeddings"
        )
    if dimension is not None and shape[1] != dimension:
        raise DistnormError(
            f"{name} of shape {shape}",
            f"{dimension} dimensions",
            f"it looks transposed, {dimension} being its number of rows: pass x.T"
            if shape[0] == dimension
            else "use embeddings of one and the same model on both sides and in fit",
        )
    return x


def check_rows(block: Array, name: str, start: int) -> None:
    """Raise for NaN, infinity or an all-zero row in a block of ``name`` that begins at ``start``.

    Sums of squares find what is suspicious without a copy; only such rows are looked at.
    """
    xp = namespace(block)
    working = as_working(block)
    if isinstance(working, np.ndarray):
        with np.errstate(over="ignore", invalid="ignore"):
            squares = np.einsum("ij,ij->i", working, working)
    else:
        squares = xp.sum(working * working, axis=1)
    suspicious = to_numpy(~(xp.isfinite(squares) & (squares > 0)))
    for row in np.flatnonzero(suspicious):
        values = to_numpy(working[int(row), ...], np.float64)
        if np.isnan(values).any() or np.isinf(values).any():
            kind = "NaN" if np.isnan(values).any() else "infinity"
            raise DistnormError(
                f"{kind} in {name}, first in row {start + int(row)}",
                "finite numbers",
                "drop or re-embed that row (distnorm never guesses a value)",
            )
        if not values.any():
            raise DistnormError(
                f"an all-zero row in {name}, first row {start + int(row)}",
                "a direction in every row",
                "drop or re-embed that row",
            )


def check_same_kind(first: Array, second: Array, names: tuple[str, str]) -> None:
    """Raise unless both arrays come from one array library and lie on one device."""
    a, b = (_kind(x) for x in (first, second))
    if a != b:
        raise DistnormError(
            f"{names[0]} in {a} and {names[1]} in {b}",
            "one array library and one device",
            "convert one of them first",
        )


def _kind(x: Array) -> str:
    library = type(x).__module__.partition(".")[0]
    return "numpy" if isinstance(x, np.ndarray) else f"{library} on {compat.device(x)}"


def check_lengths(x: Array | CheckedRows, name: str, method: str, requirement: str) -> None:
    """Raise unless the rows of ``x``, shape (n, d), are unit, raw or any, as is required."""
    rows = x.rows if isinstance(x, CheckedRows) else x
    if requirement == "any":
        return check_range(name, *_squares(rows))
    unit = is_unit_length(x)
    if requirement == "unit" and not unit:
        raise DistnormError(
            f"{name} whose rows are not of unit length",
            f"unit rows for {method!r}",
            f"its columns are, so it looks transposed: pass x.T, now of shape {tuple(rows.shape)}"
            if 1 < rows.shape[0] < 1 << 14 and is_unit_length(rows[:, :_EXACT_ROWS].T)
            else "apply distnorm.normalize first, --normalize on the command line "
            "(or pass input='any' if you mean it)",
        )
    if requirement == "raw" and unit:
        raise DistnormError(
            f"{name} of unit length",
            f"the model's raw, un-normalised output for {method!r}",
            "use method 'centered' for unit rows (or pass input='any' if you mean it)",
        )


def is_unit_length(x: Array | CheckedRows) -> bool:
    """Whether rows have length 1 within `UNIT_TOLERANCE`.

    Up to 4,096 rows all are looked at, beyond that as many evenly spaced ones.
    """
    if isinstance(x, CheckedRows):
        return x.unit_length
    xp, squares = _squares(x)
    return bool(xp.max(xp.abs(xp.sqrt(squares) - 1)) <= UNIT_TOLERANCE)


def _squares(x: Array) -> tuple[Any, Array]:
    """The namespace and squared lengths of at most `_EXACT_ROWS` rows."""
    xp, sample = namespace(x), as_working(x[:: -(-x.shape[0] // _EXACT_ROWS), ...])
    with np.errstate(over="ignore", under="ignore"):
        numpy = isinstance(sample, np.ndarray)
        return xp, np.einsum("ij,ij->i", sample, sample) if numpy else xp.sum(sample**2, axis=1)

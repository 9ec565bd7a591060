"""`Gallery`: the items of a search, block by block, wherever they are kept."""

from __future__ import annotations

from typing import Any

import array_api_compat as compat
import numpy as np
import numpy.typing as npt

from distnorm.arrays import (
    Array,
    CheckedRows,
    as_working,
    blocks,
    check_form,
    check_rows,
    numbers_of,
    rows_per_block,
    to_numpy,
)
from distnorm.device.settings import on_device
from distnorm.errors import DistnormError
from distnorm.system.shards import ShardedRows

__all__ = ["Gallery", "check_bias", "device_bias"]


class Gallery:
    """Items, (m, d), of any array library, memory-mapped or in shards.

    Values are checked as blocks are read, so that a gallery on disk is read once. Where the same
    items are searched often, a few queries at a time, make one `Gallery` and pass it to `topk`:
    they are then checked in the first search only. They must not change meanwhile.

    Parameters
    ----------
    items : array, ShardedRows or CheckedRows, shape (m, d)
        `CheckedRows` are not looked at again.
    dimension : int, optional
        The d that is required.

    Raises
    ------
    DistnormError
        For another dimension or unusable form; later, for NaN, infinity and all-zero rows.
    """

    def __init__(self, items: Array | ShardedRows, dimension: int | None = None) -> None:
        self._checked = isinstance(items, CheckedRows)
        if isinstance(items, ShardedRows):
            for part in items.parts:
                check_form(part, "items", dimension)
        else:
            items = check_form(items, "items", dimension)
        self._items: Any = items
        self.is_torch = compat.is_torch_array(items)
        flags = items.flags if isinstance(items, np.ndarray) else None
        self._is_plain = flags is not None and flags.c_contiguous and flags.aligned
        self.is_wide = str(items.dtype).endswith("float64")
        self.shape = (int(items.shape[0]), int(items.shape[1]))
        self._longest: dict[tuple[int, int, type, str], float] = {}
        self.on_device = on_device(items)
        self.memo: dict[Any, Any] = {}

    def __len__(self) -> int:
        """Number of items."""
        return self.shape[0]

    @property
    def device(self) -> str:
        """Where torch items lie."""
        return str(self._items.device) if self.is_torch else "cpu"

    def tensor(self, columns: slice, device: Any) -> Any:
        """Some items as a tensor of their own precision on a device."""
        import torch  # the caller's: there are tensors, or a device

        if self.is_torch:
            return self._items[columns].detach().to(device)
        plain = isinstance(self._items, (np.ndarray, ShardedRows))
        rows = np.ascontiguousarray(self._items[columns] if plain else self._read(columns))
        return torch.from_numpy(rows if rows.flags.writeable else rows.copy()).to(device)

    def taken(self, places: Any) -> Any:
        """Items of some numbers, a tensor, as a tensor where the numbers are."""
        import torch  # the caller's: there are tensors

        if self.is_torch:
            return self._items.detach()[places.to(self._items.device)].to(places.device)
        return torch.from_numpy(self._read(places.cpu().numpy())).to(places.device)

    def block(self, columns: slice, engine: Any) -> Any:
        """Some items as an engine takes them, in its dtype."""
        with np.errstate(over="ignore"):
            return self._read(columns).astype(engine.dtype, copy=False)

    def __repr__(self) -> str:
        """One line with the sizes."""
        return f"Gallery({self.shape[0]} x {self.shape[1]}, {self._items.dtype})"

    def longest(self, block: Any, columns: slice, engine: Any, scores: Any = None) -> float:
        """Length of the longest row of a block, or more, after a first look at all of them.

        ``scores`` of any query tell rows of zeros, for engines whose lengths do not. Raises for
        NaN, infinity and all-zero rows.
        """
        key = (columns.start, columns.stop, type(engine), str(engine.dtype))
        if key not in self._longest:
            longest, sound = engine.longest(block)
            if not sound or (scores is not None and not scores.all()):
                self.check(columns)
            self._longest[key] = longest
        return self._longest[key]

    def known(self, columns: list[slice], engine: Any) -> float | None:
        """Length of the longest row of some blocks, or more; None if one was not looked at."""
        kind = type(engine), str(engine.dtype)
        found = [self._longest.get((one.start, one.stop, *kind)) for one in columns]
        return None if None in found else max(one for one in found if one is not None)

    def shown(self, columns: slice, engine: Any) -> npt.NDArray[Any] | None:
        """Some items as an engine takes them, where they lie so in memory; else None."""
        if not self._is_plain or self._items.dtype != engine.dtype:
            return None
        return np.asarray(self._items[columns])

    def check(self, columns: slice) -> None:
        """Raise for NaN, infinity and all-zero rows in a block."""
        if self._checked:
            return
        for part in blocks(columns.stop - columns.start, rows_per_block(self.shape[1])):
            start = columns.start + part.start
            check_rows(self._read(slice(start, columns.start + part.stop)), "items", start)

    def wide(self, rows: Any, room: Any = None) -> npt.NDArray[np.float64]:
        """Some items in float64: a slice, or row numbers; in ``room`` if there is some."""
        found = self._read(rows)
        if room is None:
            return found.astype(np.float64, copy=False)
        room[...] = found
        return np.asarray(room)

    def whole(self) -> Array:
        """All items as one array, for what cannot be computed in blocks."""
        return self._items[:] if isinstance(self._items, ShardedRows) else self._items

    def _read(self, rows: Any) -> npt.NDArray[Any]:
        if self._is_plain and not isinstance(rows, slice):
            # Twice as fast as indexing; of other layouts it would copy everything first.
            found = np.take(self._items, rows, axis=0)
        elif isinstance(self._items, (np.ndarray, ShardedRows)):
            found = self._items[rows]
        elif isinstance(rows, slice):
            found = to_numpy(self._items[rows, ...])
        elif self.is_torch:
            import torch  # the caller's: there are tensors

            found = to_numpy(self._items[torch.from_numpy(rows).to(self._items.device)])
        else:
            found = to_numpy(
                compat.array_namespace(self._items).take(self._items, self._places(rows), axis=0)
            )
        return np.asarray(as_working(found))

    def _places(self, rows: npt.NDArray[np.intp]) -> Any:
        space = compat.array_namespace(self._items)
        return space.asarray(rows, device=compat.device(self._items))


def check_bias(bias: Any, m: int) -> npt.NDArray[np.float64] | None:
    """A bias of each of m items in float64.

    Raises
    ------
    DistnormError
        For another shape, with the number of items added since, or values that are not finite.
    """
    if bias is None:
        return None
    values = numbers_of(bias, "a bias")
    if values.ndim == 1 and len(values) < m and np.isfinite(values).all():
        raise DistnormError(
            f"a bias of shape {values.shape} for {m} items: {m - len(values)} were added after it",
            f"({m},)",
            "add theirs: concatenate(bias, norm.item_bias(items[len(bias):]))",
        )
    if values.shape != (m,) or not np.isfinite(values).all():
        raise DistnormError(
            f"a bias of shape {values.shape}", f"({m},), finite", "fit it to these items"
        )
    return values


def device_bias(bias: Any, m: int, device: str) -> Any:
    """`check_bias` as a tensor in float64 on a device; looked at there where it is one already."""
    import torch  # the caller's: there are tensors, or a device

    if torch.is_tensor(bias) and bias.shape == (m,) and bias.dtype.is_floating_point:
        values = bias.detach().to(device, torch.float64)
        if bool(values.isfinite().all()):
            return values
    checked = check_bias(bias, m)
    return None if checked is None else torch.from_numpy(checked.copy()).to(device)

"""Products that rankings share whose queries and items are the same and whose biases differ."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from distnorm.arrays import CheckedRows
from distnorm.exact.decision import PairScores
from distnorm.exact.engines import NumpyEngine

__all__ = ["KeptEngine", "KeptProducts"]

_Places = npt.NDArray[np.intp]
# Numbers of a tile that is kept, at most.
_MOST = 1 << 20


@dataclass(eq=False)
class KeptProducts:
    """Of these queries, (n, d), with these items, (m, d): one tile, and the products of pairs."""

    queries: Any
    items: Any
    tiles: dict[str, npt.NDArray[Any]] = field(default_factory=dict)
    _pairs: tuple[_Places, _Places, npt.NDArray[np.float64]] | None = None

    @classmethod
    def of(cls, queries: CheckedRows, items: CheckedRows) -> KeptProducts | None:
        """What was kept of them before, or nothing yet; None where they are not small."""
        if queries.shape[0] * items.shape[0] > _MOST:
            return None
        kept: KeptProducts | None = queries.memo.get("products")
        if kept is None or kept.items is not items.rows:
            kept = queries.memo["products"] = cls(queries.rows, items.rows)
        return kept

    def is_of(self, queries: Any, items: Any) -> bool:
        """Whether it is of these very arrays."""
        return self.queries is queries and self.items is items

    def of_pairs(self, pairs: PairScores, row: _Places, column: _Places) -> Any:
        """Float64 products of pairs, which are sorted by row."""
        if self._pairs is None or not all(map(np.array_equal, self._pairs[:2], (row, column))):
            self._pairs = row, column, pairs.unbiased().of(row, column)
        return self._pairs[2]


class KeptEngine(NumpyEngine):
    """Multiplies queries and items that fit one tile, unless that was done before."""

    def __init__(self, queries: npt.NDArray[Any], kept: KeptProducts) -> None:
        super().__init__(queries)
        self._tiles = kept.tiles

    def product(self, left: npt.NDArray[Any], right: npt.NDArray[Any], out: Any) -> None:
        """As `NumpyEngine.product`."""
        tile = self._tiles.get(str(self.dtype))
        if tile is None:
            super().product(left, right, out)
            self._tiles[str(self.dtype)] = out.copy()
        else:
            np.copyto(out, tile)

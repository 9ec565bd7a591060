"""USearch: an index file of float32 rows.

USearch keeps rows in bfloat16 unless told otherwise on some machines: build with ``dtype="f32"``,
or recovered scores are off by the rounding. Biases lie in the folder ``FILE.bias``.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from distnorm.errors import DistnormError, require
from distnorm.search.indexes.arguments import existing
from distnorm.search.indexes.base import Hits, Index
from distnorm.search.indexes.bias_folder import BiasFolder

__all__ = ["USearchIndex"]

_UNITS = {"IP": "1-ip", "Cos": "1-cos", "L2sq": "l2sq"}


class USearchIndex(Index):
    """A USearch index.

    Parameters
    ----------
    index : usearch.index.Index
    place : str
    biases : Path, optional
        Folder; in memory if left out.
    exact : bool
        Compare with every item instead of walking the graph.
    """

    system: ClassVar[str] = "usearch"
    failures = (RuntimeError, ValueError, KeyError)

    def __init__(
        self,
        index: Any,
        place: str = "usearch in memory",
        *,
        biases: Path | None = None,
        exact: bool = False,
    ) -> None:
        metric = getattr(index.metric_kind, "name", str(index.metric_kind))
        if metric not in _UNITS:
            raise DistnormError(f"{place} of metric {metric}", "ip, cos or l2sq", "build it so")
        self.index, self.place, self.unit = index, place, _UNITS[metric]
        self.dimension, self.exact = int(index.ndim), exact
        self.biases = BiasFolder(biases)

    @classmethod
    def open(cls, target: str, exact: bool = False, view: bool = False) -> USearchIndex:
        """A saved file; ``view`` maps it instead of reading it."""
        module = require("usearch.index", "usearch")
        path = existing(target, "a file of usearch's Index.save")
        try:
            index = module.Index.restore(str(path), view=view)
        except (RuntimeError, ValueError) as error:
            raise DistnormError(
                f"{path}, which USearch cannot read", "a file of Index.save", "save it again"
            ) from error
        if index is None:
            raise DistnormError(f"{path}, no USearch file", "a file of Index.save", "save it again")
        folder = path.with_name(path.name + ".bias")
        return cls(index, f"usearch:{target}", biases=folder, exact=exact)._own()

    def _release(self) -> None:
        self.index.reset()

    def count(self) -> int:
        """Number of items."""
        return len(self.index)

    def nearest(
        self, queries: npt.NDArray[np.float32], k: int, column: str | None = None
    ) -> list[Hits]:
        """Ask the index."""
        k = min(k, self.count())
        if not k:
            return [Hits([], []) for _ in queries]
        found = self.index.search(queries, k, exact=self.exact)
        if len(queries) == 1:
            return [Hits(np.ravel(found.keys).tolist(), np.ravel(found.distances))]
        return [
            Hits(found.keys[row][:n].tolist(), found.distances[row][:n])
            for row, n in enumerate(found.counts)
        ]

    def vectors(self, batch: int) -> Iterator[tuple[list[Any], npt.NDArray[np.float32]]]:
        """Rows as stored."""
        keys = np.fromiter(self.index.keys, dtype=np.uint64, count=self.count())
        for start in range(0, len(keys), batch):
            some = keys[start : start + batch]
            yield some.tolist(), np.asarray(self.index.get(some), dtype=np.float32)

"""USearch: an index file of float32 rows, or of shorter ones.

USearch keeps rows in bfloat16 unless told otherwise on some machines: build with ``dtype="f32"``,
or recovered scores are off by the rounding. Biases lie in the folder ``FILE.bias``.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from distnorm.arrays import Float32
from distnorm.errors import DistnormError, require
from distnorm.search.indexes.files import FileIndex
from distnorm.search.indexes.system import Batch, Capabilities, Hits

__all__ = ["USearchIndex"]

_UNITS = {"IP": "1-ip", "Cos": "1-cos", "L2sq": "l2sq"}
_WHOLE = ("F64", "F32", "F16", "BF16")
_COMPRESSED = ("I8", "E5M2", "E4M3", "E3M2", "E2M3")


class USearchIndex(FileIndex):
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
    library: ClassVar[str] = "USearch"
    written_by: ClassVar[str] = "usearch's Index.save"
    failures = (RuntimeError, ValueError, KeyError)
    rebuild = 'build it with dtype="f32", or with metric="cos"'

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
        if getattr(index, "multi", False):
            raise DistnormError(
                f"{place} with several vectors per key (multi=True)",
                "a key per vector",
                "build it without multi, under keys of their own",
            )
        kind = getattr(index.dtype, "name", str(index.dtype))
        if kind not in (*_WHOLE, *_COMPRESSED):
            raise DistnormError(
                f"{place} of {kind}, which does not hold unit rows",
                ", ".join((*_WHOLE, *_COMPRESSED)).lower(),
                'build it with dtype="f32"',
            )
        self._float = require("usearch.index", "usearch").ScalarKind.F32
        compressed = kind in _COMPRESSED
        can = Capabilities(_UNITS[metric], int(index.ndim), exact, compressed=compressed)
        super().__init__(index, place, biases, can)

    @classmethod
    def open(cls, target: str, view: bool = False, **options: Any) -> USearchIndex:
        """A saved file; ``view`` maps it instead of reading it."""
        module = require("usearch.index", "usearch")

        def read(name: str) -> Any:
            index = module.Index.restore(name, view=view)
            if index is None:
                raise ValueError("no USearch file")
            return index

        opened = cls.open_file(target, read, **options)
        opened.closing = opened.index.reset
        return opened

    def count(self) -> int:
        """Number of items."""
        return len(self.index)

    def ask(self, queries: Float32, k: int, filter: Any = None) -> list[Hits]:
        """One query has an answer of another shape."""
        answer = self.index.search(queries, k, exact=self.exact)
        if len(queries) == 1:
            return [Hits(np.ravel(answer.keys).tolist(), np.ravel(answer.distances))]
        return [
            Hits(answer.keys[row][:n].tolist(), answer.distances[row][:n])
            for row, n in enumerate(answer.counts)
        ]

    def numbers(self) -> Any:
        """The keys."""
        return np.fromiter(self.index.keys, dtype=np.uint64, count=self.count())

    def rows(self, numbers: Any) -> Batch:
        """Rows as stored, as float32 whatever they are kept in."""
        keys = np.asarray(numbers, dtype=np.uint64)
        found = self.index.get(keys, self._float)
        return keys.tolist(), np.asarray(found, np.float32).reshape(len(keys), self.dimension)

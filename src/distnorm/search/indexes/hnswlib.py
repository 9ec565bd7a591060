"""hnswlib: an index file, which does not say its dimensions and space itself.

A file opened with other dimensions than it was built with answers nonsense without complaint, so
the element size it records is compared with ``dim``. Biases lie in the folder ``FILE.bias``.
"""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from distnorm.errors import DistnormError, require
from distnorm.search.indexes.arguments import existing
from distnorm.search.indexes.files import FileIndex
from distnorm.search.indexes.system import Capabilities, Hits

__all__ = ["HnswlibIndex"]

_UNITS = {"ip": "1-ip", "cosine": "1-cos", "l2": "l2sq"}


class HnswlibIndex(FileIndex):
    """An hnswlib index.

    Parameters
    ----------
    index : hnswlib.Index
    place : str
    biases : Path, optional
        Folder; in memory if left out.
    ef : int
        Width of the search, at least k.
    """

    system: ClassVar[str] = "hnswlib"
    library: ClassVar[str] = "hnswlib"
    written_by: ClassVar[str] = "hnswlib's save_index"
    failures = (RuntimeError, ValueError)

    def __init__(
        self,
        index: Any,
        place: str = "hnswlib in memory",
        *,
        biases: Path | None = None,
        ef: int = 100,
    ) -> None:
        self._ef = ef
        can = Capabilities(_UNITS[index.space], int(index.dim), exact=False)
        super().__init__(index, place, biases, can)

    @classmethod
    def open(cls, target: str, dim: int = 0, space: str = "", ef: int = 100) -> HnswlibIndex:
        """A saved file; ``dim`` and ``space`` (ip, cosine, l2) as it was built."""
        hnswlib = require("hnswlib", "hnswlib")
        if space not in _UNITS or dim < 1:
            raise DistnormError(
                f"hnswlib:{target} with dim={dim} and space={space!r}",
                "both, as the index was built: the file does not say",
                "write hnswlib:FILE?dim=512&space=ip (or cosine, l2)",
            )
        path = existing(target, f"a file of {cls.written_by}")
        stored = _stored_dimension(path)
        if stored is not None and stored != dim:
            raise DistnormError(f"dim={dim} for {path}", f"{stored} as it was built", "say so")

        def read(name: str) -> Any:
            index = hnswlib.Index(space, dim)
            index.load_index(name)
            return index

        return cls.open_file(target, read, ef=ef)

    def count(self) -> int:
        """Number of items."""
        return int(self.index.element_count)

    def ask(self, queries: npt.NDArray[np.float32], k: int) -> list[Hits]:
        """The width of the search is at least k."""
        self.index.set_ef(max(self._ef, k))
        ids, values = self.index.knn_query(queries, k)
        return [Hits(row.tolist(), line) for row, line in zip(ids, values, strict=True)]

    def numbers(self) -> Any:
        """The ids."""
        return sorted(self.index.get_ids_list())

    def rows(self, numbers: Any) -> tuple[list[Any], npt.NDArray[np.float32]]:
        """Rows as stored: at unit length in the cosine space."""
        return numbers, np.asarray(self.index.get_items(numbers), dtype=np.float32)


def _stored_dimension(path: Path) -> int | None:
    """From the header: size of an element less its links and label, in float32 numbers.

    Header of seven sizes and ints (hnswalg.h): offset of level 0, most and current elements,
    bytes an element, offset of the label, offset of the row.
    """
    with open(path, "rb") as file:
        head = file.read(48)
    if len(head) < 48:
        return None
    *_, label, row = struct.unpack("<6Q", head)
    size = label - row
    return size // 4 if 0 < size < 1 << 24 and size % 4 == 0 else None

"""hnswlib: an index file, which does not say its dimensions and space itself.

A file opened with other dimensions than it was built with answers nonsense without complaint, so
the element size it records is compared with ``dim``. Biases lie in the folder ``FILE.bias``.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from distnorm.arrays import Float32
from distnorm.errors import DistnormError, require
from distnorm.search.indexes.arguments import existing, int_ids
from distnorm.search.indexes.files import FileIndex
from distnorm.search.indexes.system import Batch, Capabilities, Hits

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
    filters: ClassVar[str] = "a list of ids, or a function of an id"
    failures = (RuntimeError, ValueError)

    def __init__(
        self,
        index: Any,
        place: str = "hnswlib in memory",
        *,
        biases: Path | None = None,
        ef: int = 100,
    ) -> None:
        # hnswlib itself goes down where an index was made but not begun.
        if getattr(index, "space", None) not in _UNITS or not index.max_elements:
            raise DistnormError(
                f"{place}, a {type(index).__name__} without items or room for them",
                "an hnswlib.Index after init_index or load_index",
                "build it so",
            )
        self._ef = ef
        can = Capabilities(_UNITS[index.space], int(index.dim), exact=False)
        super().__init__(index, place, biases, can)

    @classmethod
    def open(cls, target: str, dim: int = 0, space: str = "", **options: Any) -> HnswlibIndex:
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

        return cls.open_file(target, read, **options)

    def count(self) -> int:
        """Number of items that are not marked as deleted."""
        return len(self.numbers())

    def size(self) -> int:
        """With what is marked as deleted."""
        return int(self.index.element_count)

    def ask(self, queries: Float32, k: int, filter: Any = None) -> list[Hits]:
        """The width of the search is at least k."""
        keywords = {} if filter is None else {"filter": self._passing(filter), "num_threads": 1}
        try:
            return self._asked(queries, k, self._ef, keywords)
        except RuntimeError as error:
            if "contiguous" not in str(error):
                raise
        # hnswlib gives no list at all where there are not k items: deleted, or not in the filter.
        return [self._longest(row[None], k, keywords) for row in queries]

    def _asked(self, queries: Float32, k: int, ef: int, keywords: dict[str, Any]) -> list[Hits]:
        self.index.set_ef(max(ef, k))
        labels, values = self.index.knn_query(queries, k, **keywords)
        return [Hits(_ids(row), line) for row, line in zip(labels, values, strict=True)]

    def _longest(self, query: Float32, k: int, keywords: dict[str, Any]) -> Hits:
        """The longest list of up to k items that there is."""
        found, low, high = Hits([], np.empty(0)), 0, k
        while low < high:
            middle = (low + high + 1) // 2
            try:
                (found,), low = self._asked(query, middle, self.size(), keywords), middle
            except RuntimeError:
                high = middle - 1
        return found

    def _passing(self, filter: Any) -> Callable[[int], bool]:
        if callable(filter):
            return lambda label: bool(filter(_ids([label])[0]))
        allowed = set(_labels(int_ids(filter, self.filters)).tolist())
        return allowed.__contains__

    def numbers(self) -> Any:
        """The ids of items that are not marked as deleted."""
        labels = np.array(self.index.get_ids_list(), dtype=np.uint64).astype(np.int64)
        labels.sort()
        left = [labels[start : start + 1000] for start in range(0, len(labels), 1000)][::-1]
        kept = [np.zeros(0, np.int64)]
        while left:
            part = left.pop()
            try:
                self.index.get_items(_labels(part))
                kept.append(part)
            except RuntimeError:
                if len(part) > 1:
                    left += [part[len(part) // 2 :], part[: len(part) // 2]]
        return np.concatenate(kept)

    def rows(self, numbers: Any) -> Batch:
        """Rows as stored: at unit length in the cosine space."""
        rows = self.index.get_items(_labels(np.asarray(numbers, np.int64)))
        return np.asarray(numbers).tolist(), np.asarray(rows, dtype=np.float32)


def _labels(ids: npt.NDArray[np.int64]) -> npt.NDArray[np.uint64]:
    """Hnswlib counts from 0: a negative id is a label of 2 ** 63 or more."""
    return ids.astype(np.uint64)


def _ids(labels: Any) -> list[int]:
    ids: list[int] = np.asarray(labels, dtype=np.uint64).astype(np.int64).tolist()
    return ids


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

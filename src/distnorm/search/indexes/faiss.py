"""FAISS: any index of inner product or squared L2, from memory or a file.

Flat, IVF and HNSW indexes give their rows back, also behind an `IndexIDMap`. Biases lie in the
folder ``FILE.bias``.

`save_with_shift` writes a file that other programs search by DN without knowing of it: an
`IndexPreTransform` with a `CenteringTransform` by s mu. Two things to know of such a file: it
serves one query modality, and it is for searching only, since ``add`` and ``reconstruct`` through
the wrapper shift the items as well. Opened here, the wrapper is taken off.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from distnorm.errors import DistnormError, require
from distnorm.normalization import ScoreNormalization
from distnorm.search.indexes.arguments import side_of
from distnorm.search.indexes.files import FileIndex
from distnorm.search.indexes.system import Capabilities, Hits
from distnorm.system.files import atomic_write

__all__ = ["FaissIndex", "save_with_shift"]


class FaissIndex(FileIndex):
    """A FAISS index.

    Parameters
    ----------
    index : faiss.Index
    place : str
        What to call it.
    biases : Path, optional
        Folder; in memory if left out.
    nprobe, ef : int
        Lists to visit (IVF), width of the search (HNSW); the index's own if 0.
    """

    system: ClassVar[str] = "faiss"
    library: ClassVar[str] = "FAISS"
    written_by: ClassVar[str] = "faiss.write_index"
    failures = (RuntimeError, AssertionError)

    def __init__(
        self,
        index: Any,
        place: str = "faiss in memory",
        *,
        biases: Path | None = None,
        nprobe: int = 0,
        ef: int = 0,
    ) -> None:
        self._faiss = faiss = require("faiss", "faiss")
        # What downcasting returns does not keep alive what it was made from.
        self._owner = index
        index = faiss.downcast_index(index)
        if isinstance(index, faiss.IndexPreTransform) and _is_centering(faiss, index):
            index = faiss.downcast_index(index.index)
        units = {faiss.METRIC_INNER_PRODUCT: "ip", faiss.METRIC_L2: "l2sq"}
        if index.metric_type not in units:
            raise DistnormError(
                f"{place} of metric {index.metric_type}", "inner product or L2", "build it so"
            )
        self._wrapped = isinstance(index, faiss.IndexIDMap)
        self._inner = faiss.downcast_index(index.index if self._wrapped else index)
        exact = isinstance(self._inner, faiss.IndexFlat)
        self._nprobe, self._ef = nprobe, ef
        can = Capabilities(units[index.metric_type], int(index.d), exact)
        super().__init__(index, place, biases, can)

    @classmethod
    def open(cls, target: str, nprobe: int = 0, ef: int = 0) -> FaissIndex:
        """A file that ``faiss.write_index`` wrote."""
        faiss = require("faiss", "faiss")
        return cls.open_file(target, faiss.read_index, nprobe=nprobe, ef=ef)

    def count(self) -> int:
        """Number of items."""
        return int(self.index.ntotal)

    def ask(self, queries: npt.NDArray[np.float32], k: int) -> list[Hits]:
        """FAISS pads short answers with -1."""
        faiss, settings = self._faiss, None
        if isinstance(self._inner, faiss.IndexIVF):
            settings = faiss.SearchParametersIVF(nprobe=self._nprobe or self._inner.nprobe)
        elif isinstance(self._inner, faiss.IndexHNSW):
            ef = self._ef or self._inner.hnsw.efSearch
            settings = faiss.SearchParametersHNSW(efSearch=max(ef, k))
        values, ids = self.index.search(queries, k, params=settings)
        return [
            Hits(row[row >= 0].tolist(), line[row >= 0])
            for line, row in zip(values, ids, strict=True)
        ]

    def numbers(self) -> Any:
        """Numbers in the inner index."""
        faiss, inner = self._faiss, self._inner
        if not isinstance(inner, faiss.IndexIVF):
            return range(self.count())
        inner.set_direct_map_type(faiss.DirectMap.Hashtable)
        lists = [_listed(faiss, inner, number) for number in range(inner.nlist)]
        return np.sort(np.concatenate(lists))

    def rows(self, numbers: Any) -> tuple[list[Any], npt.NDArray[np.float32]]:
        """Rows as the index keeps them: a compressed index gives them back roughly."""
        where = np.asarray(numbers, dtype=np.int64)
        names = self._faiss.vector_to_array(self.index.id_map)[where] if self._wrapped else where
        return names.tolist(), self._inner.reconstruct_batch(where)


def save_with_shift(
    index: Any,
    norm: ScoreNormalization,
    path: str | Path,
    *,
    query_side: str | None = None,
    modality: str | None = None,
) -> None:
    """Write a FAISS file that shifts each query by s mu before it searches ``index``.

    Parameters
    ----------
    index : faiss.Index
        Of raw unit rows; not changed.
    norm : ScoreNormalization
        Of a linear method, fitted on the queries' side.
    path : path
    query_side : str, optional
        The side of the queries that the file is for; left out, they are texts.
    modality : str, optional
        Another name of ``query_side``.

    Raises
    ------
    DistnormError
        For a method that is no query shift, or an unfitted side.
    """
    faiss = require("faiss", "faiss")
    if not norm.spec.shifts_queries:
        raise DistnormError(
            f"{norm.method!r} for a shift inside the file", "a linear method (dn, dn*)", "use one"
        )
    side = side_of(norm, query_side, modality, items=False)
    shift = np.zeros(index.d, dtype=np.float32)
    if norm.strength[side]:
        shift = (norm.strength[side] * norm.correction(side).direction).astype(np.float32)
    if shift.shape != (index.d,):
        raise DistnormError(
            f"a normalization of {len(shift)} dimensions", f"{index.d} as the index", "use its own"
        )
    center = faiss.CenteringTransform(int(index.d))
    faiss.copy_array_to_vector(shift, center.mean)
    center.is_trained = True
    wrapper = faiss.IndexPreTransform(center, index)
    data = faiss.serialize_index(wrapper)
    with atomic_write(path) as file:
        file.write(data.tobytes())


def _is_centering(faiss: Any, index: Any) -> bool:
    if index.chain.size() != 1:
        return False
    return isinstance(faiss.downcast_VectorTransform(index.chain.at(0)), faiss.CenteringTransform)


def _listed(faiss: Any, index: Any, number: int) -> npt.NDArray[np.int64]:
    lists = index.invlists
    size = lists.list_size(number)
    if not size:
        return np.zeros(0, dtype=np.int64)
    return np.array(faiss.rev_swig_ptr(lists.get_ids(number), size), dtype=np.int64)

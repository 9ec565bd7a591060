"""FAISS: any index of inner product or squared L2, from memory or a file.

Flat, IVF and HNSW indexes give their rows back, compressed ones roughly, also behind an
`IndexIDMap` and transforms (OPQ, PCA, L2norm). Fast-scan indexes keep theirs: FAISS itself does not
survive reading rows of one that was loaded from a file. Biases lie in the folder ``FILE.bias``.

`save_with_shift` writes a file that other programs search by DN without knowing of it: an
`IndexPreTransform` with a `CenteringTransform` by s mu. Two things to know of such a file: it
serves one query modality, and it is for searching only, since ``add`` and ``reconstruct`` through
the wrapper shift the items as well. Opened here, the wrapper is taken off.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from distnorm.arrays import Float32, NDArray
from distnorm.errors import DistnormError, require
from distnorm.normalization import ScoreNormalization
from distnorm.search.indexes.arguments import existing, int_ids, side_of
from distnorm.search.indexes.files import FileIndex
from distnorm.search.indexes.system import Batch, Capabilities, Hits
from distnorm.system.files import atomic_write

__all__ = ["FaissIndex", "save_with_shift"]

Int64 = npt.NDArray[np.int64]


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
    filters: ClassVar[str] = "a list of ids, or a faiss.IDSelector"
    failures = (RuntimeError, AssertionError)
    rebuild = "search with faiss itself, or build the index without what changes scores"
    apart = "give each vector an id of its own, or open the index inside the IndexIDMap"

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
        index = faiss.downcast_index(index) if isinstance(index, faiss.Index) else index
        if isinstance(index, faiss.IndexPreTransform) and _is_centering(faiss, index):
            index = faiss.downcast_index(index.index)
        units = {faiss.METRIC_INNER_PRODUCT: "ip", faiss.METRIC_L2: "l2sq"}
        if not isinstance(index, faiss.Index) or index.metric_type not in units:
            metric = getattr(index, "metric_type", "none")
            raise DistnormError(
                f"{place}, a {type(index).__name__} of metric {metric}",
                "an index of float vectors by inner product or L2",
                "build it so",
            )
        self._layers = _layers(faiss, index)
        if isinstance(self._layers[-1], (faiss.IndexLSH, faiss.IndexIVFSpectralHash)):
            raise DistnormError(
                f"{place} of hash codes, {type(self._layers[-1]).__name__}, which counts bits",
                "inner products or L2 of vectors",
                "build an index of the vectors, such as Flat, IVF, HNSW or PQ",
            )
        self._inner, self._nprobe, self._ef = self._layers[-1], nprobe, ef
        transforms = [
            faiss.downcast_VectorTransform(layer.chain.at(number))
            for layer in self._layers
            if isinstance(layer, faiss.IndexPreTransform)
            for number in range(layer.chain.size())
        ]
        unit, d = units[index.metric_type], int(index.d)
        if unit == "ip" and any(isinstance(t, faiss.NormalizationTransform) for t in transforms):
            unit = "cos"
        if unit != "l2sq" and any(getattr(t, "have_bias", False) for t in transforms):
            raise DistnormError(
                f"{place} behind a PCA, which subtracts a mean of its own from rows and queries",
                "inner products of the rows that were added",
                "build the index without PCA (OPQ and rotations are fine), or of L2",
            )
        shrunk = any(t.d_out < t.d_in for t in transforms)
        exact = isinstance(self._inner, faiss.IndexFlat)
        whole = (faiss.IndexFlat, faiss.IndexIVFFlat, faiss.IndexHNSWFlat, faiss.IndexNSGFlat)
        kept = self._inner
        if isinstance(kept, faiss.IndexRefine):
            kept = faiss.downcast_index(kept.refine_index)
        can = Capabilities(
            unit, d, exact, compressed=shrunk or not isinstance(kept, whole), orders_only=shrunk
        )
        super().__init__(index, place, biases, can)

    @classmethod
    def open(cls, target: str, **options: Any) -> FaissIndex:
        """A file that ``faiss.write_index`` wrote."""
        with existing(target, f"a file of {cls.written_by}").open("rb") as file:
            if file.read(2) == b"IB":
                raise DistnormError(
                    f"faiss:{target}, a binary index, which counts bits",
                    "inner products or L2 of vectors",
                    "build an index of the vectors before they were packed",
                )
        return cls.open_file(target, require("faiss", "faiss").read_index, **options)

    def exercise(self) -> None:
        """In one thread: those of OpenMP are not there after a fork."""
        self._faiss.omp_set_num_threads(1)
        super().exercise()

    def count(self) -> int:
        """Number of items."""
        return int(self.index.ntotal)

    def ask(self, queries: Float32, k: int, filter: Any = None) -> list[Hits]:
        """FAISS pads short answers with -1; any other number is an id."""
        # Through an IndexIDMap, parameters would not reach what lies behind a transform.
        mapped = isinstance(self.index, self._faiss.IndexIDMap)
        outer = self._layers[1] if mapped else self.index
        selector = None if filter is None else self._selector(filter)
        values, found = outer.search(queries, k, params=self._parameters(k, selector))
        answers = []
        for line, row in zip(values, found, strict=True):
            ids = row[row != -1]
            named = self._names[ids] if mapped else ids
            answers.append(Hits(named.tolist(), line[row != -1]))
        return answers

    def _selector(self, filter: Any) -> Any:
        """FAISS's selector of ids, in positions where the index is mapped."""
        faiss = self._faiss
        if not isinstance(filter, faiss.IDSelector):
            filter = faiss.IDSelectorBatch(int_ids(filter, self.filters))
        if isinstance(self.index, faiss.IndexIDMap):
            return faiss.IDSelectorTranslated(self.index.id_map, filter)
        return filter

    def _parameters(self, k: int, selector: Any) -> Any:
        """Parameters of the innermost index, in those of each layer around it."""
        faiss, settings = self._faiss, None
        inner = self._inner
        factor = inner.k_factor if isinstance(inner, faiss.IndexRefine) else 0
        layers = list(self._layers)
        if factor:
            layers += _layers(faiss, faiss.downcast_index(inner.base_index))
            inner = layers[-1]
        chosen = {} if selector is None else {"sel": selector}
        if isinstance(inner, faiss.IndexIVF):
            settings = faiss.SearchParametersIVF(nprobe=self._nprobe or inner.nprobe, **chosen)
        elif isinstance(inner, faiss.IndexHNSW):
            ef = max(self._ef or inner.hnsw.efSearch, k)
            settings = faiss.SearchParametersHNSW(efSearch=ef, **chosen)
        elif chosen:
            settings = faiss.SearchParameters(**chosen)
        for layer in reversed(layers[:-1]):
            if settings is not None and isinstance(layer, faiss.IndexPreTransform):
                settings = faiss.SearchParametersPreTransform(index_params=settings)
            elif settings is not None and isinstance(layer, faiss.IndexRefine):
                settings = faiss.IndexRefineSearchParameters(
                    base_index_params=settings, k_factor=factor
                )
        return settings

    def numbers(self) -> Any:
        """Positions of items, list after list in an IVF index; none of those that keep rows."""
        for name in ("_listed", "_ids", "_order"):
            # An index in memory may have grown.
            self.__dict__.pop(name, None)
        return range(self.count() if self.count() and self._readable() else 0)

    def _readable(self) -> bool:
        """Whether rows can be had: not of every kind, and never of fast-scan ones."""
        if type(self._inner).__name__.endswith("FastScan"):
            return False
        if isinstance(self._inner, self._faiss.IndexIVF) and len(self._listed[0]) != self.count():
            return False
        try:
            self.rows(range(1))
        except RuntimeError:
            return False
        return True

    def rows(self, numbers: Any) -> Batch:
        """Rows as the index keeps them: a compressed index gives them back roughly."""
        where = np.asarray(numbers, dtype=np.int64)
        inner = self._inner
        if isinstance(inner, self._faiss.IndexIVF):
            rows = self._decoded(where)
        elif isinstance(inner, self._faiss.IndexRefine):
            rows = inner.refine_index.reconstruct_batch(where)
        else:
            rows = inner.reconstruct_batch(where)
        for layer in reversed(self._layers[:-1]):
            if isinstance(layer, self._faiss.IndexPreTransform):
                for number in reversed(range(layer.chain.size())):
                    transform = self._faiss.downcast_VectorTransform(layer.chain.at(number))
                    rows = transform.reverse_transform(rows)
        return self._ids[where].tolist(), rows

    def rows_of(self, ids: Sequence[Any]) -> Mapping[Any, NDArray]:
        """By their positions."""
        if not len(self.numbers()):
            return {}
        order, wanted = self._order, np.asarray(list(ids), dtype=np.int64)
        first = np.searchsorted(self._ids, wanted, sorter=order)
        after = np.searchsorted(self._ids, wanted, side="right", sorter=order)
        if (after > first + 1).any():
            self.check_ids([*ids, ids[int(np.argmax(after - first))]])
        return dict(zip(*self.rows(order[first[after > first]]), strict=True))

    @cached_property
    def _order(self) -> Int64:
        return np.argsort(self._ids, kind="stable")

    @property
    def _names(self) -> Int64:
        """Ids by position, of the map."""
        faiss = self._faiss
        layer = next(each for each in self._layers if isinstance(each, faiss.IndexIDMap))
        ids, size = layer.id_map, layer.id_map.size()
        return faiss.rev_swig_ptr(ids.data(), size) if size else np.zeros(0, np.int64)

    @cached_property
    def _ids(self) -> Int64:
        """Ids by position."""
        ids = np.arange(self.count(), dtype=np.int64)
        if isinstance(self._inner, self._faiss.IndexIVF):
            ids = self._listed[2]
        mapped = any(isinstance(each, self._faiss.IndexIDMap) for each in self._layers)
        return self._names[ids] if mapped else ids

    @cached_property
    def _listed(self) -> tuple[Int64, Int64, Int64]:
        """List, place in it and number of all items of an IVF index."""
        lists = self._inner.invlists
        sizes = np.array([lists.list_size(n) for n in range(self._inner.nlist)], dtype=np.int64)
        number = np.repeat(np.arange(len(sizes)), sizes)
        starts = np.repeat(np.cumsum(sizes) - sizes, sizes)
        ids = [np.zeros(0, np.int64)]
        for each in np.flatnonzero(sizes).tolist():
            pointer = lists.get_ids(each)
            ids.append(np.array(self._faiss.rev_swig_ptr(pointer, int(sizes[each])), np.int64))
            lists.release_ids(each, pointer)
        return number, np.arange(len(number)) - starts, np.concatenate(ids)

    def _decoded(self, where: Int64) -> Float32:
        """Rows of an IVF index by their codes: no map from ids to places has to be made."""
        inner, lists = self._inner, self._inner.invlists
        numbers, places, _ = self._listed
        head, size = int(inner.coarse_code_size()), int(lists.code_size)
        codes = np.zeros((len(where), head + size), dtype=np.uint8)
        for number in np.unique(numbers[where]).tolist():
            mine = np.flatnonzero(numbers[where] == number)
            pointer = lists.get_codes(number)
            stored = self._faiss.rev_swig_ptr(pointer, lists.list_size(number) * size)
            codes[mine, :head] = list(int(number).to_bytes(head, "little"))
            codes[mine, head:] = stored.reshape(-1, size)[places[where[mine]]]
            lists.release_codes(number, pointer)
        return np.asarray(inner.sa_decode(codes), dtype=np.float32)


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
        Of a linear method, fitted on the queries' side; `auto` where it chose one.
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
    side = side_of(norm, query_side, modality, items=False)
    correction = norm.correction(side)
    if not correction.shifts_queries:
        raise DistnormError(
            f"{norm.method!r} for a shift inside the file", "a linear method (dn, dn*)", "use one"
        )
    shift = np.zeros(index.d, dtype=np.float32)
    if correction.strength:
        shift = (correction.strength * correction.direction).astype(np.float32)
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


def _layers(faiss: Any, index: Any) -> list[Any]:
    """An index and what lies in it, behind maps of ids and transforms."""
    layers = [index]
    while isinstance(layers[-1], (faiss.IndexIDMap, faiss.IndexPreTransform)):
        layers.append(faiss.downcast_index(layers[-1].index))
    return layers

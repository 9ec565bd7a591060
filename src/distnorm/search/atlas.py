"""A store as the Parquet table that embedding-atlas draws: rows of both sides, their neighbours.

Row i has the columns ``name``, ``side``, ``vector`` and, where there are files, ``image``
(``{"bytes": JPEG}``). Its neighbours are items of the other side, best first, as
``{"ids": [...], "distances": [...]}``: ids are row numbers of the table, distances 1 - score.
``neighbors`` ranks by the dot product, ``neighbors_normalized`` as the normalization does.

Reference: https://apple.github.io/embedding-atlas/tool.html (column ``neighbors``).
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from distnorm.errors import DistnormError, require
from distnorm.normalization import ScoreNormalization
from distnorm.search.items import RowItems
from distnorm.search.query_log import QueryLog
from distnorm.store.catalog import Catalog
from distnorm.store.layout import Commit, at_commit
from distnorm.store.vectors import open_embeddings
from distnorm.system.files import atomic_write
from distnorm.system.progress import Progress

__all__ = ["AtlasRows", "AtlasTable", "write_atlas"]

_AT_ONCE, _EDGE = 1000, 160

Float32 = npt.NDArray[np.float32]


@dataclass(frozen=True)
class AtlasRows:
    """Items of one side: rows (n, d), what each is called, and its file where there is one."""

    side: str
    rows: Float32
    names: Sequence[str]
    files: Sequence[Path | None] = ()

    @classmethod
    def of_store(cls, commit: Commit, side: str, pictures: Path | None = None) -> AtlasRows:
        """One row per item: a picture that a store holds once per caption is one."""
        catalog = Catalog.read(commit, side)
        rows = np.flatnonzero(catalog.first)
        names = [catalog.title(row) for row in rows.tolist()]
        files = [catalog.file(row, pictures) for row in rows.tolist()] if side == "image" else ()
        chosen = np.asarray(open_embeddings(commit, side)[rows], dtype=np.float32)
        return cls(side, chosen, names, files)


@dataclass(frozen=True)
class AtlasTable:
    """What was written: rows by side, neighbours of each row, pictures, and images without one.

    ``unchanged`` are sides whose second list is the first, as the normalization has no statistics
    of them.
    """

    rows: dict[str, int]
    k: int
    pictures: int
    missing: int
    unchanged: tuple[str, ...] = ()


def write_atlas(
    path: Path,
    store: Path,
    normalization: ScoreNormalization,
    *,
    k: int = 15,
    queries: QueryLog | None = None,
    pictures: Path | None = None,
    with_pictures: bool = True,
    progress: Progress | None = None,
) -> AtlasTable:
    """Write the Parquet table ``path``, whole or not at all; needs the ``embed`` extra.

    The store has both sides, or one and ``queries`` of the other, which count instead of its own.
    ``k`` are the neighbours of each row (fewer where a side has fewer items), ``pictures`` is the
    folder that the pictures' names begin from, and ``with_pictures`` puts small ones into the
    table. Progress is called with (rows written, rows). Raises a DistnormError for a store of one
    side without queries, k below 1, or a normalization of other vectors.
    """
    for module in ("pyarrow", "PIL"):
        require(module, "embed")
    if k < 1:
        raise DistnormError(f"k = {k}", "an integer from 1 on", "leave it out for 15")
    first, second = at_commit(
        store, lambda commit: _sides(commit, store, queries, pictures, normalization)
    )
    k = min(k, len(first.rows), len(second.rows))
    parts, unchanged = [], []
    for asking, items, start in ((first, second, len(first.rows)), (second, first, 0)):
        known = normalization.moments(normalization.names.resolve(asking.side)) is not None
        if not known:
            unchanged.append(asking.side)
        parts.append(_Lists(asking, items, start, normalization if known else None, k))
    counts = {part.asking.side: len(part.asking.rows) for part in parts}
    pictured, total, done = 0, sum(counts.values()), 0
    with atomic_write(path) as file:
        arrow, parquet = require("pyarrow", "embed"), require("pyarrow.parquet", "embed")
        schema = _schema(arrow, first.rows.shape[1])
        with parquet.ParquetWriter(file, schema, compression="zstd") as writer:
            for part in parts:
                for columns in part.columns(with_pictures):
                    pictured += sum(value is not None for value in columns["image"])
                    writer.write_table(arrow.table(columns, schema=schema))
                    done += len(columns["name"])
                    if progress is not None:
                        progress(done, total)
    images = sum(len(part.asking.rows) for part in parts if part.asking.side == "image")
    missing = images - pictured if with_pictures else 0
    return AtlasTable(counts, k, pictured, missing, tuple(unchanged))


@dataclass(frozen=True)
class _Lists:
    """Rows of one side with their neighbours of the other, whose numbers begin at ``start``."""

    asking: AtlasRows
    items: AtlasRows
    start: int
    norm: ScoreNormalization | None
    k: int

    def columns(self, with_pictures: bool) -> Iterator[dict[str, Any]]:
        """Columns of a thousand rows at a time."""
        place = RowItems(self.items.rows)
        for at in range(0, len(self.asking.rows), _AT_ONCE):
            chosen = slice(at, at + _AT_ONCE)
            rows, names = self.asking.rows[chosen], list(self.asking.names[chosen])
            files = list(self.asking.files[chosen]) or [None] * len(rows)
            before = self._neighbors(place, rows, None)
            yield {
                "name": names,
                "side": [self.asking.side] * len(rows),
                "image": [_small(file) if with_pictures else None for file in files],
                "vector": list(rows),
                "neighbors": before,
                "neighbors_normalized": before
                if self.norm is None
                else self._neighbors(place, rows, self.norm),
            }

    def _neighbors(
        self, place: RowItems, rows: Float32, norm: ScoreNormalization | None
    ) -> list[dict[str, list[Any]]]:
        found = place.search(rows, self.k, norm, query_side=self.asking.side)
        return [
            {"ids": [self.start + item for item in ids], "distances": (1 - scores).tolist()}
            for ids, scores in zip(found.ids, found.scores, strict=True)
        ]


def _sides(
    commit: Commit,
    store: Path,
    queries: QueryLog | None,
    pictures: Path | None,
    norm: ScoreNormalization,
) -> tuple[AtlasRows, AtlasRows]:
    """Rows of the one side and of the other."""
    if None not in (norm.model, commit.model_id) and norm.model != commit.model_id:
        raise DistnormError(
            f"a normalization of {norm.model!r}",
            f"{commit.model_id!r} as {store}",
            "fit one on vectors of this model",
        )
    held = commit.held or ("image",)  # a file of vectors does not say
    named = [side for side in held if queries is None or side != queries.side]
    found = [AtlasRows.of_store(commit, side, pictures) for side in named]
    if queries is not None:
        rows = np.asarray(queries.rows, dtype=np.float32)
        words = queries.words or [f"query {number + 1}" for number in range(len(rows))]
        found.append(AtlasRows(queries.side, rows, words))
    found = [part for part in found if len(part.rows)]
    if len(found) != 2:
        raise DistnormError(
            f"{store} with rows of {', '.join(p.side for p in found) or 'no side'}",
            "two sides: neighbours of pictures are texts, and the other way round",
            "name texts with --queries, or embed them into the store",
        )
    one, two = found
    if one.rows.shape[1] != two.rows.shape[1]:
        raise DistnormError(
            f"{two.side} rows of {two.rows.shape[1]} dimensions",
            f"{one.rows.shape[1]} as the {one.side} side",
            "take vectors of one model",
        )
    return one, two


def _schema(arrow: Any, dimension: int) -> Any:
    neighbors = arrow.struct(
        [("ids", arrow.list_(arrow.int64())), ("distances", arrow.list_(arrow.float64()))]
    )
    return arrow.schema(
        [
            ("name", arrow.string()),
            ("side", arrow.string()),
            ("image", arrow.struct([("bytes", arrow.binary())])),
            ("vector", arrow.list_(arrow.float32(), dimension)),
            ("neighbors", neighbors),
            ("neighbors_normalized", neighbors),
        ]
    )


def _small(file: Path | None) -> dict[str, bytes] | None:
    """A small copy of a picture; None for what is none."""
    from distnorm.embedding.pictures import open_picture

    if file is None:
        return None
    try:
        picture = open_picture(file)[0]
    except DistnormError:
        return None
    picture.thumbnail((_EDGE, _EDGE))
    out = io.BytesIO()
    picture.save(out, format="JPEG", quality=82)
    return {"bytes": out.getvalue()}

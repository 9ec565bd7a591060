"""A bias per item as a column: of any Ray Data set, in Parquet files, or in a Lance data set.

Parquet files are written one per fragment of the items, whole or not at all, with each row's
number: a run that was stopped goes on with the fragments that have no file yet. In a Lance data
set the column appears in one commit.
"""

from __future__ import annotations

import json
from functools import partial
from operator import attrgetter
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from distnorm.arrays import check_lengths, check_rows, normalize, to_numpy
from distnorm.distributed.clusters import plain_ray_errors
from distnorm.distributed.session import Session, Shared
from distnorm.distributed.sources import Fragment, Vectors, open_vectors
from distnorm.errors import DistnormError, require
from distnorm.normalization import ScoreNormalization
from distnorm.search.indexes.biases import Upload, biased
from distnorm.search.indexes.keys import column_of
from distnorm.store.column_files import is_lance
from distnorm.store.vector_files import arrow_rows
from distnorm.system.files import atomic_write, plain_errors, shared_name
from distnorm.system.progress import Progress

__all__ = ["BiasColumn", "add_biases", "write_biases"]

_ABOUT = "_distnorm.json"  # of a name that readers of Parquet folders pass over
_ROWS = 1 << 15


class BiasColumn:
    """Adds a column of biases to batches: ``ds.map_batches(..., batch_format="pyarrow")``.

    Parameters
    ----------
    norm : ScoreNormalization
        Of a method whose score has a bias for each item.
    on : str
        Column of vectors.
    side : str
        Whose vectors they are.
    name : str, optional
        Of the new column; the one that indexes keep these biases under if left out.
    unit : bool
        Give rows unit length first.
    """

    def __init__(
        self,
        norm: ScoreNormalization,
        on: str = "embedding",
        side: str = "image",
        *,
        name: str | None = None,
        unit: bool = False,
    ) -> None:
        _require_each(norm, side)
        self.norm, self.on, self.side, self.unit = norm, on, side, unit
        self.name = column_of(norm, side) if name is None else name

    def __call__(self, table: Any) -> Any:
        """The Arrow table with its biases, float64."""
        if self.on not in table.column_names:
            raise DistnormError(
                f"rows without the column {self.on!r}",
                f"one of {', '.join(map(repr, table.column_names[:8]))}",
                "name the column of vectors",
            )
        values = np.zeros(0)
        if len(table):
            rows = arrow_rows(table, [self.on], "a block")
            values = _biases(self.norm, self.side, self.unit, rows, f"column {self.on!r}", 0)
        return table.append_column(self.name, require("pyarrow", "ray").array(values))


def write_biases(
    session: Session,
    norm: ScoreNormalization,
    vectors: Vectors,
    out: str | Path,
    *,
    side: str = "image",
    unit: bool = False,
    fresh: bool = False,
    progress: Progress | None = None,
) -> Upload:
    """Biases of all items as Parquet files ``bias_NUMBER.parquet`` in a folder.

    Each has the columns ``row`` (int64, the item's number in the input) and the bias (float64).

    Parameters
    ----------
    session : Session
    norm : ScoreNormalization
    vectors : Vectors
        The items.
    out : path
        A new folder, or one that an earlier run was stopped in.
    side : str
        The items' side.
    unit : bool
        Give rows unit length first.
    fresh : bool
        Compute all anew.
    progress : callable, optional
        Called with (items done, items in all).

    Raises
    ------
    DistnormError
        For a method without a bias of each item alone, and a folder with other files or biases.
    """
    _require_each(norm, side)
    column, folder = column_of(norm, side), Path(out).absolute()
    about = {
        "schema": 1,
        "column": column,
        "input": shared_name(vectors.label),
        "side": side,
        "unit": unit,
        "fragments": [[fragment.first, fragment.rows] for fragment in vectors.fragments],
    }
    _require_dimension(norm, vectors)
    _begin(folder, about, fresh)
    work = partial(_write, session.share(norm), side, unit, column, folder)
    written = already = 0
    lowest, total = np.inf, 0.0
    named, sized = attrgetter("place"), attrgetter("rows")
    for number, (fresh_rows, least, added) in session.each(
        vectors.fragments, work, name=named, rows=sized, progress=progress
    ):
        written += fresh_rows
        already += vectors.fragments[number].rows - fresh_rows
        lowest, total = min(lowest, least), total + added
    return Upload(column, norm.method, written, already, float(lowest), total / len(vectors))


def add_biases(
    session: Session,
    norm: ScoreNormalization,
    folder: str | Path,
    *,
    side: str = "image",
    key: str | None = None,
    unit: bool = False,
    fresh: bool = False,
) -> Upload:
    """Biases of all items as a column of their Lance data set, in one commit.

    A column that rows were added after is computed anew; parameters and errors as of
    `write_biases`, ``key`` the column of vectors.
    """
    _require_each(norm, side)
    lance, lance_ray = require("lance", "ray"), require("lance_ray", "ray")
    if not is_lance(Path(folder)):
        raise DistnormError(f"{folder}, no Lance data set", "one", "name its folder")
    vectors = open_vectors(folder, side, key=key)
    _require_dimension(norm, vectors)
    columns = list(vectors.columns)
    column = column_of(norm, side)
    place, written = str(Path(folder).absolute()), 0
    with plain_errors(folder):
        dataset = lance.dataset(place)
    there = column in dataset.schema.names
    if there and (fresh or dataset.count_rows(filter=f"{column} IS NULL")):
        dataset.drop_columns([column])
        there = False
    if not there:
        work = partial(_batch, session.share(norm), side, unit, column, columns, place)
        with plain_ray_errors():
            lance_ray.add_columns(
                place,
                transform=work,
                read_columns=columns,
                batch_size=_ROWS,
                concurrency=min(session.cpus, len(vectors.fragments)),
                ray_remote_args={"max_restarts": -1, "max_task_retries": -1},
            )
        written = len(vectors)
    total, lowest = 0.0, np.inf
    for batch in lance.dataset(place).to_batches(columns=[column]):
        values = batch.column(0).to_numpy(zero_copy_only=False)
        if len(values):
            total, lowest = total + float(values.sum()), min(lowest, float(values.min()))
    n = len(vectors)
    return Upload(column, norm.method, written, n - written, float(lowest), total / n)


def _require_each(norm: ScoreNormalization, side: str) -> None:
    """Raise unless each item has a bias that no other item changes, and that is no shift."""
    if not biased(norm, norm.names.resolve(side)).item_by_item:
        raise DistnormError(
            f"biases of {norm.method!r}, each of which depends on all items together",
            "a bias of each item alone, as of dn2, is and nnn",
            "fit one of these, or set its temperature (is:beta=20)",
        )


def _require_dimension(norm: ScoreNormalization, vectors: Vectors) -> None:
    if norm.dimension not in (None, vectors.dimension):
        raise DistnormError(
            f"{vectors.label} of {vectors.dimension} dimensions",
            f"{norm.dimension}, as the normalization was fitted on",
            "use vectors of one and the same model",
        )


def _begin(folder: Path, about: dict[str, Any], fresh: bool) -> None:
    """Make the folder, or take up the run that it holds."""
    marker = folder / _ABOUT
    with plain_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        names = [path.name for path in folder.iterdir()]
        held = json.loads(marker.read_text("utf-8")) if marker.is_file() else None
        if held is None and any(not name.startswith(f".{_ABOUT}") for name in names):
            raise DistnormError(f"{folder} with other files", "a new folder", "name another --out")
        if held is not None and held != about and not fresh:
            other = next(key for key in about if held.get(key) != about[key])
            raise DistnormError(
                f"{folder} with biases of another {_WORDS.get(other, other)}",
                "those of this one",
                "name another --out, or pass --fresh to replace them",
            )
        if held is not None and fresh:
            for path in folder.glob("bias_*.parquet"):
                path.unlink()
    with atomic_write(marker) as file:
        file.write(json.dumps(about).encode())


_WORDS = {"column": "normalization", "fragments": "state of the input", "unit": "length of rows"}


def _write(
    shared: Shared[ScoreNormalization],
    side: str,
    unit: bool,
    column: str,
    folder: Path,
    fragment: Fragment,
) -> tuple[int, float, float]:
    """Biases of one fragment: how many were written, the least and the sum of all."""
    arrow, parquet = require("pyarrow", "ray"), require("pyarrow.parquet", "ray")
    target = folder / f"bias_{fragment.number:06}.parquet"
    if target.exists():
        values = parquet.read_table(target, columns=[column]).column(0).to_numpy()
        return 0, float(values.min()), float(values.sum())
    norm = shared.get()
    parts = [
        _biases(norm, side, unit, rows, fragment.place, first - fragment.first + fragment.offset)
        for first, rows in fragment.blocks(_ROWS)
    ]
    values = np.concatenate(parts)
    numbers = np.arange(fragment.first, fragment.first + fragment.rows, dtype=np.int64)
    with atomic_write(target) as file:
        parquet.write_table(arrow.table({"row": numbers, column: values}), file)
    return fragment.rows, float(values.min()), float(values.sum())


def _batch(
    shared: Shared[ScoreNormalization],
    side: str,
    unit: bool,
    column: str,
    columns: list[str],
    place: str,
    batch: Any,
) -> Any:
    """Biases of a batch of a Lance data set."""
    arrow = require("pyarrow", "ray")
    rows = arrow_rows(arrow.Table.from_batches([batch]), columns, place)
    values = _biases(shared.get(), side, unit, rows, place, 0)
    return arrow.RecordBatch.from_pydict({column: values})


def _biases(
    norm: ScoreNormalization,
    side: str,
    unit: bool,
    rows: npt.NDArray[Any],
    name: str,
    start: int,
) -> npt.NDArray[np.float64]:
    words = f"{norm.names.plural(norm.names.resolve(side))} of {name}"
    check_rows(rows, words, start)
    ready = normalize(rows) if unit else rows
    check_lengths(ready, words, norm.method, norm.input)
    return to_numpy(norm.item_bias(ready, modality=side), np.float64)

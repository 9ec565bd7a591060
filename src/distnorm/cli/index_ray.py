"""``distnorm index bias --engine ray``: biases of vectors in files, by the workers of a cluster."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from distnorm.cli.engine import EngineOptions
from distnorm.cli.progress import progress_bar
from distnorm.cli.vectors import VectorOptions
from distnorm.errors import DistnormError, masked

if TYPE_CHECKING:
    from distnorm.normalization import ScoreNormalization
    from distnorm.search.indexes.biases import Upload

__all__ = ["Items", "store_on_ray"]


@dataclass(frozen=True)
class Items:
    """Vectors in files that get biases: where they are, whose, and how they are read."""

    place: str
    side: str
    vectors: VectorOptions


def store_on_ray(
    norm: ScoreNormalization, items: Items, engine: EngineOptions, out: str | None, fresh: bool
) -> Upload:
    """Write Parquet files to ``out``, or a column of a Lance data set."""
    from distnorm.distributed.bias import add_biases, write_biases
    from distnorm.distributed.sources import open_vectors
    from distnorm.store.column_files import is_lance
    from distnorm.store.layout import is_store
    from distnorm.store.models import check_models

    place, side, unit = _path_of(items.place), items.side, items.vectors.normalize
    key = items.vectors.keys(side, *norm.sides).get(side)
    lance = is_lance(Path(place))
    if lance and out is not None:
        raise click.UsageError("a Lance data set gets a column: leave --out out")
    if not lance and out is None:
        raise click.UsageError("give --out: a folder for the biases")
    if is_store(place):
        check_models(norm, place)
    # Headers are looked at before a cluster is started.
    found = open_vectors(place, side, key=key)
    with engine.session() as session:
        if out is None:
            return add_biases(session, norm, place, side=side, key=key, unit=unit, fresh=fresh)
        with progress_bar("storing biases", "items") as show:
            return write_biases(
                session, norm, found, out, side=side, unit=unit, fresh=fresh, progress=show
            )


def _path_of(spec: str) -> str:
    """The files that a SPEC names."""
    from distnorm.search.indexes.specs import SYSTEMS

    system, colon, rest = spec.partition(":")
    if Path(spec).exists() or not colon:
        return spec
    if system == "lance":
        return rest
    if system == "lancedb":
        return f"{rest}.lance"
    if system in SYSTEMS:
        raise DistnormError(
            f"{masked(spec)} with --engine ray",
            "vectors in files, a store or a Lance data set",
            "leave --engine ray out: the index itself takes biases batch by batch",
        )
    return spec

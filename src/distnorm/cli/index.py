"""``distnorm index``: biases beside a running index, and checks of it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from distnorm.cli.engine import EngineOptions
from distnorm.cli.groups import options_of
from distnorm.cli.index_hubs import hubs
from distnorm.cli.index_ray import Items, store_on_ray
from distnorm.cli.output import complain, console, json_option, say, write_json
from distnorm.cli.progress import progress_bar
from distnorm.cli.vectors import VectorOptions
from distnorm.errors import masked

if TYPE_CHECKING:
    from distnorm.normalization import ScoreNormalization
    from distnorm.search.indexes.biases import Upload

__all__ = ["index"]

_BIASES = click.option(
    "--biases", type=click.Path(path_type=Path), help="Folder, instead of the system."
)
_SIDE = click.option("--side", default="image", show_default=True, help="The items' side.")
_MODEL = click.option("--model", help="Model of the stored rows; refuses another one's.")
_BATCH = click.option(
    "--batch", default=1000, show_default=True, type=click.IntRange(min=1), help="Items at a time."
)


# \b keeps the lines that follow as they are.
_HELP = """Work with an index in the system you use.

\b
SPEC is one of
  faiss:FILE                     qdrant:FOLDER-OR-URL/COLLECTION
  usearch:FILE                   milvus:FILE-OR-URL/COLLECTION
  hnswlib:FILE?dim=512&space=ip  chroma:FOLDER-OR-URL/COLLECTION
  lancedb:FOLDER/TABLE           duckdb:FILE/TABLE
  sqlite-vec:FILE/TABLE          clip-retrieval:http://HOST:PORT/INDICE
  pgvector:postgresql://USER@HOST/DATABASE/TABLE?column=embedding&id=id
"""


@click.group(help=_HELP)
def index() -> None:
    """Work with an index in the system you use."""


index.add_command(hubs)


@index.command("bias")
@click.argument("spec")
@click.option("--normalization", required=True, type=click.Path(), help="A saved normalization.")
@click.option(
    "--items",
    type=click.Path(path_type=Path),
    help="Store of the rows, for a system that keeps them to itself; row numbers are the ids.",
)
@_BIASES
@click.option("--fresh", is_flag=True, help="Compute all anew.")
@click.option(
    "--out",
    type=click.Path(),
    help="With --engine ray, where SPEC is a file or folder of vectors or a store: the folder for "
    "the biases, as Parquet. A Lance data set gets a column instead.",
)
@_SIDE
@_MODEL
@_BATCH
@options_of(EngineOptions, "engine")
@options_of(VectorOptions, "vectors")
@json_option
@click.pass_context
def bias(
    context: click.Context,
    spec: str,
    normalization: str,
    items: Path | None,
    biases: Path | None,
    fresh: bool,
    out: str | None,
    side: str,
    model: str | None,
    batch: int,
    engine: EngineOptions,
    vectors: VectorOptions,
    json_path: str | None,
) -> None:
    """Store one number per item, for methods that do not shift the query.

    A stopped run continues, and items added since get their number, by running the same command
    again. Searches see the numbers when all are there.
    """
    from distnorm.normalization import load
    from distnorm.search.indexes import open_index

    norm = load(normalization)
    if engine.ray:
        if items is not None or biases is not None:
            raise click.UsageError("--engine ray excludes --items and --biases: SPEC is the items")
        done = store_on_ray(norm, Items(spec, side, vectors), engine, out, fresh)
        _report(spec, norm, done, json_path)
        return
    if out is not None:
        raise click.UsageError("--out needs --engine ray")
    vectors.check_used("--items", items is not None)
    rows = None if items is None else vectors.rows(items, side)
    state = (0, 0)
    with open_index(spec, model=model, biases=biases) as opened:
        try:
            with progress_bar("storing biases", "items") as show:

                def report(done: int, total: int) -> None:
                    nonlocal state
                    state = (done, total)
                    show(done, total)

                done = opened.upload_bias(
                    norm,
                    item_side=side,
                    batch=batch,
                    progress=report,
                    ids=None if rows is None else range(len(rows)),
                    items=rows,
                    fresh=fresh,
                )
        except KeyboardInterrupt:
            # The general message says that nothing was written, which is not so here.
            complain(
                f"interrupted after {state[0]} of {state[1]} items; "
                "run the same command without --fresh to go on"
            )
            context.exit(130)
    _report(spec, norm, done, json_path)


@index.command("check")
@click.argument("spec")
@click.option("--normalization", type=click.Path(), help="A saved normalization.")
@click.option("--queries", type=click.Path(path_type=Path), help="Sample queries: a .npy or store.")
@click.option("--k", default=10, show_default=True, type=click.IntRange(min=1))
@click.option(
    "--all", "everything", is_flag=True, help="Compute all stored biases again, not a sample."
)
@_BIASES
@_SIDE
@_MODEL
@_BATCH
@options_of(VectorOptions, "vectors")
@json_option
@click.pass_context
def check(
    context: click.Context,
    spec: str,
    normalization: str | None,
    queries: Path | None,
    k: int,
    everything: bool,
    biases: Path | None,
    side: str,
    model: str | None,
    batch: int,
    vectors: VectorOptions,
    json_path: str | None,
) -> None:
    """Check an index: unit rows of the same model, missing biases, agreement on a sample.

    Biases of a thousand items are computed again, to find rows that changed under their old ids.
    Exits with 1 if there is something to mend.
    """
    from distnorm.normalization import load
    from distnorm.report.indexes import index_check_table
    from distnorm.search.indexes import open_index

    norm = None if normalization is None else load(normalization)
    other = "text"
    if norm is not None:
        other = norm.names.other(norm.names.resolve(side))
    vectors.check_used("--queries", queries is not None)
    asked = None if queries is None else vectors.rows(queries, other)
    with (
        open_index(spec, model=model, biases=biases) as opened,
        progress_bar("checking", "items") as show,
    ):
        found = opened.check(
            norm,
            item_side=side,
            queries=asked,
            k=k,
            batch=batch,
            everything=everything,
            progress=show,
        )
    console().print(index_check_table(masked(spec), found))
    write_json(
        {"schema": 1, "task": "index check", "index": masked(spec), **found.to_dict()}, json_path
    )
    if not found.healthy:
        context.exit(1)


@index.command("list")
@click.argument("spec")
@click.option("--normalization", type=click.Path(), help="Marks which biases are this one's.")
@_BIASES
@_SIDE
@_BATCH
@json_option
def list_(
    spec: str,
    normalization: str | None,
    biases: Path | None,
    side: str,
    batch: int,
    json_path: str | None,
) -> None:
    """What biases are stored, for which normalization, and how many items lack one."""
    from distnorm.normalization import load
    from distnorm.report.indexes import index_biases_table
    from distnorm.search.indexes import open_index

    norm = None if normalization is None else load(normalization)
    with open_index(spec, biases=biases) as opened, progress_bar("counting", "items") as show:
        found = opened.stored_biases(norm, item_side=side, batch=batch, progress=show)
    if found:
        console().print(index_biases_table(masked(spec), found))
    else:
        say("no biases are stored")
    rows = [each.to_dict() for each in found]
    write_json(
        {"schema": 1, "task": "index list", "index": masked(spec), "biases": rows}, json_path
    )


@index.command("drop")
@click.argument("spec")
@click.argument("names", nargs=-1)
@click.option("--normalization", type=click.Path(), help="Drop the biases of this one.")
@click.option("--all", "everything", is_flag=True, help="Drop all.")
@_BIASES
@_SIDE
@json_option
def drop(
    spec: str,
    names: tuple[str, ...],
    normalization: str | None,
    everything: bool,
    biases: Path | None,
    side: str,
    json_path: str | None,
) -> None:
    """Remove stored biases: NAMES that `distnorm index list` shows, a normalization's, or all."""
    from distnorm.normalization import load
    from distnorm.search.indexes import open_index

    if bool(names) + (normalization is not None) + everything != 1:
        raise click.UsageError("say which: NAMES, --normalization FILE or --all")
    norm = None if normalization is None else load(normalization)
    with open_index(spec, biases=biases) as opened:
        names = names or opened.published_biases(None if everything else norm, item_side=side)
        opened.drop_biases(*names)
    say(f"dropped: {', '.join(names)}" if names else "no biases are stored")
    write_json(
        {"schema": 1, "task": "index drop", "index": masked(spec), "dropped": list(names)},
        json_path,
    )


def _report(spec: str, norm: ScoreNormalization, done: Upload, json_path: str | None) -> None:
    strengths = ", ".join(f"{side} {norm.correction(side).strength:.3g}" for side in norm.sides)
    say(
        f"{done.written} biases written, {done.already} were there: "
        f"{norm.method}, {strengths}, as {done.column}"
    )
    write_json(
        {"schema": 1, "task": "index bias", "index": masked(spec), **done.to_dict()}, json_path
    )

"""``distnorm export-atlas``: a store as the table that embedding-atlas draws as a map."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from distnorm.cli.output import NewFile, json_option, say, write_json
from distnorm.cli.progress import progress_bar

__all__ = ["export_atlas"]

_TABLE = NewFile("a table", ".parquet", path_type=Path)


@click.command()
@click.argument("store", type=click.Path(path_type=Path))
@click.option("--normalization", required=True, type=click.Path(), help="A saved normalization.")
@click.option("--out", required=True, type=_TABLE, help="A Parquet file.")
@click.option(
    "--k", default=15, show_default=True, type=click.IntRange(min=1), help="Neighbours of a row."
)
@click.option("--queries", help="Texts or vectors to take instead of the store's own texts.")
@click.option("--model", help="What encodes these texts, where the store does not say.")
@click.option(
    "--pictures",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="Folder that the pictures' names begin from.",
)
@click.option(
    "--thumbnails/--no-thumbnails",
    default=True,
    show_default=True,
    help="Put small pictures into the table.",
)
@json_option
def export_atlas(
    store: Path,
    normalization: str,
    out: Path,
    queries: str | None,
    model: str | None,
    thumbnails: bool,
    json_path: str | None,
    **settings: Any,
) -> None:
    """Write a STORE as a Parquet table for embedding-atlas, with two lists of neighbours per row.

    The column neighbors ranks by the dot product, neighbors_normalized as the normalization does;
    name either with embedding-atlas --neighbors.
    """
    from distnorm.normalization import load
    from distnorm.search.atlas import write_atlas
    from distnorm.search.collection import Collection
    from distnorm.search.indexes import is_spec
    from distnorm.search.query_log import QueryLog

    if is_spec(str(store)):
        raise click.UsageError("export-atlas takes a store; an index keeps no texts beside it")
    norm = load(normalization)
    log = None
    if queries is not None:
        place = Collection(str(store))
        prompt = place.prompt if norm.prompt is None else norm.prompt
        log = QueryLog.read(queries, "text", model=model, default=place.model, prompt=prompt)
    with progress_bar("export-atlas", "rows") as bar:
        made = write_atlas(
            out, store, norm, queries=log, with_pictures=thumbnails, progress=bar, **settings
        )
    rows = ", ".join(f"{count} {side}" for side, count in made.rows.items())
    say(f"written to {out}: {rows} rows, {made.k} neighbours each, {made.pictures} pictures")
    if made.missing:
        say(f"{made.missing} pictures were not found: name their folder with --pictures")
    for side in made.unchanged:
        say(f"no statistics of {side} queries: their second list is the first")
    write_json(
        {
            "schema": 1,
            "task": "export-atlas",
            "out": str(out),
            "rows": made.rows,
            "k": made.k,
            "pictures": made.pictures,
            "missing_pictures": made.missing,
            "unchanged": list(made.unchanged),
        },
        json_path,
    )

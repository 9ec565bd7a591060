"""``distnorm export``: the query shift for programs without distnorm."""

from __future__ import annotations

from pathlib import Path

import click

from distnorm.cli.output import NewFile, put, say

__all__ = ["export"]

_ENDINGS = {"json": (".json",), "sql": (".sql",), "js": (".mjs", ".js"), "go": (".go",)}


@click.command()
@click.argument("normalization", type=click.Path())
@click.option(
    "--format",
    "language",
    required=True,
    type=click.Choice(["json", "sql", "js", "go"]),
    help="JSON, SQL for pgvector, an ECMAScript module, or Go.",
)
@click.option("--query-side", help="Whose queries are shifted; texts if left out.")
@click.option("--out", type=NewFile(path_type=Path), help="A file, instead of standard output.")
def export(normalization: str, language: str, query_side: str | None, out: Path | None) -> None:
    """Print the vector that a NORMALIZATION subtracts from queries, and the lines that do so.

    For methods that change the query alone (dn, dn*, ridge); others have a number per item, which
    distnorm index bias stores.
    """
    from distnorm.normalization import load
    from distnorm.search.export import export_shift
    from distnorm.system.files import check_ending

    if out is not None:
        check_ending(out, f"--format {language}", *_ENDINGS[language])
    text = export_shift(load(normalization), language, query_side)
    put(text, "-" if out is None else out)
    if out is not None:
        say(f"written to {out}")

"""``distnorm search``: the first pictures for a sentence or a picture, by dot and normalized."""

from __future__ import annotations

from pathlib import Path

import click

from distnorm.cli.common import console, json_option, write_json

__all__ = ["search"]


@click.command()
@click.argument("store", type=click.Path(path_type=Path))
@click.argument("query")
@click.option("--normalization", type=click.Path(), help="A saved normalization.")
@click.option("--k", default=10, show_default=True, type=click.IntRange(min=1))
@click.option("--side", default="image", type=click.Choice(["image", "text"]), show_default=True)
@click.option("--model", help="The store's model, where it does not say.")
@click.option("--both", is_flag=True, help="Also the list of the plain dot product.")
@click.option("--threshold", type=float, help="Leave out two-sided scores up to this.")
@click.option(
    "--false-alarm-rate", type=float, help="Leave out what a non-match reaches as often (0.001)."
)
@json_option
def search(
    store: Path,
    query: str,
    normalization: str | None,
    k: int,
    side: str,
    model: str | None,
    both: bool,
    threshold: float | None,
    false_alarm_rate: float | None,
    json_path: str | None,
) -> None:
    """Search a STORE's pictures (or texts) for a sentence, or for the picture of a path."""
    from distnorm.report.tables import search_table
    from distnorm.search.store import search_store

    found = search_store(
        store,
        query,
        normalization=normalization,
        k=k,
        side=side,
        model=model,
        both=both,
        threshold=threshold,
        false_alarm_rate=false_alarm_rate,
    )
    console().print(search_table(found))
    write_json(found, json_path)

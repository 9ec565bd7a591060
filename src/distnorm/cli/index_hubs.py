"""``distnorm index hubs``: which items come up for how many queries of a log."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from distnorm.cli.output import (
    console,
    json_option,
    report_option,
    require_report,
    say,
    write_json,
    write_report,
)
from distnorm.cli.progress import progress_bar
from distnorm.errors import DistnormError

if TYPE_CHECKING:
    from distnorm.search.hubs import QueryHubs

__all__ = ["hubs"]


@click.command()
@click.argument("place", metavar="STORE|SPEC")
@click.option("--queries", required=True, help="A .npy of vectors, or sentences, one per line.")
@click.option("--normalization", type=click.Path(), help="A saved normalization, to compare with.")
@click.option("--model", help="What encodes sentences; for vectors, their model's id.")
@click.option("--k", default=10, show_default=True, type=click.IntRange(min=1))
@click.option("--side", default="image", show_default=True, help="The items' side.")
@click.option("--show", default=20, show_default=True, type=click.IntRange(min=1), help="Hubs.")
@click.option(
    "--alert-rate",
    default=0.01,
    show_default=True,
    type=click.FloatRange(0, 1, min_open=True, max_open=True),
    help="Reports of single items to expect where none is out of line.",
)
@click.option(
    "--items",
    type=click.Path(path_type=Path),
    help="Store that names an index's items; row numbers are the ids.",
)
@click.option("--biases", type=click.Path(path_type=Path), help="Folder, instead of the system.")
@click.option(
    "--pictures",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="Folder that the pictures' names begin from, for the page.",
)
@report_option
@json_option
def hubs(
    place: str,
    queries: str,
    normalization: str | None,
    model: str | None,
    side: str,
    items: Path | None,
    biases: Path | None,
    pictures: Path | None,
    report: str | None,
    json_path: str | None,
    **settings: Any,
) -> None:
    """Count how many queries find each item, before and after a normalization.

    From queries alone: no pairs are needed. Also reports single items that implausibly many
    queries find, such as a picture made to be found.
    """
    require_report(report)
    from distnorm.report.hubs import hubs_table

    names, result = _count(place, queries, normalization, model, side, items, biases, settings)
    found = {"schema": 1, "task": "index hubs", "index": place, "side": side, **result.to_dict()}
    for entry, hub in zip(found["hubs"], result.hubs, strict=True):
        entry["name"] = names(hub.id)
    console().print(hubs_table(found))
    write_json(found, json_path)

    def page() -> str:
        from distnorm.report.html.hubs import hubs_page

        text, missing = hubs_page(found, _counts(result), pictures)
        if missing:
            say(f"{missing} pictures were not found: name their folder with --pictures")
        return text

    write_report(report, page)


def _count(
    place: str,
    queries: str,
    normalization: str | None,
    model: str | None,
    side: str,
    items: Path | None,
    biases: Path | None,
    settings: dict[str, Any],
) -> tuple[Any, QueryHubs]:
    """What each item is called, and the counts."""
    from distnorm.normalization import load
    from distnorm.search.hubs import query_hubs
    from distnorm.search.indexes import is_spec, open_index
    from distnorm.search.query_log import QueryLog
    from distnorm.search.rows import RowItems
    from distnorm.store.catalog import Catalog
    from distnorm.store.layout import Commit
    from distnorm.store.models import check_models, prompt_of
    from distnorm.store.vectors import open_embeddings

    norm = None if normalization is None else load(normalization)
    asking = "text" if side == "image" else "image"
    if norm is not None:
        asking = norm.names.other(norm.names.resolve(side))
    running = is_spec(place)
    if not running and (items is not None or biases is not None):
        raise click.UsageError("--items and --biases are for an index, not a store")
    commit = None if running else Commit.read(place)
    prompt = None if norm is None else norm.prompt
    if prompt is None and commit is not None:
        prompt = prompt_of(place)
    name = model or (None if commit is None else commit.model)
    log = QueryLog.read(queries, asking, model=name, prompt=prompt)
    known = log.model or (None if commit is None else commit.model_id)
    if norm is not None and None not in (norm.model, known) and norm.model != known:
        raise DistnormError(
            f"a normalization of {norm.model!r}",
            f"one of {known!r}, as the queries",
            "fit one on this model's embeddings",
        )
    check_models(norm, None if running else place)
    with progress_bar("searching", "queries") as show:
        if commit is not None:
            catalog: Catalog | None = Catalog.read(commit, side)
            opened: Any = nullcontext(RowItems(open_embeddings(commit, side), catalog))
        else:
            catalog = None if items is None else Catalog.read(Commit.read(items), side)
            opened = open_index(place, model=log.model, biases=biases)
        with opened as searched:
            result = query_hubs(
                log.rows, searched, norm, query_side=asking, progress=show, **settings
            )

    def name_of(item: Any) -> str | None:
        if catalog is None or not isinstance(item, int) or not 0 <= item < len(catalog.names):
            return None
        return catalog.title(item)

    return name_of, replace(result, repeated=result.repeated + log.repeated)


def _counts(result: QueryHubs) -> dict[str, list[int]]:
    """Queries of every item, by ranking, those never found included."""
    rankings = ["dot product"] + ([] if result.after is None else [result.after.method])
    never = [0] * (result.n_items - len(result.counts))
    return {
        name: [counts[at] for counts in result.counts.values()] + never
        for at, name in enumerate(rankings)
    }

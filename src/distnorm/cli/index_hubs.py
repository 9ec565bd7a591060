"""``distnorm index hubs``: which items come up for how many queries of a log."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from distnorm.cli.groups import options_of
from distnorm.cli.options import asking_side
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
from distnorm.cli.vectors import VectorOptions

if TYPE_CHECKING:
    from distnorm.search.hubs import QueryHubs

__all__ = ["hubs"]


@click.command()
@click.argument("place", metavar="STORE|SPEC")
@click.option(
    "--queries",
    required=True,
    help="A file of vectors, or sentences: one per line, or a table's captions.",
)
@click.option("--normalization", type=click.Path(), help="A saved normalization, to compare with.")
@click.option("--model", help="What encodes sentences; for vectors, their model's id.")
@click.option("--k", default=10, show_default=True, type=click.IntRange(min=1))
@click.option("--side", default="image", show_default=True, help="The items' side.")
@click.option(
    "--show",
    default=20,
    show_default=True,
    type=click.IntRange(min=1),
    help="Hubs to show, of the list before and of that after.",
)
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
@click.option("--title", help="The index's field with an item's title.")
@click.option("--picture", help="The index's field with the path of an item's picture.")
@click.option("--biases", type=click.Path(path_type=Path), help="Folder, instead of the system.")
@click.option(
    "--pictures",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="Folder that the pictures' names begin from, for the page.",
)
@options_of(VectorOptions, "vectors")
@report_option
@json_option
def hubs(
    place: str,
    queries: str,
    normalization: str | None,
    model: str | None,
    side: str,
    items: Path | None,
    title: str | None,
    picture: str | None,
    biases: Path | None,
    pictures: Path | None,
    vectors: VectorOptions,
    report: str | None,
    json_path: str | None,
    **settings: Any,
) -> None:
    """Count how many queries find each item, before and after a normalization.

    From queries alone: no pairs are needed. Also reports single items that implausibly many
    queries find, such as a picture made to be found.
    """
    require_report(report)
    from distnorm.report.many import hubs_table

    settings["fields"] = [name for name in (title, picture) if name is not None]
    names, result = _count(
        place, queries, normalization, model, side, items, biases, vectors, settings
    )
    found = {"schema": 1, "task": "index hubs", "index": place, "side": side, **result.to_dict()}
    for entry, hub in zip(found["hubs"], result.hubs, strict=True):
        about = hub.fields or {}
        entry["name"] = names(hub.id) if title is None else str(about.get(title, ""))
        if picture is not None:
            entry["picture"] = str(about.get(picture, ""))
    for field in settings["fields"]:
        if result.hubs and not any((hub.fields or {}).get(field) for hub in result.hubs):
            say(f"note: none of the hubs has a field {field!r}")
    console().print(hubs_table(found))
    write_json(found, json_path)

    def page() -> str:
        from distnorm.report.html.hubs import hubs_page
        from distnorm.store.catalog import picture_folder

        folder = pictures or picture_folder(items or place)
        text, missing = hubs_page(found, _counts(result), folder)
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
    vectors: VectorOptions,
    settings: dict[str, Any],
) -> tuple[Any, QueryHubs]:
    """What each item is called, and the counts."""
    from distnorm.fitting import Reading
    from distnorm.normalization import load
    from distnorm.search.collection import Collection
    from distnorm.search.hubs import query_hubs
    from distnorm.search.items import open_local, open_unit
    from distnorm.search.query_log import QueryLog

    norm = None if normalization is None else load(normalization)
    asking = asking_side(norm, side)
    keys = vectors.keys(asking, side, bare=asking)
    opening = open_unit if vectors.normalize else open_local
    collection = Collection(place, side, items, key=keys.get(side), opening=opening)
    if not collection.running and (items or biases or settings["fields"]):
        words = "--items, --title, --picture and --biases are for an index, not a store"
        raise click.UsageError(words)
    prompt = collection.prompt if norm is None or norm.prompt is None else norm.prompt
    log = QueryLog.read(
        queries,
        asking,
        model=model,
        default=collection.model,
        prompt=prompt,
        reading=Reading(keys, vectors.normalize),
    )
    collection.check(norm, log.model)
    with (
        progress_bar("searching", "queries") as show,
        collection.opened(model=log.model, biases=biases) as searched,
    ):
        result = query_hubs(log.rows, searched, norm, query_side=asking, progress=show, **settings)
    return collection.title, replace(result, repeated=result.repeated + log.repeated)


def _counts(result: QueryHubs) -> dict[str, list[int]]:
    """Queries of every item, by ranking, those never found included."""
    rankings = ["dot product"] + ([] if result.after is None else [result.after.method])
    never = [0] * (result.n_items - len(result.counts))
    return {
        name: [counts[at] for counts in result.counts.values()] + never
        for at, name in enumerate(rankings)
    }

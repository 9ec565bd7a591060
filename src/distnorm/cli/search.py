"""``distnorm search``: the first pictures for a sentence or a picture, by dot and normalized."""

from __future__ import annotations

import os
import sys
import webbrowser
from pathlib import Path
from typing import Any

import click

from distnorm.cli.engine import EngineOptions
from distnorm.cli.groups import options_of
from distnorm.cli.output import NewFile, console, json_option, say, write_json
from distnorm.cli.progress import progress_bar
from distnorm.cli.vectors import VectorOptions

__all__ = ["search"]

_SHEET = Path("search.html")


@click.command()
@click.argument("store", metavar="STORE|INDEX")
@click.argument("query", required=False)
@click.option(
    "--query-vectors",
    type=click.Path(),
    help="Instead of a QUERY: vectors, one query each; --side names the items' side.",
)
@click.option("--normalization", type=click.Path(), help="A saved normalization.")
@click.option("--k", default=10, show_default=True, type=click.IntRange(min=1))
@click.option(
    "--side",
    default="image",
    metavar="[image|text|both]",
    show_default=True,
    help="What is searched; both: texts and pictures in one list. Or a side of the normalization, "
    "such as document.",
)
@click.option("--model", help="The store's model, where it does not say.")
@click.option("--both", is_flag=True, help="Also the list of the plain dot product.")
@click.option("--threshold", type=float, help="Leave out two-sided scores up to this.")
@click.option(
    "--false-alarm-rate", type=float, help="Leave out what a non-match reaches as often (0.001)."
)
@click.option(
    "--bias",
    type=click.Path(path_type=Path),
    help="Keep the items' biases in this file, for methods that have one per item.",
)
@click.option(
    "--biases",
    type=click.Path(path_type=Path),
    help="Of an INDEX: the folder that distnorm index bias --biases kept them in.",
)
@click.option(
    "--certify",
    is_flag=True,
    help="Of an INDEX with biases: fetch more until lists are surely the exact ones.",
)
@click.option(
    "--scale",
    default="standard",
    type=click.Choice(["standard", "two-sided"]),
    show_default=True,
    help="With --side both: what makes texts and pictures comparable.",
)
@click.option(
    "--sheet",
    type=NewFile("a page", ".html", ".htm", path_type=Path),
    help="Write the results as a page with thumbnails.",
)
@click.option("--open", "show", is_flag=True, help=f"Show that page (by default {_SHEET}).")
@click.option(
    "--pictures",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="Folder that the pictures' names begin from, for thumbnails.",
)
@click.option(
    "--csv",
    "csv_path",
    metavar="PATH",
    type=NewFile("a table", ".csv", ".txt", allow_dash=True),
    help="With --query-vectors: write a CSV; - for stdout.",
)
@options_of(EngineOptions, "engine")
@options_of(VectorOptions, "reading")
@json_option
def search(
    store: str,
    query: str | None,
    query_vectors: str | None,
    engine: EngineOptions,
    reading: VectorOptions,
    csv_path: str | None,
    json_path: str | None,
    sheet: Path | None,
    show: bool,
    pictures: Path | None,
    **settings: Any,
) -> None:
    """Search a STORE's pictures or texts, or an INDEX, for a sentence or the picture of a path.

    STORE may be a file of vectors. An INDEX is system:place, such as faiss:photos.index. Both need
    --model to encode the query. With --query-vectors, search for many queries at once, without a
    model.
    """
    if (query is None) == (query_vectors is None):
        raise click.UsageError("give a QUERY or --query-vectors")
    if settings["normalization"] is None and settings["side"] not in ("image", "text", "both"):
        raise click.BadParameter(
            f"{settings['side']!r} is not one of 'image', 'text', 'both'", param_hint="'--side'"
        )
    _check_engine(engine, store, settings)
    _check_place(store, settings)
    if query_vectors is not None:
        from distnorm.cli.search_many import search_many

        only_one = {"--sheet": sheet, "--open": show, "--pictures": pictures}
        search_many(store, query_vectors, only_one, settings, csv_path, json_path, reading, engine)
        return
    assert query is not None
    if csv_path is not None:
        raise click.UsageError("--csv needs --query-vectors")
    from distnorm.report.terminal import search_table

    page = sheet or (_SHEET if show else None)
    if page is not None:
        from distnorm.errors import require

        for module, extra in (("jinja2", "report"), ("PIL.Image", "embed")):
            require(module, extra)
        # The page has both lists side by side.
        settings["both"] = True
    found = _answer(store, query, settings, reading, engine)
    console().print(search_table(found))
    for note in found["notes"]:
        say(f"note: {note}")
    if page is not None:
        from distnorm.report.html.sheet import write_sheet
        from distnorm.store.catalog import picture_folder

        missing = write_sheet(page, found, pictures or picture_folder(store))
        words = f"written to {page}"
        if missing:
            words += f"; {missing} pictures were not found: name their folder with --pictures"
        say(words)
        if show and _display():
            webbrowser.open(page.resolve().as_uri())
    write_json(found, json_path)


def _answer(
    place: str, query: str, settings: dict[str, Any], reading: VectorOptions, engine: EngineOptions
) -> dict[str, Any]:
    """What a store or an index answers."""
    from distnorm.search.answer import Settings, answer
    from distnorm.search.in_index import IndexPlace
    from distnorm.search.in_store import StorePlace
    from distnorm.search.indexes import is_spec

    if is_spec(place):
        reading.check_used("a STORE or --query-vectors", given=False)
        if reading.normalize:
            raise click.UsageError("--normalize says how a STORE or --query-vectors are read")
        return answer(IndexPlace(place), query, Settings(**settings)).to_dict()
    side = settings["side"]
    keys = reading.keys(*(("image", "text") if side in ("image", "text", "both") else (side,)))
    with engine.opening(reading.normalize) as opening, progress_bar("searching", "items") as bar:
        found = answer(StorePlace(Path(place), bar, keys, opening), query, Settings(**settings))
    return found.to_dict()


def _check_engine(engine: EngineOptions, place: str, settings: dict[str, Any]) -> None:
    """Raise for what a cluster does not do, before one is started."""
    from distnorm.search.indexes import is_spec

    if not engine.ray:
        return
    if is_spec(place):
        raise click.UsageError("--engine ray searches files of vectors; an INDEX searches itself")
    for name, wrong in (("--side both", settings["side"] == "both"), ("--bias", settings["bias"])):
        if wrong:
            raise click.UsageError(f"--engine ray excludes {name}")


def _check_place(place: str, settings: dict[str, Any]) -> None:
    """Raise for options of the other kind of place."""
    from distnorm.search.indexes import is_spec
    from distnorm.system.files import check_ending

    bias = settings["bias"]
    if bias is not None and not bias.exists():
        check_ending(bias, "biases", ".safetensors")
    if is_spec(place) and bias is not None:
        raise click.UsageError(
            "--bias keeps the biases of a STORE; for an INDEX, run distnorm index bias once"
        )
    if not is_spec(place) and (settings["biases"] is not None or settings["certify"]):
        raise click.UsageError("--biases and --certify are of an INDEX; a STORE's lists are exact")


def _display() -> bool:
    """Whether there is a screen to open a page on."""
    return sys.platform in ("darwin", "win32") or bool(
        os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    )

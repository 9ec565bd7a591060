"""``distnorm serve``: a page to try a collection on, and an HTTP service for programs."""

from __future__ import annotations

import tempfile
import threading
import webbrowser
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

import distnorm
from distnorm.cli.output import complain, say
from distnorm.cli.progress import progress_bar

if TYPE_CHECKING:
    from distnorm.demo.collection import Drawn
    from distnorm.normalization import ScoreNormalization
    from distnorm.report.html.page import Report
    from distnorm.service.opening import Opening
    from distnorm.service.shown import Shown
    from distnorm.service.store_items import Shelf

__all__ = ["serve"]

_TOKEN = "DISTNORM_TOKEN"


@click.command()
@click.argument("place", metavar="STORE|INDEX|demo")
@click.option(
    "--normalization",
    type=click.Path(),
    multiple=True,
    help="A saved normalization; of several the first one ranks, the others can be chosen.",
)
@click.option("--side", default="image", show_default=True, help="What is searched.")
@click.option("--model", help="The model of the queries, where the store does not say.")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", default=8765, show_default=True, type=click.IntRange(0, 65535))
@click.option("--token", envvar=_TOKEN, help=f"What clients must send; better in {_TOKEN}.")
@click.option("--allow-host", multiple=True, help="A name that this service is reached by.")
@click.option("--allow-origin", multiple=True, help="A page of another origin that may ask.")
@click.option(
    "--pictures",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="Folder that the pictures' names begin from.",
)
@click.option(
    "--titles", type=click.Path(path_type=Path), help="Store that names an index's items."
)
@click.option("--fields", default="", help="What to show of an index's items, such as title,url.")
@click.option("--threshold", type=float, help="Two-sided score up to which nothing matches.")
@click.option("--false-alarm-rate", type=float, help="The same at a calibrated rate.")
@click.option(
    "--watch",
    type=click.Path(path_type=Path),
    help="A normalization that is read again whenever the file changes.",
)
@click.option(
    "--learn",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Take statistics from the queries that pass; FILE is where they start and are published.",
)
@click.option(
    "--allow-filters", "filters", is_flag=True, help="Clients may send an index's own conditions."
)
@click.option(
    "--queries",
    help="Queries for the tab Hubs: sentences, one per line, or vectors; default the store's own.",
)
@click.option(
    "--report", type=click.Path(path_type=Path), help="JSON of compare, for the tab Compare."
)
@click.option(
    "--map",
    "atlas",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="Folder of an application that embedding-atlas exported, for the tab Map.",
)
@click.option("--open", "show", is_flag=True, help="Open the page in the browser.")
def serve(
    place: str,
    host: str,
    port: int,
    token: str | None,
    allow_host: tuple[str, ...],
    allow_origin: tuple[str, ...],
    normalization: tuple[str, ...],
    fields: str,
    queries: str | None,
    report: Path | None,
    atlas: Path | None,
    show: bool,
    **settings: Any,
) -> None:
    """Serve a page and an HTTP API over a STORE or a running INDEX; `demo` draws one to try.

    Only this machine reaches it unless --host says otherwise.
    """
    from distnorm.errors import require

    for module in ("starlette", "uvicorn", "jinja2"):
        require(module, "serve")
    from distnorm.service.app import Service, create_app
    from distnorm.service.guard import Access
    from distnorm.service.opening import Opening, open_engine, watch_and_learn
    from distnorm.service.server import is_loopback, listen, run
    from distnorm.service.shown import open_shown

    sock = listen(host, port)
    with tempfile.TemporaryDirectory(prefix="distnorm-") as folder, sock:
        named = tuple(part.strip() for part in fields.split(",") if part.strip())
        opening = Opening(place, normalization, fields=named, **settings)
        shelf: Shelf | None = None
        norms: list[ScoreNormalization] = []
        drawn: Drawn | None = None
        if place == "demo":
            opening, shelf, drawn = _demo(opening, Path(folder))
            norms = drawn.norms
        engine = open_engine(opening, shelf, norms)
        access = Access(token or None, allow_host, allow_origin)
        shown = open_shown(engine, queries, report, opening.model, atlas)
        if drawn is not None:
            shown = _demo_shown(drawn, shown)
        service = Service(engine, access, complain, distnorm.__version__, shown)
        watch_and_learn(service, opening, shelf)
        url = f"http://{f'[{host}]' if ':' in host else host}:{sock.getsockname()[1]}/"
        if not is_loopback(host):
            say(
                f"listening on {host}: other machines reach this"
                + ("" if token else f", and anyone may ask: set {_TOKEN}"),
                style="yellow",
            )

        def started() -> None:
            say(f"serving {engine.items.name} at {url}")
            if show:
                threading.Thread(target=webbrowser.open, args=(url,), daemon=True).start()

        run(create_app(service), sock, engine.limits, complain, started)


def _demo(opening: Opening, folder: Path) -> tuple[Opening, Shelf, Drawn]:
    """The drawn collection, in a folder that goes when the service ends."""
    from distnorm.demo.collection import draw_collection
    from distnorm.errors import require
    from distnorm.service.store_items import Shelf
    from distnorm.store.catalog import Catalog

    for module in ("onnxruntime", "PIL"):
        require(module, "demo")
    with progress_bar("demo", "steps") as bar:
        drawn = draw_collection(folder, progress=bar.step)
    catalog = Catalog.of(drawn.names)
    shelf = Shelf("a drawn collection", drawn.rows, catalog, drawn.captions)
    opened = replace(
        opening, model=drawn.model, pictures=drawn.pictures, side="image", fields=(), titles=None
    )
    return opened, shelf, drawn


def _demo_shown(drawn: Drawn, shown: Shown) -> Shown:
    """The demo's own queries and report, where no others were named."""
    from distnorm.service.shown import LoggedQueries

    queries, report = shown.queries, shown.report
    if queries is None:
        queries = LoggedQueries(drawn.encoder.encode_texts(drawn.log), drawn.log, "the demo's log")
    return replace(shown, queries=queries, report=report or _demo_report)


def _demo_report() -> Report:
    """The report of a smaller demo, made when somebody looks."""
    from distnorm.demo import run_demo
    from distnorm.demo.page import demo_report

    return demo_report(run_demo(size=500))

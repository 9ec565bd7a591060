"""What all commands print and write: tables for people, JSON, pages."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from distnorm.errors import DistnormError, require
from distnorm.system.files import check_ending, check_folder, check_writable, write_text
from distnorm.system.records import finite
from distnorm.text import plain

if TYPE_CHECKING:
    from rich.console import Console

    from distnorm.normalization import ScoreNormalization

__all__ = [
    "NewFile",
    "NewFolder",
    "check_new",
    "complain",
    "console",
    "json_option",
    "put",
    "report_option",
    "require_report",
    "say",
    "say_dropped",
    "write_json",
    "write_report",
]


class NewFile(click.Path):
    """A path to write to, refused before any work if that cannot be; ``-`` is standard output.

    A name that ends as files of another kind do than ``what``, whose own are ``ends``, is refused.
    """

    def __init__(self, what: str = "", *ends: str, **settings: Any) -> None:
        super().__init__(**settings)
        self.what, self.ends = what, ends

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The path as it is."""
        path = super().convert(value, param, ctx)
        if not (self.allow_dash and value == "-"):
            if self.ends:
                check_ending(value, self.what, *self.ends)
            check_writable(value)
        return path


class NewFolder(click.Path):
    """A folder to write into, there or not, refused before any work if that cannot be."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The path as it is."""
        if not os.path.isdir(value):
            check_ending(value, "a folder")
        check_folder(value)
        return super().convert(value, param, ctx)


def check_new(path: str, overwrite: bool) -> None:
    """Raise for a file that is there, unless it is to be replaced."""
    if os.path.exists(path) and not overwrite:
        raise DistnormError(
            f"an existing file {path}", "a new one", "pass --overwrite to replace it"
        )


_PAGE = NewFile("a page", ".html", ".htm")
json_option = click.option(
    "--json",
    "json_path",
    metavar="PATH",
    type=NewFile("JSON", ".json", ".txt", allow_dash=True),
    help="Write the result as JSON; - for stdout.",
)
report_option = click.option("--report", type=_PAGE, help="Write an HTML page to this file.")


def console() -> Console:
    """Console for people: standard error, so that standard output is free for JSON."""
    from rich.console import Console

    return Console(stderr=True, emoji=False, markup=False)


def say(line: str, style: str | None = None, out: Console | None = None) -> None:
    """One line for people, whatever brackets, numbers and controls are in it."""
    from rich.text import Text

    (out or console()).print(Text(plain(line)), style=style, soft_wrap=True, highlight=False)


def say_dropped(norm: ScoreNormalization) -> None:
    """What new statistics have made void, if anything, and the way back."""
    ways = {
        "selection": "the choice of auto, made anew",
        "calibration": "the calibration (run `distnorm calibrate`)",
        "class_prior": "the class prior (fit it again with --images, --texts and --prior)",
        "probability": "P(match) (run `distnorm calibrate` with --labels or --matches)",
    }
    if norm.notes.dropped:
        say(f"void with the old statistics: {', '.join(ways[n] for n in norm.notes.dropped)}")


def complain(line: str) -> None:
    """What went wrong, as one line on standard error."""
    click.echo(f"distnorm: {plain(' '.join(line.split()))}", err=True)


def write_json(result: dict[str, Any], path: str | None) -> None:
    """Write ``result`` to a file, whole or not at all, or to standard output; NaN is null."""
    if path is not None:
        put(json.dumps(finite(result), indent=2, allow_nan=False) + "\n", path)


def put(text: str, path: str | os.PathLike[str]) -> None:
    """Write a text to a file, whole or not at all, or to standard output for ``-``."""
    if path == "-":
        sys.stdout.write(text)
        sys.stdout.flush()
    else:
        write_text(path, text)


def require_report(path: str | None) -> None:
    """Raise, before any work, if a page is wanted and what draws it is not installed."""
    for module in ("jinja2", "matplotlib") if path is not None else ():
        require(module, "report")


def write_report(path: str | None, page: Callable[[], str]) -> None:
    """Draw and write a page, if one is wanted; called after the JSON is written."""
    if path is None:
        return
    from distnorm.report.html.page import write_page

    write_page(Path(path), page())
    say(f"report: {path}")

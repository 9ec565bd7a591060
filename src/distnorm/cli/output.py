"""What all commands share: consoles, options, JSON output, errors as one line."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from distnorm.errors import DistnormError, require
from distnorm.system.files import atomic_write

__all__ = [
    "Bar",
    "console",
    "json_option",
    "parse_ks",
    "parse_strength",
    "progress_bar",
    "require_report",
    "split_methods",
    "write_json",
]


def console() -> Console:
    """Console for people: standard error, so that standard output is free for JSON."""
    return Console(stderr=True)


def json_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add ``--json PATH`` to a command."""
    return click.option(
        "--json", "json_path", metavar="PATH", help="Write the result as JSON; - for stdout."
    )(command)


def write_json(result: dict[str, Any], path: str | None) -> None:
    """Write ``result`` to a file, whole or not at all, or to standard output."""
    if path is None:
        return
    text = json.dumps(result, indent=2, allow_nan=False) + "\n"
    if path == "-":
        sys.stdout.write(text)
        sys.stdout.flush()
        return
    with atomic_write(path) as file:
        file.write(text.encode())


class Bar:
    """Progress on standard error: called with (done, in all), or `step` with a name too."""

    def __init__(self, progress: Progress, what: str) -> None:
        self._progress = progress
        self._task = progress.add_task(what, total=None)

    def __call__(self, done: int, total: int) -> None:
        """So much is done."""
        self._progress.update(self._task, completed=done, total=total)

    def say(self, line: str, style: str | None = None) -> None:
        """A line above the bar, also where there is no bar."""
        out = self._progress.console
        out.print(line, style=style, soft_wrap=True, highlight=False, markup=False)

    def step(self, what: str, done: int, total: int) -> None:
        """So much is done, and this is next."""
        self._progress.update(self._task, completed=done, total=total, description=what)


@contextmanager
def progress_bar(what: str, unit: str) -> Iterator[Bar]:
    """Progress on standard error."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn(unit),
        TimeRemainingColumn(),
    )
    out = console()
    with Progress(*columns, console=out, transient=True, disable=not out.is_terminal) as bar:
        yield Bar(bar, what)


def require_report() -> None:
    """Raise, before any work, if what a page is drawn with is not installed.

    Raises
    ------
    MissingExtraError
        With the pip line.
    """
    for module in ("jinja2", "matplotlib"):
        require(module, "report")


def parse_strength(text: str | None) -> float | dict[str, float] | None:
    """Read ``0.5`` or ``image=0.25,text=0.5``.

    Raises
    ------
    DistnormError
        For anything else.
    """
    if text is None:
        return None
    try:
        if "=" not in text:
            return float(text)
        pairs = [part.split("=") for part in text.split(",")]
        return {side.strip(): float(value) for side, value in pairs}
    except ValueError as error:
        raise DistnormError(
            f"--strength {text}", "a number, or image=0.25,text=0.5", "write it so"
        ) from error


def parse_ks(text: str) -> tuple[int, ...]:
    """Read ``1,5,10``.

    Raises
    ------
    DistnormError
        For anything but whole numbers.
    """
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError as error:
        raise DistnormError(f"--k {text}", "whole numbers, e.g. 1,5,10", "write it so") from error


def split_methods(text: str) -> list[str]:
    """Names between commas; a comma inside parameters joins what has an "=" and no name."""
    parts: list[str] = []
    for part in text.split(","):
        if parts and "=" in part and ":" not in part:
            parts[-1] += f",{part}"
        else:
            parts.append(part)
    return parts

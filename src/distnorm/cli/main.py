"""The ``distnorm`` command and its exit codes: 0 done, 1 bad data or files, 2 wrong usage."""

from __future__ import annotations

import difflib
import errno
import importlib
import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import click

import distnorm
from distnorm.cli.examples import BEGINNING, with_example
from distnorm.cli.output import complain
from distnorm.errors import DistnormError, DistnormWarning
from distnorm.system.files import path_error
from distnorm.text import plain

__all__ = ["cli", "main"]

# A command is `distnorm.cli.NAME.NAME`, _ for -, imported when it is asked for.
COMMANDS = [
    "benchmark",
    "calibrate",
    "card",
    "compare",
    "demo",
    "diff",
    "embed",
    "evaluate",
    "export",
    "export-atlas",
    "fit",
    "index",
    "inspect",
    "search",
    "serve",
    "watch",
]


class _Group(click.Group):
    """Imports commands late; turns what goes wrong into one line and an exit code."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return COMMANDS

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module = cmd_name.replace("-", "_")
        command: click.Command = getattr(importlib.import_module(f"distnorm.cli.{module}"), module)
        return with_example(command, cmd_name)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            alike = difflib.get_close_matches(args[0], COMMANDS, 1)
            if not alike:
                raise
            message = f"{error.format_message()} Did you mean {alike[0]!r}?"
            raise click.UsageError(message, ctx) from error

    def make_context(self, *args: Any, **options: Any) -> click.Context:
        with _plain_usage():
            return super().make_context(*args, **options)

    def invoke(self, ctx: click.Context) -> Any:
        try:
            with _plain_usage(), _notes():
                return super().invoke(ctx)
        except DistnormError as error:
            complain(str(error))
            ctx.exit(1)
        except KeyboardInterrupt:
            complain("interrupted; nothing was written")
            ctx.exit(130)
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                complain("got a full disk; expected room; free some space")
                _silence_stdout()
            elif isinstance(error, BrokenPipeError):
                # Whoever read standard output has gone; closing it would only fail again.
                _silence_stdout()
            else:
                complain(str(path_error(error)))
            ctx.exit(1)
        except ValueError as error:
            # What the system's calls say of a path with a NUL.
            if "embedded null" not in str(error):
                raise
            complain("got a path with a NUL; expected a path; check the arguments")
            ctx.exit(1)


@contextmanager
def _plain_usage() -> Iterator[None]:
    """Wrong usage in words that no value of an option can turn into a command of the terminal."""
    try:
        yield
    except click.exceptions.NoArgsIsHelpError:
        raise
    except click.UsageError as error:
        message = error.format_message()
        # click lists choices below one another.
        told = plain(" ".join(message.split()))
        if told == message:
            raise
        raise click.UsageError(told, error.ctx) from error


@contextmanager
def _notes() -> Iterator[None]:
    """Say what was left out of a file in one line, and not as a warning with a line of code."""
    with warnings.catch_warnings():
        usual = warnings.showwarning

        def show(message: Any, category: type[Warning], *place: Any, **more: Any) -> None:
            if issubclass(category, DistnormWarning):
                click.echo(f"note: {plain(str(message))}", err=True)
            else:
                usual(message, category, *place, **more)

        warnings.showwarning = show
        warnings.simplefilter("always", DistnormWarning)
        yield


def _silence_stdout() -> None:
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


@click.group(cls=_Group, epilog=BEGINNING, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(distnorm.__version__, prog_name="distnorm")
def cli() -> None:
    """Better scores from a frozen image-text model: no training, no labels, no re-indexing."""


def main() -> None:
    """Entry point of the ``distnorm`` script."""
    cli(prog_name="distnorm")

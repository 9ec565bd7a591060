"""The ``distnorm`` command and its exit codes: 0 done, 1 bad data or files, 2 wrong usage."""

from __future__ import annotations

import errno
import importlib
import os
import sys
from typing import Any

import click

import distnorm
from distnorm.errors import DistnormError

__all__ = ["cli", "main"]

# A command is `distnorm.cli.NAME.NAME`, imported when it is asked for.
COMMANDS = [
    "benchmark",
    "calibrate",
    "card",
    "compare",
    "demo",
    "diff",
    "embed",
    "evaluate",
    "fit",
    "index",
    "inspect",
    "search",
    "watch",
]


class _Group(click.Group):
    """Imports commands late; turns what goes wrong into one line and an exit code."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return COMMANDS

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = getattr(
            importlib.import_module(f"distnorm.cli.{cmd_name}"), cmd_name
        )
        return command

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except DistnormError as error:
            click.echo("distnorm: " + " ".join(str(error).split()), err=True)
            ctx.exit(1)
        except KeyboardInterrupt:
            click.echo("distnorm: interrupted; nothing was written", err=True)
            ctx.exit(130)
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                click.echo("distnorm: got a full disk; expected room; free some space", err=True)
                _silence_stdout()
                ctx.exit(1)
            if not isinstance(error, BrokenPipeError):
                raise
            # Whoever read standard output has gone; closing it would only fail again.
            _silence_stdout()
            ctx.exit(1)


def _silence_stdout() -> None:
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(distnorm.__version__, prog_name="distnorm")
def cli() -> None:
    """Better scores from a frozen image-text model: no training, no labels, no re-indexing."""


def main() -> None:
    """Entry point of the ``distnorm`` script."""
    cli(prog_name="distnorm")

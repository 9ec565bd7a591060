"""The ``distnorm`` command and its exit codes: 0 done, 1 bad data or files, 2 wrong usage."""

from __future__ import annotations

import errno
import os
import sys
from typing import Any

import click

import distnorm
from distnorm.cli.benchmark import benchmark
from distnorm.cli.calibrate import calibrate
from distnorm.cli.card import card
from distnorm.cli.compare import compare
from distnorm.cli.demo import demo
from distnorm.cli.diff import diff
from distnorm.cli.embed import embed
from distnorm.cli.evaluate import evaluate
from distnorm.cli.fit import fit
from distnorm.cli.index import index
from distnorm.cli.inspect import inspect
from distnorm.cli.search import search
from distnorm.cli.watch import watch
from distnorm.errors import DistnormError

__all__ = ["cli", "main"]


class _Group(click.Group):
    """Turns what goes wrong into one line and an exit code."""

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


cli.add_command(demo)
cli.add_command(embed)
cli.add_command(fit)
cli.add_command(inspect)
cli.add_command(evaluate)
cli.add_command(compare)
cli.add_command(search)
cli.add_command(calibrate)
cli.add_command(card)
cli.add_command(diff)
cli.add_command(watch)
cli.add_command(index)
cli.add_command(benchmark)


def main() -> None:
    """Entry point of the ``distnorm`` script."""
    cli(prog_name="distnorm")

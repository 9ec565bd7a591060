"""Where the work of a command is done: in this process, or by the workers of a Ray cluster."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import click

from distnorm.cli.groups import option

if TYPE_CHECKING:
    from distnorm.distributed.session import Session
    from distnorm.search.items import OpenItems

__all__ = ["EngineOptions", "aside"]


@contextmanager
def aside() -> Iterator[None]:
    """Standard output for results alone: what Ray prints there of workers that died goes aside."""
    with redirect_stdout(sys.stderr):
        yield


@dataclass(frozen=True)
class EngineOptions:
    """Where the work is done."""

    engine: str = option(
        "--engine",
        type=click.Choice(["local", "ray"]),
        default="local",
        show_default=True,
        help="ray: by the workers of a Ray cluster, a local one unless --address names one.",
    )
    address: str | None = option(
        "--address",
        metavar="HOST:PORT",
        help="Of a running Ray cluster, or auto; with --engine ray.",
    )

    @property
    def ray(self) -> bool:
        """Whether workers do it."""
        if self.engine != "ray" and self.address is not None:
            raise click.UsageError("--address needs --engine ray")
        return self.engine == "ray"

    @contextmanager
    def session(self, workers: int | None = None) -> Iterator[Session]:
        """The cluster, for the time of the work."""
        from distnorm.distributed.session import connected

        with aside(), connected(self.address, workers=workers) as session:
            yield session

    @contextmanager
    def reader(self, workers: int | None = None) -> Iterator[Any]:
        """What opens inputs of a fit; None where this process reads them."""
        if not self.ray:
            yield None
            return
        from distnorm.distributed.statistics import open_remote

        with self.session(workers) as session:
            yield partial(open_remote, session)

    @contextmanager
    def opening(self, normalize: bool = False) -> Iterator[OpenItems]:
        """How items are opened that are searched: here, or by the workers of the cluster."""
        from distnorm.search.items import open_local, open_unit

        if not self.ray:
            yield open_unit if normalize else open_local
            return
        from distnorm.distributed.search import opening

        with self.session() as session:
            yield opening(session)

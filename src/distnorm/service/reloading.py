"""Statistics and stores that change while they are served, taken in without a pause.

Files are looked at every second. What has changed is read and made ready beside what answers, then
takes its place between two batches. What cannot be read, or does not fit, is one line in the log
and changes nothing: what was there goes on answering, also if its files are gone.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from distnorm.errors import DistnormError
from distnorm.service.items import Items
from distnorm.service.rankings import Rankings

if TYPE_CHECKING:
    from distnorm.service.app import Service

__all__ = ["Reloading", "signature"]


def signature(path: Path) -> Any:
    """What changes when a file or a store does; None if nothing is there."""
    try:
        if not path.is_dir():
            return _stamp(path)
        marker = path / "store.json"
        if marker.is_file():
            return _stamp(marker)
        return tuple((str(file), _stamp(file)) for file in sorted(path.glob("*/*")))
    except OSError:
        return None


class Reloading:
    """Watches a normalization and a store, and swaps what a service answers by.

    ``read_rankings`` makes rankings of (items, version), read anew from ``file``, ``read_items``
    items from ``store``; ``every`` are the seconds between two looks.
    """

    def __init__(
        self,
        service: Service,
        *,
        file: Path | None = None,
        read_rankings: Callable[[Items, int], Rankings] | None = None,
        store: Path | None = None,
        read_items: Callable[[], Items] | None = None,
        every: float = 1.0,
    ) -> None:
        self._service, self._every = service, every
        self._file, self._read_rankings = file, read_rankings
        self._store, self._read_items = store, read_items
        self._seen = {path: signature(path) for path in (file, store) if path is not None}

    async def run(self) -> None:
        """Look and take in, for as long as the service runs."""
        while True:
            await asyncio.sleep(self._every)
            changed = []
            for path in self._seen:
                now = await asyncio.to_thread(signature, path)
                if now != self._seen[path]:
                    self._seen[path] = now
                    changed.append(path)
            for path in changed:
                await self._take_in(path)

    async def _take_in(self, path: Path) -> None:
        service, metrics = self._service, self._service.metrics
        if self._seen[path] is None:
            metrics.failed_reloads += 1
            service.log(f"{path} is gone; what was read of it goes on answering")
            return
        try:
            await self._swap(path)
        except DistnormError as error:
            metrics.failed_reloads += 1
            service.log(f"{path} was not taken in: {error}")
        except Exception as error:
            metrics.failed_reloads += 1
            service.log(f"{path} was not taken in: {type(error).__name__}: {error}")
        else:
            metrics.reloads += 1
            service.log(f"{path} was taken in, version {service.engine.rankings.version}")

    async def _swap(self, path: Path) -> None:
        engine, now = self._service.engine, self._service.engine.now
        items, rankings = now.items, now.rankings
        if path == self._store and self._read_items is not None:
            items = await asyncio.to_thread(self._read_items)
            if items.dimension != now.items.dimension:
                raise DistnormError(
                    f"rows of {items.dimension} dimensions",
                    f"{now.items.dimension} as before",
                    "serve it anew",
                )
            # Biases are those of the items.
            rankings = rankings.anew(rankings.version + 1)
        elif self._read_rankings is not None:
            version = rankings.version + 1
            rankings = await asyncio.to_thread(self._read_rankings, items, version)
        engine.replace(await self._service.prepared(items, rankings))


def _stamp(path: Path) -> Any:
    about = path.stat()
    return about.st_mtime_ns, about.st_size, about.st_ino

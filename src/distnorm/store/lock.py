"""One writer per store: a lock that the system releases when its process ends, however it ends."""

from __future__ import annotations

from pathlib import Path

from filelock import FileLock, Timeout

from distnorm.errors import DistnormError
from distnorm.store.layout import LOCK

__all__ = ["StoreLock"]


class StoreLock:
    """Hold a store's lock file; raises where another process holds it."""

    def __init__(self, folder: Path) -> None:
        self._lock = FileLock(folder / LOCK, timeout=0)
        try:
            self._lock.acquire()
        except Timeout as error:
            raise DistnormError(
                f"{folder}, which another process is writing to", "one writer", "wait for it"
            ) from error

    def release(self) -> None:
        """Let others write."""
        self._lock.release()

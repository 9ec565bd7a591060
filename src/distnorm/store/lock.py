"""One writer per store: a lock that the system releases when its process ends, however it ends."""

from __future__ import annotations

from pathlib import Path

from filelock import FileLock, Timeout

from distnorm.errors import DistnormError
from distnorm.store.layout import LOCK

__all__ = ["StoreLock"]


# A process that was killed this moment may hold its lock a little longer, on a busy system.
_WAIT = 1.0


class StoreLock:
    """Hold a store's lock file; raises where another process holds it."""

    def __init__(self, folder: Path) -> None:
        self._lock = FileLock(folder / LOCK, timeout=_WAIT)
        try:
            self._lock.acquire()
        except Timeout as error:
            raise DistnormError(
                f"{folder}, which another process is writing to", "one writer", "wait for it"
            ) from error

    def release(self) -> None:
        """Let others write."""
        self._lock.release()

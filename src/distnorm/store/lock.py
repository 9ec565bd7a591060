"""One writer a store: a lock that the system lets go of when its process ends, however it ends."""

from __future__ import annotations

import importlib
import os
from pathlib import Path

from distnorm.errors import DistnormError

__all__ = ["StoreLock"]


class StoreLock:
    """Hold ``.lock`` in a folder.

    Raises
    ------
    DistnormError
        If another process holds it.
    """

    def __init__(self, folder: Path) -> None:
        try:
            self._system = importlib.import_module("fcntl")
        except ImportError:  # Windows: nothing guards against two writers there
            self._handle = -1
            return
        self._handle = os.open(folder / ".lock", os.O_RDWR | os.O_CREAT, 0o666)
        try:
            self._system.flock(self._handle, self._system.LOCK_EX | self._system.LOCK_NB)
        except BlockingIOError as error:
            os.close(self._handle)
            raise DistnormError(
                f"{folder}, which another process is writing to", "one writer", "wait for it"
            ) from error

    def release(self) -> None:
        """Let go."""
        if self._handle >= 0:
            os.close(self._handle)
            self._handle = -1

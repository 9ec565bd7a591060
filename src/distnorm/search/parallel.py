"""How many threads a search uses, and who has them: its own threads, or BLAS's.

A tile of scores is best looked at by the core that computed it, while it is in that core's cache.
So each thread multiplies for itself, and BLAS is kept from starting more threads meanwhile.
"""

from __future__ import annotations

import functools
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from threadpoolctl import ThreadpoolController

__all__ = ["single_threaded_blas", "threads"]


def threads() -> int:
    """Threads to use: the cores this process may run on, or what BLAS was told to use."""
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        told = os.environ.get(name, "")
        if told.isdigit() and int(told):
            return int(told)
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity is not None else os.cpu_count() or 1


@contextmanager
def single_threaded_blas() -> Iterator[None]:
    """Let BLAS use one thread a call; where it cannot be told (Accelerate), do nothing.

    The setting is the process's. Searches that overlap share it: the first sets it, the last sets
    it back, so that no order of ends leaves BLAS with one thread for good.
    """
    _shared.enter()
    try:
        yield
    finally:
        _shared.leave()


class _Shared:
    """How many are inside, and what lifts the limit."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._count = 0
        self._limit: Any = None

    def enter(self) -> None:
        with self._lock:
            if not self._count:
                self._limit = _blas().limit(limits=1)
            self._count += 1

    def leave(self) -> None:
        with self._lock:
            self._count -= 1
            if not self._count:
                self._limit.restore_original_limits()


_shared = _Shared()


@functools.cache
def _blas() -> ThreadpoolController:
    """NumPy's BLAS, loaded with NumPy; looked for once, as that takes milliseconds."""
    return ThreadpoolController().select(user_api="blas")

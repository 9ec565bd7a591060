"""Work that threads share out: how many there are, and who multiplies, they or BLAS.

A tile of scores is best looked at by the core that computed it, while it is in that core's cache.
So each thread multiplies for itself, and BLAS is kept from starting more threads meanwhile.
"""

from __future__ import annotations

import functools
import os
import queue
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, Protocol

from threadpoolctl import ThreadpoolController

__all__ = [
    "OwnLock",
    "Work",
    "cores",
    "run_in_threads",
    "single_threaded_blas",
    "single_threaded_openmp",
    "threads",
]

Progress = Callable[[int], None]


class Work(Protocol):
    """What several threads do together, each taking the next piece until there is none."""

    def run(self, report: Progress) -> None:
        """Do pieces, and report how much of all is done; called once in each thread."""

    def stop(self) -> None:
        """Have every thread end after the piece that it is at."""


def cores() -> int:
    """Cores that this process may run on."""
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity is not None else os.cpu_count() or 1


def threads() -> int:
    """Threads to use: the cores this process may run on, or what BLAS was told to use."""
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        told = os.environ.get(name, "")
        if told.isdigit() and int(told):
            return int(told)
    return cores()


def run_in_threads(work: Work, workers: int, progress: Progress) -> None:
    """Do it in so many threads, with one thread of BLAS each; raise what one of them raises.

    Progress is called in the caller's thread, which may be interrupted: all others then stop.
    """
    if workers == 1:
        work.run(progress)
        return
    done: queue.SimpleQueue[int | None] = queue.SimpleQueue()

    def run() -> None:
        try:
            work.run(done.put)
        except BaseException:
            work.stop()
            raise
        finally:
            done.put(None)

    with ThreadPoolExecutor(workers, "distnorm") as pool, single_threaded_blas():
        try:
            busy = [pool.submit(run) for _ in range(workers)]
            left = workers
            while left:
                number = done.get()
                if number is None:
                    left -= 1
                else:
                    progress(number)
        finally:
            work.stop()
        for one in busy:
            one.result()


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


class OwnLock:
    """A lock of one object: its copies and pickles have others."""

    def __init__(self) -> None:
        self._lock = threading.RLock()

    def __enter__(self) -> None:
        """Wait for whoever holds it."""
        self._lock.acquire()

    def __exit__(self, *_: object) -> None:
        """Let others in."""
        self._lock.release()

    def __reduce__(self) -> tuple[type[OwnLock], tuple[()]]:
        """Pickle and copy as a new one."""
        return type(self), ()


def single_threaded_openmp() -> Any:
    """A context in which OpenMP, which torch multiplies with, has one thread in this thread."""
    return _openmp().limit(limits=1)


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


@functools.cache
def _openmp() -> ThreadpoolController:
    """The OpenMP of libraries that are loaded by now."""
    return ThreadpoolController().select(user_api="openmp")

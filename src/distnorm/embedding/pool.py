"""Worker processes that decode pictures; one that dies costs its picture, never the work.

Every worker has a line of its own and answers in order, so that when it dies the picture in its
hands is known: the first that it owes. That one is tried once more, as the system may have killed
the worker for want of memory, then given up with the reason; all others go to other workers. One
that takes longer than a limit is ended with its worker, and not tried again.
"""

from __future__ import annotations

import ctypes
import multiprocessing
import pickle
import signal
import sys
import time
from collections import deque
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from typing import Any

import numpy as np
import numpy.typing as npt

from distnorm.embedding.decoding import Decoded, Job, Recipe, decode, serve
from distnorm.errors import DistnormError

__all__ = ["DecoderPool"]

_DEPTH = 8  # tasks that wait at one worker
_TRIES = 2
_FAILED_STARTS = 3
_LIMIT = 60.0  # seconds for one picture: the largest takes a few


@dataclass(eq=False)
class _Worker:
    process: Any
    line: Connection
    jobs: deque[Job] = field(default_factory=deque)
    ready: bool = False
    since: float = 0.0  # when it began with the first of its jobs


class DecoderPool:
    """Decode pictures ahead of whoever takes them, in ``workers`` processes; 0 is this one.

    At most ``slots`` decoded pictures wait. A picture may take ``limit`` seconds; in this process
    nobody can end it.
    """

    def __init__(
        self, recipe: Recipe, slots: int, workers: int, limit: float | None = None
    ) -> None:
        self._limit = _LIMIT if limit is None else limit
        self.free = deque(range(slots))
        self.recipe = recipe
        self._count = workers
        self._failed_starts = 0
        self._workers: list[_Worker] = []
        self._slots: npt.NDArray[np.uint8] | None = None
        if workers:
            _check_pickles(recipe)

    def __enter__(self) -> DecoderPool:
        """Processes begin with the first job."""
        return self

    def __exit__(self, *_: object) -> None:
        """End them."""
        self.close()

    def _begin(self) -> None:
        size = len(self.free) * self.recipe.nbytes
        if self._count:
            method = "forkserver" if sys.platform == "linux" else "spawn"
            self._context: Any = multiprocessing.get_context(method)
            if method == "forkserver":
                # Imported once, by the server that workers are forked from.
                needed = ["__main__", "distnorm.embedding.decoding", "PIL.Image", "PIL.ImageOps"]
                needed.append(self.recipe.preprocess.__module__)
                self._context.set_forkserver_preload(needed)
            # In /dev/shm where it has room, else in a temporary file; gone with the processes.
            self._shared = self._context.RawArray(ctypes.c_uint8, size)
            buffer = np.frombuffer(memoryview(self._shared), dtype=np.uint8)
        else:
            buffer = np.zeros(size, dtype=np.uint8)
        self._slots = buffer.reshape(len(self.free), self.recipe.nbytes)
        self._workers = [self._start() for _ in range(self._count)]

    def pixels(self, slot: int) -> npt.NDArray[Any]:
        """The pixels in a slot."""
        assert self._slots is not None
        values: npt.NDArray[Any] = self._slots[slot].view(self.recipe.dtype)
        return values.reshape(self.recipe.shape)

    def has_room(self) -> bool:
        """Whether one more job can be taken now."""
        if not self.free:
            return False
        return not self._workers or min(len(w.jobs) for w in self._workers) < _DEPTH

    def submit(self, job: Job) -> None:
        """Take a job; only where there is room."""
        if self._slots is None:
            self._begin()
        job.slot = self.free.popleft()
        self._assign(job)

    def poll(self, timeout: float) -> None:
        """Take results; waits up to ``timeout`` seconds for the first."""
        if not self._workers:
            time.sleep(timeout)
            return
        lines = {worker.line: worker for worker in self._workers}
        for line in wait(list(lines), timeout):
            worker = lines[line]  # type: ignore[index]
            if not self._answers(worker):
                self._substitute(worker)
        now = time.monotonic()
        for worker in list(self._workers):
            if worker.ready and worker.jobs and now - worker.since > self._limit:
                self._give_up(worker)

    def close(self) -> None:
        """End all workers."""
        for worker in self._workers:
            worker.line.close()
            worker.process.terminate()
        for worker in self._workers:
            worker.process.join()
            worker.process.close()
        self._workers = []

    def _start(self) -> _Worker:
        ours, theirs = self._context.Pipe()
        process = self._context.Process(
            target=serve, args=(theirs, self._shared, self.recipe), daemon=True
        )
        process.start()
        theirs.close()
        return _Worker(process, ours)

    def _assign(self, job: Job) -> None:
        if not self._workers:
            assert job.slot is not None
            job.result = decode(job.item, job.expected, self.recipe, self.pixels(job.slot))
            return
        worker = min(self._workers, key=lambda w: len(w.jobs))
        if not worker.jobs:
            worker.since = time.monotonic()
        worker.jobs.append(job)
        try:
            worker.line.send((job.slot, job.item, job.expected))
        except OSError:
            return  # it has died; poll will find out and hand its jobs on

    def _answers(self, worker: _Worker) -> bool:
        """Take what a worker has sent; False if its line has ended."""
        try:
            while worker.line.poll():
                result = worker.line.recv()
                worker.since = time.monotonic()
                if result is None:
                    worker.ready, self._failed_starts = True, 0
                    continue
                worker.jobs.popleft().result = result
        except (EOFError, OSError, pickle.UnpicklingError):
            return False
        return True

    def _give_up(self, worker: _Worker) -> None:
        """End a worker whose picture takes too long; that one has failed."""
        if worker.line.poll():
            return  # it has answered just now
        worker.process.kill()
        job = worker.jobs.popleft()
        job.result = Decoded(reason=f"decoding took longer than {self._limit:g} seconds")
        self._remove(worker)
        self._hand_on(worker)

    def _substitute(self, worker: _Worker) -> None:
        """Replace a dead worker and hand its jobs on."""
        how = self._remove(worker)
        if not worker.ready:
            self._failed_starts += 1
            if self._failed_starts >= _FAILED_STARTS:
                raise DistnormError(
                    f"decoding processes that ended before they began ({how})",
                    "processes that can start",
                    "put a script's own work under `if __name__ == '__main__':`, or decode in "
                    "this process with workers=0 (--workers 0)",
                )
        elif worker.jobs:
            first = worker.jobs[0]
            first.tries += 1
            if first.tries >= _TRIES:
                worker.jobs.popleft()
                first.result = Decoded(reason=f"the process that decoded it {how}")
        self._hand_on(worker)

    def _remove(self, worker: _Worker) -> str:
        """Take a worker out that ends or has ended; says how."""
        worker.line.close()
        worker.process.join(5)
        if worker.process.is_alive():
            worker.process.kill()
            worker.process.join()
        how = _ending(worker.process.exitcode)
        worker.process.close()
        self._workers.remove(worker)
        return how

    def _hand_on(self, worker: _Worker) -> None:
        self._workers.append(self._start())
        for job in worker.jobs:
            self._assign(job)


def _ending(code: int | None) -> str:
    if code is not None and code < 0:
        try:
            return f"was ended by {signal.Signals(-code).name}"
        except ValueError:
            pass
    return f"ended with exit code {code}"


def _check_pickles(recipe: Recipe) -> None:
    try:
        pickle.dumps(recipe)
    except (pickle.PicklingError, AttributeError, TypeError) as error:
        raise DistnormError(
            f"a preprocess that cannot be sent to another process ({error})",
            "a function of a module, or an object that pickles",
            "or decode in this process with workers=0 (--workers 0)",
        ) from error

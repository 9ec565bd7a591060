"""Searches that arrive together are computed together, in the one thread that owns the items.

While a batch is in work, what arrives waits; the next batch takes all that waits. So a single
search is never held back to wait for others, and under load batches grow by themselves.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Generic, TypeVar

from distnorm.service.limits import Refusal

__all__ = ["Batches"]

Job = TypeVar("Job")
Result = TypeVar("Result")
Value = TypeVar("Value")


class Batches(Generic[Job, Result]):
    """A queue in front of a function of many jobs.

    ``work`` makes results of jobs, in their order; one may be an exception, which is that job's. A
    batch has ``most`` jobs; beyond ``waiting`` that wait, more are refused with 503.
    """

    def __init__(
        self, work: Callable[[Sequence[Job]], Sequence[Any]], most: int, waiting: int
    ) -> None:
        self._work, self._most, self._waiting = work, most, waiting
        self._queue: asyncio.Queue[tuple[Job, asyncio.Future[Any]]] = asyncio.Queue()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="distnorm-search")
        self._task: asyncio.Task[None] | None = None
        self.batches = self.jobs = self.largest = 0

    def start(self) -> None:
        """Take jobs from now on."""
        self._task = asyncio.get_running_loop().create_task(self._run())

    async def stop(self) -> None:
        """Finish what is in work and end the thread."""
        if self._task is not None:
            self._task.cancel()
        await asyncio.to_thread(self._thread.shutdown)

    async def call(self, function: Callable[..., Value], *arguments: Any) -> Value:
        """A function in the thread that owns the items."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._thread, function, *arguments)

    async def result(self, job: Job) -> Any:
        """What the work makes of a job."""
        if self._queue.qsize() >= self._waiting:
            raise Refusal(503, "more searches than can wait", "fewer at once", "try again later")
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._queue.put_nowait((job, future))
        return await future

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            waiting = [await self._queue.get()]
            while len(waiting) < self._most and not self._queue.empty():
                waiting.append(self._queue.get_nowait())
            # Whoever has gone meanwhile gets nothing computed.
            waiting = [(job, future) for job, future in waiting if not future.done()]
            if not waiting:
                continue
            jobs = [job for job, _ in waiting]
            self.batches += 1
            self.jobs += len(jobs)
            self.largest = max(self.largest, len(jobs))
            results = await loop.run_in_executor(self._thread, self._results, jobs)
            for (_, future), found in zip(waiting, results, strict=True):
                if future.done():
                    continue
                if isinstance(found, BaseException):
                    future.set_exception(found)
                else:
                    future.set_result(found)

    def _results(self, jobs: Sequence[Job]) -> Sequence[Any]:
        """Results of a batch; where it fails as a whole, of its jobs one by one."""
        try:
            return self._work(jobs)
        except Exception as error:
            if len(jobs) == 1:
                return [error]
        results: list[Any] = []
        for job in jobs:
            try:
                results += self._work([job])
            except Exception as error:
                results.append(error)
        return results

"""A Ray to work on, and one way to have a function called for each of many items on it.

A local Ray is started where none is named: as many workers as there are cores, no page, a small
object store, no usage statistics. It is shut down at the end; what was there before never is.
"""

from __future__ import annotations

import inspect
import logging
import os
import pickle
import socket
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, Generic, TypeVar

from distnorm.distributed.clusters import (
    check_room,
    check_there,
    check_version,
    lacking,
    plain_ray_errors,
    too_large,
    unreachable,
    version,
)
from distnorm.errors import DistnormError, require
from distnorm.system.progress import Progress
from distnorm.system.threads import cores

__all__ = ["Session", "Shared", "connected"]

T = TypeVar("T")
R = TypeVar("R")

TRIES = 3
"""Times that work is begun again after its worker was killed for memory."""

_STORE = 1 << 28  # bytes of the object store for each worker, and for what they share
_QUIET = ("ray", "ray.data")


@dataclass(frozen=True)
class Shared(Generic[T]):
    """A value that was put once where every worker reaches it."""

    reference: Any

    def get(self) -> T:
        """The value; its arrays are views of shared memory, not to be written to."""
        value: T = require("ray", "ray").get(self.reference)
        return value


@dataclass(frozen=True)
class Session:
    """A Ray that is up.

    Attributes
    ----------
    cpus : int
        Of all its machines.
    local : bool
        Whether it was started for this work.
    """

    cpus: int
    local: bool

    def share(self, value: T) -> Shared[T]:
        """Put a value once where all workers reach it."""
        return Shared(require("ray", "ray").put(value))

    def each(
        self,
        items: Sequence[T],
        function: Callable[[T], R],
        *,
        name: Callable[[T], str] = str,
        rows: Callable[[T], int] | None = None,
        progress: Progress | None = None,
        cpus: float = 1.0,
        gpus: float = 0.0,
        actors: int | None = None,
    ) -> Iterator[tuple[int, R]]:
        """``function(item)`` of each item, with the item's number, as they get ready.

        Items are small things that pickle, ``function`` is one of a module, or a
        `functools.partial` of one. A class is called once in each of ``actors`` (as many as there
        is room for if left out), and what it makes is called with every item. ``name`` is what
        messages call an item, ``rows`` how much of all it is for ``progress`` (1 if left out),
        ``cpus`` and ``gpus`` what a worker holds while it works.

        Raises the DistnormError that ``function`` raised, or one that names the item or the package
        that is missing. Items of a worker that died are done again, so that one may be done twice.
        """
        data = require("ray.data", "ray")
        sizes = [1 if rows is None else rows(item) for item in items]
        total, done = sum(sizes), 0
        if not items:
            return
        check_room(cpus, gpus)
        waiting = dict(enumerate(items))
        cells = [
            {"number": number, "name": name(item), "item": pickle.dumps(item)}
            for number, item in enumerate(items)
        ]
        settings: dict[str, Any] = {"num_cpus": cpus, "batch_format": "pyarrow", "batch_size": 1}
        if gpus:
            settings["num_gpus"] = gpus
        called = function.func if isinstance(function, partial) else function

        def in_hand() -> str:
            first, *others = [*map(name, waiting.values())] or ["the end of the work"]
            return first + (f" or one of {len(others)} more that were not done" if others else "")

        with plain_ray_errors(in_hand), _quiet():
            dataset = data.from_items(cells, override_num_blocks=len(cells))
            _silence(dataset.context)
            if inspect.isclass(called):
                most = len(items) if actors is None else min(actors, len(items))
                few = 1 if actors is None else most
                pool = data.ActorPoolStrategy(min_size=few, max_size=most)
                made = {"fn_constructor_args": (function, version()), "compute": pool}
                ready = dataset.map_batches(_Actor, **made, **settings)
            else:
                ready = dataset.map_batches(partial(_answers, function, version()), **settings)
            for batch in ready.iter_batches(batch_size=None, batch_format="pyarrow"):
                numbers, results = batch["number"].to_pylist(), batch["result"].to_pylist()
                for number, result in zip(numbers, results, strict=True):
                    value = pickle.loads(result)
                    if isinstance(value, _Failure):
                        raise value.error
                    done += sizes[number]
                    del waiting[number]
                    if progress is not None:
                        progress(done, total)
                    yield number, value


@contextmanager
def connected(address: str | None = None, *, workers: int | None = None) -> Iterator[Session]:
    """A Ray to work on: the one that this process is in, that at ``address``, or a local one.

    Parameters
    ----------
    address : str, optional
        As of ``ray.init``: ``auto``, ``HOST:6379``, ``ray://HOST:10001``; the variable
        ``RAY_ADDRESS`` if left out, and else a local Ray.
    workers : int, optional
        Cores of a local Ray; all if left out.

    Raises
    ------
    DistnormError
        For a cluster that is not there, answers otherwise or has another version.
    """
    ray = require("ray", "ray")
    require("ray.data", "ray")
    if ray.is_initialized():
        if address is not None and not _is_at(ray, address):
            raise DistnormError(
                f"the cluster {address} in a process that is in another one",
                "one cluster for each process",
                "leave the address out, or call ray.shutdown() first",
            )
        yield _session(ray, local=False)
        return
    address = address or os.environ.get("RAY_ADDRESS") or None
    local = address in (None, "local")
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    # Ray begins again for ever what is killed for memory, and would never say so.
    os.environ.setdefault("RAY_task_oom_retries", str(TRIES))
    settings: dict[str, Any] = {"logging_level": logging.ERROR, "log_to_driver": False}
    if local:
        count = workers or cores()
        settings |= {"num_cpus": count, "include_dashboard": False}
        settings["object_store_memory"] = _STORE * (count + 1)
    asks = address is not None and not local and check_there(address)
    try:
        ray.init(address="local" if local else address, **settings)
    except Exception as error:
        raise unreachable(address, error, asks=asks) from error
    try:
        yield _session(ray, local=local)
    finally:
        ray.shutdown()


class _Failure:
    """What a worker raised."""

    def __init__(self, error: Exception) -> None:
        self.error = error


def _answers(function: Callable[[Any], Any], asked: str, batch: Any) -> Any:
    """What a function gives for each item of a batch; what it raises is part of the answer."""
    arrow = require("pyarrow", "ray")
    numbers = batch["number"].to_pylist()
    names, items = batch["name"].to_pylist(), batch["item"].to_pylist()
    results = [_answer(function, asked, *pair) for pair in zip(names, items, strict=True)]
    return arrow.table(
        {
            "number": arrow.array(numbers, arrow.int64()),
            "result": arrow.array(results, arrow.large_binary()),
        }
    )


def _answer(function: Callable[[Any], Any], asked: str, name: str, item: bytes) -> bytes:
    try:
        check_version(version(), asked, socket.gethostname())
        return pickle.dumps(function(pickle.loads(item)))
    except Exception as error:
        return _failed(name, error)


def _failed(name: str, error: Exception) -> bytes:
    """What the caller is to raise, pickled; raises what should not happen, with the name."""
    if isinstance(error, MemoryError):
        error = too_large(name)
    elif isinstance(error, ModuleNotFoundError) and not isinstance(error, DistnormError):
        error = lacking(error.name or str(error))
    elif not isinstance(error, DistnormError):
        raise RuntimeError(f"{name}: {''.join(traceback.format_exception(error))}") from None
    return pickle.dumps(_Failure(error))


class _Actor:
    """The same with something that is made once."""

    def __init__(self, make: Callable[[], Callable[[Any], Any]], asked: str) -> None:
        self._asked = asked
        self._failure: bytes | None = None
        try:
            self._function = make()
        except Exception as error:
            self._failure = _failed("what each worker holds", error)

    def __call__(self, batch: Any) -> Any:
        function = self._function if self._failure is None else self._fail
        return _answers(function, self._asked, batch)

    def _fail(self, item: Any) -> Any:
        assert self._failure is not None
        raise pickle.loads(self._failure).error


def _session(ray: Any, *, local: bool) -> Session:
    return Session(max(1, int(ray.cluster_resources().get("CPU", 1))), local)


def _is_at(ray: Any, address: str) -> bool:
    return address in ("auto", "local") or ray.get_runtime_context().gcs_address == address


def _silence(context: Any) -> None:
    """No bars and tables of Ray's own beside ours."""
    for name in ("enable_progress_bars", "print_on_execution_start", "enable_auto_log_stats"):
        if hasattr(context, name):
            setattr(context, name, False)


@contextmanager
def _quiet() -> Iterator[None]:
    """Only errors from Ray's loggers, and none that is raised as well."""
    loggers = [logging.getLogger(name) for name in _QUIET]
    before = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        for logger, level in zip(loggers, before, strict=True):
            logger.setLevel(level)

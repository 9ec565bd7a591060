"""A Ray to work on, and one way to have a function called for each of many items on it.

A local Ray is started where none is named: as many workers as there are cores, no page, a small
object store, no usage statistics. It is shut down at the end; what was there before never is.
"""

from __future__ import annotations

import inspect
import logging
import os
import pickle
import re
import socket
import subprocess
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, Generic, TypeVar

from distnorm.errors import DistnormError, require
from distnorm.system.progress import Progress
from distnorm.system.threads import cores

__all__ = ["Session", "Shared", "check_there", "connected", "plain_ray_errors", "unreachable"]

T = TypeVar("T")
R = TypeVar("R")

_STORE = 1 << 28  # bytes of the object store for each worker, and for what they share
_REACH = 5.0  # seconds to reach a cluster's port
ANSWER = 20.0  # seconds for it to answer as Ray does
_QUIET = ("ray", "ray.data")
_MISSING = re.compile(r"No module named '([\w.]+)'")


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

        Parameters
        ----------
        items : sequence
            Small things that pickle.
        function : callable
            Of a module, or a `functools.partial` of one. A class: it is called once in each
            actor, and what it makes with every item.
        name : callable
            What messages call an item.
        rows : callable, optional
            How much of all an item is, for ``progress``; 1 if left out.
        progress : callable, optional
            Called with (done, in all).
        cpus, gpus : float
            What a worker holds while it works.
        actors : int, optional
            How many actors, for a class; as many as there is room for if left out.

        Raises
        ------
        DistnormError
            The one that ``function`` raised, or one that names the item or the package that is
            missing. Items of a worker that died are done again, so that one may be done twice.
        """
        data = require("ray.data", "ray")
        sizes = [1 if rows is None else rows(item) for item in items]
        total, done = sum(sizes), 0
        if not items:
            return
        cells = [
            {"number": number, "name": name(item), "item": pickle.dumps(item)}
            for number, item in enumerate(items)
        ]
        settings: dict[str, Any] = {"num_cpus": cpus, "batch_format": "pyarrow", "batch_size": None}
        if gpus:
            settings["num_gpus"] = gpus
        called = function.func if isinstance(function, partial) else function
        with plain_ray_errors(), _quiet():
            dataset = data.from_items(cells, override_num_blocks=len(cells))
            _silence(dataset.context)
            if inspect.isclass(called):
                most = len(items) if actors is None else min(actors, len(items))
                few = 1 if actors is None else most
                pool = data.ActorPoolStrategy(min_size=few, max_size=most)
                made = {"fn_constructor_args": (function,), "compute": pool}
                ready = dataset.map_batches(_Actor, **made, **settings)
            else:
                ready = dataset.map_batches(partial(_answers, function), **settings)
            for batch in ready.iter_batches(batch_size=None, batch_format="pyarrow"):
                numbers, results = batch["number"].to_pylist(), batch["result"].to_pylist()
                for number, result in zip(numbers, results, strict=True):
                    value = pickle.loads(result)
                    if isinstance(value, _Failure):
                        raise value.error
                    done += sizes[number]
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
    settings: dict[str, Any] = {"logging_level": logging.ERROR, "log_to_driver": False}
    if local:
        count = workers or cores()
        settings |= {"num_cpus": count, "include_dashboard": False}
        settings["object_store_memory"] = _STORE * (count + 1)
    elif address is not None:
        check_there(address)
    try:
        ray.init(address="local" if local else address, **settings)
    except Exception as error:
        raise unreachable(address, error) from error
    try:
        yield _session(ray, local=local)
    finally:
        ray.shutdown()


@contextmanager
def plain_ray_errors() -> Iterator[None]:
    """Turn what Ray raises into one line; a `DistnormError` of a worker comes as itself."""
    exceptions = require("ray.exceptions", "ray")
    try:
        yield
    except (exceptions.RayError, RuntimeError) as error:
        raise _plain(error) from None


class _Failure:
    """What a worker raised."""

    def __init__(self, error: Exception) -> None:
        self.error = error


def _answers(function: Callable[[Any], Any], batch: Any) -> Any:
    """What a function gives for each item of a batch; what it raises is part of the answer."""
    arrow = require("pyarrow", "ray")
    numbers = batch["number"].to_pylist()
    names, items = batch["name"].to_pylist(), batch["item"].to_pylist()
    results = [_answer(function, *pair) for pair in zip(names, items, strict=True)]
    return arrow.table(
        {
            "number": arrow.array(numbers, arrow.int64()),
            "result": arrow.array(results, arrow.large_binary()),
        }
    )


def _answer(function: Callable[[Any], Any], name: str, item: bytes) -> bytes:
    try:
        return pickle.dumps(function(pickle.loads(item)))
    except Exception as error:
        return _failed(name, error)


def _failed(name: str, error: Exception) -> bytes:
    """What the caller is to raise, pickled; raises what should not happen, with the name."""
    if isinstance(error, MemoryError):
        error = _too_large(name)
    elif isinstance(error, ModuleNotFoundError) and not isinstance(error, DistnormError):
        error = _lacking(error.name or str(error))
    elif not isinstance(error, DistnormError):
        raise RuntimeError(f"{name}: {''.join(traceback.format_exception(error))}") from None
    return pickle.dumps(_Failure(error))


class _Actor:
    """The same with something that is made once."""

    def __init__(self, make: Callable[[], Callable[[Any], Any]]) -> None:
        self._failure: bytes | None = None
        try:
            self._function = make()
        except Exception as error:
            self._failure = _failed("what each worker holds", error)

    def __call__(self, batch: Any) -> Any:
        return _answers(self._function if self._failure is None else self._fail, batch)

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


def check_there(address: str) -> None:
    """Raise unless something listens at an address, and answers as Ray does."""
    if address == "auto":
        return
    place = address.removeprefix("ray://")
    host, _, port = place.rpartition(":")
    if not host or not port.isdigit() or not 0 < int(port) < 1 << 16:
        raise DistnormError(
            f"the address {address}",
            "auto, HOST:6379 or ray://HOST:10001",
            "name the head's address, as `ray start --head` prints it",
        )
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=_REACH).close()
    except OSError as error:
        raise unreachable(address, error) from error
    if address.startswith("ray://"):
        return
    # Ray itself waits for minutes, or ends the process, where something else listens.
    command = [sys.executable, "-m", "ray.scripts.scripts", "health-check", "--address", place]
    try:
        found = subprocess.run(command, capture_output=True, timeout=ANSWER, check=False)
    except subprocess.TimeoutExpired as error:
        raise unreachable(address, error) from error
    if found.returncode:
        raise unreachable(address, None)


def unreachable(address: str | None, error: Exception | None) -> DistnormError:
    """What is wrong with a cluster that an error tells of, None where it does not answer."""
    words = "" if error is None else " ".join(str(error).split())
    if error is None or isinstance(error, subprocess.TimeoutExpired):
        words = "it does not answer as Ray does"
    if address in (None, "local"):
        return DistnormError(
            f"a local Ray that does not start ({words[:300]})",
            "one on this machine",
            "name a cluster with --address, or leave --engine ray out",
        )
    if "ersion" in words:
        return DistnormError(
            f"the Ray cluster {address} of another version ({words[:300]})",
            "one version of Ray and of Python on all machines",
            "install the cluster's versions here: pip install 'ray[data]==VERSION'",
        )
    return DistnormError(
        f"no Ray cluster at {address} ({words[:200]})",
        "a running one",
        "start it (ray start --head), or leave --address out for a local one",
    )


def _plain(error: Exception) -> Exception:
    """What was meant by an error of Ray's."""
    exceptions = require("ray.exceptions", "ray")
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, DistnormError):
            return cause
        if isinstance(cause, exceptions.OutOfMemoryError):
            return _too_large("a worker")
        cause = getattr(cause, "cause", None) or cause.__cause__
    words = str(error)
    missing = _MISSING.search(words)
    if missing is not None:
        return _lacking(missing[1])
    if isinstance(error, exceptions.OutOfMemoryError) or "OutOfMemory" in words:
        return _too_large("a worker")
    if isinstance(error, (exceptions.WorkerCrashedError, exceptions.ActorDiedError)):
        return DistnormError(
            f"workers that died again and again ({' '.join(words.split())[:200]})",
            "workers that live",
            "look for memory that ran out; run the same command again to go on",
        )
    return error


def _too_large(name: str) -> DistnormError:
    return DistnormError(
        f"{name}, for which a worker has not enough memory",
        "fragments that fit",
        "use fewer workers on each machine, or smaller fragments; run it again to go on",
    )


def _lacking(module: str) -> DistnormError:
    package = module.partition(".")[0]
    return DistnormError(
        f"workers without the package {package!r}",
        "the same packages on all machines",
        "install it there: pip install 'distnorm[ray]'"
        + ("" if package in ("distnorm", "lance", "pyarrow") else f" {package}"),
    )

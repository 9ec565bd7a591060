"""Clusters that are not there or answer otherwise; what Ray raises, as one line."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from distnorm.errors import DistnormError, require

__all__ = [
    "check_room",
    "check_there",
    "check_version",
    "lacking",
    "plain_ray_errors",
    "too_large",
    "unreachable",
    "version",
]

_REACH = 5.0  # seconds to reach a cluster's port
ANSWER = 20.0
"""Seconds for it to answer as Ray does."""

_MISSING = re.compile(r"No module named '([\w.]+)'")


@contextmanager
def plain_ray_errors(place: Callable[[], str] = lambda: "a worker's part") -> Iterator[None]:
    """Turn what Ray raises into one line; a `DistnormError` of a worker comes as itself.

    ``place`` says what workers had in hand when they died.
    """
    exceptions = require("ray.exceptions", "ray")
    try:
        yield
    except (exceptions.RayError, RuntimeError) as error:
        raise _plain(error, place) from None


def check_room(cpus: float, gpus: float) -> None:
    """Raise unless some machine of the cluster can hold a worker of so many processors and GPUs."""
    machines = [one["Resources"] for one in require("ray", "ray").nodes() if one["Alive"]]
    for kind, wanted in (("CPU", cpus), ("GPU", gpus)):
        most = max((one.get(kind, 0) for one in machines), default=0)
        if wanted > most:
            raise DistnormError(
                f"workers of {wanted:g} {kind}s on a cluster whose machines have {most:g} at most",
                "a machine that has them",
                "start Ray on one"
                + (", or leave --device cuda out (num_gpus=0)" if kind == "GPU" else ""),
            )


def version() -> str:
    """Of this package, where this runs."""
    return str(sys.modules["distnorm"].__version__)


def check_version(found: str, wanted: str, host: str) -> None:
    """Raise unless a worker has the version of this package that asked it."""
    if found != wanted:
        raise DistnormError(
            f"distnorm {found} on the worker {host}",
            f"{wanted} as where the work is asked for",
            f"install one version on all machines: pip install 'distnorm[ray]=={wanted}'",
        )


def check_there(address: str) -> bool:
    """Raise unless what listens at an address answers as Ray does; whether it asks for a token."""
    if address == "auto":
        return False
    place = address.removeprefix("ray://")
    host, _, port = place.rpartition(":")
    if not host or "/" in host or not port.isdigit() or not 0 < int(port) < 1 << 16:
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
        return False
    # Ray itself waits for minutes, or ends the process, where something else listens.
    command = [sys.executable, "-m", "ray.scripts.scripts", "health-check", "--address", place]
    try:
        found = subprocess.run(command, capture_output=True, timeout=ANSWER, check=False, text=True)
    except subprocess.TimeoutExpired as error:
        raise unreachable(address, error) from error
    # A Ray that asks who is there is one: `ray.init` shows it the user's token, this does not.
    asks = found.returncode != 0 and _asks_who(found.stderr)
    if found.returncode and not asks:
        raise unreachable(address, None)
    return asks


def _asks_who(words: str) -> bool:
    return "nauthenticated" in words or "AuthenticationError" in words or "AuthToken" in words


def unreachable(
    address: str | None, error: Exception | None, *, asks: bool = False
) -> DistnormError:
    """What an error tells of a cluster; None: it does not answer; ``asks``: for a token."""
    words = "" if error is None else " ".join(str(error).split())
    if error is None or isinstance(error, subprocess.TimeoutExpired):
        words = "it does not answer as Ray does"
    if address in (None, "local"):
        return DistnormError(
            f"a local Ray that does not start ({words[:300]})",
            "one on this machine",
            "name a cluster with --address, or leave --engine ray out",
        )
    if asks or _asks_who(words):
        return DistnormError(
            f"the Ray cluster {address}, which does not know this user's token",
            "the cluster's token, or a cluster without one",
            "set up Ray's token authentication here as on the cluster: RAY_AUTH_MODE and "
            "RAY_AUTH_TOKEN_PATH",
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
        "start it (ray start --head), or "
        + (
            "unset RAY_ADDRESS for a local one"
            if address == os.environ.get("RAY_ADDRESS")
            else "leave --address out for a local one"
        ),
    )


def _plain(error: Exception, place: Callable[[], str]) -> Exception:
    """What was meant by an error of Ray's."""
    exceptions = require("ray.exceptions", "ray")
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, DistnormError):
            return cause
        if isinstance(cause, exceptions.OutOfMemoryError):
            return too_large(place())
        cause = getattr(cause, "cause", None) or cause.__cause__
    words = str(error)
    missing = _MISSING.search(words)
    if missing is not None:
        return lacking(missing[1])
    if "OutOfMemory" in words:
        return too_large(place())
    if isinstance(error, (exceptions.WorkerCrashedError, exceptions.ActorDiedError)):
        return DistnormError(
            f"{place()}, at which workers died again and again ({' '.join(words.split())[:200]})",
            "workers that live",
            "look for memory that ran out; run the same command again to go on",
        )
    return error


def too_large(name: str) -> DistnormError:
    """An item that a worker has no memory for."""
    return DistnormError(
        f"{name}, for which a worker had not enough memory",
        "fragments that fit",
        "run fewer workers on each machine (ray start --num-cpus N), or write smaller fragments; "
        "run it again to go on",
    )


def lacking(module: str) -> DistnormError:
    """A package that the machines of workers lack."""
    package = module.partition(".")[0]
    return DistnormError(
        f"workers without the package {package!r}",
        "the same packages on all machines",
        "install it there: pip install 'distnorm[ray]'"
        + ("" if package in ("distnorm", "lance", "pyarrow") else f" {package}"),
    )

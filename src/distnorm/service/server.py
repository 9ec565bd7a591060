"""The server: uvicorn with a watch on its connections.

A connection that sends no head of a request in time is closed, and so are those beyond the limit,
with 503. SIGTERM and SIGINT end it: nothing new is accepted, what is in work is answered.
"""

from __future__ import annotations

import ipaddress
import logging
import signal
import socket
import sys
import threading
from collections.abc import Callable
from typing import Any

from distnorm.errors import DistnormError, require
from distnorm.service.limits import Limits
from distnorm.system.threads import single_threaded_blas
from distnorm.text import plain

__all__ = ["is_loopback", "listen", "run"]

Say = Callable[[str], None]


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches an address."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"


def listen(host: str, port: int) -> socket.socket:
    """A socket that is bound, so that a port that is taken is said before anything is loaded."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # With its protocol named, or asyncio would not switch Nagle's delays off.
    sock = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        if sys.platform != "win32":
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((host.strip("[]"), port))
    except (OSError, OverflowError) as error:
        sock.close()
        why = getattr(error, "strerror", None) or str(error)
        raise DistnormError(
            f"{host}:{port}, which cannot be bound ({why})", "a free port", "name another --port"
        ) from error
    return sock


def run(
    app: Any,
    sock: socket.socket,
    limits: Limits,
    log: Say,
    started: Callable[[], None] | None = None,
    stop: threading.Event | None = None,
) -> None:
    """Serve until a signal, or until ``stop`` is set; what is in work then is answered first."""
    uvicorn = require("uvicorn", "serve")
    _one_line_logs(log)
    _raise_open_files(limits.connections + 256)
    config = uvicorn.Config(
        app,
        http=_protocol(limits),
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=30,
        timeout_graceful_shutdown=int(limits.seconds),
    )
    server = uvicorn.Server(config)
    if threading.current_thread() is threading.main_thread():
        # uvicorn raises the signal again when it is done; then it is no news.
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: None)
    watcher = threading.Thread(target=_told, args=(server, started, stop), daemon=True)
    watcher.start()
    # Searches share their work out themselves. BLAS is told so once: told by each search anew, from
    # a thread that is not the main one, OpenBLAS takes a hundred times as long as a search.
    with single_threaded_blas():
        server.run(sockets=[sock])


def _told(server: Any, started: Callable[[], None] | None, stop: threading.Event | None) -> None:
    """Say that the server has started, and end it when it is to stop."""
    pause = threading.Event()
    while not server.started and not server.should_exit:
        pause.wait(0.01)
    if started is not None and server.started:
        started()
    if stop is not None:
        stop.wait()
        server.should_exit = True


def _protocol(limits: Limits) -> type[Any]:
    """Uvicorn's HTTP/1.1 on h11, with a time for the head and a number of connections."""
    from uvicorn.protocols.http.h11_impl import H11Protocol

    class Protocol(H11Protocol):  # type: ignore[misc]
        """One connection."""

        timer: Any = None

        def connection_made(self, transport: Any) -> None:
            if len(self.connections) >= limits.connections:
                transport.write(
                    b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 1\r\n"
                    b"content-length: 0\r\nconnection: close\r\n\r\n"
                )
                transport.close()
                self.refused = True
                return
            super().connection_made(transport)
            self.wait_for_head()

        def connection_lost(self, exc: Exception | None) -> None:
            if getattr(self, "refused", False):
                return
            self.forget_timer()
            super().connection_lost(exc)

        def data_received(self, data: bytes) -> None:
            if getattr(self, "refused", False):
                return
            if self.timer is None and self.between():
                self.wait_for_head()
            super().data_received(data)
            if not self.between():
                self.forget_timer()

        def eof_received(self) -> None:
            if not getattr(self, "refused", False):
                super().eof_received()

        def between(self) -> bool:
            """Whether no request is in work."""
            return self.cycle is None or self.cycle.response_complete

        def wait_for_head(self) -> None:
            """Close unless the head of a request has come in time."""
            self.timer = self.loop.call_later(limits.head_seconds, self.too_slow)

        def forget_timer(self) -> None:
            if self.timer is not None:
                self.timer.cancel()
                self.timer = None

        def too_slow(self) -> None:
            self.timer = None
            if self.between() and not self.transport.is_closing():
                self.transport.close()

    return Protocol


class _OneLine(logging.Handler):
    """What the server logs, in one line each and without tracebacks."""

    def __init__(self, log: Say) -> None:
        super().__init__(logging.WARNING)
        self._log = log

    def emit(self, record: logging.LogRecord) -> None:
        """Pass a line on, unless the guard has said it."""
        line = record.getMessage().strip()
        if "ASGI" in line:
            return
        if record.exc_info and record.exc_info[1] is not None:
            line += f" ({type(record.exc_info[1]).__name__})"
        self._log(plain(line)[:500])


def _one_line_logs(log: Say) -> None:
    for name in ("uvicorn", "uvicorn.error", "asyncio"):
        logger = logging.getLogger(name)
        logger.handlers, logger.propagate = [], False
        logger.setLevel(logging.WARNING)
    for name in ("uvicorn", "asyncio"):
        logging.getLogger(name).addHandler(_OneLine(log))
    logging.getLogger("uvicorn.error").propagate = True


def _raise_open_files(wanted: int) -> None:
    """As many open files as connections need, as far as the system lets this process."""
    try:
        import resource
    except ImportError:
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    if soft != resource.RLIM_INFINITY and soft < most:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))

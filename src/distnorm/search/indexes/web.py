"""One request to a server, answered within a time and a size, both for the whole of it."""

from __future__ import annotations

import http.client
import json
import socket
import threading
from contextlib import suppress
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.request import HTTPHandler, HTTPSHandler, Request, build_opener

__all__ = ["ask_json"]

_PART = 1 << 16


def ask_json(url: str, body: Any, *, timeout: float, largest: int) -> Any:
    """The JSON that a server answers: to a GET, or to a POST of ``body`` if that is not None.

    A socket's own time limit starts anew with every byte; here the connection is cut when
    ``timeout`` seconds are over, whatever has come by then.

    Raises
    ------
    OSError
        If the server cannot be reached, breaks off or is not done in time (TimeoutError).
    ValueError
        For another status, more than ``largest`` bytes, or what is no JSON.
    """
    watch = _Watch()
    data = None if body is None else json.dumps(body).encode()
    request = Request(url, data=data, headers={"Content-Type": "application/json"})
    alarm = threading.Timer(timeout, watch.cut)
    alarm.daemon = True
    alarm.start()
    try:
        opener = build_opener(_Plain(watch), _Secure(watch))
        with opener.open(request, timeout=timeout) as answer:
            return json.loads(_read(answer, largest))
    except HTTPError as error:
        with error:
            raise ValueError(f"HTTP {error.code} from {request.selector}") from error
    except (http.client.HTTPException, OSError, AttributeError) as error:
        # A connection that is cut while it is read may fail in any of these ways.
        if watch.over or isinstance(getattr(error, "reason", error), TimeoutError):
            raise TimeoutError(f"timed out: no whole answer within {timeout:g} s") from error
        if isinstance(error, AttributeError):
            raise
        reason = error.reason if isinstance(error, URLError) else error
        raise ConnectionError(f"the connection broke off: {reason}") from error
    finally:
        alarm.cancel()


def _read(answer: Any, largest: int) -> bytes:
    """All of an answer that is not too long."""
    parts: list[bytes] = []
    got, size = 0, int(answer.headers.get("Content-Length") or 0)
    while max(got, size) <= largest:
        part = answer.read(_PART) if size else answer.read1(_PART)
        if not part:
            if got < size:
                raise http.client.IncompleteRead(b"", size - got)
            return b"".join(parts)
        parts.append(part)
        got += len(part)
    raise ValueError(f"an answer of more than {largest:,} bytes")


class _Watch:
    """The sockets of a request, and what cuts them."""

    def __init__(self) -> None:
        self.over = False
        self.connections: list[http.client.HTTPConnection] = []

    def cut(self) -> None:
        self.over = True
        for connection in self.connections:
            if connection.sock is not None:
                with suppress(OSError):
                    connection.sock.shutdown(socket.SHUT_RDWR)

    def connect(self, kind: type[http.client.HTTPConnection]) -> Any:
        """What makes a connection, and keeps it."""

        def make(*arguments: Any, **options: Any) -> http.client.HTTPConnection:
            self.connections.append(kind(*arguments, **options))
            return self.connections[-1]

        return make


class _Plain(HTTPHandler):
    """Connections that can be cut."""

    def __init__(self, watch: _Watch) -> None:
        super().__init__()
        self._watch = watch

    def http_open(self, req: Request) -> http.client.HTTPResponse:
        return self.do_open(self._watch.connect(http.client.HTTPConnection), req)


class _Secure(HTTPSHandler):
    """The same, encrypted."""

    def __init__(self, watch: _Watch) -> None:
        super().__init__()
        self._watch = watch

    def https_open(self, req: Request) -> http.client.HTTPResponse:
        return self.do_open(self._watch.connect(http.client.HTTPSConnection), req)

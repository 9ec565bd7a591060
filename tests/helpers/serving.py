"""A real server on loopback in a thread, and a client of the standard library."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from typing import Any

import numpy as np

import distnorm


class Client:
    """Asks one server; each call is a connection of its own."""

    def __init__(self, port: int) -> None:
        self.port, self.log = port, []

    def ask(
        self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None
    ) -> tuple[int, Any, dict[str, str]]:
        """Status, JSON or bytes, headers in lower case."""
        sent = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        given = {"Content-Type": "application/json"} if body is not None else {}
        connection = HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            connection.request(method, path, sent, {**given, **(headers or {})})
            answer = connection.getresponse()
            content = answer.read()
            heads = {key.lower(): value for key, value in answer.getheaders()}
        finally:
            connection.close()
        if heads.get("content-type", "").startswith("application/json"):
            content = json.loads(content)
        return answer.status, content, heads

    def get(self, path: str, **headers: str) -> tuple[int, Any, dict[str, str]]:
        return self.ask("GET", path, None, headers)

    def post(self, path: str, body: Any, **headers: str) -> tuple[int, Any, dict[str, str]]:
        return self.ask("POST", path, body, headers)


@contextmanager
def served(service: Any) -> Iterator[Client]:
    """A service behind uvicorn on a free port."""
    from distnorm.service.app import create_app
    from distnorm.service.server import listen, run

    ready, stop, log = threading.Event(), threading.Event(), service.log
    with listen("127.0.0.1", 0) as sock:
        client = Client(sock.getsockname()[1])
        arguments = (create_app(service), sock, service.limits, log, ready.set, stop)
        thread = threading.Thread(target=run, args=arguments, daemon=True)
        thread.start()
        try:
            assert ready.wait(30)
            yield client
        finally:
            stop.set()
            thread.join(40)
            assert not thread.is_alive()


def unit(rows: np.ndarray) -> np.ndarray:
    return distnorm.normalize(rows.astype(np.float32))


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]

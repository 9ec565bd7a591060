"""A server of embeddings on the loopback address that answers as a test wants."""

from __future__ import annotations

import contextlib
import json
import threading
import zlib
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import numpy as np

__all__ = ["form", "rows_of", "serving"]

DIMENSION = 16


def rows_of(texts: list[str]) -> np.ndarray:
    """A row for each text, out of its words."""
    rows = np.zeros((len(texts), DIMENSION))
    for row, text in zip(rows, texts, strict=True):
        for word in text.split():
            seed = zlib.crc32(word.encode())
            row += np.random.default_rng(seed).standard_normal(DIMENSION)
    return rows


def form(texts: list[str]) -> dict[str, Any]:
    """OpenAI's form, not in order."""
    rows = rows_of(texts).tolist()
    entries = [{"index": at, "embedding": row} for at, row in enumerate(rows)]
    return {"object": "list", "data": entries[::-1], "model": "words"}


@contextlib.contextmanager
def serving(
    answer: Callable[[BaseHTTPRequestHandler, dict[str, Any]], Any] | None = None,
) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """Its address, and what it was asked; ``answer`` writes by itself, or returns what to send."""
    asked: list[dict[str, Any]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            asked.append({"path": self.path, "key": self.headers["Authorization"], **body})
            found = form(body["input"]) if answer is None else answer(self, body)
            if found is None:
                return
            content = found if isinstance(found, bytes) else json.dumps(found).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            with contextlib.suppress(OSError):
                self.wfile.write(content)

        def log_message(self, *_: Any) -> None:
            """Nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}", asked
    finally:
        server.shutdown()
        server.server_close()

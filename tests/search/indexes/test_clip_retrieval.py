"""A clip-retrieval server that does not do what it should: one clear line, in time."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
import time

import numpy as np
import pytest

from distnorm import DistnormError
from distnorm.search.indexes.clip_retrieval import ClipRetrievalIndex

D = 8
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"


def whole(value):
    data = json.dumps(value).encode()
    return HEAD + b"Content-Length: %d\r\n\r\n" % len(data) + data


def hits(n, *, step=1):
    return [{"id": i * step, "similarity": 0.9 - 0.01 * i} for i in range(n)]


@contextlib.contextmanager
def server(behave):
    """A real server: lists its index, and answers a search by ``behave(connection)``."""
    listening = socket.create_server(("127.0.0.1", 0))
    stopping = threading.Event()

    def talk(connection):
        with connection, contextlib.suppress(OSError):
            asked = b""
            while b"\r\n\r\n" not in asked:
                asked += connection.recv(65536)
            if asked.startswith(b"GET"):
                connection.sendall(whole(["photos"]))
            else:
                behave(connection, stopping)

    def accept():
        listening.settimeout(0.05)
        while not stopping.is_set():
            with contextlib.suppress(TimeoutError):
                threading.Thread(target=talk, args=(listening.accept()[0],), daemon=True).start()

    thread = threading.Thread(target=accept)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
    finally:
        stopping.set()
        thread.join()
        listening.close()


def says(data):
    return lambda connection, stopping: connection.sendall(data)


def drips(data):
    def behave(connection, stopping):
        for at in range(len(data)):
            connection.sendall(data[at : at + 1])
            if stopping.wait(0.1):
                return

    return behave


FAULTS = {
    "dies at once": (says(b""), "connection broke off"),
    "dies half way": (says(HEAD + b"Content-Length: 3000\r\n\r\n[{"), "connection broke off"),
    "drips its answer": (
        drips(HEAD + b"Content-Length: 3000\r\n\r\n" + b" " * 3000),
        "no whole answer within 0.4 s.*raise timeout=",
    ),
    "drips its header": (drips(HEAD * 50), "no whole answer within 0.4 s"),
    "is silent": (lambda _, stopping: stopping.wait(9), "no whole answer within 0.4 s"),
    "announces too much": (
        says(HEAD + b"Content-Length: 629145600\r\n\r\n[]"),
        "an answer of more than 4,000 bytes",
    ),
    "sends too much": (says(HEAD + b"\r\n[" + b" " * 9000), "an answer of more than 4,000 bytes"),
    "says nan": (says(whole([{"id": 1, "similarity": float("nan")}])), "no finite numbers"),
    "says null": (says(whole([{"id": 1, "similarity": None}])), "clip-retrieval on search"),
    "repeats an id": (says(whole(hits(3, step=0))), "the id 0 of several vectors"),
    "lists too many": (says(whole(hits(9))), "9 results where"),
    "has no ids": (says(whole([{"similarity": 0.5}])), "'id'"),
    "has odd ids": (says(whole([{"id": [1], "similarity": 0.5}])), "neither numbers nor texts"),
    "is no list": (says(whole({"message": "busy"})), "no list"),
    "is no json": (says(HEAD + b"Content-Length: 6\r\n\r\n<html>"), "clip-retrieval on search"),
    "is no http": (says(b"hello\r\n\r\n"), "connection broke off"),
    "fails": (says(b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n"), "HTTP 503"),
}


@pytest.mark.parametrize("fault", sorted(FAULTS))
def test_a_server_at_fault(fault):
    behave, part = FAULTS[fault]
    query = np.eye(D, dtype=np.float32)[:2]
    with server(behave) as url:
        index = ClipRetrievalIndex(url, "photos", dimension=D, timeout=0.4)
        index.largest_answer = 4000
        start = time.monotonic()
        with pytest.raises(DistnormError, match=part) as error:
            index.search(query, 4)
        # Not a speed: a drip would go on for minutes.
        assert time.monotonic() - start < 20
    assert "\n" not in str(error.value)


def test_unsorted_answers_are_put_in_order():
    mixed = [hits(5)[at] for at in (3, 0, 4, 1, 2)]
    with server(says(whole(mixed))) as url:
        index = ClipRetrievalIndex(url, "photos", dimension=D)
        found = index.search(np.eye(D, dtype=np.float32)[:1], 4)
    assert found.ids == ((0, 1, 2, 3),)


@pytest.mark.parametrize("listed", [{"a": 1}, 7, None, "photos"])
def test_a_list_of_indexes_that_is_none(listed, monkeypatch):
    monkeypatch.setattr(ClipRetrievalIndex, "_get", lambda *_: listed)
    with pytest.raises(DistnormError, match="no list"):
        ClipRetrievalIndex("http://127.0.0.1:1", "photos", dimension=D)

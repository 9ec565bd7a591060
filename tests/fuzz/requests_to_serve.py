"""Send changed requests to a real service on loopback, and count what it answers.

    python tests/fuzz/requests_to_serve.py --requests 20000 --seed 0 --out tests/fuzz/service.md

Undeclared is any status from 500 on, as nothing is wrong with what is served, an answer that is no
HTTP, and one in JSON of several lines; also a log of several lines or with a traceback, and a good
request that is answered otherwise than before. Everything is drawn from the seed and the number of
the request.
"""

from __future__ import annotations

import argparse
import base64
import datetime
import hashlib
import io
import json
import platform
import random
import socket
import sys
import tempfile
from collections import Counter
from contextlib import contextmanager
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any

sys.path[:0] = [str(Path(__file__).parent.parent / "helpers")]

import numpy as np

# The store is in memory, so that a 503 would be a fault of the service.
DECLARED = (200, 204, 304, 400, 401, 403, 404, 405, 408, 409, 413, 415, 421, 431)
GOOD = {"query": "a red circle on the left", "k": 3}
VALUES = (
    None, True, False, 0, -1, 1, 3, 10**9, 10**400, -(10**30), 0.5, 1e308, -0.0, 1e-320, "", " ",
    "a", "dn", "dot", "nnn", "qbnorm", "'; DROP TABLE items; --", "\u0000", "\ud800", "\u202e",
    "<script>alert(1)</script>", "../../../../etc/passwd", "{{7*7}}", "%s%n", "\x1b[31m",
    "x" * 5000, "日本語 🙂", [], [[]], {}, [None], [1, 2, 3], {"a": {"b": {}}}, [[1.0] * 64],
)  # fmt: skip
PATHS = (
    "/", "/search", "/shift", "/bias", "/knn-service", "/metadata", "/indices-list", "/config",
    "/healthz", "/metrics", "/docs", "/openapi.json", "/session", "/learn", "/thumbnails/0",
    "/thumbnails/99999999999999999999999", "/thumbnails/-1", "/thumbnails/..%2f..%2fetc%2fpasswd",
    "/thumbnails/0%00", "/static/page.css", "/static/../app.py", "/static/%2e%2e/app.py",
    "/static/..\\app.py", "//search", "/search/", "/%ff", "/search?k=3", "/" + "a" * 3000,
)  # fmt: skip
HEADERS: tuple[dict[str, str], ...] = (
    {}, {}, {}, {}, {}, {}, {"Host": "evil.example"}, {"Host": ""}, {"Host": "[::1]:80"},
    {"Host": "localhost:1:2"}, {"Origin": "https://evil.example"}, {"Origin": "null"},
    {"Sec-Fetch-Site": "cross-site"}, {"Content-Type": "text/plain"}, {"Content-Type": "\xff"},
    {"Authorization": "Bearer \xe9"}, {"Cookie": "distnorm_session=\xff; ;;=;"},
    {"Content-Length": "99999999999"}, {"If-None-Match": '"x"'}, {"X-Long": "y" * 60000},
    {"Accept-Encoding": "gzip, br"}, {"Expect": "100-continue"}, {"Upgrade": "websocket"},
    {"Range": "bytes=0-5"}, {"Transfer-Encoding": "gzip"},
)  # fmt: skip


def draw(seed: int, number: int) -> random.Random:
    """The same request for the same two, everywhere."""
    digest = hashlib.sha256(f"{seed} service {number}".encode()).digest()
    return random.Random(int.from_bytes(digest[:8], "little"))


class Requests:
    """Requests to one service, drawn from good ones."""

    def __init__(self, dimension: int) -> None:
        from PIL import Image

        vector = np.random.default_rng(0).normal(0, 1, dimension)
        self._vector = (vector / np.linalg.norm(vector)).round(6).tolist()
        out = {}
        for kind in ("PNG", "JPEG", "GIF"):
            file = io.BytesIO()
            Image.new("RGB", (16, 16), "red").save(file, kind)
            out[kind] = file.getvalue()
        self._pictures = out

    def good(self, rng: random.Random) -> tuple[str, dict[str, Any]]:
        """A path and what is right to send there."""
        vector = self._vector
        picture = base64.b64encode(rng.choice(list(self._pictures.values()))).decode()
        knn = {
            "text": "a blue square", "image": None, "embedding_input": None, "num_images": 4,
            "num_result_ids": 6, "indice_name": "a-drawn-collection", "modality": "image",
        }  # fmt: skip
        return rng.choice(
            [
                ("/search", {"query": "a green triangle", "k": 5, "method": "is", "strength": 0.4}),
                ("/search", {"vector": vector, "k": 2, "also": {"method": "nnn"}}),
                ("/search", {"picture": picture, "k": 2}),
                ("/search", {"query": "a star", "filter": {"label": ["x", 1]}}),
                ("/shift", {"vectors": [vector, vector], "method": "dn"}),
                ("/bias", {"vectors": [vector], "method": "dn2", "strength": 1.0}),
                ("/knn-service", knn),
                ("/knn-service", {**knn, "text": None, "embedding_input": vector}),
                ("/metadata", {"ids": [1, 2, 3], "indice_name": "a-drawn-collection"}),
                ("/learn", {"action": "resume"}),
            ]
        )

    def changed(self, rng: random.Random, value: Any, depth: int = 0) -> Any:
        """A value with something of it changed."""
        if isinstance(value, dict) and value and depth < 3 and rng.random() < 0.8:
            found = dict(value)
            key = rng.choice(list(found))
            choice = rng.random()
            if choice < 0.15:
                del found[key]
            elif choice < 0.25:
                found[str(rng.choice(VALUES))[:50]] = rng.choice(VALUES)
            else:
                found[key] = self.changed(rng, found[key], depth + 1)
            return found
        if isinstance(value, list) and value and rng.random() < 0.7:
            found = list(value)
            at = rng.randrange(len(found))
            choice = rng.random()
            if choice < 0.2:
                del found[at]
            elif choice < 0.3:
                found += found
            else:
                found[at] = self.changed(rng, found[at], depth + 1)
            return found
        if isinstance(value, str) and value and rng.random() < 0.5:
            at = rng.randrange(len(value))
            return value[:at] + rng.choice("\x00é=+/'\"<{\ud83d") + value[at + rng.randrange(3) :]
        return rng.choice(VALUES)

    def body(self, rng: random.Random, value: Any) -> bytes:
        """The bytes of a body, whole or damaged."""
        try:
            text = json.dumps(value)
        except (ValueError, TypeError):
            text = "{}"
        kind = rng.random()
        if kind < 0.06:
            text = text.replace("1", rng.choice(("NaN", "Infinity", "1e999", "0x1", "01")), 3)
        elif kind < 0.1:
            deep = rng.choice((15, 25, 900, 20000))
            text = f'{{"query": "a", "k": {"[" * deep}{"]" * deep}}}'
        elif kind < 0.13:
            text = text[: rng.randrange(len(text) + 1)]
        elif kind < 0.15:
            text = text[:-1] + ', "k": 1, "k": 2}'
        elif kind < 0.17:
            return text.encode(rng.choice(("utf-16", "utf-32", "utf-8-sig")), "surrogatepass")
        raw = bytearray(text.encode("utf-8", "surrogatepass"))
        if kind > 0.93 and raw:
            for _ in range(rng.randrange(1, 6)):
                raw[rng.randrange(len(raw))] = rng.randrange(256)
        return bytes(raw)

    def picture(self, rng: random.Random) -> str:
        """A damaged picture in base64."""
        raw = bytearray(rng.choice(list(self._pictures.values())))
        for _ in range(rng.randrange(1, 8)):
            raw[rng.randrange(len(raw))] = rng.randrange(256)
        return base64.b64encode(bytes(raw[: rng.randrange(1, len(raw) + 1)])).decode()


def plain(requests: Requests, rng: random.Random, port: int) -> str:
    """A request through an HTTP client."""
    path, value = requests.good(rng)
    if rng.random() < 0.1:
        path = rng.choice(PATHS)
    if rng.random() < 0.1:
        path, value = "/search", {"picture": requests.picture(rng), "k": 1}
    elif rng.random() < 0.85:
        value = requests.changed(rng, value)
    method = rng.choice(("POST",) * 12 + ("GET", "HEAD", "OPTIONS", "PUT", "DELETE", "TRACE", "X"))
    if rng.random() < 0.08:
        method, path = "GET", rng.choice(PATHS)
    headers = {"Content-Type": "application/json", **rng.choice(HEADERS)}
    lies = "Content-Length" in headers or "Transfer-Encoding" in headers
    connection = HTTPConnection("127.0.0.1", port, timeout=2 if lies else 30)
    try:
        connection.request(method, path, requests.body(rng, value), headers)
        answer = connection.getresponse()
        content = answer.read()
    except TimeoutError:
        return "no answer, as the body never ends" if lies else "wrong: no answer"
    except (ConnectionError, HTTPException, ValueError, OSError) as error:
        # A head that is refused may be answered before all of it has been sent.
        return f"closed: {type(error).__name__}"
    finally:
        connection.close()
    if content and answer.headers.get("content-type") == "application/json":
        found = json.loads(content)
        if isinstance(found, dict) and "error" in found and "\n" in found["error"]:
            return "wrong: an error of several lines"
    if answer.status >= 300 and b"Traceback" in content:
        return "wrong: a traceback"
    return str(answer.status) if answer.status in DECLARED else f"wrong: {answer.status}"


def raw(requests: Requests, rng: random.Random, port: int) -> str:
    """Bytes that are no HTTP, or only the beginning of it, and a client that goes away."""
    path, value = requests.good(rng)
    body = requests.body(rng, value)
    head = f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
    whole = rng.choice(
        [
            head.encode() + f"Content-Length: {len(body)}\r\n\r\n".encode() + body,
            head.encode() + b"Transfer-Encoding: chunked\r\n\r\n5\r\nabcde\r\nzz\r\n",
            head.encode() + b"Content-Length: -5\r\n\r\n" + body,
            head.encode() + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\n" + body,
            head.encode() + b"Host: other\r\nContent-Length: 0\r\n\r\n",
            b"GET / HTTP/9.9\r\n\r\n", b"\x16\x03\x01\x02\x00", b"GET /\r\n",
            b"PRI * HTTP/2.0\r\n\r\n",
            bytes(rng.randrange(256) for _ in range(200)),
        ]
    )  # fmt: skip
    sent = bytearray(whole)
    if rng.random() < 0.5:
        sent = sent[: rng.randrange(1, len(sent) + 1)]
    elif rng.random() < 0.5:
        sent[rng.randrange(len(sent))] = rng.randrange(256)
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=5) as sock:
            sock.sendall(bytes(sent))
            if rng.random() < 0.7:
                sock.shutdown(socket.SHUT_WR)
                answer = sock.recv(65536)
                status = answer[9:12].decode("latin-1") if answer.startswith(b"HTTP/1.1 ") else ""
                if status.startswith("5"):
                    return f"wrong: {status}"
                return status or "closed without an answer"
    except OSError as error:
        return f"closed: {type(error).__name__}"
    return "left without reading"


@contextmanager
def service(folder: Path, size: int) -> Any:
    """A drawn collection that is served; its log is the client's."""
    from serving import served

    from distnorm.demo.collection import draw_collection
    from distnorm.service.app import Service
    from distnorm.service.opening import Opening, open_engine, watch_and_learn
    from distnorm.service.store_items import Shelf
    from distnorm.store.catalog import Catalog

    drawn = draw_collection(folder, size=size, samples=min(size, 300))
    shelf = Shelf("a drawn collection", drawn.rows, Catalog.of(drawn.names), drawn.captions)
    opening = Opening(
        "drawn", model=drawn.model, pictures=drawn.pictures, learn=folder / "learned.safetensors"
    )
    lines: list[str] = []
    running = Service(open_engine(opening, shelf, drawn.norms), log=lines.append)
    watch_and_learn(running, opening, shelf)
    with served(running) as client:
        client.log = lines
        client.dimension = drawn.rows.shape[1]
        yield client


def run(client: Any, seed: int, first: int, count: int) -> tuple[Counter[str], list[str]]:
    """How often each outcome came, and what is wrong."""
    requests, counts, faults = Requests(client.dimension), Counter[str](), list[str]()
    before = [entry["id"] for entry in client.post("/search", GOOD)[1]["lists"][0]["results"]]
    for number in range(first, first + count):
        rng = draw(seed, number)
        send = raw if rng.random() < 0.15 else plain
        word = send(requests, rng, client.port)
        counts[word] += 1
        if word.startswith("wrong"):
            faults.append(f"request {number} of seed {seed}: {word}")
        if number % 500 == 0:
            status, found, _ = client.post("/search", GOOD)
            again = [entry["id"] for entry in found["lists"][0]["results"]]
            if status != 200 or again != before:
                faults.append(f"after request {number}: a good one is answered otherwise")
    for line in client.log:
        if "\n" in line or "Traceback" in line:
            faults.append(f"in the log: {line[:80]!r}")
    return counts, faults


def main() -> None:
    """Run the long tier and write its table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=20_000)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    import distnorm

    began = datetime.datetime.now()
    with tempfile.TemporaryDirectory() as place, service(Path(place), 300) as client:
        counts, faults = run(client, arguments.seed, arguments.first, arguments.requests)
        logged = len(client.log)
    minutes = (datetime.datetime.now() - began).total_seconds() / 60
    lines = [
        "# Changed requests to the service",
        "",
        f"{arguments.requests:,} requests, seed {arguments.seed}, {began:%Y-%m-%d}, {minutes:.0f} "
        f"minutes; distnorm {distnorm.__version__}, Python {platform.python_version()}. A number "
        "is a status of HTTP; what begins with wrong is undeclared, any 5xx for one. "
        f"{logged:,} lines in the log, all of them one line.",
        "",
        "| outcome | requests |",
        "|---|---:|",
        *(f"| {word} | {count:,} |" for word, count in sorted(counts.items())),
        f"| undeclared | {len(faults)} |",
        "",
    ]
    print("\n".join(lines))
    print("\n".join(faults[:40]))
    if arguments.out is not None:
        arguments.out.write_text("\n".join(lines), "utf-8")
    sys.exit(bool(faults))


if __name__ == "__main__":
    main()

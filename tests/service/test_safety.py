"""Who may ask, how much, how slowly, and what is said when something is wrong."""

from __future__ import annotations

import base64
import io
import json
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
import zlib
from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("starlette")
pytest.importorskip("uvicorn")
pytest.importorskip("jinja2")

from serving import served, unit

import distnorm
from distnorm.service.app import Service
from distnorm.service.guard import Access
from distnorm.service.limits import Limits
from distnorm.service.opening import Opening, open_engine

RNG = np.random.default_rng(2)
ITEMS = unit(RNG.normal(0.3, 1, (60, 8)))
VECTOR = ITEMS[0].tolist()
SMALL = Limits(body=20_000, k=50, rows=5, connections=20, seconds=3.0, head_seconds=0.4)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("safe")
    np.save(folder / "items.npy", ITEMS)
    distnorm.make("dn").fit(images=ITEMS, texts=ITEMS[::-1] * 1.0).save(folder / "dn.safetensors")
    return folder


@pytest.fixture(scope="module")
def engine(place):
    norms = (str(place / "dn.safetensors"),)
    return open_engine(Opening(str(place / "items.npy"), norms, limits=SMALL))


@pytest.fixture(scope="module")
def client(engine):
    lines = []
    with served(Service(engine, Access(origins=("https://shop.example",)), lines.append)) as client:
        client.log = lines
        yield client


def search(client, **headers):
    return client.ask("POST", "/search", {"vector": VECTOR, "k": 1}, headers)[0]


def test_every_answer_has_the_headers_that_keep_a_page_safe(client):
    for method, path in (("GET", "/"), ("GET", "/nothing"), ("POST", "/search"), ("PUT", "/")):
        _, _, headers = client.ask(method, path)
        assert headers["x-content-type-options"] == "nosniff"
        assert "default-src 'none'" in headers["content-security-policy"]
        assert "unsafe" not in headers["content-security-policy"]
        assert headers["referrer-policy"] == "no-referrer"


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("127.0.0.1", 200), ("localhost:80", 200), ("[::1]:9", 200), ("10.0.0.7", 200),
        ("evil.example", 421), ("localhost.evil.example", 421), ("", 421),
        ("127.0.0.1.evil.example:80", 421),
    ],
)  # fmt: skip
def test_a_name_that_is_not_this_services_is_refused(client, host, status):
    assert search(client, Host=host) == status


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Origin": "https://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Content-Type": "text/plain"}, 415),
        ({"Content-Type": "application/x-www-form-urlencoded"}, 415),
        ({"Origin": "https://shop.example"}, 200),
    ],
)
def test_pages_of_other_sites_cannot_ask(client, headers, status):
    assert search(client, **headers) == status


def test_an_allowed_origin_gets_its_preflight(client):
    asked = {"Origin": "https://shop.example", "Access-Control-Request-Method": "POST"}
    status, _, headers = client.ask("OPTIONS", "/search", None, asked)
    assert status == 204
    assert headers["access-control-allow-origin"] == "https://shop.example"
    _, _, headers = client.ask("OPTIONS", "/search", None, {"Origin": "https://evil.example"})
    assert "access-control-allow-origin" not in headers


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("/search", b"{", 400),
        ("/search", b"[1]", 400),
        ("/search", b"\xff\xfe", 400),
        ("/search", b'{"vector": [NaN, 1, 1, 1, 1, 1, 1, 1]}', 400),
        ("/search", b'{"vector": [1e999, 1, 1, 1, 1, 1, 1, 1]}', 400),
        ("/search", b'{"k": 1, "k": 2, "query": "a"}', 400),
        ("/search", b'{"query": "a", "k": ' + b"[" * 5000 + b"]" * 5000 + b"}", 400),
        ("/search", {"query": "no model here"}, 400),
        ("/search", {"vector": [0.0] * 8}, 400),
        ("/search", {"vector": VECTOR[:7]}, 400),
        ("/search", {"vector": [3 * x for x in VECTOR]}, 400),
        ("/search", {"vector": VECTOR, "k": 51}, 400),
        ("/search", {"vector": VECTOR, "k": True}, 400),
        ("/search", {"vector": VECTOR, "strength": 10**400}, 400),
        ("/search", {"vector": VECTOR, "method": "nnn"}, 400),
        ("/search", {"vector": VECTOR, "method": "\ud800"}, 400),
        ("/search", {"vector": VECTOR, "filter": {"nothing": 1}}, 400),
        ("/search", {"vector": VECTOR, "path": "/etc/passwd"}, 400),
        ("/shift", {"vectors": [VECTOR] * 6}, 413),
        ("/bias", {"vectors": []}, 400),
        ("/search", {"query": "x" * 30_000}, 413),
    ],
)
def test_wrong_requests_are_refused_in_one_line(client, path, body, status):
    found = client.post(path, body)
    assert found[0] == status
    assert found[1]["error"].startswith("got ")
    assert "\n" not in found[1]["error"]


def test_words_of_a_request_reach_log_and_answer_as_text(client, engine):
    status, found, _ = client.post("/search", {"vector": VECTOR, "method": "\x1b[31m<b>"})
    assert status == 400
    assert "\x1b" not in found["error"]
    page = client.get("/")[1]
    assert b"<script>" not in page.replace(b"<script src", b"")
    assert all("\x1b" not in line for line in client.log)


def test_no_path_of_a_request_is_opened(client):
    paths = (
        "/static/../app.py", "/static/%2e%2e/app.py", "/static/..%5capp.py", "/thumbnails/../x",
        "/thumbnails/%2fetc%2fpasswd", "/thumbnails/0", "/thumbnails/99999999999999999999",
        "//etc/passwd",
    )  # fmt: skip
    for path in paths:
        assert client.get(path)[0] == 404


def connected(client, sent=b""):
    sock = socket.create_connection(("127.0.0.1", client.port), timeout=10)
    sock.sendall(sent)
    return sock


def test_slow_clients_are_closed_and_others_go_on(client):
    head = b"POST /search HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    with connected(client) as silent, connected(client, head[:30]) as half:
        assert search(client) == 200
        assert silent.recv(100) == b""
        assert half.recv(100) == b""
    with connected(client, head + b"Content-Length: 100\r\n\r\n{") as waiting:
        assert waiting.recv(100).startswith(b"HTTP/1.1 408")


def test_more_connections_than_the_limit_are_told_so(client):
    sockets = [connected(client) for _ in range(40)]
    try:
        answers = []
        for sock in sockets:
            sock.settimeout(0.05)
            try:
                answers.append(sock.recv(100))
            except TimeoutError:
                answers.append(b"")
        assert sum(one.startswith(b"HTTP/1.1 503") for one in answers) >= 20
    finally:
        for sock in sockets:
            sock.close()
    end = time.monotonic() + 20
    while search(client) != 200:
        assert time.monotonic() < end


def test_a_body_that_is_announced_too_large_is_not_read(client):
    head = b"POST /search HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    with connected(client, head + b"Content-Length: 99999999999\r\n\r\n") as sock:
        assert sock.recv(100).startswith(b"HTTP/1.1 413")


def test_a_token_is_asked_for_wherever_something_is_told(engine):
    with served(Service(engine, Access("s3cret"), [].append)) as client:
        for path in ("/config", "/metrics", "/thumbnails/0", "/indices-list"):
            assert client.get(path)[0] == 401
        assert search(client) == 401
        assert search(client, Authorization="Bearer wrong") == 401
        assert search(client, Authorization="Bearer s3cret") == 200
        assert client.get("/healthz")[0] == 200
        assert b"items.npy" not in client.get("/")[1]
        assert client.post("/session", {})[0] == 401
        headers = client.post("/session", {}, Authorization="Bearer s3cret")[2]
        cookie = headers["set-cookie"]
        assert "httponly" in cookie.lower()
        assert "samesite=strict" in cookie.lower()
        assert "s3cret" not in cookie
        assert search(client, Cookie=cookie.partition(";")[0]) == 200


def test_what_fails_inside_is_one_line_and_no_traceback(engine):
    lines = []
    service = Service(engine, log=lines.append)

    def broken(jobs):
        raise RuntimeError("a\nfault")

    service.batches = type(service.batches)(broken, 8, 8)
    with served(service) as client:
        status, found, _ = client.post("/search", {"vector": VECTOR})
    assert (status, found["error"]) == (500, "a fault of the service; its log says more")
    assert lines == ["POST /search: RuntimeError: a\\nfault"]


def test_an_index_that_fails_is_503_and_is_opened_again(place, tmp_path, monkeypatch):
    faiss = pytest.importorskip("faiss")
    index = faiss.IndexFlatIP(8)
    index.add(ITEMS)
    faiss.write_index(index, str(tmp_path / "i.faiss"))
    engine = open_engine(Opening(f"faiss:{tmp_path}/i.faiss", (str(place / "dn.safetensors"),)))
    lines = []
    with served(Service(engine, log=lines.append)) as client:
        status, found, _ = client.post("/search", {"vector": VECTOR, "k": 3})
        assert status == 200
        assert [each["method"] for each in found["lists"]] == ["dot", "dn"]
        assert client.post("/search", {"vector": VECTOR, "filter": [1]})[0] == 400
        engine.items.close()
        (tmp_path / "i.faiss").rename(tmp_path / "away")
        status, found, _ = client.post("/search", {"vector": VECTOR})
        assert status == 503
        assert found["error"].startswith("got ")
        (tmp_path / "away").rename(tmp_path / "i.faiss")
        assert search(client) == 200
    assert len(lines) == 1


def test_requests_in_work_are_answered_when_the_service_ends(engine):
    service = Service(engine, log=[].append)
    search_now, begun = engine.search, threading.Event()

    def slow(jobs):
        begun.set()
        time.sleep(0.5)
        return search_now(jobs)

    service.batches = type(service.batches)(slow, 8, 8)
    statuses = []
    with served(service) as client:
        thread = threading.Thread(target=lambda: statuses.append(search(client)))
        thread.start()
        assert begun.wait(10)
    thread.join()
    assert statuses == [200]


def test_a_search_that_takes_too_long_is_504(place):
    opening = Opening(str(place / "items.npy"), limits=replace(SMALL, seconds=0.2))
    engine = open_engine(opening)
    service = Service(engine, log=[].append)
    service.batches = type(service.batches)(lambda jobs: time.sleep(0.6) or [None], 8, 8)
    with served(service) as client:
        assert search(client) == 504


def test_searches_that_arrive_together_are_computed_together(engine):
    service, sizes = Service(engine, log=[].append), []

    def counted(jobs):
        sizes.append(len(jobs))
        time.sleep(0.05)
        return engine.search(jobs)

    service.batches = type(service.batches)(counted, 64, 64)
    with served(service) as client:
        threads = [threading.Thread(target=search, args=(client,)) for _ in range(15)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert sum(sizes) == 15
    assert max(sizes) > 3


def test_pictures_are_served_by_row_and_only_below_their_folder(tmp_path):
    image = pytest.importorskip("PIL.Image")
    from distnorm.service.store_items import Shelf
    from distnorm.store.catalog import Catalog

    inside, outside = tmp_path / "in", tmp_path / "out.png"
    inside.mkdir()
    image.new("RGB", (700, 500), "red").save(inside / "a.png")
    image.new("RGB", (9, 9), "blue").save(outside)
    (inside / "link.png").symlink_to(outside)
    (inside / "text.png").write_text("no picture")
    names = ["a.png", "../out.png", str(outside), "link.png", "text.png", "missing.png", "\0.png"]
    shelf = Shelf("pictures", ITEMS[: len(names)], Catalog.of(names))
    engine = open_engine(Opening("pictures", pictures=inside), shelf)
    with served(Service(engine, log=[].append)) as client:
        status, content, headers = client.get("/thumbnails/0")
        assert (status, headers["content-type"]) == (200, "image/jpeg")
        assert max(image.open(io.BytesIO(content)).size) == 320
        assert client.get("/thumbnails/0", **{"If-None-Match": headers["etag"]})[0] == 304
        assert [client.get(f"/thumbnails/{row}")[0] for row in range(1, 8)] == [404] * 7


def test_a_picture_of_too_many_pixels_is_refused_before_it_is_decoded(tmp_path):
    image = pytest.importorskip("PIL.Image")
    pytest.importorskip("onnxruntime")
    rows = unit(RNG.normal(0, 1, (20, 128)))
    np.save(tmp_path / "rows.npy", rows)
    limits = Limits(pixels=10_000)
    engine = open_engine(Opening(str(tmp_path / "rows.npy"), model="builtin", limits=limits))
    out = io.BytesIO()
    with served(Service(engine, log=[].append)) as client:
        for size, status in (((60, 60), 200), ((200, 200), 413)):
            out.seek(0)
            image.new("RGB", size).save(out, "PNG")
            picture = base64.b64encode(out.getvalue()).decode()
            assert client.post("/search", {"picture": picture})[0] == status
        assert client.post("/search", {"picture": "aGVsbG8="})[0] == 400
        data = {"picture": f"data:image/png;base64,{picture}"}
        assert client.post("/search", data)[0] == 413
        head = png_head(60_000, 60_000)
        data = {"picture": base64.b64encode(head).decode()}
        assert client.post("/search", data)[0] == 413


def png_head(width, height):
    """A picture that claims to be so large and has no pixels."""

    def chunk(name, content):
        check = zlib.crc32(name + content).to_bytes(4, "big")
        return len(content).to_bytes(4, "big") + name + content + check

    form = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    data = chunk(b"IDAT", zlib.compress(bytes(9)))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", form) + data + chunk(b"IEND", b"")


def test_the_api_that_is_described_is_the_one_there_is(client, engine):
    described = client.get("/openapi.json")[1]["paths"]
    there = {
        (route.path.replace(":int", ""), method)
        for route in Service(engine).routes()
        for method in route.methods - {"HEAD"}
        if not route.path.startswith("/static")
    }
    told = {(path, method.upper()) for path, methods in described.items() for method in methods}
    assert there | {("/learn", "GET"), ("/learn", "POST")} == told
    page = client.get("/docs")[1].decode()
    assert "//" not in page.replace("<!doctype", "")
    assert all(path in page for path in described)


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
def test_the_command_serves_says_where_and_ends_on_sigterm(place):
    command = [sys.executable, "-m", "distnorm", "serve", str(place / "items.npy"), "--port", "0"]
    body = json.dumps({"vector": VECTOR}).encode()
    head = b"POST /search HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        line = process.stderr.readline()
        assert "http://127.0.0.1:" in line
        port = int(line.rstrip("/\n").rpartition(":")[2])
        with socket.create_connection(("127.0.0.1", port)) as sock:
            sock.sendall(head + f"Content-Length: {len(body)}\r\n\r\n".encode() + body)
            assert sock.recv(100).startswith(b"HTTP/1.1 200")
            process.send_signal(signal.SIGTERM)
            assert process.wait(30) == 0
        assert process.stderr.read() == ""

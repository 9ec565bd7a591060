"""The family ``http``: a server of one's own on the loopback address, whatever it answers."""

from __future__ import annotations

import contextlib
import socket
import time

import encoder_laws
import numpy as np
import pytest
from embedding_server import DIMENSION, form, rows_of, serving

from distnorm.encoders import load_encoder
from distnorm.encoders.http import KEY
from distnorm.errors import DistnormError

SECRET = "sk-very-secret-1234"


@pytest.fixture(autouse=True)
def no_key(monkeypatch):
    monkeypatch.delenv(KEY, raising=False)
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)


def test_it_is_an_encoder_of_texts(monkeypatch):
    monkeypatch.setenv(KEY, SECRET)
    with serving() as (url, asked):
        encoder = load_encoder(f"http:{url}/v1/embeddings#words")
        encoder_laws.check(encoder, images=False)
        raw = encoder.encode_texts(["a red bus", "dog"], normalize=False)
    np.testing.assert_allclose(raw, rows_of(["a red bus", "dog"]), rtol=1e-6)
    assert (encoder.model_id, encoder.dimension) == ("http:words", DIMENSION)
    assert {request["model"] for request in asked} == {"words"}
    assert {request["path"] for request in asked} == {"/v1/embeddings"}
    assert {request["key"] for request in asked} == {f"Bearer {SECRET}"}
    assert SECRET not in repr(encoder) + str(vars(encoder))


def test_texts_go_in_batches():
    with serving() as (url, asked):
        encoder = load_encoder(f"http:{url}", batch_size=3)
        encoder.encode_texts(["a"] * 8)
    assert [len(request["input"]) for request in asked] == [3, 3, 2]
    assert asked[0]["key"] is None


@pytest.mark.parametrize(
    ("tail", "path"),
    [
        ("", "/v1/embeddings"),
        ("/", "/v1/embeddings"),
        ("/v1", "/v1/embeddings"),
        ("/api/v1/", "/api/v1/embeddings"),
        ("/embed?version=2", "/embed?version=2"),
    ],
)
@pytest.mark.parametrize("prefix", ["http:", ""])
def test_addresses(tail, path, prefix):
    with serving() as (url, asked):
        encoder = load_encoder(f"{prefix}{url}{tail}")
        encoder.encode_texts(["a"])
    assert asked[0]["path"] == path
    assert encoder.model_id == f"http:{url}{path.partition('?')[0]}"


@pytest.mark.parametrize(
    "name",
    [
        "http:",
        "http:words",
        "http:ftp://host/x",
        "http:http://",
        "http:http://host:99999/",
        "http:http://a b/",
        f"http:https://user:{SECRET}@host/v1",
        f"https://host/v1?api_key={SECRET}",
        f"https://host/v1?sig={SECRET}#model",
    ],
)
def test_addresses_that_are_none_or_hold_a_key(name):
    with pytest.raises(DistnormError) as caught:
        load_encoder(name)
    assert SECRET not in str(caught.value)
    assert "\n" not in str(caught.value)


def entry(row):
    return {"index": 0, "embedding": row}


@pytest.mark.parametrize(
    ("answer", "part"),
    [
        (b"<html>not found</html>", "no JSON"),
        (b"", "no JSON"),
        ([1, 2], 'no "data"'),
        ({"error": {"message": f"bad key {SECRET}"}}, 'no "data"'),
        ({"data": []}, "0 embeddings of 1 texts"),
        ({"data": [entry([1.0]), entry([1.0])]}, "2 embeddings of 1 texts"),
        ({"data": [{"index": 4, "embedding": [1.0]}]}, "an index"),
        ({"data": [{"index": True, "embedding": [1.0]}]}, "an index"),
        ({"data": [entry("AAAA")]}, 'no "data"'),
        ({"data": [entry([1.0, None])]}, "no numbers"),
        ({"data": [entry([1.0, "2"])]}, "no numbers"),
        ({"data": [entry([])]}, "shape (1, 0)"),
        ({"data": [entry([1.0, float("nan")])]}, "NaN or infinity in row 0"),
        ({"data": [entry([1.0, 1e300])]}, "NaN or infinity in row 0"),
        ({"data": [entry([0.0, 0.0])]}, "nothing but zeros"),
    ],
)
def test_an_answer_of_another_form_is_one_line(answer, part, monkeypatch):
    monkeypatch.setenv(KEY, SECRET)
    with serving(lambda handler, body: answer) as (url, _):
        encoder = load_encoder(f"http:{url}")
        with pytest.raises(DistnormError) as caught:
            encoder.encode_texts(["a"])
    assert part in str(caught.value)
    assert SECRET not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_another_dimension_in_the_next_batch():
    widths = iter([4, 5])

    def answer(handler, body):
        return {"data": [entry([1.0] * next(widths))]}

    with serving(answer) as (url, _):
        encoder = load_encoder(f"http:{url}", batch_size=1)
        with pytest.raises(DistnormError, match="no matrix of numbers"):
            encoder.encode_texts(["a", "b"])


def status(code, headers=()):
    def answer(handler, body):
        handler.send_response(code, f"because {SECRET}")
        for name, value in headers:
            handler.send_header(name, value)
        handler.end_headers()
        handler.wfile.write(f"your key {SECRET} is wrong".encode())

    return answer


@pytest.mark.parametrize(
    ("code", "headers", "part", "tries"),
    [
        (400, (), "HTTP 400", 1),
        (401, (), "key that is valid", 1),
        (404, (), "check the address", 1),
        (307, (("Location", "http://127.0.0.1:9/"),), "a redirect", 1),
        (429, (("Retry-After", "0"),), "try later", 3),
        (503, (), "HTTP 503", 3),
    ],
)
def test_an_error_status_is_one_line_and_busy_servers_are_asked_again(
    code, headers, part, tries, monkeypatch
):
    monkeypatch.setenv(KEY, SECRET)
    monkeypatch.setattr("distnorm.system.http.time.sleep", lambda seconds: None)
    with serving(status(code, headers)) as (url, asked), pytest.raises(DistnormError) as caught:
        load_encoder(f"http:{url}").encode_texts(["a"])
    assert part in str(caught.value)
    assert SECRET not in str(caught.value)
    assert len(asked) == tries


def test_a_server_that_recovers_is_heard(monkeypatch):
    waited = []
    monkeypatch.setattr("distnorm.system.http.time.sleep", waited.append)
    busy = iter([status(429, (("Retry-After", "7"),)), status(500)])

    def answer(handler, body):
        failing = next(busy, None)
        return form(body["input"]) if failing is None else failing(handler, body)

    with serving(answer) as (url, asked):
        rows = load_encoder(f"http:{url}").encode_texts(["a red bus"])
    assert rows.shape == (1, DIMENSION)
    assert (len(asked), waited) == (3, [7.0, 0.5])


def test_no_server_and_no_answer_in_time():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with pytest.raises(DistnormError, match=r"no answer from http://127.0.0.1.*running server"):
        load_encoder(f"http:http://127.0.0.1:{port}", retries=0).encode_texts(["a"])

    def drip(handler, body):
        handler.send_response(200)
        handler.end_headers()
        with contextlib.suppress(OSError):
            for _ in range(50):
                handler.wfile.write(b" ")
                handler.wfile.flush()
                time.sleep(0.02)

    late = r"no whole answer from .* in 0.2 seconds"
    with serving(drip) as (url, _), pytest.raises(DistnormError, match=late):
        load_encoder(f"http:{url}", timeout=0.2, retries=0).encode_texts(["a"])


def test_an_answer_that_ends_early_or_is_too_long(monkeypatch):
    def cut(handler, body):
        handler.send_response(200)
        handler.send_header("Content-Length", "1000")
        handler.end_headers()
        handler.wfile.write(b'{"data": [')

    with serving(cut) as (url, _), pytest.raises(DistnormError, match="no answer from"):
        load_encoder(f"http:{url}", retries=0).encode_texts(["a"])
    from distnorm.system.http import post_json

    with serving() as (url, _), pytest.raises(DistnormError, match="more than 0 MiB"):
        post_json(f"{url}/v1", {"input": ["a"]}, most=100)


@pytest.mark.parametrize("key", ["two words", "line\nline", "käse"])
def test_a_key_that_no_header_takes(key, monkeypatch):
    monkeypatch.setenv(KEY, key)
    wrong = pytest.raises(DistnormError, match="set it again")
    with serving() as (url, asked), wrong as caught:
        load_encoder(f"http:{url}").encode_texts(["a"])
    assert key not in str(caught.value)
    assert asked == []


@pytest.mark.parametrize(
    ("options", "part"),
    [({"device": "cuda"}, "device"), ({"timeout": 0}, "timeout"), ({"batch_size": 0}, "batch")],
)
def test_options_out_of_range(options, part):
    with pytest.raises(DistnormError, match=part):
        load_encoder("http:http://127.0.0.1:9", **options)


def test_pictures_are_refused():
    pixels = np.zeros((1, 2, 2, 3), dtype=np.uint8)
    encoder = load_encoder("http:http://127.0.0.1:9")
    for call in (lambda: encoder.encode_images([None]), lambda: encoder.encode_pixels(pixels)):
        with pytest.raises(DistnormError, match="pictures for http:"):
            call()

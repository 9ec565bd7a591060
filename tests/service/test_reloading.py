"""Statistics and stores that change while they are served: nothing is dropped."""

from __future__ import annotations

import threading
import time

import numpy as np
import pytest

pytest.importorskip("starlette")
pytest.importorskip("uvicorn")
pytest.importorskip("jinja2")

from serving import served, unit

import distnorm
from distnorm.service.app import Service
from distnorm.service.opening import Opening, open_engine, watch_and_learn

RNG = np.random.default_rng(11)
ITEMS = unit(RNG.normal(0.3, 1, (400, 16)))
TEXTS = unit(RNG.normal(-0.3, 1, (300, 16)))


def until(condition, seconds=20.0):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.02)


@pytest.fixture
def place(tmp_path):
    np.save(tmp_path / "items.npy", ITEMS)
    distnorm.make("dn").fit(images=ITEMS, texts=TEXTS).save(tmp_path / "now.safetensors")
    return tmp_path


@pytest.fixture
def running(place):
    opening = Opening(str(place / "items.npy"), watch=place / "now.safetensors")
    lines = []
    service = Service(open_engine(opening), log=lines.append)
    watch_and_learn(service, opening)
    with served(service) as client:
        client.log = lines
        yield client


def ids(client, query=TEXTS[0]):
    status, found, _ = client.post("/search", {"vector": query.tolist(), "k": 5})
    assert status == 200
    return found["statistics"]["version"], [entry["id"] for entry in found["lists"][-1]["results"]]


def test_a_changed_file_is_taken_in_while_searches_go_on(running, place):
    statuses, stop = [], threading.Event()

    def ask():
        while not stop.is_set():
            statuses.append(running.post("/search", {"vector": TEXTS[1].tolist()})[0])

    threads = [threading.Thread(target=ask) for _ in range(3)]
    for thread in threads:
        thread.start()
    norm = distnorm.make("is", strength=0.75).fit(images=ITEMS, texts=TEXTS[:100])
    norm.save(place / "now.safetensors")
    until(lambda: ids(running)[0] == 1)
    stop.set()
    for thread in threads:
        thread.join()
    assert set(statuses) == {200}
    _, rows = distnorm.topk(TEXTS[:1], ITEMS, 5, norm.item_bias(images=ITEMS))
    assert ids(running)[1] == rows[0].tolist()


@pytest.mark.parametrize("content", ["damaged", "other dimensions", "another method", "gone"])
def test_what_cannot_be_taken_in_changes_nothing_and_is_said(running, place, content):
    before = ids(running)
    path = place / "now.safetensors"
    if content == "damaged":
        path.write_bytes(b"no normalization")
    elif content == "other dimensions":
        distnorm.make("dn").fit(texts=unit(RNG.normal(0, 1, (9, 8)))).save(path)
    elif content == "another method":
        distnorm.make("centered").fit(images=ITEMS, texts=TEXTS).save(path)
    else:
        path.unlink()
    until(lambda: any(str(path) in line for line in running.log))
    assert ids(running) == before
    metrics = running.get("/metrics")[1].decode()
    assert "distnorm_failed_reloads_total 1" in metrics
    assert all("Traceback" not in line and "\n" not in line for line in running.log)


def test_rows_that_are_added_are_found_and_a_store_that_goes_is_kept(running, place):
    asked = unit(RNG.normal(0, 1, (1, 16)))
    half = place / "half.npy"
    np.save(half, np.concatenate([ITEMS, asked]))
    half.replace(place / "items.npy")
    until(lambda: running.get("/config")[1]["n_items"] == 401)
    assert ids(running, asked[0])[1][0] == 400
    (place / "items.npy").unlink()
    until(lambda: any("is gone" in line for line in running.log))
    assert ids(running, asked[0])[1][0] == 400


def test_both_watching_and_learning_is_refused(place):
    opening = Opening(str(place / "items.npy"), watch=place / "a", learn=place / "b")
    with pytest.raises(distnorm.DistnormError, match="one of them"):
        watch_and_learn(Service(open_engine(opening)), opening)

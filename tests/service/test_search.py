"""What `POST /search`, `/shift` and `/bias` answer, over a real server."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("starlette")
pytest.importorskip("uvicorn")
pytest.importorskip("jinja2")

from serving import served, unit

import distnorm
from distnorm.service.app import Service
from distnorm.service.opening import Opening, open_engine

RNG = np.random.default_rng(5)
ITEMS = unit(RNG.normal(0.3, 1, (500, 16)))
TEXTS = unit(RNG.normal(-0.3, 1, (400, 16)))
QUERIES = TEXTS[300:]


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("served")
    np.save(folder / "items.npy", ITEMS)
    dn = distnorm.make("dn").fit(images=ITEMS[:100], texts=TEXTS[:200])
    dn.calibrate(images=ITEMS[100:300], texts=TEXTS[200:300])
    dn.save(folder / "dn.safetensors")
    distnorm.make("is").fit(images=ITEMS[:100], texts=TEXTS[:200]).save(folder / "is.safetensors")
    return folder


@pytest.fixture(scope="module")
def engine(files):
    norms = (str(files / "dn.safetensors"), str(files / "is.safetensors"))
    return open_engine(Opening(str(files / "items.npy"), norms))


@pytest.fixture(scope="module")
def client(engine):
    lines = []
    with served(Service(engine, log=lines.append)) as client:
        client.log = lines
        yield client


def test_lists_are_those_of_exact_search(client, files):
    norm = distnorm.load(files / "dn.safetensors")
    status, found, _ = client.post("/search", {"vector": QUERIES[0].tolist(), "k": 7})
    assert status == 200
    dot, normalized = found["lists"]
    for listed, query in ((dot, QUERIES[:1]), (normalized, norm.shift_queries(texts=QUERIES[:1]))):
        scores, rows = distnorm.topk(query, ITEMS, 7)
        assert [entry["id"] for entry in listed["results"]] == rows[0].tolist()
        np.testing.assert_allclose(
            [entry["score"] for entry in listed["results"]], scores[0], atol=1e-6
        )
    assert (normalized["method"], normalized["strength"]) == ("dn", 0.5)


@pytest.mark.parametrize("strength", [0.2, 0.5, 1.0])
def test_methods_with_biases_rank_at_any_strength(client, strength):
    norm = distnorm.make("is", strength=strength).fit(images=ITEMS[:100], texts=TEXTS[:200])
    asked = {"vector": QUERIES[3].tolist(), "method": "is", "strength": strength}
    found = client.post("/search", asked)[1]["lists"][1]
    _, rows = distnorm.topk(QUERIES[3:4], ITEMS, 10, norm.item_bias(images=ITEMS))
    assert [entry["id"] for entry in found["results"]] == rows[0].tolist()


def test_ranks_and_moves_agree_between_the_lists(client):
    asked = {"vector": QUERIES[9].tolist(), "k": 10, "also": {"method": "is"}}
    lists = client.post("/search", asked)[1]["lists"]
    assert [each["method"] for each in lists] == ["dot", "dn", "is"]
    order = [[entry["id"] for entry in each["results"]] for each in lists]
    for at, listed in enumerate(lists):
        for entry in listed["results"]:
            assert entry["ranks"][at] == entry["rank"]
            for other in range(3):
                if entry["id"] in order[other]:
                    assert entry["ranks"][other] == order[other].index(entry["id"]) + 1
            if at:
                inside = entry["id"] in order[0]
                assert (entry["change"] == "new") == (not inside)
                if inside:
                    assert entry["move"] == entry["ranks"][0] - entry["rank"]
            else:
                assert (entry["change"] == "gone") == (entry["id"] not in order[1])


def test_rates_are_those_of_the_calibration_at_its_own_strength_only(client, files):
    norm = distnorm.load(files / "dn.safetensors")
    found = client.post("/search", {"vector": QUERIES[1].tolist(), "k": 3})[1]["lists"][1]
    for entry in found["results"]:
        score = norm.similarity(ITEMS[entry["id"]][None], QUERIES[1:2])
        assert entry["two_sided"] == pytest.approx(float(score[0, 0]), abs=1e-6)
        rate = float(norm.false_alarm_rate(score).value[0, 0])
        assert entry["false_alarm_rate"] == pytest.approx(rate, rel=1e-3)
    other = {"vector": QUERIES[1].tolist(), "k": 3, "strength": 0.3}
    results = client.post("/search", other)[1]["lists"][1]["results"]
    assert not any("false_alarm_rate" in entry for entry in results)


def test_shift_and_bias_are_those_of_the_normalization(client, files):
    norm = distnorm.load(files / "dn.safetensors")
    status, found, _ = client.post("/shift", {"vectors": QUERIES[:5].tolist()})
    assert status == 200
    np.testing.assert_allclose(found["vectors"], norm.shift_queries(texts=QUERIES[:5]), atol=1e-6)
    status, found, _ = client.post("/bias", {"vectors": ITEMS[:5].tolist(), "method": "is"})
    bank = distnorm.load(files / "is.safetensors")
    np.testing.assert_allclose(found["bias"], bank.item_bias(images=ITEMS[:5]), atol=1e-6)


def test_a_method_that_cannot_shift_is_refused_in_one_line(client):
    status, found, _ = client.post("/shift", {"vectors": QUERIES[:2].tolist(), "method": "is"})
    assert status == 400
    assert found["error"].startswith("got shift_queries")

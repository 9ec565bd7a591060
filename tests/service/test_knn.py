"""clip-retrieval's clients, unchanged, against this service."""

from __future__ import annotations

import json
from http.client import HTTPConnection

import numpy as np
import pytest

pytest.importorskip("starlette")
pytest.importorskip("uvicorn")
pytest.importorskip("jinja2")

from serving import served, unit

import distnorm
from distnorm.service.app import Service
from distnorm.service.opening import Opening, open_engine

RNG = np.random.default_rng(8)
ITEMS = unit(RNG.normal(0.3, 1, (300, 256)))
TEXTS = unit(RNG.normal(-0.3, 1, (200, 256)))


@pytest.fixture(scope="module")
def norm():
    return distnorm.make("dn").fit(images=ITEMS[:100], texts=TEXTS[:150])


@pytest.fixture(scope="module")
def client(tmp_path_factory, norm):
    folder = tmp_path_factory.mktemp("knn")
    np.save(folder / "photos.npy", ITEMS)
    norm.save(folder / "dn.safetensors")
    engine = open_engine(Opening(str(folder / "photos.npy"), (str(folder / "dn.safetensors"),)))
    with served(Service(engine, log=[].append)) as client:
        yield client


def clip_client(port, **values):
    """What clip-retrieval's ClipClient sends: JSON that does not say so."""
    body = {
        "text": None, "image": None, "image_url": None, "embedding_input": None,
        "deduplicate": True, "use_safety_model": True, "use_violence_detector": True,
        "indice_name": "photos", "use_mclip": False, "aesthetic_score": 9,
        "aesthetic_weight": 0.5, "modality": "image", "num_images": 40, "num_result_ids": 40,
        **values,
    }  # fmt: skip
    connection = HTTPConnection("127.0.0.1", port, timeout=30)
    connection.request("POST", "/knn-service", json.dumps(body).encode())
    answer = connection.getresponse()
    found = json.loads(answer.read())
    connection.close()
    return answer.status, found


def test_a_clip_client_gets_the_corrected_list(client, norm):
    status, found = clip_client(client.port, embedding_input=TEXTS[160].tolist())
    assert status == 200
    _, rows = distnorm.topk(norm.shift_queries(texts=TEXTS[160:161]), ITEMS, 40)
    assert [entry["id"] for entry in found] == rows[0].tolist()
    assert found[0].keys() >= {"id", "similarity", "image_path"}


def test_the_index_named_dot_ranks_by_dot(client):
    status, found = clip_client(
        client.port, embedding_input=TEXTS[160].tolist(), indice_name="photos-dot"
    )
    assert status == 200
    _, rows = distnorm.topk(TEXTS[160:161], ITEMS, 40)
    assert [entry["id"] for entry in found] == rows[0].tolist()


def test_our_own_adapter_of_clip_retrieval_works_on_it(client):
    spec = f"clip-retrieval:http://127.0.0.1:{client.port}/photos-dot"
    with distnorm.open_index(spec) as index:
        assert index.dimension == 256
        found = index.search(TEXTS[150:153], 5)
    scores, rows = distnorm.topk(TEXTS[150:153], ITEMS, 5)
    assert [list(ids) for ids in found.ids] == rows.tolist()
    np.testing.assert_allclose(found.scores, scores, atol=1e-5)


def test_only_the_first_images_bring_what_is_known_of_them(client):
    found = clip_client(
        client.port, embedding_input=TEXTS[0].tolist(), num_images=3, num_result_ids=9
    )[1]
    assert ["image_path" in entry for entry in found] == [True] * 3 + [False] * 6
    status, known, _ = client.post(
        "/metadata", {"ids": [found[0]["id"], 10**9, "x"], "indice_name": "photos"}
    )
    assert status == 200
    about = {"image_path": found[0]["image_path"]}
    assert known == [{"id": found[0]["id"], "metadata": about}]


@pytest.mark.parametrize(
    "values",
    [
        {"image_url": "http://169.254.169.254/", "embedding_input": None},
        {"indice_name": "other"},
        {"modality": "text"},
        {"embedding_input": [1.0] * 255},
        {"embedding_input": None},
        {"num_result_ids": -1},
    ],
)
def test_what_cannot_be_served_is_refused_in_one_line(client, values):
    status, found = clip_client(client.port, **{"embedding_input": TEXTS[0].tolist(), **values})
    assert status == 400
    assert found["error"].startswith("got ")

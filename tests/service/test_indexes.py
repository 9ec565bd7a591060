"""Every index that `open_index` takes, served: one of each system, in the thread that searches."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("starlette")
pytest.importorskip("uvicorn")
pytest.importorskip("jinja2")

from serving import served, unit

import distnorm
from distnorm.service.app import Service
from distnorm.service.opening import Opening, open_engine

sys.path.append(str(Path(__file__).resolve().parents[2] / "benchmarks"))

from index_builders import CASES

RNG = np.random.default_rng(4)
ITEMS = unit(RNG.normal(0.3, 1, (200, 32)))
TEXTS = unit(RNG.normal(-0.3, 1, (120, 32)))
# Of a system's metrics one is enough: they differ in `open_index`, which is tested there.
SYSTEMS = list({case.name.partition(" ")[0].partition("-")[0]: case for case in CASES}.values())


@pytest.mark.parametrize("case", SYSTEMS, ids=str)
def test_an_index_is_served_by_dot_and_normalized(case, tmp_path):
    if case.missing:
        pytest.skip(f"{case.missing} is not installed")
    if case.server:
        pytest.skip("a server of its own: tests/search/indexes starts it")
    built = case.build(tmp_path, range(len(ITEMS)), ITEMS)
    try:
        if built.spec is None:
            pytest.skip("has no spec")
        norm = distnorm.make("dn").fit(images=ITEMS, texts=TEXTS[:100])
        norm.save(tmp_path / "dn.safetensors")
        opening = Opening(built.spec, (str(tmp_path / "dn.safetensors"),))
        lines = []
        with served(Service(open_engine(opening), log=lines.append)) as client:
            status, found, _ = client.post("/search", {"vector": TEXTS[110].tolist(), "k": 5})
        assert (status, lines) == (200, [])
        dot, normalized = found["lists"]
        if case.exact:
            _, rows = distnorm.topk(TEXTS[110:111], ITEMS, 5)
            assert [int(entry["id"]) for entry in dot["results"]] == rows[0].tolist()
            _, rows = distnorm.topk(norm.shift_queries(texts=TEXTS[110:111]), ITEMS, 5)
            assert [int(entry["id"]) for entry in normalized["results"]] == rows[0].tolist()
        assert len(normalized["results"]) == 5
    finally:
        built.stop()


def test_a_model_by_its_name_and_statistics_by_its_id(tmp_path):
    faiss = pytest.importorskip("faiss")
    pytest.importorskip("onnxruntime", reason="the built-in model")
    encoder = distnorm.load_encoder("builtin")
    texts = [f"a {color} {shape}" for color in ("red", "blue") for shape in ("star", "cross")]
    rows = encoder.encode_texts(texts)
    index = faiss.IndexFlatIP(rows.shape[1])
    index.add(rows)
    faiss.write_index(index, str(tmp_path / "f.index"))
    norm = distnorm.make("dn", model=encoder.model_id).fit(images=rows, texts=rows)
    norm.save(tmp_path / "dn.safetensors")
    place = f"faiss:{tmp_path / 'f.index'}"
    opening = Opening(place, (str(tmp_path / "dn.safetensors"),), model="builtin")
    with served(Service(open_engine(opening), log=print)) as client:
        status, found, _ = client.post("/search", {"query": texts[2], "k": 1})
    assert status == 200
    assert found["lists"][0]["results"][0]["id"] == 2

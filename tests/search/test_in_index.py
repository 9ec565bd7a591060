"""Search in an index from the command line, in the form of a store's."""

from __future__ import annotations

import types

import numpy as np
import pytest
from asking import ask

import distnorm
from distnorm.search.indexes.system import Capabilities
from distnorm.store.vectors import read_embeddings

pytest.importorskip("PIL", reason="stores of pictures")
pytest.importorskip("onnxruntime", reason="the built-in model")
pytest.importorskip("pyarrow.parquet", reason="names in stores")


class Found(types.SimpleNamespace):
    """An index's answer to one query."""


@pytest.fixture
def running(store, monkeypatch):
    """An index that answers like the front of `search.indexes`, over the store's pictures."""
    rows = read_embeddings(store).astype(np.float64)

    class Index:
        capabilities = Capabilities("ip", rows.shape[1], exact=True, max_k=20)

        def __enter__(self):
            return self

        def __exit__(self, *_):
            return None

        def count(self):
            return len(rows)

        def search(
            self, queries, k, normalization=None, mode=None, *, query_side="text", certify=False
        ):
            assert k <= self.capabilities.max_k
            q = (
                queries
                if mode == "dot"
                else normalization.shift_queries(queries, modality=query_side)
            )
            line = (q.astype(np.float64) @ rows.T)[0]
            order = np.argsort(-line, kind="stable")[:k]
            return Found(
                ids=(tuple(order.tolist()),), scores=(line[order],), score="cosine",
                method="dot" if mode == "dot" else normalization.method,
                strength=0.5, certified=(False,), without_bias=3,
            )  # fmt: skip

    asked = []
    monkeypatch.setattr(
        "distnorm.search.in_index.open_index",
        lambda spec, model=None, biases=None: asked.append((spec, model)) or Index(),
    )
    return asked


def test_an_index_answers_in_the_same_form(running, norms):
    words = ("faiss:photos.index", "a red star", "--model", "builtin", "--k", "6")
    found = ask(*words, "--normalization", norms / "dn.safetensors", "--both")
    assert running == [("faiss:photos.index", "builtin-1")]
    assert found["fetched"] == 20
    assert len(found["results"]) == len(found["dot"]) == 6
    place = {entry["name"]: entry["rank"] for entry in found["dot"]}
    for entry in found["results"]:
        assert entry["rank_by_dot"] == place.get(entry["name"], entry["rank_by_dot"])
    assert "3 items have no stored bias: run distnorm index bias faiss:photos" in found["notes"][0]
    assert "approximate" in found["notes"][1]
    plain = ask(*words)
    assert plain["method"] == "dot"
    assert plain["notes"] == []


def test_an_item_from_beyond_the_fetched_list_is_new():
    from distnorm.report.terminal import rank_change

    assert rank_change({"rank": 1, "rank_by_dot": None}, {"fetched": 100}) == (">100", "new")
    assert rank_change({"rank": 1, "rank_by_dot": 1}, {}) == ("1", "=")
    assert rank_change({"rank": 4, "rank_by_dot": 1}, {}) == ("1", "-3")


def test_a_real_faiss_file(store, norms, tmp_path):
    faiss = pytest.importorskip("faiss", reason="an index to search")
    pytest.importorskip("distnorm.search.indexes", reason="the front of all systems")
    rows = read_embeddings(store).astype(np.float32)
    index = faiss.IndexFlatIP(rows.shape[1])
    index.add(rows)
    faiss.write_index(index, str(tmp_path / "x.index"))
    words = ("a red star", "--normalization", norms / "dn.safetensors", "--k", "9")
    found = ask(f"faiss:{tmp_path / 'x.index'}", *words, "--model", "builtin")
    scores, wanted = distnorm.search.topk(
        distnorm.load(norms / "dn.safetensors").shift_queries(
            texts=distnorm.load_encoder("builtin").encode_texts(["a red star"])
        ),
        rows,
        9,
    )
    np.testing.assert_allclose(np.diff([e["value"] for e in found["results"]]),
                               np.diff(scores[0]), atol=1e-6)  # fmt: skip
    assert set(wanted[0].tolist()) & {e["row"] for e in found["results"]}

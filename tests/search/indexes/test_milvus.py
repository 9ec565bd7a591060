"""Milvus as people have it: keys of any text, a server over the network, silent metrics."""

from __future__ import annotations

import socket
import time

import numpy as np
import pytest

import distnorm
from distnorm import DistnormError
from distnorm.search.indexes import open_index

pymilvus = pytest.importorskip("pymilvus", reason="pymilvus is not installed")
pytest.importorskip("milvus_lite", reason="milvus-lite is not installed")

KEYS = [
    "it's",
    '6" disc',
    "c:\\new",
    "two\nlines",
    '["a"]',
    "\x01",
    "\f\b\r\t",
    "'",
    '"',
    "\\",
    '\\"',
    "猫 ",
    "{0}",
]


def rows(n=12, d=8):
    x = np.random.default_rng(3).standard_normal((n, d)) + 0.5
    return (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32)


def collection(path, metric, keys, x):
    client = pymilvus.MilvusClient(str(path))
    schema = client.create_schema(enable_dynamic_field=True)
    texts = isinstance(keys[0], str)
    kind = pymilvus.DataType.VARCHAR if texts else pymilvus.DataType.INT64
    schema.add_field("key", kind, is_primary=True, **({"max_length": 99} if texts else {}))
    schema.add_field("vector", pymilvus.DataType.FLOAT_VECTOR, dim=x.shape[1])
    params = client.prepare_index_params()
    params.add_index("vector", index_type="FLAT", metric_type=metric)
    client.create_collection("photos", schema=schema, index_params=params)
    client.insert(
        "photos",
        [
            {"key": key, "vector": row.tolist(), "own": key}
            for key, row in zip(keys, x, strict=True)
        ],
    )
    client.flush("photos")
    return client


def test_keys_of_any_text(tmp_path):
    x = rows(len(KEYS))
    collection(tmp_path / "photos.db", "COSINE", KEYS, x).close()
    norm = distnorm.make("nnn", k=3).fit(images=x, texts=x[::-1].copy())
    with open_index(f"milvus:{tmp_path}/photos.db/photos") as index:
        assert index.upload_bias(norm).written == len(KEYS)
        found = index.search(x[:3], 20, norm, fields=["own"], certify=True)
        assert all(set(ids) == set(KEYS) for ids in found.ids)
        for ids, fields in zip(found.ids, found.fields, strict=True):
            assert [each["own"] for each in fields] == list(ids)
        assert index.check(norm, everything=True, queries=x[:3]).healthy


class WithMetric:
    """A client whose searches name another metric than the collection's."""

    def __init__(self, client, metric):
        self._client, self._metric = client, metric

    def __getattr__(self, name):
        return getattr(self._client, name)

    def search(self, *arguments, **options):
        params = {"metric_type": self._metric}
        return self._client.search(*arguments, search_params=params, **options)


@pytest.mark.parametrize("own", ["IP", "COSINE", "L2"])
@pytest.mark.parametrize("asked", ["IP", "COSINE", "L2"])
def test_scores_of_another_metric_are_seen_or_refused(tmp_path, own, asked):
    from distnorm.search.indexes.milvus import MilvusIndex

    x = rows()
    client = collection(tmp_path / "photos.db", own, list(range(len(x))), x)
    norm = distnorm.make("dn").fit(images=x, texts=x[::-1].copy())
    shifted = np.asarray(norm.shift_queries(texts=x[:3]), np.float64)
    try:
        index = MilvusIndex(WithMetric(client, asked), "photos")
        try:
            found = index.search(x[:3], 5, norm)
        except DistnormError:
            if own == asked:
                raise
            return
        wanted = np.argsort(-(shifted @ x.T), axis=1, kind="stable")[:, :5]
        assert [list(ids) for ids in found.ids] == wanted.tolist()
        scores = np.asarray(norm.similarity(x, x[:3]))
        for at, ids in enumerate(found.ids):
            if index.probe.scores:
                np.testing.assert_allclose(found.scores[at], scores[list(ids), at], atol=2e-6)
    finally:
        client.close()


def test_a_server_over_the_network(tmp_path):
    from milvus_lite.server_manager import server_manager_instance as servers

    x = rows(len(KEYS))
    path = tmp_path / "photos.db"
    collection(path, "COSINE", KEYS, x).close()
    address = servers.start_and_get_uri(str(path))
    norm = distnorm.make("nnn", k=3).fit(images=x, texts=x[::-1].copy())
    try:
        index = open_index(f"milvus:{address}/photos")
        index.upload_bias(norm)
        assert all(index.search(x[:3], 5, norm, certify=True).certified)
        servers.release_server(str(path))
        start = time.monotonic()
        with pytest.raises(DistnormError, match=r"expected a running server") as caught:
            index.search(x[:3], 5, norm)
        assert "MilvusException" not in str(caught.value)
        # Its own client would try again for minutes.
        assert time.monotonic() - start < 60
        index.close()
    finally:
        servers.release_server(str(path))


def test_a_server_that_accepts_and_says_nothing():
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        place = f"milvus:http://127.0.0.1:{silent.getsockname()[1]}/photos?timeout=1"
        with pytest.raises(DistnormError, match="no connection"):
            open_index(place)


def test_a_request_that_never_ends_is_cut(tmp_path):
    from distnorm.search.indexes.milvus import MilvusIndex

    x = rows()
    client = collection(tmp_path / "photos.db", "IP", list(range(len(x))), x)
    limits = []

    class Noting:
        def __getattr__(self, name):
            def call(*arguments, timeout=None, **options):
                limits.append((name, timeout))
                return getattr(client, name)(*arguments, timeout=timeout, **options)

            return call

    try:
        index = MilvusIndex(Noting(), "photos", timeout=7)
        index.search(x[:1], 3)
        index.upload_bias(distnorm.make("nnn", k=3).fit(images=x, texts=x))
        assert {name for name, limit in limits if limit != 7} <= {"load_collection", "flush"}
        assert None not in dict(limits).values()
    finally:
        client.close()

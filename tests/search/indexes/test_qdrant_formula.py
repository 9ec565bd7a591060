"""Qdrant that subtracts the stored numbers itself: local mode in the place of a server."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from distnorm.search.indexes.bias_store import residual_of

client_of = pytest.importorskip("qdrant_client", reason="qdrant-client is not installed")
K = 5


@pytest.fixture(params=["Dot", "Cosine"])
def client(request, index_world):
    found = client_of.QdrantClient(":memory:")
    size = client_of.models.VectorParams(size=24, distance=request.param)
    found.create_collection("photos", vectors_config=size)
    put(found, index_world, range(120))
    yield found
    found.close()


def put(client, world, ids):
    point = client_of.models.PointStruct
    points = [point(id=i, vector=world.items[i].tolist(), payload={"n": i}) for i in ids]
    client.upsert("photos", points)


def opened(client, *, server):
    from distnorm.search.indexes.qdrant import QdrantIndex

    index = QdrantIndex(client, "photos")
    assert not index.subtracts
    if server:
        # As of a server: not every point is compared.
        index.capabilities = replace(index.capabilities, exact=False)
        index.subtracts = True
    return index


@pytest.mark.parametrize("method", ["nnn", "dn2"])
@pytest.mark.parametrize("filtered", [None, {"must": [{"key": "n", "range": {"lt": 50}}]}])
def test_it_ranks_as_we_do(client, index_world, method, filtered):
    norm = index_world.norm(method)
    ours = opened(client, server=False)
    ours.upload_bias(norm)
    options = {"filter": filtered, "overfetch": 60}
    wanted = ours.search(index_world.queries, K, norm, **options)
    asked = []
    ask, client.query_batch_points = (
        client.query_batch_points,
        lambda name, requests: asked.extend(requests) or ask(name, requests),
    )
    found = opened(client, server=True).search(index_world.queries, K, norm, **options)
    assert found.ids == wanted.ids
    np.testing.assert_allclose(np.stack(found.scores), np.stack(wanted.scores), atol=2e-6)
    assert not any(found.certified)
    formulas = [each for each in asked if isinstance(each.query, client_of.models.FormulaQuery)]
    assert len(formulas) == len(index_world.queries)
    assert {each.limit for each in formulas} == {2 * K + 10}
    assert {each.prefetch.limit for each in formulas} == {60}


def test_a_point_without_the_key_takes_the_mean_and_one_with_the_bias_alone_its_own(
    client, index_world
):
    norm = index_world.norm("nnn")
    index = opened(client, server=False)
    column = index.upload_bias(norm).column
    put(client, index_world, range(120, 140))
    added = index.item_biases(norm, index_world.items[120:130])
    index.biases.write(column, list(range(120, 130)), added.values)
    assert np.isnan(index.biases.read(residual_of(column), list(range(120, 140)))).all()
    wanted = index.search(index_world.queries, K, norm, overfetch=140)
    found = opened(client, server=True).search(index_world.queries, K, norm, overfetch=140)
    assert found.ids == wanted.ids
    assert found.without_bias <= wanted.without_bias == 10


@pytest.mark.parametrize(
    ("version", "knows"),
    [
        ("1.14.0", True),
        ("1.20.1-dev", True),
        ("2.0", True),
        ("1.13.6", False),
        ("1.9", False),
        ("", False),
        (None, False),
    ],
)
def test_a_server_says_whether_it_knows_formulas(version, knows):
    from distnorm.search.indexes.qdrant import knows_formulas

    assert knows_formulas(SimpleNamespace(info=lambda: SimpleNamespace(version=version))) is knows
    assert not knows_formulas(object())

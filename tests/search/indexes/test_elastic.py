"""Query bodies for Elasticsearch and OpenSearch, evaluated as their documentation says."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest

from distnorm import DistnormError
from distnorm.search.indexes.elastic import (
    SIMILARITIES,
    knn_body,
    recover_products,
    script_score_body,
)


def score(similarity, query, row):
    """What Elasticsearch documents as ``_score`` of a kNN hit."""
    query, row = np.asarray(query), np.asarray(row)
    if similarity == "dot_product":
        assert abs(np.linalg.norm(query) - 1) < 1e-5, "refused by Elasticsearch"
        return (1 + query @ row) / 2
    if similarity == "cosine":
        return (1 + query @ row / np.linalg.norm(query) / np.linalg.norm(row)) / 2
    if similarity == "l2_norm":
        return 1 / (1 + np.sum((query - row) ** 2))
    product = query @ row
    return product + 1 if product >= 0 else 1 / (1 - product)


@pytest.mark.parametrize("similarity", SIMILARITIES)
@pytest.mark.parametrize("opensearch", [False, True])
def test_a_shifted_query_ranks_by_dn_and_its_score_comes_back(similarity, opensearch, index_world):
    norm = index_world.norm("dn")
    shifted = norm.shift_queries(index_world.queries, modality="text")[0]
    body = knn_body(shifted, "photo", 7, similarity=similarity, opensearch=opensearch)
    json.dumps(body)
    assert body["size"] == 7
    sent = body["query"]["knn"]["photo"]["vector"] if opensearch else body["knn"]["query_vector"]
    if not opensearch:
        assert body["knn"]["num_candidates"] == 100
    scores = np.array([score(similarity, sent, row) for row in index_world.items.astype(float)])
    assert scores.min() > 0
    products = recover_products(scores, similarity, float(np.linalg.norm(shifted)))
    wanted = index_world.items.astype(float) @ shifted.astype(float)
    np.testing.assert_allclose(products, wanted, atol=1e-5)
    np.testing.assert_array_equal(np.argsort(-scores)[:7], np.argsort(-wanted)[:7])


def run(body, items, biases):
    """The script, in the few words of Painless that it uses."""
    part = body["query"]["script_score"]["script"]
    source, params = part["source"], part["params"]
    form = r"dotProduct\(params\.q, 'photo'\) \+ params\.offset( - \(doc\['b'\].*params\.mean.*\))?"
    assert re.fullmatch(form, source)
    products = items @ np.asarray(params["q"])
    found = products + params["offset"]
    if "doc['b']" in source:
        found = found - np.where(np.isnan(biases), params["mean"], biases)
    assert found.min() >= 0, "Elasticsearch refuses negative scores"
    return found, params["offset"]


def test_a_script_ranks_by_a_stored_bias(index_world):
    norm = index_world.norm("nnn")
    items = index_world.items.astype(float)
    bias = np.asarray(norm.item_bias(images=items))
    query = index_world.queries[0]
    body = script_score_body(
        query, "photo", 5, bias_field="b", highest_bias=bias.max(), mean_bias=bias.mean()
    )
    json.dumps(body)
    found, offset = run(body, items, bias)
    np.testing.assert_allclose(found - offset, items @ query.astype(float) - bias, atol=1e-6)
    later = bias.copy()
    later[3] = np.nan
    found, offset = run(body, items, later)
    assert found[3] - offset == pytest.approx(items[3] @ query - bias.mean(), abs=1e-6)
    raw, offset = run(script_score_body(query, "photo", 5), items, bias)
    np.testing.assert_allclose(raw - offset, items @ query.astype(float), atol=1e-6)


def test_rescoring_an_approximate_list(index_world):
    body = script_score_body(index_world.queries[0], "photo", 5, bias_field="b", rescore=50)
    assert body["knn"]["k"] == 50
    assert body["rescore"]["window_size"] == 50
    assert body["rescore"]["query"]["query_weight"] == 0
    inner = body["rescore"]["query"]["rescore_query"]
    found, offset = run({"query": inner}, index_world.items.astype(float), np.zeros(300))
    wanted = index_world.items.astype(float) @ index_world.queries[0].astype(float)
    np.testing.assert_allclose(found - offset, wanted, atol=1e-6)


@pytest.mark.parametrize(
    ("call", "part"),
    [
        (lambda q: knn_body(q, "f", 0), "k = 0"),
        (lambda q: knn_body(q, "f", similarity="manhattan"), "similarity 'manhattan'"),
        (lambda q: knn_body(q[None], "f"), "one finite vector"),
        (lambda q: knn_body(q * np.nan, "f"), "one finite vector"),
        (lambda q: script_score_body(q, "f", mean_bias=1.0), "not below the mean"),
        (lambda q: recover_products([1.0], "ip", 1.0), "similarity 'ip'"),
    ],
)
def test_what_is_refused(call, part, index_world):
    with pytest.raises(DistnormError, match=part):
        call(index_world.queries[0])


def test_a_cluster_takes_ten_thousand_at_most():
    query = np.ones(4)
    assert knn_body(query, "e", 3000)["knn"]["num_candidates"] == 10_000
    assert knn_body(query, "e", 7)["knn"]["num_candidates"] == 100
    assert script_score_body(query, "e", 10, rescore=4000)["knn"]["num_candidates"] == 10_000
    for call, part in (
        (lambda: knn_body(query, "e", 10_001), "k = 10001"),
        (lambda: knn_body(query, "e", 10_001, opensearch=True), "k = 10001"),
        (lambda: knn_body(query, "e", 5, num_candidates=10_001), "num_candidates = 10001"),
        (lambda: knn_body(query, "e", 50, num_candidates=20), "num_candidates = 20 for k = 50"),
        (lambda: script_score_body(query, "e", 10_001), "k = 10001"),
        (lambda: script_score_body(query, "e", 5, rescore=10_001), "rescore = 10001"),
        (lambda: script_score_body(query, "e", 50, rescore=20), "rescore = 20 for k = 50"),
    ):
        with pytest.raises(DistnormError, match=part):
            call()

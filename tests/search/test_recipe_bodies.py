"""Recipes for systems that cannot be run here: bodies against the fields of their references."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest

from distnorm.search.indexes.elastic import SIMILARITIES, knn_body, script_score_body

# Elasticsearch's search API and Query DSL, Marqo's search API: fields that may stand where.
ELASTIC = {
    "": {"query", "knn", "rescore", "size", "_source"},
    "query": {"script_score", "knn"},
    "script_score": {"query", "script"},
    "script_score.query": {"knn", "exists"},
    "script": {"source", "params", "lang"},
    "knn": {"field", "query_vector", "k", "num_candidates", "filter"},
    "exists": {"field"},
    "rescore": {"window_size", "query"},
    "rescore.query": {"query_weight", "rescore_query_weight", "rescore_query", "score_mode"},
    "rescore_query": {"script_score"},
}
MARQO = {
    "": {"q", "limit", "offset", "scoreModifiers", "filter", "context", "searchMethod"},
    "scoreModifiers": {"add_to_score", "multiply_score_by"},
    "add_to_score": {"field_name", "weight"},
}
FREE = {"params", "query_vector", "_source"}


def strange(body, fields, name="", above=""):
    """Fields that the reference does not name."""
    allowed = fields.get(f"{above}.{name}", fields.get(name))
    if name in FREE or not isinstance(body, (dict, list)):
        return []
    if isinstance(body, list):
        return [found for each in body for found in strange(each, fields, name, above)]
    found = [f"{name}.{key}" for key in body if key not in (allowed or set())]
    for key, value in body.items():
        found += strange(value, fields, key, name)
    return found


def section(project, title):
    page = (project / "docs" / "recipes.md").read_text("utf-8")
    return page.partition(f"## {title}")[2].partition("\n## ")[0]


@pytest.mark.parametrize(
    ("title", "fields"), [("Elasticsearch and OpenSearch", ELASTIC), ("Marqo", MARQO)]
)
def test_bodies_of_the_page_hold_what_the_references_name(project, title, fields):
    (text,) = re.findall(r"```json\n(.*?)```", section(project, title), re.DOTALL)
    body = json.loads(text)
    assert strange(body, fields) == []
    assert strange({**body, "sizes": 3}, fields) == [".sizes"]


@pytest.mark.parametrize("similarity", SIMILARITIES)
def test_bodies_for_elasticsearch(similarity):
    query = np.array([0.6, 0.8])
    bodies = [
        knn_body(query, "embedding", 10, similarity=similarity),
        script_score_body(query, "embedding", 10, bias_field="bias", highest_bias=0.3),
        script_score_body(query, "embedding", 10, bias_field="bias", rescore=100),
    ]
    for body in bodies:
        assert strange(body, ELASTIC) == []
        json.dumps(body, allow_nan=False)
        knn = body.get("knn")
        if knn:
            assert knn["k"] <= knn["num_candidates"] <= 10_000
    opensearch = knn_body(query, "embedding", 10, opensearch=True)
    assert set(opensearch["query"]["knn"]["embedding"]) == {"vector", "k"}


def test_the_script_may_not_fall_below_zero(project):
    """Elasticsearch refuses such a score: a constant is added, and an item may lack the number."""
    (text,) = re.findall(
        r"```json\n(.*?)```", section(project, "Elasticsearch and OpenSearch"), re.DOTALL
    )
    script = json.loads(text)["query"]["script_score"]["script"]
    assert re.search(r"\+ \d", script["source"])
    assert "doc['bias'].size() == 0" in script["source"]
    assert set(re.findall(r"params\.(\w+)", script["source"])) == set(script["params"])


def test_the_rank_profile_of_vespa_is_whole(project):
    """Balanced, of features that exist, with an input for the query that YQL names."""
    text = section(project, "Vespa")
    (code,) = re.findall(r"```\n(.*?)```", text, re.DOTALL)
    assert code.count("{") == code.count("}")
    assert {"field", "rank-profile", "inputs", "first-phase", "expression"} <= set(
        re.findall(r"[a-z][\w-]*", code)
    )
    (expression,) = re.findall(r"expression: (.*?) \}", code)
    assert set(re.findall(r"(\w+)\(", expression)) <= {"closeness", "attribute", "query"}
    (asked,) = re.findall(r"query\((\w+)\)", code)
    assert re.search(rf"nearestNeighbor\(\w+, {asked}\)", text)
    assert re.findall(r"attribute\((\w+)\)", expression) == re.findall(r"field (\w+) type", code)

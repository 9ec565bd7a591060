"""A LanceDB table whose fetched rows are ranked again by corrected score."""

import numpy as np
import pytest

import distnorm

lancedb = pytest.importorskip("lancedb", reason="needs the extra 'lancedb'")
pa = pytest.importorskip("pyarrow", reason="needs the extra 'lancedb'")

from distnorm.integrations.lancedb import NormalizedReranker


@pytest.fixture
def table(words, tmp_path):
    rows = np.array([words(name) for name in words.names], np.float32)
    vectors = pa.FixedSizeListArray.from_arrays(pa.array(rows.ravel()), rows.shape[1])
    data = pa.table({"id": range(len(rows)), "vector": vectors})
    return lancedb.connect(str(tmp_path)).create_table("t", data)


def test_rows_are_ranked_and_cut(words, dn, table, expected):
    order, scores = expected
    search = table.search(words("sentence 0")).limit(12)
    found = search.rerank(NormalizedReranker(dn, words), query_string="sentence 0").to_list()
    assert [row["id"] for row in found] == list(order)
    assert found[0]["_relevance_score"] == pytest.approx(scores[order[0]], abs=1e-5)
    cut = NormalizedReranker(dn, words, false_alarm_rate=0.1)
    found = table.search(words("sentence 0")).limit(12).rerank(cut, query_string="sentence 0")
    least = dn.threshold(0.1).value
    assert [row["id"] for row in found.to_list()] == [i for i in order if scores[i] > least]


def test_rows_of_two_searches_come_once(words, dn, table, expected):
    order, _ = expected
    fetched = table.search(words("sentence 0")).limit(12).with_row_id(True).to_arrow()
    both = NormalizedReranker(dn, words).rerank_hybrid("sentence 0", fetched[:8], fetched[4:])
    assert both["id"].to_pylist() == list(order)


def test_a_search_without_vectors_is_refused(words, dn, table):
    search = table.search(words("sentence 0")).select(["id"]).limit(3)
    reranker = NormalizedReranker(dn, words)
    with pytest.raises(distnorm.DistnormError, match="the column vector"):
        search.rerank(reranker, query_string="sentence 0").to_list()

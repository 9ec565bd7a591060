"""LlamaIndex's own retriever with shifted queries and nodes ranked again."""

import numpy as np
import pytest

import distnorm

pytest.importorskip("llama_index.core", reason="needs the extra 'llama-index'")
from llama_index.core.base.embeddings.base import BaseEmbedding
from llama_index.core.schema import NodeWithScore, TextNode
from llama_index.core.vector_stores import SimpleVectorStore, VectorStoreQuery

from distnorm.integrations.llama_index import NormalizedPostprocessor, ShiftedEmbedding


class Given(BaseEmbedding):
    words: object

    def _get_query_embedding(self, query):
        return self.words(query)

    async def _aget_query_embedding(self, query):
        return self.words(query)

    def _get_text_embedding(self, text):
        return self.words(text)


@pytest.fixture
def nodes(words):
    return [TextNode(id_=str(i), text=name) for i, name in enumerate(words.names)]


def test_a_store_of_raw_vectors_ranks_by_dn(words, dn, nodes):
    shifted = ShiftedEmbedding(embedding=Given(words=words), norm=dn)
    for node in nodes:
        node.embedding = shifted.get_text_embedding(node.text)
    store = SimpleVectorStore()
    store.add(nodes)
    query = VectorStoreQuery(shifted.get_query_embedding("sentence 0"), similarity_top_k=12)
    q = np.array(words("sentence 0")) - words.log[:100].mean(axis=0)
    scores = np.array([q @ words(name) for name in words.names])
    assert store.query(query).ids == [str(i) for i in np.argsort(-scores)]


def test_nodes_are_ranked_and_cut(words, dn, nodes, expected):
    order, scores = expected
    given = [NodeWithScore(node=node, score=0.5) for node in nodes]
    post = NormalizedPostprocessor(
        embedding=Given(words=words), norm=dn, false_alarm_rate=0.1, top_n=3
    )
    found = post.postprocess_nodes(given, query_str="sentence 0")
    least = dn.threshold(0.1).value
    assert [int(n.node.node_id) for n in found] == [i for i in order if scores[i] > least][:3]
    assert found[0].score == pytest.approx(scores[order[0]], abs=1e-6)
    with pytest.raises(distnorm.DistnormError, match="without a query"):
        post.postprocess_nodes(given)

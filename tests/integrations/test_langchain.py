"""LangChain's own store and retriever with shifted queries and documents ranked again."""

import asyncio
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import distnorm

pytest.importorskip("langchain_core", reason="needs the extra 'langchain'")
from langchain_core.embeddings import Embeddings
from langchain_core.vectorstores import InMemoryVectorStore

from distnorm.integrations.langchain import NormalizedCompressor, ShiftedEmbeddings


class Given(Embeddings):
    def __init__(self, words):
        self.words = words

    def embed_query(self, text):
        return self.words(text)

    def embed_documents(self, texts):
        return [self.words(text) for text in texts]


def test_a_store_of_raw_vectors_ranks_by_dn(words, dn):
    store = InMemoryVectorStore(ShiftedEmbeddings(Given(words), dn))
    store.add_texts(list(words.names))
    found = [d.page_content for d in store.similarity_search("sentence 0", k=12)]
    q = np.array(words("sentence 0")) - words.log[:100].mean(axis=0)
    scores = [q @ words(name) for name in words.names]
    assert found == [words.names[i] for i in np.argsort(-np.array(scores))]
    raw = InMemoryVectorStore(Given(words))
    raw.add_texts(list(words.names))
    assert found != [d.page_content for d in raw.similarity_search("sentence 0", k=12)]


def test_the_asynchronous_way_is_the_same(words, dn):
    shifted = ShiftedEmbeddings(Given(words), dn)

    async def both():
        return await shifted.aembed_query("sentence 1"), await shifted.aembed_documents(
            ["sentence 1"]
        )

    # A thread of its own: a browser's driver may keep a loop in this one.
    with ThreadPoolExecutor(1) as pool:
        query, documents = pool.submit(lambda: asyncio.run(both())).result()
    assert query == shifted.embed_query("sentence 1")
    assert documents == [words("sentence 1")]


def test_documents_of_a_retriever_are_ranked_and_cut(words, dn, expected):
    order, scores = expected
    store = InMemoryVectorStore(Given(words))
    store.add_texts(list(words.names), metadatas=[{"row": i} for i in range(12)])
    documents = store.as_retriever(search_kwargs={"k": 12}).invoke("sentence 0")
    compressor = NormalizedCompressor(embeddings=Given(words), norm=dn, false_alarm_rate=0.1)
    found = compressor.compress_documents(documents, "sentence 0")
    least = dn.threshold(0.1).value
    assert [d.metadata["row"] for d in found] == [i for i in order if scores[i] > least]
    assert found[0].metadata["distnorm_score"] == pytest.approx(scores[order[0]], abs=1e-6)
    assert "distnorm_score" not in documents[0].metadata


def test_a_method_without_a_shift_is_refused_at_once(words):
    nnn = distnorm.make("nnn", k=4).fit(texts=words.log, images=words.log)
    with pytest.raises(distnorm.DistnormError, match="nnn"):
        ShiftedEmbeddings(Given(words), nnn)

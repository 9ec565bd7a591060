"""A Haystack pipeline with a shifted query, written down and read again; documents ranked anew."""

import os
from inspect import signature

import numpy as np
import pytest

import distnorm

os.environ.setdefault("HAYSTACK_TELEMETRY_ENABLED", "False")
pytest.importorskip("haystack", reason="needs the extra 'haystack'")
from haystack import Document, Pipeline
from haystack.components.retrievers.in_memory import InMemoryEmbeddingRetriever
from haystack.document_stores.in_memory import InMemoryDocumentStore

from distnorm.integrations.haystack import NormalizedRanker, QueryShift


@pytest.fixture
def documents(words):
    return [
        Document(id=str(i), content=name, embedding=words(name))
        for i, name in enumerate(words.names)
    ]


def test_a_pipeline_ranks_by_dn(words, dn, documents):
    store = InMemoryDocumentStore(embedding_similarity_function="dot_product")
    store.write_documents(documents)
    pipeline = Pipeline()
    pipeline.add_component("shift", QueryShift(dn))
    pipeline.add_component("find", InMemoryEmbeddingRetriever(store, top_k=12))
    pipeline.connect("shift.embedding", "find.query_embedding")
    found = pipeline.run({"shift": {"embedding": words("sentence 0")}})["find"]["documents"]
    q = np.array(words("sentence 0")) - words.log[:100].mean(axis=0)
    scores = np.array([q @ words(name) for name in words.names])
    assert [d.id for d in found] == [str(i) for i in np.argsort(-scores)]


def test_a_pipeline_is_written_down_with_the_path_of_the_file(words, dn, tmp_path):
    dn.save(tmp_path / "norm.safetensors")
    pipeline = Pipeline()
    pipeline.add_component("shift", QueryShift(str(tmp_path / "norm.safetensors")))
    # Newer Haystack reads components of modules that it is told to trust.
    trust = "allowed_modules" in signature(Pipeline.loads).parameters
    trusted = {"allowed_modules": ["distnorm.integrations.haystack"]} if trust else {}
    again = Pipeline.loads(pipeline.dumps(), **trusted)
    given = {"shift": {"embedding": words("sentence 3")}}
    assert again.run(given) == pipeline.run(given)


def test_documents_are_ranked_and_cut(words, dn, documents, expected):
    order, scores = expected
    ranker = NormalizedRanker(dn, false_alarm_rate=0.1)
    found = ranker.run(documents=documents, query_embedding=words("sentence 0"))["documents"]
    least = dn.threshold(0.1).value
    assert [int(d.id) for d in found] == [i for i in order if scores[i] > least]
    assert found[0].score == pytest.approx(scores[order[0]], abs=1e-6)
    with pytest.raises(distnorm.DistnormError, match="return_embedding=True"):
        ranker.run(documents=[Document(content="bare")], query_embedding=words("sentence 0"))

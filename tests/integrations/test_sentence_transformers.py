"""A small model of sentence-transformers with a shift at its end, and DN in its evaluators."""

import numpy as np
import pytest

import distnorm

torch = pytest.importorskip("torch", reason="needs the st extra")
transformers = pytest.importorskip("transformers", reason="needs the st extra")
library = pytest.importorskip("sentence_transformers", reason="needs the st extra")
from hf_models import HEADS, bert_tokenizer

from distnorm.integrations.sentence_transformers import QueryShift, score_function

WORDS = ["a", "red", "dog", "on", "the", "grass", "cat", "photo", "of"]


@pytest.fixture(scope="module")
def sentences():
    rng = np.random.default_rng(0)
    return list(dict.fromkeys(" ".join(rng.choice(WORDS, 5)) for _ in range(90)))


@pytest.fixture
def model(tmp_path):
    torch.manual_seed(5)
    bert_tokenizer(transformers, tmp_path).save_pretrained(tmp_path)
    config = transformers.BertConfig(**HEADS, vocab_size=40, max_position_embeddings=48)
    transformers.BertModel(config).save_pretrained(tmp_path)
    return library.SentenceTransformer(str(tmp_path), device="cpu")


@pytest.fixture
def norm(model, sentences):
    rows = model.encode(sentences[:60], normalize_embeddings=True)
    norm = distnorm.make("dn", strength=1.0, sides=("query", "document"))
    return norm.fit(queries=rows[:30], documents=rows[30:])


def test_queries_are_shifted_and_documents_are_not(model, norm, sentences, tmp_path):
    raw = model.encode(sentences[60:], normalize_embeddings=True)
    model.append(QueryShift(norm))
    want = raw - norm.moments("query").mean
    np.testing.assert_allclose(model.encode_query(sentences[60:]), want, atol=1e-5)
    np.testing.assert_allclose(model.encode_document(sentences[60:]), raw, atol=1e-5)
    model.save(str(tmp_path / "saved"))
    again = library.SentenceTransformer(
        str(tmp_path / "saved"), device="cpu", trust_remote_code=True
    )
    np.testing.assert_allclose(again.encode_query(sentences[60:]), want, atol=1e-5)


def test_an_evaluator_ranks_by_corrected_scores(model, norm, sentences):
    from sentence_transformers.util import dot_score

    queries = torch.tensor(model.encode(sentences[60:64]))
    documents = torch.tensor(model.encode(sentences[64:]))
    q, y = (torch.nn.functional.normalize(x, dim=1).numpy() for x in (queries, documents))
    got = score_function(norm)(queries, documents)
    np.testing.assert_allclose(got, norm.similarity(q, y), atol=1e-5)
    assert got.shape == dot_score(queries, documents).shape
    turned = distnorm.make("dn", sides=("image", "text")).fit(images=y, texts=q)
    np.testing.assert_allclose(
        score_function(turned)(queries, documents), turned.similarity(y, q).T, atol=1e-5
    )


def test_a_method_without_a_shift_is_refused(sentences, model):
    rows = model.encode(sentences, normalize_embeddings=True)
    nnn = distnorm.make("nnn", k=4).fit(images=rows[:40], texts=rows[40:])
    with pytest.raises(distnorm.DistnormError, match="nnn"):
        QueryShift(nnn)

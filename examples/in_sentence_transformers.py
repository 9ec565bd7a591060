"""How does a sentence-transformers model shift its queries by itself?

A last module: `encode_query` is shifted, `encode_document` is not, and `save` keeps the statistics
with the model. Here a tiny model without training stands in for yours.

Needs: pip install 'distnorm[st]'
Run: python examples/in_sentence_transformers.py
"""

from __future__ import annotations

import tempfile

import numpy as np
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import StaticEmbedding
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace

import distnorm
from distnorm.integrations.sentence_transformers import QueryShift

ASK = ["find", "me", "a", "photo", "of"]
NAME = ["red", "blue", "old", "small", "dog", "cat", "house", "tree", "by", "the", "sea"]
rng = np.random.default_rng(0)
weights = rng.standard_normal((len(ASK + NAME) + 1, 32)) + 0.8
tokenizer = Tokenizer(
    WordLevel({word: i for i, word in enumerate(["?", *ASK, *NAME])}, unk_token="?")
)
tokenizer.pre_tokenizer = Whitespace()
model = SentenceTransformer(
    modules=[StaticEmbedding(tokenizer, embedding_weights=weights)], device="cpu"
)

log = [f"find me a photo of {' '.join(rng.choice(NAME, 4))}" for _ in range(300)]
documents = [" ".join(rng.choice(NAME, 4)) for _ in range(300)]
norm = distnorm.make("dn", sides=("query", "document"))
norm.fit(
    queries=model.encode(log, normalize_embeddings=True),
    documents=model.encode(documents, normalize_embeddings=True),
)
model.append(QueryShift(norm))

asked = "find me a photo of old house by sea"
before = model.encode([asked], normalize_embeddings=True)
with tempfile.TemporaryDirectory() as folder:
    model.save(folder)
    again = SentenceTransformer(folder, trust_remote_code=True, device="cpu")
    shifted = again.encode_query([asked])
    rows = again.encode_document(documents)
assert np.allclose(shifted, norm.shift_queries(queries=before), atol=1e-5)
for name, query in {"as it was": before, "shifted": shifted}.items():
    best = np.argsort(-(query @ rows.T)[0])[:3]
    print(f"{name:10} {'; '.join(documents[i] for i in best)}")

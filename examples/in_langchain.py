"""How does LangChain's retriever search with corrected scores?

`ShiftedEmbeddings` around your embeddings; the store and its vectors stay as they are.
`NormalizedCompressor` ranks what was retrieved, by any method, and cuts at a false-alarm rate.

Needs: pip install 'distnorm[langchain]'
Run: python examples/in_langchain.py
"""

from __future__ import annotations

from langchain_core.embeddings import Embeddings
from langchain_core.vectorstores import InMemoryVectorStore
from make_vectors import synthetic_pairs

import distnorm
from distnorm.integrations.langchain import NormalizedCompressor, ShiftedEmbeddings

answers, questions = synthetic_pairs(700)  # synthetic vectors
rows = {f"answer {i}": row for i, row in enumerate(answers)}
rows |= {f"question {i}": row for i, row in enumerate(questions)}
asked = range(500, 600)

norm = distnorm.make("dn", sides=("query", "document"))
norm.fit(queries=questions[:400], documents=answers[:400])
norm.calibrate(queries=questions[400:500], documents=answers[400:500])


class Mine(Embeddings):
    """Your model."""

    def embed_query(self, text: str) -> list[float]:
        """One question."""
        return rows[text].tolist()

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        """Many answers."""
        return [rows[text].tolist() for text in texts]


for name, embeddings in {"as it was": Mine(), "shifted": ShiftedEmbeddings(Mine(), norm)}.items():
    store = InMemoryVectorStore(embeddings)
    store.add_texts([f"answer {i}" for i in range(500, 700)])
    first = [store.similarity_search(f"question {i}", k=1)[0].page_content for i in asked]
    right = sum(found == f"answer {i}" for i, found in zip(asked, first, strict=True))
    print(f"{name:10} right answer first for {right} of {len(asked)} questions")

compressor = NormalizedCompressor(embeddings=Mine(), norm=norm, false_alarm_rate=0.01)
documents = store.similarity_search("question 510", k=10)
kept = compressor.compress_documents(documents, "question 510")
print(f"question 510: {len(kept)} of {len(documents)} pass at one false alarm in 100")

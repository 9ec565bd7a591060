"""How does a Haystack pipeline search with corrected scores?

`QueryShift` between the text embedder and the retriever; the document store stays as it is.
`NormalizedRanker` behind it ranks by any method and cuts at a false-alarm rate.

Needs: pip install 'distnorm[haystack]'
Run: python examples/in_haystack.py
"""

from __future__ import annotations

from haystack import Document, Pipeline
from haystack.components.retrievers.in_memory import InMemoryEmbeddingRetriever
from haystack.document_stores.in_memory import InMemoryDocumentStore
from make_vectors import synthetic_pairs

import distnorm
from distnorm.integrations.haystack import NormalizedRanker, QueryShift

answers, questions = synthetic_pairs(700)  # synthetic vectors
asked = range(500, 600)
norm = distnorm.make("dn", sides=("query", "document"))
norm.fit(queries=questions[:400], documents=answers[:400])
norm.calibrate(queries=questions[400:500], documents=answers[400:500])

store = InMemoryDocumentStore(embedding_similarity_function="dot_product")
store.write_documents(
    [
        Document(id=str(i), content=f"answer {i}", embedding=answers[i].tolist())
        for i in range(500, 700)
    ]
)

plain = Pipeline()
plain.add_component("find", InMemoryEmbeddingRetriever(store, top_k=10))
pipeline = Pipeline()
pipeline.add_component("shift", QueryShift(norm))
pipeline.add_component("find", InMemoryEmbeddingRetriever(store, top_k=10, return_embedding=True))
pipeline.connect("shift.embedding", "find.query_embedding")

right = {"as it was": 0, "shifted": 0}
for i in asked:
    row = questions[i].tolist()
    before = plain.run({"find": {"query_embedding": row}})["find"]["documents"]
    after = pipeline.run({"shift": {"embedding": row}})["find"]["documents"]
    right["as it was"] += before[0].id == str(i)
    right["shifted"] += after[0].id == str(i)
for name, count in right.items():
    print(f"{name:10} right answer first for {count} of {len(asked)} questions")

ranker = NormalizedRanker(norm, false_alarm_rate=0.01)
kept = ranker.run(documents=after, query_embedding=row)["documents"]
print(f"the last question: {len(kept)} of {len(after)} pass at one false alarm in 100")

"""How does LlamaIndex retrieve with corrected scores?

`ShiftedEmbedding` around your embedding; the nodes and their vectors stay as they are.
`NormalizedPostprocessor` ranks what was retrieved, by any method, and cuts at a false-alarm rate.

Needs: pip install 'distnorm[llama-index]'
Run: python examples/in_llama_index.py
"""

from __future__ import annotations

from typing import Any

from llama_index.core.base.embeddings.base import BaseEmbedding
from llama_index.core.schema import NodeWithScore, TextNode
from llama_index.core.vector_stores import SimpleVectorStore, VectorStoreQuery
from make_vectors import synthetic_pairs

import distnorm
from distnorm.integrations.llama_index import NormalizedPostprocessor, ShiftedEmbedding

answers, questions = synthetic_pairs(700)  # synthetic vectors
rows = {f"answer {i}": row for i, row in enumerate(answers)}
rows |= {f"question {i}": row for i, row in enumerate(questions)}
asked = range(500, 600)

norm = distnorm.make("dn", sides=("query", "document"))
norm.fit(queries=questions[:400], documents=answers[:400])
norm.calibrate(queries=questions[400:500], documents=answers[400:500])


class Mine(BaseEmbedding):
    """Your model."""

    def _get_query_embedding(self, query: str) -> list[float]:
        return rows[query].tolist()

    async def _aget_query_embedding(self, query: str) -> list[float]:
        return rows[query].tolist()

    def _get_text_embedding(self, text: str) -> list[float]:
        return rows[text].tolist()


def retrieved(embedding: Any, question: str, k: int) -> list[str]:
    """Ids of the nodes that the store finds."""
    query = VectorStoreQuery(embedding.get_query_embedding(question), similarity_top_k=k)
    return store.query(query).ids or []


nodes = {
    f"answer {i}": TextNode(id_=f"answer {i}", text=f"answer {i}", embedding=answers[i].tolist())
    for i in range(500, 700)
}
store = SimpleVectorStore()
store.add(list(nodes.values()))
shifted = ShiftedEmbedding(embedding=Mine(), norm=norm)
for name, embedding in {"as it was": Mine(), "shifted": shifted}.items():
    right = sum(retrieved(embedding, f"question {i}", 1) == [f"answer {i}"] for i in asked)
    print(f"{name:10} right answer first for {right} of {len(asked)} questions")

post = NormalizedPostprocessor(embedding=Mine(), norm=norm, false_alarm_rate=0.01)
found = [NodeWithScore(node=nodes[name]) for name in retrieved(shifted, "question 510", 10)]
kept = post.postprocess_nodes(found, query_str="question 510")
print(f"question 510: {len(kept)} of {len(found)} pass at one false alarm in 100")

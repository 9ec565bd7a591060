"""My two sides are not images and texts: what then? Name them.

Run: python examples/other_sides.py
"""

from __future__ import annotations

from make_vectors import synthetic_pairs

import distnorm

documents, queries = synthetic_pairs()
norm = distnorm.make("dn", sides=("query", "document"), strength={"query": 0.5, "document": 0.25})
norm.fit(queries=queries[:500], documents=documents[:500])
print(norm)
ranking = norm.ranking(queries[500:], documents[500:], modality="query")
print(ranking)
print("best document of the first five queries:", ranking.scores()[:5].argmax(axis=1))

"""How does a LanceDB search rank by corrected scores?

As a reranker of what it fetched, in your own chain of calls; or by `open_index`, which fetches as
many rows as the numbers per item need.

Needs: pip install 'distnorm[lancedb]'
Run: python examples/in_lancedb.py
"""

from __future__ import annotations

import tempfile

import lancedb
from make_vectors import synthetic_pairs

import distnorm
from distnorm.integrations.lancedb import NormalizedReranker

images, texts = synthetic_pairs(700)  # synthetic vectors
sentences = {f"sentence {i}": row for i, row in enumerate(texts)}
nnn = distnorm.make("nnn").fit(images=images[:500], texts=texts[:500])
reranker = NormalizedReranker(nnn, embed=lambda sentence: sentences[sentence])

with tempfile.TemporaryDirectory() as folder:
    photos = [{"id": i, "vector": images[i]} for i in range(500, 700)]
    table = lancedb.connect(folder).create_table("photos", photos)
    right = {"as it was": 0, "reranked": 0}
    for i in range(500, 600):
        search = table.search(texts[i]).distance_type("dot").limit(50)
        right["as it was"] += search.to_list()[0]["id"] == i
        search = table.search(texts[i]).distance_type("dot").limit(50)
        search = search.rerank(reranker, query_string=f"sentence {i}")
        right["reranked"] += search.to_list()[0]["id"] == i
    for name, count in right.items():
        print(f"{name:10} right photo first for {count} of 100 sentences")

    with distnorm.open_index(f"lancedb:{folder}/photos?metric=dot") as index:
        print(index.upload_bias(nnn))
        print(index.search(texts[500:600], 10, nnn))

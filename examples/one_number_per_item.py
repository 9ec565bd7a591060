"""How do I use methods with a number per item in an index of my own?

Store it beside each item, or as one more dimension:

    score(q, y) = q.y - bias(y) = [q, -1] . [y, bias(y)]

Run: python examples/one_number_per_item.py
"""

from __future__ import annotations

import numpy as np
from make_vectors import synthetic_pairs

import distnorm

images, texts = synthetic_pairs()
gallery, queries = images[500:], texts[500:]
own = np.arange(len(gallery))
print(f"{'method':8} text->image recall@1 (synthetic vectors)")
for name in ("dot", "dn", "dn2", "is", "nnn"):
    norm = distnorm.make(name).fit(images=images[:500], texts=texts[:500])
    bias = norm.item_bias(images=gallery)
    longer_items = np.hstack([gallery, bias[:, None]])
    longer_queries = np.hstack([queries, -np.ones((len(queries), 1), dtype=queries.dtype)])
    found = (longer_queries @ longer_items.T).argmax(axis=1)
    print(f"{name:8} {np.mean(found == own):.3f}")

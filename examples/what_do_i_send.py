"""What do I send to the index I have, and what do the scores that come back mean?

An index built on raw unit vectors, stood in for by NumPy here, gives the order of Distribution
Normalization for q' = q - s m, whether it ranks by inner product, cosine or squared L2:

    DN score of an item = ip - c = |q'| cos - c = (|q'|^2 + 1 - d2) / 2 - c,   c = s q'.m_image

Run: python examples/what_do_i_send.py
"""

from __future__ import annotations

import numpy as np
from make_vectors import synthetic_pairs

import distnorm

images, texts = synthetic_pairs()
gallery, queries = images[500:], texts[500:]
norm = distnorm.DistributionNormalization(strength=0.5)
norm.fit(images=images[:500], texts=texts[:500])

shifted = norm.shift_queries(texts=queries)
length = np.linalg.norm(shifted, axis=1, keepdims=True)

inner = shifted @ gallery.T
cosine = (shifted / length) @ gallery.T
squared = length**2 + 1 - 2 * inner

full = norm.similarity(gallery, queries).T
order = np.argsort(-full, axis=1)[:, :10]
for name, ranked in {"inner product": -inner, "cosine": -cosine, "squared L2": squared}.items():
    found = np.argsort(ranked, axis=1)[:, :10]
    print(f"top 10 by {name} = top 10 by the DN score: {np.mean(found == order):.1%}")

c = 0.5 * shifted @ norm.moments("image").mean[:, None]
for recovered in (inner - c, length * cosine - c, (length**2 + 1 - squared) / 2 - c):
    assert np.allclose(recovered, full, atol=1e-5)
print("DN scores recovered from all three")

"""Which photos come up for every query of my log, and was one of them made to?

A log of queries is enough: no pairs, no labels. `distnorm index hubs` does the same for an index.

Run: python examples/which_photos_are_hubs.py
"""

from __future__ import annotations

import numpy as np
from make_vectors import synthetic_pairs

import distnorm
from distnorm.search import query_hubs

images, texts = synthetic_pairs()
log, gallery = texts[500:], images[500:].copy()
gallery[7] = distnorm.normalize(texts[:500].mean(axis=0, keepdims=True))[0]  # made to be found

norm = distnorm.make("dn2").fit(images=images[:500], texts=texts[:500])
hubs = query_hubs(log, gallery, norm, k=10)
print(hubs)
print("photo   lists before   after")
for hub in hubs.hubs[:5]:
    chance = "" if hub.alert_before is None else f"   {hub.alert_before:.0e} such by chance"
    print(f"{hub.id:5}{hub.before:15}{hub.after:8}{chance}")
assert [hub.id for hub in hubs.alerts] == [7]
assert np.mean([hub.after for hub in hubs.hubs[:5]]) < np.mean([h.before for h in hubs.hubs[:5]])

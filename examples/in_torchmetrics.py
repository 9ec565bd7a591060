"""How do I score captions with torchmetrics, corrected? (CLIPScore with DN)

Needs: pip install 'distnorm[torchmetrics]'
Run: python examples/in_torchmetrics.py
"""

from __future__ import annotations

import torch
from make_vectors import synthetic_pairs

import distnorm
from distnorm.integrations.torchmetrics import NormalizedCLIPScore

images, texts = (torch.from_numpy(rows) for rows in synthetic_pairs())
norm = distnorm.make("dn*").fit(images=images[:500], texts=texts[:500])
X = images[500:]
captions = {"their own captions": texts[500:], "captions of others": texts[500:].roll(1, 0)}
for method in (distnorm.make("dot"), norm):
    for name, Y in captions.items():
        metric = NormalizedCLIPScore(method)
        for batch in range(0, len(X), 100):
            metric.update(X[batch : batch + 100], Y[batch : batch + 100])
        print(f"{method.method:4} {name}: {metric.compute():6.2f} (synthetic vectors)")

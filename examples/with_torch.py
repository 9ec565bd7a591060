"""torch in, torch out, on the same device. Needs torch; without it, says so and stops.

Run: python examples/with_torch.py
"""

from __future__ import annotations

import sys

import numpy as np
from make_vectors import synthetic_pairs

import distnorm

try:
    import torch
except ModuleNotFoundError:
    print("torch is not installed: nothing shown")
    sys.exit(0)

device = "cuda" if torch.cuda.is_available() else "cpu"
images, texts = (torch.from_numpy(rows).to(device).bfloat16() for rows in synthetic_pairs())
norm = distnorm.make("dn2").fit(images=images[:500], texts=texts[:500])
scores = norm.similarity(images[500:], texts[500:])
print(type(scores).__name__, tuple(scores.shape), scores.dtype, "on", scores.device)
found = norm.ranking(texts[500:], images[500:], modality="text").scores().argmax(dim=1)
print(f"text->image recall@1 {np.mean(found.cpu().numpy() == np.arange(500)):.3f} (synthetic)")

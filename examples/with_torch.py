"""My vectors are tensors, on a GPU perhaps: what do I do? Nothing: tensors in, tensors out.

Needs: pip install 'distnorm[torch]'
Run: python examples/with_torch.py
"""

from __future__ import annotations

import numpy as np
import torch
from make_vectors import synthetic_pairs

import distnorm

device = "cuda" if torch.cuda.is_available() else "cpu"
images, texts = (torch.from_numpy(rows).to(device).bfloat16() for rows in synthetic_pairs())
norm = distnorm.make("dn2").fit(images=images[:500], texts=texts[:500])
scores = norm.similarity(images[500:], texts[500:])
print(type(scores).__name__, tuple(scores.shape), scores.dtype, "on", scores.device)
found = norm.ranking(texts[500:], images[500:], modality="text").scores().argmax(dim=1)
print(f"text->image recall@1 {np.mean(found.cpu().numpy() == np.arange(500)):.3f} (synthetic)")

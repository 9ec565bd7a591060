"""Write image.npy and text.npy: two small SYNTHETIC sets of embeddings, to try the commands on.

No model made these. Row i of both files shares a latent vector z_i; each side adds noise of its
own and a constant offset, which gives the modality gap and the hubs that real image-text models
show. Gains measured on them say nothing about a real model:

    image_i = unit(z_i + e_i + c_image),   text_i = unit(z_i + e'_i + c_text)

Run: python examples/make_vectors.py [FOLDER]
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

PAIRS, DIMENSIONS, SEED = 1000, 64, 0


def synthetic_pairs(
    pairs: int = PAIRS, dimensions: int = DIMENSIONS, seed: int = SEED
) -> tuple[np.ndarray, np.ndarray]:
    """Images and texts, float32 unit rows; row i of one belongs to row i of the other."""
    rng = np.random.default_rng(seed)
    scale = np.arange(1, dimensions + 1) ** -0.35
    latent = rng.standard_normal((pairs, dimensions)) * scale
    common = rng.standard_normal(dimensions) * scale
    sides = []
    for _ in range(2):
        offset = 1.5 * (common + 0.6 * rng.standard_normal(dimensions) * scale)
        rows = latent + 0.9 * rng.standard_normal((pairs, dimensions)) * scale + offset
        rows /= np.linalg.norm(rows, axis=1, keepdims=True)
        sides.append(rows.astype(np.float32))
    return sides[0], sides[1]


if __name__ == "__main__":
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else ".")
    folder.mkdir(parents=True, exist_ok=True)
    for name, rows in zip(("image", "text"), synthetic_pairs(), strict=True):
        np.save(folder / f"{name}.npy", rows)
        print(f"wrote {folder / f'{name}.npy'}: synthetic, {rows.shape}, {rows.dtype}")

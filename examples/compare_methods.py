"""Every method side by side from Python, with held-out statistics and paired intervals.

Run: python examples/compare_methods.py
"""

from __future__ import annotations

from make_vectors import synthetic_pairs

import distnorm

images, texts = synthetic_pairs()
comparison = distnorm.compare_retrieval(images, texts, repeats=5, seed=0)
metric = "image_retrieval_recall@1"
print(f"{metric} (text->image), synthetic vectors, 5 held-out halves")
for result in comparison.to_dict()["results"]:
    numbers = result["metrics"][metric]
    low, high = numbers.get("delta_ci95") or (0.0, 0.0)
    delta = numbers.get("delta") or 0.0
    print(
        f"{result['method']:5} {numbers['mean']:.3f} +- {numbers['std']:.3f}"
        f"   against dot {delta:+.3f} [{low:+.3f}, {high:+.3f}]"
    )

"""Does it help my model? Which method does?

Every method side by side, with held-out statistics and paired intervals; on vectors in files
`distnorm compare retrieval --images image.npy --texts text.npy` does the same.

Run: python examples/does_it_help.py
"""

from __future__ import annotations

from make_vectors import synthetic_pairs

import distnorm

images, texts = synthetic_pairs()
methods = ["dot", "dn", "dn*", "dn2", "is", "nnn"]
comparison = distnorm.compare_retrieval(images, texts, methods=methods, repeats=5, seed=0)
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
verdict = comparison.verdict()
if verdict is not None:
    print(f"recommended: {verdict.recommended} ({verdict.reason}); next: {verdict.next[0]}")

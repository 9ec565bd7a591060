"""The README's table: what the methods do to real features, by `distnorm.compare_retrieval`.

Needs the folder of real features: DISTNORM_REAL_DATA, or ../shared/data from the project's root.

Run: python benchmarks/real_features.py [--quick]
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
from harness import HERE, arguments, publish

import distnorm

FEATURES = {
    "coco500-clip-vit-b16": "COCO, CLIP ViT-B/16",
    "mimic500-convirt": "MIMIC-CXR, ConVIRT",
}
DIRECTIONS = {"text_retrieval_recall@1": "image→text", "image_retrieval_recall@1": "text→image"}
METHODS = ("dot", "dn", "dn*", "dn2", "is", "nnn", "auto")


def folder() -> Path:
    """Where the real features are."""
    return Path(os.environ.get("DISTNORM_REAL_DATA", HERE.parent.parent / "shared" / "data"))


def cell(method: str, metric: dict[str, Any]) -> str:
    """Recall of the dot product in percent; of the others the change and its interval."""
    if method == "dot":
        return f"{100 * metric['mean']:.1f}"
    low, high = (100 * value for value in metric["delta_ci95"])
    mark = "**" if low > 0 or high < 0 else ""
    return f"{mark}{100 * metric['delta']:+.1f}{mark} [{low:+.1f}, {high:+.1f}]"


def table(compared: dict[str, dict[str, Any]]) -> list[str]:
    """Markdown lines: a row for each method, a column for each data set and direction."""
    heads = [f"{FEATURES[name]}, {way}" for name in compared for way in DIRECTIONS.values()]
    lines = [f"| method | {' | '.join(heads)} |", "|---" * (len(heads) + 1) + "|"]
    for method in METHODS:
        cells = []
        for comparison in compared.values():
            result = next(r for r in comparison["results"] if r["method"] == method)
            cells += [cell(method, result["metrics"][name]) for name in DIRECTIONS]
        lines.append(f"| `{method}` | {' | '.join(cells)} |")
    return lines


def main() -> None:
    """Compare on each, print the README's table, publish."""
    options = arguments(__doc__)
    if not folder().is_dir():
        raise SystemExit(f"no real features in {folder()}: set DISTNORM_REAL_DATA")
    repeats = options.repeats or (2 if options.quick else 20)
    compared = {}
    for name in FEATURES:
        images, texts = (np.load(folder() / name / f"{side}.npy") for side in ("image", "text"))
        compared[name] = distnorm.compare_retrieval(
            images, texts, methods=METHODS, repeats=repeats, seed=0
        ).to_dict()
    print("\n".join(table(compared)), end="\n\n")
    rows = []
    for name, comparison in compared.items():
        for result in comparison["results"]:
            for metric, way in DIRECTIONS.items():
                what = f"{FEATURES[name]}, {way} R@1, {result['method']}"
                rows.append((what, cell(result["method"], result["metrics"][metric]), ""))
    settings = {"repeats": repeats, "seed": 0, "fit fraction": 0.5, "statistics": "held-out"}
    publish("real_features", options, settings, compared, rows)


if __name__ == "__main__":
    main()

"""The paper's changes by DN beside ours, on the public vectors of CLIP that are at hand.

Not the paper's data sets: parts of them, or neighbours, as each line says. Statistics as the paper
takes them, from unlabelled rows that are not evaluated; 20 draws instead of its 5.

Needs the folder of real features: DISTNORM_REAL_DATA, or ../shared/data from the project's root.

Run: python benchmarks/reproduced.py [--quick]
"""

from __future__ import annotations

import json
from typing import Any

import numpy as np
from harness import arguments, publish
from real_features import cell, folder

import distnorm

FLIPS = {"text_retrieval_recall@1": "image→text", "image_retrieval_recall@1": "text→image"}
# Points of recall@1 or accuracy that DN at 1/2 and at 1/4 add in the paper, and where.
PAPER = {
    ("coco", "image→text"): "-0.7; +0.5 (COCO 5K, ViT-B/32)",
    ("coco", "text→image"): "+3.2; +1.9 (COCO 5K, ViT-B/32)",
    ("flickr", "image→text"): "+2.0; +2.2 (Flickr30K, ViT-B/32)",
    ("flickr", "text→image"): "+3.5; +2.1 (Flickr30K, ViT-B/32)",
    ("imagenet", "zero-shot"): "+0.6; +0.7 (ImageNet, ViT-B/32)",
}
NAMES = {
    "coco": "COCO, 500 pairs, ViT-B/16",
    "flickr": "Flickr8k, 100 images x 5, ViT-B/32",
    "imagenet": "ImageNet, 4 training images per class, ViT-B/32",
}


def comparisons(draws: int) -> dict[str, dict[str, Any]]:
    """Of retrieval in both directions, and of zero-shot classification."""
    settings: dict[str, Any] = {"protocol": "paper", "repeats": draws, "seed": 0}
    methods = ("dot", "dn", "dn*")
    images, texts = (
        np.load(folder() / "coco500-clip-vit-b16" / f"{side}.npy") for side in ("image", "text")
    )
    found = {}
    found["coco"] = distnorm.compare_retrieval(
        images, texts, methods=methods, samples=100, diagnostics=False, **settings
    ).to_dict()
    place = folder() / "flickr8k-100x5-clip-vit-b32"
    images, owner = distnorm.comparison.deduplicate_images(np.load(place / "image_rows.npy"))
    found["flickr"] = distnorm.compare_retrieval(
        distnorm.normalize(images),
        distnorm.normalize(np.load(place / "text.npy")),
        owner,
        methods=methods,
        samples=30,
        diagnostics=False,
        **settings,
    ).to_dict()
    place = folder() / "imagenet4shot-clip-vit-b32"
    found["imagenet"] = distnorm.compare_classification(
        distnorm.normalize(np.load(place / "image.npy").astype(np.float32)),
        distnorm.normalize(np.load(place / "class_text_raw.npy")),
        np.load(place / "label.npy"),
        methods=(*methods, "dn-renorm"),
        samples=100,
        input="any",
        **settings,
    ).to_dict()
    return found


def main() -> None:
    """Compare, print beside the paper's, publish."""
    options = arguments(__doc__)
    if not folder().is_dir():
        raise SystemExit(f"no real features in {folder()}: set DISTNORM_REAL_DATA")
    draws = options.repeats or (2 if options.quick else 20)
    found = comparisons(draws)
    rows = []
    for name, comparison in found.items():
        ways = {"acc1": "zero-shot"} if name == "imagenet" else FLIPS
        for metric, way in ways.items():
            results = {r["method"]: r["metrics"][metric] for r in comparison["results"]}
            what = f"{NAMES[name]}, {way}"
            rows.append((f"{what}, dot", cell("dot", results.pop("dot")), ""))
            for method, result in results.items():
                theirs = PAPER[name, way] if method == "dn" else ""
                rows.append((f"{what}, {method}", cell(method, result), theirs))
    settings = {"draws": draws, "seed": 0, "samples": "100 (Flickr8k: 30)", "wanted": "the paper's"}
    publish("reproduced", options, settings, json.loads(json.dumps(found)), rows)


if __name__ == "__main__":
    main()

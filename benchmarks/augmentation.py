"""Seconds a picture under each test-time augmentation, with a CLIP ViT-B/32 of random weights.

Run: python benchmarks/augmentation.py [--quick]

Random weights cost what trained ones cost; the scores mean nothing and are not looked at.
"""

from __future__ import annotations

import json
import sys
import warnings
from pathlib import Path

import numpy as np
from harness import arguments, extra_memory, in_child, measure, publish, spread
from PIL import Image

from distnorm.augmentation import augmentation_cost, class_scores
from distnorm.encoders import load_encoder

sys.path.append(str(Path(__file__).resolve().parent.parent / "tests"))

import torchvision_shim

MODEL = "open_clip:ViT-B-32/random"


def main() -> None:
    """Time whole runs on a few pictures, measure memory, publish."""
    options = arguments(__doc__)
    counts = (10,) if options.quick else (10, 100, 1000)
    views = 16 if options.quick else 64
    torchvision_shim.install()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it says that its weights are random
        encoder = load_encoder(MODEL, device="cpu")
    pixels = np.random.default_rng(0).integers(0, 256, (4, 12, 16, 3), dtype=np.uint8)
    images = [Image.fromarray(p).resize((640, 480), resample=3) for p in pixels]
    classes = {count: [f"class number {n}" for n in range(count)] for count in counts}

    def run(name: str, count: int, **settings: object) -> object:
        return class_scores(name, encoder, images, classes[count], **settings)

    if options.child:
        memory = extra_memory(lambda: run("tpt", counts[-1], views=views))
        print(json.dumps(memory))
        return
    functions = {
        "none": lambda: run("none", counts[0]),
        "tta": lambda: run("tta", counts[0]),
        "calip": lambda: run("calip", counts[0]),
    }
    for count in counts:
        functions[f"tpt, {count} classes"] = lambda count=count: run("tpt", count, views=views)
    timings = measure(functions, options.repeats or (1 if options.quick else 3))
    memory = in_child(__file__, "memory", *(["--quick"] if options.quick else []))
    each = {
        name: {key: found[key] / len(images) for key in ("median", "min", "max")}
        for name, found in timings.items()
    }
    rows = []
    for name, found in each.items():
        kind = name.partition(",")[0]
        cost = augmentation_cost(kind, **({"views": views} if kind == "tpt" else {}))
        text = f"{name}: seconds a picture ({cost['encodings_per_image']} encodings)"
        rows.append((text, spread(found), ""))
    rows.append(
        (f"extra memory, tpt, {counts[-1]} classes", f"{memory['extra_mb']:.0f} MB", "")
    )
    settings = {"model": MODEL, "images": len(images), "views": views, "classes": list(counts)}
    publish("augmentation", options, settings, {"timings": timings, "memory": memory}, rows)


if __name__ == "__main__":
    main()

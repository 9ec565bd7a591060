"""Seconds a picture under each test-time augmentation, with a CLIP ViT-B/32 of random weights.

Run: python benchmarks/augmentation.py [--quick]

Random weights cost what trained ones cost; the scores mean nothing and are not looked at. What is
done once for all pictures (class rows, the untuned prompt) is timed by itself.
"""

from __future__ import annotations

import json
import sys
import warnings
from pathlib import Path

import numpy as np
from harness import arguments, extra_memory, in_child, measure, publish, random_rows, spread
from PIL import Image

from distnorm.augmentation.calip import attended
from distnorm.augmentation.clip_parts import clip_parts, frozen
from distnorm.augmentation.tpt import PromptTuner
from distnorm.augmentation.views import augmented_rows, random_crops
from distnorm.encoders import load_encoder

sys.path.append(str(Path(__file__).resolve().parents[1] / "tests" / "helpers"))

import torchvision_shim

MODEL = "open_clip:ViT-B-32/random"


def main() -> None:
    """Time each part on one picture, measure the memory of the largest, publish."""
    options = arguments(__doc__)
    counts = (10,) if options.quick else (10, 100, 1000)
    views = 16 if options.quick else 64
    torchvision_shim.install()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it says that its weights are random
        encoder = load_encoder(MODEL, device="cpu")
    parts = clip_parts(encoder)
    pixels = np.random.default_rng(0).integers(0, 256, (12, 16, 3), dtype=np.uint8)
    image = Image.fromarray(pixels).resize((640, 480), resample=3)
    texts = random_rows(counts[-1], encoder.dimension)
    rows = random_rows(views, encoder.dimension, seed=1)

    def tuner(count: int) -> PromptTuner:
        return PromptTuner(parts, [f"class number {n}" for n in range(count)])

    with frozen(encoder.model):
        tuners = {count: tuner(count) for count in counts}
        if options.child:
            print(json.dumps(extra_memory(lambda: tuners[counts[-1]].tune(rows))))
            return
        timings = measure(
            {
                "none": lambda: encoder.encode_images([image]),
                "tta, 7 views": lambda: augmented_rows(encoder, [image]),
                f"calip, {counts[-1]} classes": lambda: attended(parts, [image], texts),
                f"tpt, {views} views": lambda: encoder.encode_images(
                    [image, *random_crops(image, views - 1, size=224)]
                ),
                **{
                    f"tpt, tuning to {count} classes": lambda count=count: tuners[count].tune(rows)
                    for count in counts
                },
                f"tpt, {counts[-1]} class rows, once": lambda: tuner(counts[-1]),
            },
            options.repeats or (1 if options.quick else 3),
        )
    memory = in_child(__file__, "memory", *(["--quick"] if options.quick else []))
    table = [(f"{name}: seconds", spread(found), "") for name, found in timings.items()]
    name = f"extra memory, tpt, tuning to {counts[-1]} classes"
    table.append((name, f"{memory['extra_mb']:.0f} MB", ""))
    settings = {"model": MODEL, "views": views, "classes": list(counts)}
    publish("augmentation", options, settings, {"timings": timings, "memory": memory}, table)


if __name__ == "__main__":
    main()

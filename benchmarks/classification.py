"""Zero-shot classification of 50,000 images: every linear and quadratic method, one product.

Run: python benchmarks/classification.py [--quick]
"""

from __future__ import annotations

import json

import numpy as np
from harness import (
    arguments,
    extra_memory,
    in_child,
    measure,
    publish,
    random_rows,
    ratio,
    spread,
    without_torch,
)

import distnorm

CLASSES, DIMENSIONS = 1000, 512
METHODS = ("dot", "dn", "dn2")


def main() -> None:
    """Time the evaluation against the bare matrix product, measure memory, publish."""
    options = arguments(__doc__)
    n = 2000 if options.quick else 50_000
    without_torch()
    images, classes = random_rows(n, DIMENSIONS), random_rows(CLASSES, DIMENSIONS, seed=1)
    labels = np.random.default_rng(0).integers(0, CLASSES, n)
    norms = {name: distnorm.make(name).fit(images=images[:1000], texts=classes) for name in METHODS}
    functions = {
        name: lambda norm=norm: distnorm.evaluate_classification(norm, images, classes, labels)
        for name, norm in norms.items()
    }
    if options.child:
        functions["dn2"]()
        print(json.dumps(extra_memory(functions["dn2"])))
        return
    timings = measure({"matrix product": lambda: images @ classes.T, **functions}, 5)
    memory = in_child(__file__, "memory", *(["--quick"] if options.quick else []))
    rows = [
        (f"{name}: time / time of the product", spread(ratio(timings, name, "matrix product")),
         "<= 1.3")
        for name in METHODS
    ]  # fmt: skip
    rows += [(f"seconds, {name}", spread(found), "") for name, found in timings.items()]
    rows.append(("extra memory, dn2", f"{memory['extra_mb']:.0f} MB", "flat"))
    settings = {"images": n, "classes": CLASSES, "dimensions": DIMENSIONS, "repeats": 5}
    publish("classification", options, settings, {"timings": timings, "memory": memory}, rows)


if __name__ == "__main__":
    main()

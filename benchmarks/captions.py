"""Scores of 100,000 captions and their rank correlation with judgements.

Run: python benchmarks/captions.py [--quick]
"""

from __future__ import annotations

import numpy as np
from harness import arguments, measure, publish, random_rows, spread, without_torch

import distnorm

DIMENSIONS = 512


def main() -> None:
    """Time scoring, with references too, and Kendall's tau; publish."""
    options = arguments(__doc__)
    n = 2000 if options.quick else 100_000
    without_torch()
    images, captions = random_rows(n, DIMENSIONS), random_rows(n, DIMENSIONS, seed=1)
    references = random_rows(n, DIMENSIONS, seed=2)
    human = np.random.default_rng(0).integers(0, 5, n)
    norm = distnorm.make("dn").fit(images=images[:1000], texts=captions[:1000])
    scores = distnorm.score_captions(norm, images, captions)
    own = np.arange(n)
    timings = measure(
        {
            "dot": lambda: distnorm.score_captions(None, images, captions),
            "dn": lambda: distnorm.score_captions(norm, images, captions),
            "dn, a reference each": lambda: distnorm.score_captions(
                norm, images, captions, references=references, image_of_reference=own
            ),
            "Kendall's tau b": lambda: distnorm.kendall_tau(scores, human, "b"),
        },
        5,
    )
    rows = [
        (f"seconds, {name}", spread(found), "< 2" if name == "dn" else "")
        for name, found in timings.items()
    ]
    settings = {"captions": n, "dimensions": DIMENSIONS, "repeats": 5}
    publish("captions", options, settings, {"timings": timings}, rows)


if __name__ == "__main__":
    main()

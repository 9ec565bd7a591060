"""Every method side by side on zero-shot classification.

Statistics of the image side come from images that are not evaluated; those of the text side, which
ranking does not need, from the class rows or from ``fit_texts``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from distnorm.arrays import Array, check_embeddings
from distnorm.comparison.protocol import (
    DEFAULT_METHODS,
    describe,
    method_norms,
    sample_rows,
    take_rows,
)
from distnorm.comparison.results import Comparison
from distnorm.comparison.tally import Tally
from distnorm.errors import DistnormError
from distnorm.tasks.classification import check_labels, class_weights, evaluate_classification

__all__ = ["compare_classification"]


def compare_classification(
    images: Array,
    classes: Array,
    labels: Any,
    *,
    methods: Sequence[str] = DEFAULT_METHODS,
    protocol: str = "held-out",
    fit_fraction: float = 0.5,
    repeats: int | None = None,
    seed: int = 0,
    samples: int = 100,
    fit_images: Array | None = None,
    fit_texts: Array | None = None,
    strength: float | Mapping[str, float] | None = None,
    input: str | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Comparison:
    """Compare methods on top-1, top-5 and mean per class accuracy.

    Parameters
    ----------
    images, classes : array, shape (n, d) and (c, d)
    labels : int array, shape (n,)
        Row of ``classes`` that each image belongs to; statistics never read them.
    methods, protocol, fit_fraction, repeats, seed, samples, strength, input, progress
        As `compare_retrieval`.
    fit_images : array, optional
        Images of other data for the statistics.
    fit_texts : array, optional
        Texts for the statistics of the text side; the classes if left out.

    Raises
    ------
    DistnormError
        For input that cannot be compared or split.
    """
    images = check_embeddings(images, "images")
    classes = check_embeddings(classes, "classes", dimension=images.shape[1])
    own = check_labels(labels, images.shape[0], classes.shape[0])
    norms = method_norms(methods, strength, input)
    if fit_images is not None and protocol == "held-out":
        protocol = "reference"
    if protocol == "reference" and fit_images is None:
        raise DistnormError("no reference images", "fit_images", "give them")
    described = describe(protocol, fit_fraction, repeats, seed, samples)
    texts = classes if fit_texts is None else fit_texts
    tally = Tally(norms, {"image": None}, images.shape[0])
    total = len(norms) * int(described["repeats"])
    for number, (fit, rows) in enumerate(_draws(images, fit_images, described)):
        evaluated, answers = take_rows(images, rows), own[rows]
        tally.saw("image", rows)
        for index, norm in enumerate(norms):
            fitted = norm.clone().fit(images=fit, texts=texts)
            result = evaluate_classification(fitted, evaluated, classes, answers)
            flag = result.transductive or protocol == "transductive"
            tally.note(index, fitted, result.metrics, transductive=flag)
            hits = result.ranks <= 1
            tally.add(index, "acc1", "image", rows, hits)
            tally.add(index, "acc5", "image", rows, result.ranks <= 5)
            weights = class_weights(answers)
            tally.add(index, "mean_per_class_recall", "image", rows, hits * weights)
            if progress is not None:
                progress(number * len(norms) + index + 1, total)
    sizes = {"n_images": images.shape[0], "n_classes": classes.shape[0]}
    return Comparison("classification", sizes, described, tally.results(described))


def _draws(images: Array, fit_images: Array | None, described: Mapping[str, Any]) -> Any:
    """Pairs of (image rows that give statistics, indices of the evaluated images)."""
    n, protocol = images.shape[0], described["statistics"]
    every = np.arange(n)
    for child in np.random.SeedSequence(described["seed"]).spawn(described["repeats"]):
        rng = np.random.default_rng(child)
        if fit_images is not None:
            given = check_embeddings(fit_images, "fit_images", dimension=images.shape[1])
            if protocol == "paper":
                given = sample_rows(given, described["samples"], rng, "images")
            yield given, every
            continue
        if protocol == "transductive":
            yield images, every
            continue
        held = described["samples"] if protocol == "paper" else round(n * described["fit_fraction"])
        if not 1 <= held <= n - 2:
            raise DistnormError(
                f"{n} images of which {held} would give statistics",
                "at least 1 for the statistics and 2 to evaluate",
                "use more data, another fit fraction or fewer samples",
            )
        order = rng.permutation(n)
        yield take_rows(images, np.sort(order[:held])), np.sort(order[held:])

"""Every method side by side on zero-shot classification.

Statistics of the image side come from images that are not evaluated; those of the text side, which
ranking does not need, from the class rows or from ``fit_texts``.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from distnorm.arrays import Array, checked
from distnorm.comparison.draws import Draw, draws, reference_rows
from distnorm.comparison.protocol import Protocol
from distnorm.comparison.results import Comparison
from distnorm.comparison.runner import Experiment, run
from distnorm.comparison.tally import Outcome
from distnorm.normalization import ScoreNormalization
from distnorm.system.progress import Progress
from distnorm.tasks.class_prior import fit_class_prior
from distnorm.tasks.classification import check_labels, class_weights, evaluate_classification

__all__ = ["compare_classification"]


def compare_classification(
    images: Array,
    classes: Array,
    labels: Any,
    *,
    protocol: str | Protocol = "held-out",
    progress: Progress | None = None,
    **settings: Any,
) -> Comparison:
    """Compare methods on top-1, top-5 and mean per class accuracy.

    Parameters
    ----------
    images, classes : array, shape (n, d) and (c, d)
    labels : array, shape (n,) or one-hot (n, c)
        Row of ``classes`` that each image belongs to; statistics never read them.
    protocol, progress
        As `compare_retrieval`.
    **settings
        As `compare_retrieval`; ``fit_texts`` give the statistics of the text side, the classes
        if left out.

    Raises
    ------
    DistnormError
        For input that cannot be compared or split.
    """
    rows = checked(images, "images")
    items = checked(classes, "classes", dimension=rows.shape[1])
    own = check_labels(labels, rows.shape[0], items.shape[0])
    plan = Protocol.of(protocol, **settings)
    reference = reference_rows(plan, rows.shape[1], both=False)

    def evaluate(norm: ScoreNormalization, draw: Draw) -> Outcome:
        answers = own[draw.images]
        if norm.prior != "none":
            # A random half comes in no order, whatever its file is sorted by.
            rows = draw.fit["images"]
            order = np.random.default_rng(0).permutation(rows.shape[0])
            norm = fit_class_prior(norm, rows.take(order), items)
        result = evaluate_classification(norm, *draw.evaluated, answers)
        hits = result.ranks <= 1
        values = {
            "acc1": ("image", draw.images, hits),
            "acc5": ("image", draw.images, result.ranks <= 5),
            "mean_per_class_recall": ("image", draw.images, hits * class_weights(answers)),
        }
        values = {name: value for name, value in values.items() if name in result.metrics}
        shared = result.shared_rows
        return Outcome(norm, result.metrics, values, plan.is_transductive(shared), shared)

    experiment = Experiment(
        "classification",
        {"n_images": rows.shape[0], "n_classes": items.shape[0]},
        {"image": None},
        draws(plan, rows, items, None, reference),
        evaluate,
    )
    return run(experiment, plan, progress)

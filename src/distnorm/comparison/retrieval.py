"""Every method side by side on retrieval, with statistics from data that is not evaluated.

All methods see the same splits; see `distnorm.comparison.protocol` for where statistics come
from. A method's difference to the dot product is the mean over splits; its interval is a paired
bootstrap over images. Splits of one data set overlap, so their standard error would be far too
narrow: instead each query's difference is averaged over the splits that evaluated it, and images
(with all their texts) are drawn with replacement.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from distnorm.arrays import Array, Indices, check_embeddings, checked, take_rows
from distnorm.comparison.diagnostics import diagnose
from distnorm.comparison.draws import Draw, draws, reference_rows
from distnorm.comparison.groups import Groups
from distnorm.comparison.protocol import Protocol
from distnorm.comparison.results import Comparison
from distnorm.comparison.runner import Experiment, run
from distnorm.comparison.tally import Outcome
from distnorm.metrics import check_k
from distnorm.metrics.positives import Positives
from distnorm.normalization import ScoreNormalization
from distnorm.system.progress import Progress
from distnorm.tasks.repeats import check_row_pairs, distinct_rows
from distnorm.tasks.retrieval import DIRECTIONS, evaluate_retrieval, pairing

__all__ = ["compare_retrieval", "deduplicate_images"]


def compare_retrieval(
    images: Array,
    texts: Array,
    image_of_text: Any = None,
    *,
    positives: Any = None,
    protocol: str | Protocol = "held-out",
    k: int | Sequence[int] = (1, 5, 10),
    with_r_precision: bool = False,
    diagnostics: bool = True,
    progress: Progress | None = None,
    **settings: Any,
) -> Comparison:
    """Compare methods on retrieval in both directions.

    Parameters
    ----------
    images, texts : array, shape (n_images, d) and (n_texts, d)
    image_of_text : int array, shape (n_texts,), optional
        Row of each text's image; row with row if left out.
    positives : per text the relevant images, optional
        Instead, as `evaluate_retrieval` takes them. What belongs together, directly or through
        others, is never parted by a split and drawn together for the intervals.
    protocol : Protocol, or {"held-out", "paper", "reference", "transductive"}
    k : int or sequence of int
    with_r_precision : bool
        Also R-precision and mAP@R.
    diagnostics : bool
        Also hubness, gap and the ladder of approximations, on the first split.
    progress : callable, optional
        Called with (evaluations done, evaluations in all).
    **settings
        Fields of `distnorm.comparison.Protocol`: ``methods``, ``fit_fraction``, ``repeats``,
        ``seed``, ``samples``, ``fit_images``, ``fit_texts``, ``strength``, ``input``, ``prompt``.

    Raises
    ------
    DistnormError
        For input that cannot be compared or split, and for copies among images that are paired
        row by row; see `deduplicate_images`.
    """
    left = checked(images, "images")
    right = checked(texts, "texts", dimension=left.shape[1])
    ks = check_k(k)
    if positives is None and left.shape[0] == right.shape[0]:
        check_row_pairs(left, image_of_text, ("images", "texts"))
    truth = pairing(image_of_text, left.shape[0], right.shape[0], positives)
    groups = Groups.of(truth)
    plan = Protocol.of(protocol, **settings)
    reference = reference_rows(plan, left.shape[1], both=True)

    def evaluate(norm: ScoreNormalization, draw: Draw) -> Outcome:
        result = evaluate_retrieval(
            norm, *draw.evaluated, positives=draw.positives, k=ks, with_r_precision=with_r_precision
        )
        rows = {
            way: numbers[result.queries[way]]
            for way, numbers in zip(DIRECTIONS, (draw.images, draw.texts), strict=True)
        }
        values: dict[str, tuple[str, Any, Any]] = {
            f"{way}_recall@{value}": (way, rows[way], result.ranks[way] <= value)
            for way in DIRECTIONS
            for value in ks
        }
        for way in DIRECTIONS:
            own = (name for name in result.values if name.startswith(way))
            values |= {name: (way, rows[way], result.values[name]) for name in own}
        shared = result.shared_rows
        return Outcome(norm, result.metrics, values, plan.is_transductive(shared), shared)

    def look(norms: Sequence[ScoreNormalization], draw: Draw) -> dict[str, Any]:
        assert draw.positives is not None
        numbers, pairs = (draw.images, draw.texts), draw.positives.single
        return diagnose(norms, *draw.evaluated, draw.fit, image_of_text=pairs, rows=numbers)

    experiment = Experiment(
        "retrieval",
        {"n_images": left.shape[0], "n_texts": right.shape[0], **_left_out(truth)},
        {"text_retrieval": groups.of_image, "image_retrieval": groups.of_text},
        draws(plan, left, right, groups.of_text, reference, truth),
        evaluate,
        look if diagnostics else None,
        units=groups.count,
    )
    return run(experiment, plan, progress)


def _left_out(truth: Positives) -> dict[str, int]:
    """How many rows belong to nobody: they are in the galleries, but no queries."""
    counts = {
        "n_images_without_text": truth.n_items - len(truth.transposed().asked),
        "n_texts_without_image": truth.n_queries - len(truth.asked),
    }
    return {name: count for name, count in counts.items() if count}


def deduplicate_images(images: Array) -> tuple[Array, Indices]:
    """Distinct rows of (n_texts, d) in order of appearance, and the one of each text."""
    images = check_embeddings(images, "images")
    first, image_of_text = distinct_rows(images)
    return take_rows(images, first), image_of_text

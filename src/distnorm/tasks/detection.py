"""Decisions at a threshold: which pairs are called a match, and how often wrongly.

With scores s of all pairs and t the threshold,

    recall = P(s > t | match)        false-alarm rate = P(s > t | no match)

and the same for each query, whose spread says how well one threshold serves all of them. Scores
are two-sided: those that rank compare items of one query, not queries with each other.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from distnorm.arrays import Array, Float64, Indices, blocks, rows_per_block, take_rows, to_numpy
from distnorm.calibration.reading import calibration_of, false_alarm_rate
from distnorm.calibration.score_kinds import score_kind
from distnorm.errors import DistnormError
from distnorm.metrics.positives import Positives
from distnorm.metrics.ranks import top_items
from distnorm.normalization import ScoreNormalization
from distnorm.tasks.class_prior import class_ranking

__all__ = ["DetectionResult", "chosen_threshold", "evaluate_detection", "evaluate_rejection"]


@dataclass(frozen=True)
class DetectionResult:
    """Figures at one threshold.

    ``metrics`` are ``recall``, ``false_alarm_rate``, ``precision`` (None where nothing is above),
    and over queries of each side ``<side>_false_alarm_variation``, the coefficient of variation.
    """

    metrics: dict[str, float | None]
    threshold: float
    score: dict[str, Any]  # what kind of score it is
    expected_false_alarm_rate: dict[str, Any] | None  # what the calibration says, with its interval
    n_matches: int
    n_non_matches: int

    def __repr__(self) -> str:
        """One line: recall and false alarms."""
        rate = self.metrics["false_alarm_rate"]
        false = "unknown" if rate is None else f"{rate:.3g}"
        return (
            f"DetectionResult(recall={self.metrics['recall']:.3f}, false_alarm_rate={false} "
            f"at {self.score['label']} > {self.threshold:.4g})"
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return dict(vars(self))


def chosen_threshold(
    norm: ScoreNormalization,
    threshold: float | None,
    false_alarm_rate: float | None,
    *,
    tries: int = 1,
) -> float | None:
    """The threshold that was given, or that of a rate, shared by ``tries`` scores each.

    With several tries the rate is that of any of them being exceeded, at most (Bonferroni).
    """
    if threshold is not None and false_alarm_rate is not None:
        raise DistnormError(
            "both a threshold and a false-alarm rate", "one of them", "leave one out"
        )
    if false_alarm_rate is None:
        if threshold is not None and not math.isfinite(threshold):
            raise DistnormError(
                f"threshold {threshold!r}", "a finite score", "leave it out for none"
            )
        return None if threshold is None else float(threshold)
    if tries > 1:
        # Checked before it is divided: a rate of 2 among 1,000 classes is no rate.
        norm.threshold(false_alarm_rate)
        false_alarm_rate = max(1e-8, false_alarm_rate / tries)
    return float(norm.threshold(false_alarm_rate))


def evaluate_detection(
    norm: ScoreNormalization,
    images: Array,
    texts: Array,
    positives: Positives,
    threshold: float,
    *,
    progress: Callable[[int, int], None] | None = None,
) -> DetectionResult:
    """Recall and false alarms of two-sided scores above ``threshold``; memory stays flat.

    ``positives`` are the images of each text. Raises `DistnormError` for unusable rows, or a method
    without two-sided scores.
    """
    n, m = images.shape[0], texts.shape[0]
    by_image, by_text = np.zeros(n, dtype=np.int64), np.zeros(m, dtype=np.int64)
    true_of_image = np.bincount(positives.indices, minlength=n)
    hits = 0
    for part in blocks(m, rows_per_block(n, itemsize=8)):
        scores = to_numpy(norm.similarity(images, texts[part, ...]), np.float64)
        above = scores > threshold
        start, stop = positives.indptr[part.start], positives.indptr[part.stop]
        own = positives.indices[start:stop], positives.rows[start:stop] - part.start
        hits += int(above[own].sum())
        above[own] = False
        by_image += above.sum(axis=1)
        by_text[part] = above.sum(axis=0)
        if progress is not None:
            progress(part.stop, m)
    matches, others = len(positives.indices), n * m - len(positives.indices)
    false = int(by_text.sum())
    one, two = norm.sides
    rates = {
        one: by_image / np.maximum(m - true_of_image, 1),
        two: by_text / np.maximum(n - positives.counts, 1),
    }
    metrics: dict[str, float | None] = {
        "recall": hits / matches,
        "false_alarm_rate": false / others if others else None,
        "precision": hits / (hits + false) if hits + false else None,
    }
    for side, values in rates.items():
        mean = float(values.mean())
        metrics[f"{side}_false_alarm_variation"] = float(values.std()) / mean if mean else None
    return DetectionResult(
        metrics, threshold, score_kind(norm).to_dict(), _expected(norm, threshold), matches, others
    )


def evaluate_rejection(
    norm: ScoreNormalization, images: Array, classes: Array, labels: Indices, threshold: float
) -> dict[str, Any]:
    """Zero-shot classification that may say "none of these", by name of the figure.

    An image is accepted if its best class's two-sided score is above ``threshold``.
    """
    right = accepted = 0
    for part in blocks(images.shape[0], rows_per_block(classes.shape[0], itemsize=8)):
        rows = images[part, ...]
        best = top_items(class_ranking(norm, rows, classes), 1)[:, 0]
        above = best_scores(norm, rows, classes, best) > threshold
        accepted += int(above.sum())
        right += int((above & (best == labels[part])).sum())
    return {
        "accepted": accepted / images.shape[0],
        "accepted_acc1": right / accepted if accepted else None,
        "threshold": threshold,
        "score": score_kind(norm).to_dict(),
        "expected_false_alarm_rate": _expected(norm, threshold),
    }


def best_scores(norm: ScoreNormalization, images: Array, classes: Array, best: Indices) -> Float64:
    """Two-sided score of each image with its class ``best``, shape (n,)."""
    return to_numpy(norm.paired_similarity(images, take_rows(classes, best)), np.float64)


def _expected(norm: ScoreNormalization, threshold: float) -> dict[str, Any] | None:
    if norm.notes.calibration is None:
        return None
    return false_alarm_rate(calibration_of(norm), threshold).to_dict()

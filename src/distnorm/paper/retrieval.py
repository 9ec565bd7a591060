"""Retrieval cells: recall in both directions, and the extended ground truths of COCO."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from distnorm.comparison.draws import Split
from distnorm.metrics import average_precision_at_r, r_precision
from distnorm.metrics.positives import Positives
from distnorm.metrics.ranks import pair_ranks
from distnorm.normalization import ScoreNormalization
from distnorm.paper.evaluation import Evaluation, Outcome, Results
from distnorm.paper.prepared import PairedData
from distnorm.paper.protocols import draw_pool, evaluated_rows, held_out
from distnorm.tasks.retrieval import evaluate_retrieval
from distnorm.tasks.shared_rows import mostly_shared

__all__ = ["extended_outcomes", "paired_draws", "retrieval_results"]

KS = (1, 5, 10)

Rows = npt.NDArray[np.intp]
Fitted = tuple[Split, dict[str, Any]]


def paired_draws(
    evaluation: Evaluation,
    pool: PairedData | None,
    owner: Rows,
    images: npt.NDArray[Any],
    texts: npt.NDArray[Any],
    prefix: str,
) -> tuple[list[Fitted], str]:
    """Draws with the rows that give statistics, and where these come from.

    With a pool only what is drawn from it is embedded, and everything is evaluated.
    """
    protocol, n_images = evaluation.protocol, len(images)
    if protocol.own_rows:
        draw = evaluated_rows(n_images, owner)
        return [(draw, {"images": images, "texts": texts})], "the evaluated rows"
    if pool is None:
        return [
            (draw, {"images": images[draw.fit_images], "texts": texts[draw.fit_texts]})
            for draw in held_out(protocol, n_images, owner)
        ], "held out of the evaluated data"
    pairs = list(draw_pool(protocol, len(pool.images), pool.image_of_text))
    left, right = (np.unique(np.concatenate([pair[side] for pair in pairs])) for side in (0, 1))
    pictures = evaluation.images([pool.images[row] for row in left])
    sentences = evaluation.texts([prefix + pool.texts[row] for row in right])
    every = np.arange(n_images)
    return [
        (
            Split(fit_images, fit_texts, every, np.arange(len(texts)), owner),
            {
                "images": pictures[np.searchsorted(left, fit_images)],
                "texts": sentences[np.searchsorted(right, fit_texts)],
            },
        )
        for fit_images, fit_texts in pairs
    ], pool.name


def retrieval_results(evaluation: Evaluation) -> tuple[Results, dict[str, Results], dict[str, Any]]:
    """Results of every method, the same by extended ground truth, and what they rest on."""
    data: PairedData = evaluation.data
    prefix = evaluation.protocol.text_prefix("retrieval")
    images = evaluation.images(data.images)
    texts = evaluation.texts([prefix + text for text in data.texts])
    draws, origin = paired_draws(evaluation, data.pool, data.image_of_text, images, texts, prefix)

    def evaluate(label: str, number: int) -> Outcome:
        draw, rows = draws[number]
        norm = evaluation.norms[label].clone().fit(**rows)
        result = evaluate_retrieval(
            norm, images[draw.images], texts[draw.texts], draw.image_of_text, k=KS
        )
        queries = {"text_retrieval": draw.images, "image_retrieval": draw.texts}
        values = {
            f"{direction}_recall@{k}": (direction, queries[direction], ranks <= k)
            for direction, ranks in result.ranks.items()
            for k in KS
        }
        # Different images have equal captions: a few shared rows are no leak of the protocol.
        return Outcome(norm, result.metrics, values, mostly_shared(result.shared_rows))

    owners = {"text_retrieval": None, "image_retrieval": data.image_of_text}
    results = evaluation.run(evaluate, len(draws), owners, len(images))
    settings = {
        "prefix": prefix,
        "statistics": origin,
        "n_images": len(images),
        "n_texts": len(texts),
        "n_evaluated_images": len(draws[0][0].images),
    }
    extended = {}
    if len(draws[0][0].images) == len(images):
        for name, truth in data.truths.items():
            judge = extended_outcomes(truth, images, texts, evaluation.norms, draws)
            extended[name] = evaluation.run(judge, len(draws), {}, len(images), step=None)
    return results, extended, settings


def extended_outcomes(
    truth: Mapping[str, tuple[Rows, list[Rows], Rows]],
    images: npt.NDArray[Any],
    texts: npt.NDArray[Any],
    norms: Mapping[str, ScoreNormalization],
    draws: Sequence[Fitted],
) -> Callable[[str, int], Outcome]:
    """R@k, R-precision and mAP@R on a ground truth with several positives per query."""

    def evaluate(label: str, number: int) -> Outcome:
        norm = norms[label].clone().fit(**draws[number][1])
        metrics: dict[str, float] = {}
        sides = {
            "text_retrieval": (norm.sides[0], images, texts),
            "image_retrieval": (norm.sides[1], texts, images),
        }
        for direction, (side, queries, items) in sides.items():
            rows, lists, relevant = truth[direction]
            positives = Positives.of(lists, len(rows), len(items))
            ranks = pair_ranks(norm.ranking(queries[rows], items, side), positives)
            best = np.minimum.reduceat(ranks, positives.indptr[:-1])
            for k in KS:
                metrics[f"{direction}_recall@{k}"] = float((best <= k).mean())
            precision = r_precision(ranks, positives, relevant)
            metrics[f"{direction}_r_precision"] = float(precision.mean())
            average = average_precision_at_r(ranks, positives, relevant)
            metrics[f"{direction}_map@r"] = float(average.mean())
        return Outcome(norm, metrics, {})

    return evaluate

"""Retrieval cells: recall in both directions, and the extended ground truths of COCO."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from distnorm.metrics import average_precision_at_r, r_precision
from distnorm.metrics.positives import Positives
from distnorm.metrics.ranks import pair_ranks
from distnorm.normalization import ScoreNormalization
from distnorm.paper.evaluation import Outcome, Results, run_methods
from distnorm.paper.prepared import PairedData
from distnorm.paper.protocols import Draw, Protocol, draw_pool, held_out
from distnorm.paper.rows import RowCache
from distnorm.tasks.retrieval import DIRECTIONS, evaluate_retrieval

__all__ = ["paired_draws", "retrieval_results"]

KS = (1, 5, 10)

Rows = npt.NDArray[np.intp]
Fitted = tuple[Draw, dict[str, Any]]


def paired_draws(
    cache: RowCache,
    protocol: Protocol,
    dataset: str,
    pool: PairedData | None,
    owner: Rows,
    images: npt.NDArray[Any],
    texts: npt.NDArray[Any],
    *,
    prefix: str,
    augment: str = "none",
) -> tuple[list[Fitted], str]:
    """Draws with the rows that give statistics, and where these come from.

    With a pool only what is drawn from it is embedded, and everything is evaluated.
    """
    n_images = len(images)
    if pool is None:
        return [
            (draw, {"images": images[draw.fit_images], "texts": texts[draw.fit_texts]})
            for draw in held_out(protocol, n_images, owner)
        ], "held out of the evaluated data"
    chosen = list(draw_pool(protocol, len(pool.images), pool.image_of_text))
    left, right = (np.unique(np.concatenate([pair[side] for pair in chosen])) for side in (0, 1))
    pictures = cache.images(dataset, [pool.images[row] for row in left], augment=augment)
    sentences = cache.texts(dataset, [prefix + pool.texts[row] for row in right])
    every = np.arange(n_images)
    return [
        (
            Draw(fit_images, fit_texts, every, np.arange(len(texts)), owner),
            {
                "images": pictures[np.searchsorted(left, fit_images)],
                "texts": sentences[np.searchsorted(right, fit_texts)],
            },
        )
        for fit_images, fit_texts in chosen
    ], "another split"


def retrieval_results(
    cache: RowCache,
    protocol: Protocol,
    dataset: str,
    data: PairedData,
    norms: Mapping[str, ScoreNormalization],
    *,
    augment: str = "none",
    progress: Callable[[int, int], None] | None = None,
) -> tuple[Results, dict[str, Results], dict[str, Any]]:
    """Results of every method.

    Returns
    -------
    results : (results, failures) of `run_methods`
    extended : dict from ground truth to the same
    settings : dict
        Prefix, source of statistics, sizes.
    """
    prefix = protocol.text_prefix("retrieval")
    images = cache.images(dataset, data.images, augment=augment)
    texts = cache.texts(dataset, [prefix + text for text in data.texts])
    draws, source = paired_draws(
        cache,
        protocol,
        dataset,
        data.pool,
        data.image_of_text,
        images,
        texts,
        prefix=prefix,
        augment=augment,
    )

    def evaluate(label: str, number: int) -> Outcome:
        draw, rows = draws[number]
        norm = norms[label].clone().fit(**rows)
        found = evaluate_retrieval(
            norm, images[draw.images], texts[draw.texts], draw.image_of_text, k=KS
        )
        placed = {"text_retrieval": draw.images, "image_retrieval": draw.texts}
        values = {
            f"{direction}_recall@{k}": (direction, placed[direction], found.ranks[direction] <= k)
            for direction in DIRECTIONS
            for k in KS
        }
        return Outcome(norm, found.metrics, values, found.transductive)

    owners = {"text_retrieval": None, "image_retrieval": data.image_of_text}
    results = run_methods(norms, len(draws), evaluate, owners, len(images), protocol, progress)
    settings = {
        "prefix": prefix,
        "statistics": source,
        "n_images": len(images),
        "n_texts": len(texts),
        "n_evaluated_images": len(draws[0][0].images),
    }
    extended = {}
    if data.pool is not None:
        for name, truth in data.truths.items():
            judge = _extended(truth, images, texts, norms, draws)
            extended[name] = run_methods(norms, len(draws), judge, {}, len(images), protocol)
    return results, extended, settings


def _extended(
    truth: Mapping[str, tuple[Rows, list[Rows]]],
    images: npt.NDArray[Any],
    texts: npt.NDArray[Any],
    norms: Mapping[str, ScoreNormalization],
    draws: Sequence[Fitted],
) -> Callable[[str, int], Outcome]:
    """R@k, R-precision and mAP@R on a ground truth with several positives a query."""

    def evaluate(label: str, number: int) -> Outcome:
        norm = norms[label].clone().fit(**draws[number][1])
        metrics: dict[str, float] = {}
        sides = {
            "text_retrieval": (norm.sides[0], images, texts),
            "image_retrieval": (norm.sides[1], texts, images),
        }
        for direction, (side, queries, items) in sides.items():
            rows, lists = truth[direction]
            positives = Positives.of(lists, len(rows), len(items))
            ranks = pair_ranks(norm.ranking(queries[rows], items, side), positives)
            best = np.minimum.reduceat(ranks, positives.indptr[:-1])
            for k in KS:
                metrics[f"{direction}_recall@{k}"] = float((best <= k).mean())
            precision = r_precision(ranks, positives)
            metrics[f"{direction}_r_precision"] = float(precision.mean())
            average = average_precision_at_r(ranks, positives)
            metrics[f"{direction}_map@r"] = float(average.mean())
        return Outcome(norm, metrics, {})

    return evaluate

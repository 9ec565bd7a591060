"""Retrieval in both directions: recall@k, median rank, and where asked R-precision and mAP@R.

Names follow CLIP_benchmark: ``text_retrieval`` is image -> text, ``image_retrieval`` is
text -> image. Ranks of the best positive come from `distnorm.metrics.ranks`: lowest index first on
ties, no full matrix in memory.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from distnorm.arrays import Array, Float64, Indices, Int64, checked, take_rows
from distnorm.calibration.side_check import check_not_swapped
from distnorm.errors import DistnormError
from distnorm.metrics import average_precision_at_r, check_k, r_precision, recall_of_ranks
from distnorm.metrics.figures import ranks_of_scores
from distnorm.metrics.positives import Positives, row_numbers
from distnorm.metrics.ranking import Ranking
from distnorm.metrics.ranks import best_ranks, best_ranks_both_ways, pair_ranks
from distnorm.normalization import ScoreNormalization, make
from distnorm.system.progress import Progress
from distnorm.tasks.repeats import check_row_pairs
from distnorm.tasks.shared_rows import (
    SharedRows,
    is_transductive,
    plain_shared_rows,
    transductive_text,
)

__all__ = ["DIRECTIONS", "RetrievalResult", "evaluate_retrieval", "figures_of_scores", "pairing"]

DIRECTIONS = ("text_retrieval", "image_retrieval")


@dataclass(frozen=True)
class RetrievalResult:
    """Figures of one evaluation, by direction.

    ``metrics`` are ``text_retrieval_recall@1`` and so on, in [0, 1]; ``*_median_rank`` from 1 on.
    """

    metrics: dict[str, float]
    n_images: int
    n_texts: int
    ranks: dict[str, Int64]  # of each query's best positive
    transductive: bool  # whether the statistics hold any of the queries
    # the rows that were asked: those with a positive
    queries: dict[str, Indices] = field(default_factory=dict, repr=False)
    # R-precision and AP@R of each query, where they were computed
    values: dict[str, Float64] = field(default_factory=dict, repr=False)
    # how many of the queries were fitted
    shared_rows: SharedRows = field(default_factory=dict, repr=False)

    def __repr__(self) -> str:
        """One line: sizes and recall@1."""
        first = ", ".join(f"{k}={v:.3f}" for k, v in self.metrics.items() if k.endswith("@1"))
        seen = transductive_text(self.shared_rows, self.transductive)
        return f"RetrievalResult({self.n_images} images, {self.n_texts} texts, {first}{seen})"

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON, without the ranks."""
        sizes = {"text_retrieval": ("images", "text"), "image_retrieval": ("texts", "image")}
        n = {"images": self.n_images, "texts": self.n_texts}
        left_out = {
            f"n_{rows}_without_{other}": n[rows] - len(self.queries[way])
            for way, (rows, other) in sizes.items()
            if way in self.queries and len(self.queries[way]) < n[rows]
        }
        return {
            "n_images": self.n_images,
            "n_texts": self.n_texts,
            **left_out,
            "transductive": self.transductive,
            "shared_rows": plain_shared_rows(self.shared_rows),
            "metrics": dict(self.metrics),
        }


def pairing(image_of_text: Any, n_images: int, n_texts: int, positives: Any = None) -> Positives:
    """Positives of the texts, from ``positives`` or the image row of each text; None is by row.

    Texts and images without a partner are allowed: they are found, but not asked for.

    Raises `DistnormError` for a ground truth that does not fit, two of them, or one without a pair.
    """
    if positives is not None and image_of_text is not None:
        raise DistnormError(
            "both positives and image_of_text", "one ground truth", "leave one of them out"
        )
    if positives is not None:
        truth = Positives.of(positives, n_texts, n_images, partial=True)
    else:
        truth = Positives.of(_image_rows(image_of_text, n_images, n_texts), n_texts, n_images)
    if not len(truth.indices):
        raise DistnormError(
            f"{n_texts} texts and {n_images} images without a pair", "one at least", "add pairs"
        )
    return truth


def _image_rows(image_of_text: Any, n_images: int, n_texts: int) -> Indices:
    if image_of_text is None:
        if n_images != n_texts:
            raise DistnormError(
                f"{n_images} images and {n_texts} texts",
                "equal numbers, or the image row of each text",
                "pass image_of_text (--image-of-text), or positives (--positives) where a text "
                "has several images",
            )
        return np.arange(n_texts)
    rows = row_numbers(image_of_text)
    if rows is None or rows.shape != (n_texts,):
        words = "that are no row numbers" if rows is None else f"of shape {rows.shape}"
        raise DistnormError(
            f"image rows {words}",
            f"one image row for each of {n_texts} texts",
            "where a text has several images or none, pass positives (--positives) instead",
        )
    return rows


def evaluate_retrieval(
    norm: ScoreNormalization | None,
    images: Array,
    texts: Array,
    image_of_text: Any = None,
    *,
    positives: Any = None,
    k: int | Sequence[int] = (1, 5, 10),
    directions: Sequence[str] = DIRECTIONS,
    with_r_precision: bool = False,
    progress: Progress | None = None,
) -> RetrievalResult:
    """Retrieval of texts by images and of images by texts.

    Parameters
    ----------
    norm : ScoreNormalization or None
        Fitted; None is the dot product.
    images, texts : array, shape (n_images, d) and (n_texts, d)
    image_of_text : int array, shape (n_texts,), optional
        Row of the image that each text belongs to; several texts per image are usual.
    positives : per text the relevant images, optional
        Instead of ``image_of_text``, for ground truths with several images a text, or none: a
        list of image rows for each text, a mapping from text rows to such lists, or a boolean
        matrix (n_texts, n_images). Texts and images without a partner are in the galleries and
        are no queries.
    k : int or sequence of int
    directions : sequence of str
    with_r_precision : bool
        Also R-precision and mAP@R.
    progress : callable, optional
        Called with (queries done, queries in all).

    Raises
    ------
    DistnormError
        For unusable rows or a ground truth that does not fit them, sides that the statistics know
        to be swapped, and for copies among images that are paired row by row: they would be rivals
        of one another.
    """
    norm = make("dot") if norm is None else norm
    one, two = norm.sides
    images = checked(images, f"{one}s")
    texts = checked(texts, f"{two}s", dimension=images.shape[1])
    check_not_swapped(norm, **{one: images, two: texts})
    ks = check_k(k)
    n_images, n_texts = images.shape[0], texts.shape[0]
    if positives is None and n_images == n_texts:
        check_row_pairs(images, image_of_text, (f"{one}s", f"{two}s"))
    by_text = pairing(image_of_text, n_images, n_texts, positives)
    for name in directions:
        if name not in DIRECTIONS:
            raise DistnormError(f"direction {name!r}", f"one of {DIRECTIONS}", "rename it")
    rankings: dict[str, Ranking] = {}
    truths: dict[str, Positives] = {}
    queries: dict[str, Indices] = {}
    for name in directions:
        from_image = name == "text_retrieval"
        ranking = (
            norm.ranking(images, texts, one) if from_image else norm.ranking(texts, images, two)
        )
        truth = by_text.transposed() if from_image else by_text
        queries[name] = asked = truth.asked
        if len(asked) < truth.n_queries:
            ranking = replace(ranking, queries=take_rows(ranking.queries, asked))
        rankings[name], truths[name] = ranking, truth.take(asked)
    if with_r_precision:
        every = _pair_ranks(rankings, truths, progress)
        ranks, metrics, values = _figures(truths, ks, every, with_r_precision=True)
    else:
        best = _best_ranks(rankings, truths, progress)
        ranks, metrics, values = _figures(truths, ks, best, with_r_precision=False)
    rows = {one: images, two: texts}
    sides = [side for side, way in zip(norm.sides, DIRECTIONS, strict=True) if way in directions]
    shared = {side: norm.correction(side).overlap(rows[side]) for side in sides}
    return RetrievalResult(
        metrics, n_images, n_texts, ranks, is_transductive(shared), queries, values, shared
    )


def figures_of_scores(
    scores: Mapping[str, Float64],
    by_text: Positives,
    k: int | Sequence[int],
    *,
    with_r_precision: bool,
    transductive: bool,
) -> RetrievalResult:
    """The figures of one matrix (queries, items) for each direction."""
    n_texts, n_images = by_text.n_queries, by_text.n_items
    full = {"text_retrieval": by_text.transposed(), "image_retrieval": by_text}
    queries = {name: full[name].asked for name in scores}
    truths = {name: full[name].take(queries[name]) for name in scores}
    every = {
        name: ranks_of_scores(matrix[queries[name]], truths[name])
        for name, matrix in scores.items()
    }
    if not with_r_precision:
        every = {n: np.minimum.reduceat(r, truths[n].indptr[:-1]) for n, r in every.items()}
    ranks, metrics, values = _figures(truths, check_k(k), every, with_r_precision=with_r_precision)
    return RetrievalResult(metrics, n_images, n_texts, ranks, transductive, queries, values)


def _figures(
    truths: Mapping[str, Positives],
    ks: Sequence[int],
    every: dict[str, Int64],
    *,
    with_r_precision: bool,
) -> tuple[dict[str, Int64], dict[str, float], dict[str, Float64]]:
    """Best ranks, metrics, values by query; ``every`` has the ranks of all pairs, or the best."""
    metrics: dict[str, float] = {}
    values: dict[str, Float64] = {}
    ranks = dict(every)
    for name, truth in truths.items():
        if with_r_precision:
            ranks[name] = np.minimum.reduceat(every[name], truth.indptr[:-1])
            values[f"{name}_r_precision"] = r_precision(every[name], truth)
            values[f"{name}_map@r"] = average_precision_at_r(every[name], truth)
            for key in (f"{name}_r_precision", f"{name}_map@r"):
                metrics[key] = float(np.mean(values[key]))
        for value, recall in recall_of_ranks(ranks[name], ks).items():
            metrics[f"{name}_recall@{value}"] = recall
        metrics[f"{name}_median_rank"] = float(np.median(ranks[name]))
    return ranks, metrics, values


def _best_ranks(
    rankings: dict[str, Ranking], truths: dict[str, Positives], progress: Progress | None
) -> dict[str, Int64]:
    if len(rankings) < 2:
        return {
            name: best_ranks(ranking, truths[name], progress=progress)
            for name, ranking in rankings.items()
        }
    forth, back = (rankings[name] for name in DIRECTIONS)
    both = (truths[DIRECTIONS[0]], truths[DIRECTIONS[1]])
    return dict(
        zip(DIRECTIONS, best_ranks_both_ways(forth, back, both, progress=progress), strict=True)
    )


def _pair_ranks(
    rankings: dict[str, Ranking], truths: dict[str, Positives], progress: Progress | None
) -> dict[str, Int64]:
    total = sum(truth.n_queries for truth in truths.values())
    ranks: dict[str, Int64] = {}
    done = 0
    for name, ranking in rankings.items():

        def report(now: int, _: int, before: int = done) -> None:
            if progress is not None:
                progress(before + now, total)

        ranks[name] = pair_ranks(ranking, truths[name], progress=report)
        done += truths[name].n_queries
    return ranks

"""Texts and images in one list: each modality searched on its own, its scores made comparable.

Items of modality m are ranked among themselves by s_m(q, x) = q . x - b_t(x), where b_t rests on
the statistics of the query's modality t; for a linear method that is q' . x with one and the same
shifted query q' = q - s mu_t for all. Between modalities such scores do not compare: an image-text
model scores a sentence higher with any sentence than with its own picture. What is missing is a
number for each modality (and query), and no shift of the query can supply it: a shift changes the
score of an item by v . x, which depends on the item, where a number that depends on its modality
alone is needed. So there is one search a modality, and a merge:

**two-sided**: s_m(q, x) - b_m(q), the score of `ScoreNormalization.similarity`, with b_m the
bias of the *query* from the statistics of modality m (linear: s mu_m . q').

**standard**: (s_m(q, x) - mean_m) / deviation_m over the items of modality m. At strength 1/2 the
two-sided constant leaves a quarter of the gap between the modalities' mean scores, and spreads
differ too; on CLIP features of Flickr8k this brings the pictures into the list (docs/search.md).

The k best of a merge of each modality's k best are the k best of all: the answer is exact.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from distnorm.arrays import Array, as_working, check_embeddings, to_numpy
from distnorm.errors import DistnormError
from distnorm.exact import Gallery, topk
from distnorm.normalization import ScoreNormalization
from distnorm.text import columns

__all__ = ["SCALES", "MixedResult", "item_biases", "topk_mixed"]

SCALES = ("standard", "two-sided")
_SAMPLE = 4096


@dataclass(frozen=True)
class MixedResult:
    """The best items of several modalities, best first.

    Attributes
    ----------
    scores : ndarray, shape (n, k), float64
        On the scale asked for.
    sides : tuple of str
        Names of the modalities.
    side : ndarray of int, shape (n, k)
        Which of ``sides`` each item is of.
    rows : ndarray of int, shape (n, k)
        Row within its modality's items.
    """

    scores: npt.NDArray[np.float64]
    sides: tuple[str, ...]
    side: npt.NDArray[np.intp]
    rows: npt.NDArray[np.intp]

    def share(self, name: str) -> float:
        """Share of the results that are of one modality."""
        return float(np.mean(self.side == self.sides.index(name)))

    def __repr__(self) -> str:
        """One line with the sizes."""
        parts = ", ".join(f"{self.share(name):.0%} {name}" for name in self.sides)
        return f"MixedResult({self.rows.shape[0]} queries, k={self.rows.shape[1]}: {parts})"

    def __str__(self) -> str:
        """The lists of up to 5 queries as a table, 10 items of each."""
        rows: list[tuple[object, ...]] = []
        for query in range(min(5, len(self.rows))):
            sides, found, scores = (
                each[query, :10].tolist() for each in (self.side, self.rows, self.scores)
            )
            for rank, (side, row) in enumerate(zip(sides, found, strict=True), start=1):
                rows.append((query, rank, self.sides[side], row, scores[rank - 1]))
        return f"{self!r}\n{columns(('query', 'rank', 'side', 'row', 'score'), rows)}"


def topk_mixed(
    queries: Array,
    galleries: Mapping[str, Any],
    norm: ScoreNormalization | None = None,
    k: int = 10,
    *,
    modality: str = "text",
    scale: str = "standard",
    biases: Mapping[str, Any] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> MixedResult:
    """The k best items of several modalities together.

    Parameters
    ----------
    queries : array, shape (n, d)
    galleries : mapping from side to array, ShardedRows or Gallery, shape (m, d)
        Items of each modality, of one and the same model.
    norm : ScoreNormalization, optional
        Fitted on both sides; the dot product without one.
    k : int
    modality : str
        The side of the *queries*.
    scale : {"standard", "two-sided"}
        How scores of different modalities are made comparable. "standard" takes mean and
        deviation of each query's scores over up to 4,096 evenly spaced items of each modality.
    biases : mapping from side to array, shape (m,), optional
        Biases computed before, as `item_biases` gives them.
    progress : callable, optional
        Called with (items read, items to read) of one modality after the other.

    Returns
    -------
    MixedResult
        Ties go to the modality named first, then to the lowest row.

    Raises
    ------
    DistnormError
        For unusable rows, unknown sides, or a method without an item bias.
    """
    if scale not in SCALES:
        raise DistnormError(f"scale {scale!r}", " or ".join(map(repr, SCALES)), "leave it out")
    if not galleries:
        raise DistnormError("no galleries", "items of one modality at least", "pass them by side")
    queries = np.asarray(to_numpy(as_working(check_embeddings(queries, "queries"))))
    parts = []
    for side, items in galleries.items():
        gallery = items if isinstance(items, Gallery) else Gallery(items, queries.shape[1])
        shifted, bias = _ranking(queries, gallery, side, norm, modality, (biases or {}).get(side))
        scores, rows = topk(shifted, gallery, k, bias, progress=progress)
        if scale == "standard":
            center, width = _spread(shifted, gallery, bias)
        else:
            center, width = _constant(queries, side, norm, modality), np.ones(len(queries))
        parts.append(((scores - center[:, None]) / width[:, None], rows))
    scores = np.concatenate([part[0] for part in parts], axis=1)
    rows = np.concatenate([part[1] for part in parts], axis=1)
    side_of = np.repeat(np.arange(len(parts)), [part[1].shape[1] for part in parts])
    order = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    return MixedResult(
        np.take_along_axis(scores, order, axis=1),
        tuple(galleries),
        side_of[order],
        np.take_along_axis(rows, order, axis=1),
    )


def item_biases(
    norm: ScoreNormalization, items: Any, side: str, modality: str
) -> npt.NDArray[np.float64]:
    """Bias of items of ``side`` for queries of ``modality``, which may be the same side.

    Raises
    ------
    DistnormError
        For a method that has none, or statistics that are missing.
    """
    if not norm.spec.has_item_bias or norm.spec.shifts_queries:
        raise DistnormError(
            f"a bias of each item of {norm.method!r}",
            "a method whose score is q.x minus a bias of each item",
            "pick dn, dn2, is or nnn",
        )
    norm.fitted(modality)
    return to_numpy(norm.correction(modality).bias(items, side), np.float64)


def _ranking(
    queries: npt.NDArray[Any],
    gallery: Gallery,
    side: str,
    norm: ScoreNormalization | None,
    modality: str,
    bias: Any,
) -> tuple[npt.NDArray[Any], npt.NDArray[np.float64] | None]:
    """Queries and bias that rank the items of one side."""
    if norm is None or not norm.spec.corrects:
        return queries, None
    if norm.names.resolve(side) != side or norm.names.resolve(modality) != modality:
        raise DistnormError(f"sides {side!r}", " and ".join(norm.sides), "use these names")
    if norm.spec.shifts_queries:
        return norm.shift_queries(queries, modality=modality), None
    if not norm.strength[modality]:
        return queries, None
    if bias is None:
        bias = item_biases(norm, gallery.whole(), side, modality)
    return queries, to_numpy(np.asarray(bias), np.float64)


def _spread(
    queries: npt.NDArray[Any], gallery: Gallery, bias: npt.NDArray[np.float64] | None
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Mean and deviation of each query's scores over evenly spaced items."""
    sample = np.arange(0, len(gallery), max(1, len(gallery) // _SAMPLE), dtype=np.intp)
    scores = queries.astype(np.float64) @ gallery.wide(sample).T
    if bias is not None:
        scores -= bias[sample]
    width = scores.std(axis=1)
    return scores.mean(axis=1), np.where(width > 1e-9, width, 1.0)


def _constant(
    queries: npt.NDArray[Any], side: str, norm: ScoreNormalization | None, modality: str
) -> npt.NDArray[np.float64]:
    """What the two-sided score subtracts for each query beside the items' biases."""
    if norm is None or not norm.spec.corrects or not norm.strength[side]:
        return np.zeros(len(queries))
    if norm.spec.shifts_queries:
        shifted = to_numpy(norm.shift_queries(queries, modality=modality), np.float64)
        direction = norm.correction(side).direction
        constant: npt.NDArray[np.float64] = norm.strength[side] * (shifted @ direction)
        return constant
    return item_biases(norm, queries, modality, side)

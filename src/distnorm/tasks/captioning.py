"""Scores of captions, and how well they agree with people.

With c image.caption cosine, r the best cosine of the caption with a reference of its image:

    clipscore       2.5 max(c, 0)                                    Hessel et al. 2021
    refclipscore    harmonic mean of clipscore and max(r, 0)         Hessel et al. 2021
    dot, dn, ...    the normalization's two-sided score, unclipped   Zhou et al. 2023
    additive        that score + 0.25 r                              their code, with references
    harmonic        harmonic mean of max(that score, 0) and max(r, 0)
    exponential     exp(c - 2 b(caption)) + exp(c - 2 b(image))      their first code
    exponential-additive    that sum + r                             the same, with references

b are the normalization's item biases, strength included: for DN at 1/2 the exponents are
c - m_X.y and c - m_Y.x, and the sum is 2 + 2 (x - m_Y/2).(y - m_X/2) to first order.

Reference-free scores read no reference; statistics come from the rows the normalization was
fitted on, which must not be references either.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from distnorm.arrays import (
    Array,
    CheckedRows,
    Float64,
    Indices,
    as_working,
    blocks,
    checked,
    rows_per_block,
    to_numpy,
)
from distnorm.calibration.side_check import check_not_swapped
from distnorm.errors import DistnormError
from distnorm.metrics.correlations import kendall_tau, spearman_rho
from distnorm.metrics.positives import row_numbers
from distnorm.moments import Overlap
from distnorm.normalization import ScoreNormalization
from distnorm.tasks.shared_rows import (
    SharedRows,
    is_transductive,
    plain_shared_rows,
    transductive_text,
)

__all__ = [
    "RULES",
    "CaptionResult",
    "agreement",
    "best_reference",
    "check_judgements",
    "check_owner",
    "evaluate_captions",
    "pair_accuracy",
    "score_captions",
    "shared_captions",
]

RULES = (
    "plain",
    "clipscore",
    "refclipscore",
    "additive",
    "harmonic",
    "exponential",
    "exponential-additive",
)
_WITHOUT_REFERENCES = ("plain", "clipscore", "exponential")


@dataclass(frozen=True)
class CaptionResult:
    """Agreement of scores (n_captions,) with judgements."""

    metrics: dict[str, float]  # ``kendall_tau_b``, ``kendall_tau_c``, ``spearman``, in [-1, 1]
    scores: Float64
    shared_rows: SharedRows = field(default_factory=dict, repr=False)

    @property
    def transductive(self) -> bool:
        """Whether the statistics hold any of the evaluated rows."""
        return is_transductive(self.shared_rows)

    def __repr__(self) -> str:
        """One line."""
        values = ", ".join(f"{name}={value:.3f}" for name, value in self.metrics.items())
        values += transductive_text(self.shared_rows, self.transductive)
        return f"CaptionResult({len(self.scores)} captions, {values})"

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON, without the scores."""
        return {
            "n_captions": len(self.scores),
            "transductive": self.transductive,
            "shared_rows": plain_shared_rows(self.shared_rows),
            "metrics": dict(self.metrics),
        }


def score_captions(
    norm: ScoreNormalization | None,
    images: Array,
    captions: Array,
    image_of_caption: Any = None,
    *,
    references: Array | None = None,
    image_of_reference: Any = None,
    rule: str | None = None,
    reference_weight: float | None = None,
) -> Float64:
    """One score per caption; higher is better.

    Parameters
    ----------
    norm : ScoreNormalization or None
        Fitted on both sides; None is the dot product.
    images : array, shape (n, d)
    captions : array, shape (m, d)
    image_of_caption : int array, shape (m,), optional
        Row of each caption's image; row by row if left out.
    references : array, shape (r, d), optional
    image_of_reference : int array, shape (r,), optional
    rule : str, optional
        One of `RULES`; "plain" without references, "additive" with them.
    reference_weight : float, optional
        What r counts where it is added; 0.25 by the rule "additive", 1 by "exponential-additive".

    Returns
    -------
    ndarray of float64, shape (m,)

    Raises
    ------
    DistnormError
        For unusable rows, an unknown rule, or references that a rule needs and lacks.
    """
    images = checked(images, "images")
    captions = checked(captions, "captions", dimension=images.shape[1])
    if norm is not None:
        check_not_swapped(norm, **dict(zip(norm.sides, (images, captions), strict=True)))
    owner = check_owner(image_of_caption, captions.shape[0], images.shape[0], "captions")
    rule = rule or ("plain" if references is None else "additive")
    if rule not in RULES:
        raise DistnormError(f"rule {rule!r}", f"one of {', '.join(RULES)}", "pick one")
    if rule in ("clipscore", "refclipscore") and norm is not None and norm.spec.corrects:
        raise DistnormError(
            f"rule {rule!r} with method {norm.method!r}",
            "the dot product",
            "use 'plain', 'additive' or 'harmonic'",
        )
    if rule.startswith("exponential"):
        scores = _exponential(norm, images, captions, owner)
    else:
        scores = _pair_scores(norm, images, captions, owner)
    if rule in _WITHOUT_REFERENCES:
        return 2.5 * np.maximum(scores, 0) if rule == "clipscore" else scores
    if references is None:
        raise DistnormError(f"rule {rule!r} without references", "references=", "give them")
    references = checked(references, "references", dimension=images.shape[1])
    belongs = check_owner(image_of_reference, references.shape[0], images.shape[0], "references")
    best = best_reference(captions.rows, owner, references.rows, belongs)
    if rule.endswith("additive"):
        usual = 0.25 if rule == "additive" else 1.0
        return scores + (usual if reference_weight is None else reference_weight) * best
    first = 2.5 * np.maximum(scores, 0) if rule == "refclipscore" else np.maximum(scores, 0)
    second = np.maximum(best, 0)
    total = first + second
    product = 2 * first * second
    return np.divide(product, total, out=np.zeros_like(total), where=total > 0)


def evaluate_captions(
    norm: ScoreNormalization | None,
    images: Array,
    captions: Array,
    human: Any,
    image_of_caption: Any = None,
    **options: Any,
) -> CaptionResult:
    """Kendall's tau b and c and Spearman's rho of scores with judgements.

    Parameters
    ----------
    norm, images, captions, image_of_caption
        As `score_captions`.
    human : array of numbers, shape (m,)
        Higher is better.
    **options
        ``references``, ``image_of_reference``, ``rule``, ``reference_weight``, as
        `score_captions`.

    Raises
    ------
    DistnormError
        As `score_captions`; for judgements of another shape, or that are all the same.
    """
    images = checked(images, "images")
    captions = checked(captions, "captions", dimension=images.shape[1])
    scores = score_captions(norm, images, captions, image_of_caption, **options)
    judged = check_judgements(human, len(scores))
    return CaptionResult(agreement(scores, judged), scores, shared_captions(norm, images, captions))


def shared_captions(
    norm: ScoreNormalization | None, images: Array, captions: Array
) -> dict[str, Overlap | None]:
    """How many of the evaluated images and captions were fitted, by side."""
    if norm is None:
        return {}
    rows = {norm.sides[0]: checked(images, "images"), norm.sides[1]: checked(captions, "captions")}
    return {side: norm.correction(side).overlap(x) for side, x in rows.items()}


def check_judgements(human: Any, n_captions: int) -> Float64:
    """Judgements as (n_captions,) finite numbers that are not all the same, or raise."""
    try:
        judged = np.asarray(to_numpy(human) if hasattr(human, "__dlpack__") else human, np.float64)
    except (TypeError, ValueError) as error:
        raise DistnormError(
            "judgements that are no matrix of numbers",
            f"({n_captions},) numbers",
            "give one number for each caption: of several raters their mean",
        ) from error
    if judged.shape == (n_captions, 1):
        judged = judged[:, 0]
    if judged.shape != (n_captions,):
        raters = judged.ndim == 2 and n_captions in judged.shape
        axis = int(raters and judged.shape[0] == n_captions)
        raise DistnormError(
            f"judgements of shape {judged.shape}",
            f"({n_captions},) numbers",
            f"average the raters: human.mean(axis={axis})"
            if raters
            else "give one for each caption",
        )
    if not np.isfinite(judged).all():
        row = int(np.flatnonzero(~np.isfinite(judged))[0])
        raise DistnormError(
            f"a judgement of {judged[row]} in row {row}", "finite numbers", "drop the row"
        )
    if np.ptp(judged) == 0:
        raise DistnormError(
            f"judgements that are all the same ({judged[0]:g})",
            "at least two different ones",
            "without them there is no rank correlation: have captions of other quality judged too",
        )
    return judged


def agreement(scores: Any, human: Any) -> dict[str, float]:
    """Kendall's tau b and c and Spearman's rho by their names in results."""
    judged = np.asarray(human, dtype=np.float64)
    return {
        "kendall_tau_b": kendall_tau(scores, judged, "b"),
        "kendall_tau_c": kendall_tau(scores, judged, "c"),
        "spearman": spearman_rho(scores, judged),
    }


def pair_accuracy(
    first: Any, second: Any, prefers_first: Any, categories: Sequence[str] | None = None
) -> dict[str, float]:
    """How often the preferred caption of a pair scores higher (Pascal-50S); a tie counts half.

    ``first`` and ``second`` are the scores of the pair's captions, ``prefers_first`` bools, all
    (n,). With ``categories`` (HC, HI, HM, MM) the accuracy of each, beside ``mean``, their mean.
    """
    one, two = (np.asarray(x, dtype=np.float64) for x in (first, second))
    preferred = np.asarray(prefers_first, dtype=bool)
    right = np.where(one == two, 0.5, (one > two) == preferred)
    if categories is None:
        return {"mean": float(right.mean())}
    names = np.asarray(categories)
    found = {str(name): float(right[names == name].mean()) for name in np.unique(names)}
    return {**found, "mean": float(np.mean(list(found.values())))}


def best_reference(
    captions: Array, image_of_caption: Indices, references: Array, image_of_reference: Indices
) -> Float64:
    """Highest cosine of each caption with a reference of its image, shape (m,)."""
    order = np.argsort(image_of_reference, kind="stable")
    sorted_owner = image_of_reference[order]
    starts = np.searchsorted(sorted_owner, image_of_caption, side="left")
    stops = np.searchsorted(sorted_owner, image_of_caption, side="right")
    if (starts == stops).any():
        at = int(np.flatnonzero(starts == stops)[0])
        raise DistnormError(
            f"caption {at} of image {int(image_of_caption[at])} without a reference",
            "one at least",
            "leave such captions out",
        )
    left = to_numpy(as_working(captions), np.float64)
    right = to_numpy(as_working(references), np.float64)[order]
    best = np.full(len(left), -np.inf)
    for number in range(int((stops - starts).max())):
        rows = np.flatnonzero(starts + number < stops)
        cosine = np.einsum("ij,ij->i", left[rows], right[starts[rows] + number])
        best[rows] = np.maximum(best[rows], cosine)
    return best


def check_owner(owner: Any, n_rows: int, n_images: int, what: str) -> Indices:
    """Image row of each caption or reference."""
    if owner is None and n_rows != n_images:
        raise DistnormError(
            f"{n_rows} {what} and {n_images} images",
            "equal numbers, or the image row of each",
            "say which image each belongs to",
        )
    found = np.arange(n_rows) if owner is None else row_numbers(owner)
    if found is None or found.shape != (n_rows,):
        words = "that are no whole numbers" if found is None else f"of shape {found.shape}"
        raise DistnormError(
            f"image rows {words}",
            f"({n_rows},) whole numbers",
            f"give the image row of each of the {what}; several {what} of an image are several "
            "rows",
        )
    if n_rows and (found.min() < 0 or found.max() >= n_images):
        raise DistnormError(
            f"image rows {found.min()} to {found.max()}", f"0 to {n_images - 1}", "renumber them"
        )
    return found


def _exponential(
    norm: ScoreNormalization | None, images: CheckedRows, captions: CheckedRows, owner: Indices
) -> Float64:
    """Sum of the two exponentials of a cosine less twice an item bias, pair by pair."""
    cosine = _pair_scores(None, images, captions, owner)
    if norm is None or not norm.spec.corrects:
        return np.asarray(2 * np.exp(cosine))
    if not norm.spec.has_item_bias:
        raise DistnormError(
            f"rule 'exponential' with method {norm.method!r}",
            "a method with a bias of each item: dn, dn2, is, nnn ...",
            "pick one of these, or the rule 'plain'",
        )
    one, two = norm.sides
    of_images = to_numpy(norm.item_bias(images, one), np.float64)
    of_captions = to_numpy(norm.item_bias(captions, two), np.float64)
    total: Float64 = np.exp(cosine - 2 * of_captions) + np.exp(cosine - 2 * of_images[owner])
    return total


def _pair_scores(
    norm: ScoreNormalization | None, images: CheckedRows, captions: CheckedRows, owner: Indices
) -> Float64:
    """Two-sided scores pair by pair, in blocks."""
    left, right = to_numpy(as_working(images.rows)), to_numpy(as_working(captions.rows))
    scores = np.empty(len(owner))
    for rows in blocks(len(owner), rows_per_block(right.shape[1], itemsize=8)):
        first, second = left[owner[rows]], right[rows]
        if norm is None:
            scores[rows] = np.einsum("ij,ij->i", first, second, dtype=np.float64)
        else:
            pair = CheckedRows(first, images.name), CheckedRows(second, captions.name)
            scores[rows] = norm.paired_similarity(*pair)
    return scores

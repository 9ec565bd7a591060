"""How often classes come: a bias per class from unlabelled images, and a gate that knows which.

    score(x, c) - b_c        b from balance or shift, see `distnorm.tasks.prior_estimates`

``balance`` and ``shift`` are opposite bets, and each is ruinous where the other holds. ``auto``
looks at the images (`distnorm.tasks.prior_evidence`) and takes one of them where they are clear,
none where they are not. What it rests on is a sample of the images (`ImageSample`), which streams,
and is kept in the notes of the normalization with the biases; so a file holds all there is.
"""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, TypeVar

import numpy as np

from distnorm.arrays import (
    Array,
    CheckedRows,
    Float32,
    as_working,
    blocks,
    checked,
    from_numpy,
    in_library_of,
    rows_per_block,
    to_numpy,
)
from distnorm.errors import DistnormError
from distnorm.metrics.ranking import Ranking
from distnorm.moments import Overlap
from distnorm.normalization import ScoreNormalization
from distnorm.normalization.state import check_prior
from distnorm.tasks.image_sample import ImageSample
from distnorm.tasks.prior_estimates import (
    STRENGTH,
    balance_bias,
    posteriors,
    shift_bias,
    temperature_of,
)
from distnorm.tasks.prior_evidence import evidence_of

__all__ = [
    "class_prior_facts",
    "class_prior_text",
    "class_ranking",
    "fit_class_prior",
    "prior_overlap",
    "sample_of",
    "with_prior",
    "with_sample",
]

Norm = TypeVar("Norm", bound=ScoreNormalization)

_MOST_POSTERIORS = 1 << 24


def with_prior(norm: Norm, prior: str) -> Norm:
    """A copy of ``norm`` whose classes count as ``prior`` says; what it learned of them stays."""
    check_prior(prior)
    result = copy.copy(norm)
    result.state = replace(result.state, prior=prior)
    if prior != norm.prior:
        result.notes = replace(result.notes, class_prior=None)
    return result


def fit_class_prior(norm: Norm, images: Array, classes: Array, *, prior: str | None = None) -> Norm:
    """Learn from unlabelled images how often each class comes.

    Parameters
    ----------
    norm : ScoreNormalization, fitted
    images : array, shape (n, d)
        Best in the order in which they came: that shows whether they came class by class.
    classes : array, shape (c, d)
    prior : {"balance", "shift", "auto"}, optional
        What to make of it; what ``norm`` was made with if left out.

    Returns
    -------
    ScoreNormalization
        A copy that knows: `evaluate_classification` and `ZeroShotClassifier` use it, `save` keeps
        it.

    Raises
    ------
    DistnormError
        For prior "none", unusable rows, or a method without a bias per class.

    Examples
    --------
    >>> import numpy as np, distnorm
    >>> rng = np.random.default_rng(0)
    >>> C = distnorm.normalize(rng.normal(size=(4, 16)))
    >>> X = distnorm.normalize(C[rng.integers(0, 4, 200)] + 0.2 * rng.normal(size=(200, 16)))
    >>> norm = distnorm.fit_class_prior(distnorm.make("dot"), X, C, prior="balance")
    >>> norm.notes.class_prior["kind"], norm.notes.class_prior["images"]
    ('balance', 200)
    """
    result = with_prior(norm, norm.prior if prior is None else prior)
    if result.prior == "none":
        raise DistnormError("prior 'none'", "'balance', 'shift' or 'auto'", "pass prior='auto'")
    rows = result.check(images, result.sides[0])
    return with_sample(result, ImageSample.empty().add(rows), classes)


def with_sample(norm: Norm, sample: ImageSample, classes: Array) -> Norm:
    """``norm`` with the prior that a sample tells, which its notes then hold."""
    found = _estimated(norm, sample, classes)
    norm.current.add(norm.state, class_prior=found, class_images=sample.to_arrays())
    return norm


def sample_of(norm: ScoreNormalization) -> ImageSample:
    """The images that a prior rests on, none if there is no prior."""
    kept = norm.notes.class_images
    if norm.notes.class_prior is None or kept is None:
        return ImageSample.empty()
    return ImageSample.from_arrays(kept)


def class_ranking(
    norm: ScoreNormalization, images: Array | CheckedRows, classes: Array | CheckedRows
) -> Ranking:
    """How to rank classes for images, with the prior of ``norm``, which must have seen images."""
    ranking = norm.ranking(images, classes, norm.sides[0])
    if norm.prior == "none":
        return ranking
    about = norm.notes.class_prior
    if about is None:
        raise DistnormError(
            f"prior {norm.prior!r} without images that tell how often classes come",
            "unlabelled images",
            "call distnorm.fit_class_prior(norm, images, classes), or pass prior='none'",
        )
    rows = checked(classes, "classes")
    if about["classes"] != _fingerprint(rows):
        # The images are kept, so any other classes have a prior as well.
        about = with_sample(norm, sample_of(norm), rows).notes.class_prior
        assert about is not None
    if about["kind"] == "none":
        return ranking
    own = from_numpy(np.array(about["bias"]), as_working(ranking.items))
    return replace(ranking, bias=own if ranking.bias is None else ranking.bias + own)


def prior_overlap(norm: ScoreNormalization, images: Array | CheckedRows) -> Overlap | None:
    """How many of the evaluated ``images`` the prior was learned from; None if it has none."""
    if norm.prior == "none" or norm.notes.class_prior is None:
        return None
    return sample_of(norm).overlap(images)


def class_prior_text(about: Mapping[str, Any]) -> str:
    """The prior in one sentence."""
    images = f"{about['images']} images of {len(about['bias'])} classes"
    wanted = "" if about["wanted"] == about["kind"] else f"{about['wanted']}, "
    return f"class prior: {wanted}{about['kind']}, from {images}: {about['why']}"


def class_prior_facts(about: Mapping[str, Any]) -> dict[str, Any]:
    """The prior for JSON: all but its numbers per class."""
    facts = {key: value for key, value in about.items() if key != "bias"}
    return {**facts, "n_classes": len(about["bias"]), "text": class_prior_text(about)}


def _estimated(norm: ScoreNormalization, sample: ImageSample, classes: Any) -> dict[str, Any]:
    """The note of a prior, for JSON."""
    rows = checked(classes, "classes")
    count = rows.shape[0]
    if not len(sample.keys):
        raise DistnormError("no images for a class prior", "some", "pass unlabelled images")
    scores, moved = _scores(norm, sample, rows)
    n = len(scores)
    weights, places = sample.counts[:n].astype(np.float64), sample.places[:n]
    temperature = temperature_of(scores)
    evidence = evidence_of(scores, moved, weights, places)
    kind, why = norm.prior, "as asked"
    if kind == "auto":
        kind, why = evidence.kind, evidence.why
    bias = np.zeros(count)
    if kind != "none":
        estimate = balance_bias if kind == "balance" else shift_bias
        bias = STRENGTH * temperature * estimate(posteriors(scores, temperature), weights)
    return {
        "wanted": norm.prior,
        "kind": kind,
        "why": why,
        "temperature": temperature,
        "classes": _fingerprint(rows),
        "bias": bias.tolist(),
        "images": sample.seen,
        "figures": evidence.to_dict(),
    }


def _scores(
    norm: ScoreNormalization, sample: ImageSample, classes: CheckedRows
) -> tuple[Float32, Float32]:
    """Scores of the sample's first rows, (n, c), as many as memory allows; the rows they are of."""
    most = max(256, _MOST_POSTERIORS // classes.shape[0])
    images = sample.rows[:most]
    parts = []
    for part in blocks(len(images), rows_per_block(classes.shape[0])):
        given = in_library_of(classes.rows, images[part])
        ranking = norm.ranking(given, classes, norm.sides[0])
        if ranking.gate is not None:
            raise DistnormError(
                f"a class prior with {norm.method!r}",
                "a method whose score is x.c minus a bias of each class",
                "take is, nnn or dn, or prior='none'",
            )
        parts.append(to_numpy(ranking.scores(), np.float32))
    return np.concatenate(parts), to_numpy(as_working(ranking.items), np.float32)


def _fingerprint(classes: CheckedRows) -> str:
    """Tells class rows from others, in their order and precision."""
    values = np.ascontiguousarray(to_numpy(classes.rows, np.float32))
    return hashlib.sha256(values.tobytes()).hexdigest()[:16]

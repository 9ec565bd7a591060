"""Every method side by side on caption scoring: agreement with judgements.

Intervals resample images with all their captions. Tau of a resample is approximated by each
caption's share in it (first order of its Hoeffding decomposition), with the ties as they are.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from distnorm.arrays import Array, check_embeddings
from distnorm.comparison.protocol import (
    DEFAULT_METHODS,
    describe,
    draws,
    method_norms,
    reference_rows,
    take_rows,
)
from distnorm.comparison.results import Comparison
from distnorm.comparison.tally import Tally
from distnorm.errors import DistnormError
from distnorm.metrics.correlations import concordance, tau_scale
from distnorm.tasks.captioning import CaptionResult, check_owner, evaluate_captions

__all__ = ["compare_captions", "tau_shares"]


def compare_captions(
    images: Array,
    captions: Array,
    human: Any,
    image_of_caption: Any = None,
    *,
    references: Array | None = None,
    image_of_reference: Any = None,
    rule: str | None = None,
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
    """Compare methods on Kendall's tau b and c and Spearman's rho.

    Parameters
    ----------
    images, captions : array, shape (n, d) and (m, d)
    human : array of numbers, shape (m,)
        Judgement of each caption, higher is better.
    image_of_caption : int array, shape (m,), optional
    references, image_of_reference, rule
        As `score_captions`.
    methods, protocol, fit_fraction, repeats, seed, samples, fit_images, fit_texts, strength, input
        As `compare_retrieval`; texts are the captions.
    progress : callable, optional

    Raises
    ------
    DistnormError
        For input that cannot be compared or split, or judgements that are all equal.
    """
    images = check_embeddings(images, "images")
    captions = check_embeddings(captions, "captions", dimension=images.shape[1])
    owner = check_owner(image_of_caption, captions.shape[0], images.shape[0], "captions")
    judged = np.asarray(human, dtype=np.float64)
    if judged.shape != (len(owner),) or len(np.unique(judged)) < 2:
        raise DistnormError(
            f"judgements of shape {judged.shape}, {len(np.unique(judged))} different",
            f"({len(owner)},) numbers that differ",
            "give one for each caption",
        )
    norms = method_norms(methods, strength, input)
    if fit_images is not None or fit_texts is not None:
        protocol = "reference" if protocol == "held-out" else protocol
    described = describe(protocol, fit_fraction, repeats, seed, samples)
    reference = reference_rows(fit_images, fit_texts, protocol, images.shape[1])
    tally = Tally(norms, {"caption": owner}, images.shape[0])
    total = len(norms) * int(described["repeats"])
    named = rule or ("plain" if references is None else "additive")
    options = {"references": references, "image_of_reference": image_of_reference, "rule": rule}
    for number, (split, fit_rows) in enumerate(
        draws(images, captions, owner, described, reference)
    ):
        texts = take_rows(captions, split.texts)
        answers = judged[split.texts]
        tally.saw("caption", split.texts)
        for index, norm in enumerate(norms):
            fitted = norm.clone().fit(**fit_rows)
            result = evaluate_captions(
                fitted, images, texts, answers, owner[split.texts], **options
            )
            flag = protocol == "transductive"
            tally.note(index, fitted, result.metrics, transductive=flag)
            for name, values in tau_shares(result, answers).items():
                tally.add(index, name, "caption", split.texts, values)
            if progress is not None:
                progress(number * len(norms) + index + 1, total)
    sizes = {"n_images": images.shape[0], "n_captions": captions.shape[0]}
    return Comparison("captions", sizes, described, tally.results(described, rule=named))


def tau_shares(
    result: CaptionResult, human: npt.NDArray[np.float64]
) -> dict[str, npt.NDArray[np.float64]]:
    """Each caption's share in tau b and c, to first order: their mean is tau.

    Parameters
    ----------
    result : CaptionResult
    human : ndarray, shape (n_captions,)
        The judgements that it was evaluated with.
    """
    share = concordance(result.scores, human) * len(human)
    found = {}
    for variant in ("b", "c"):
        name = f"kendall_tau_{variant}"
        found[name] = share * tau_scale(result.scores, human, variant) - result.metrics[name]
    return found

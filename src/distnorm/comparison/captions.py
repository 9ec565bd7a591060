"""Every method side by side on caption scoring: agreement with judgements.

Intervals resample images with all their captions. Tau of a resample is approximated by each
caption's share in it (first order of its Hoeffding decomposition), with the ties as they are.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from distnorm.arrays import Array, Float64, checked
from distnorm.comparison.draws import Draw, draws, reference_rows
from distnorm.comparison.protocol import Protocol
from distnorm.comparison.results import Comparison
from distnorm.comparison.runner import Experiment, run
from distnorm.comparison.tally import Outcome
from distnorm.errors import DistnormError
from distnorm.metrics.correlations import concordance, tau_scale
from distnorm.normalization import ScoreNormalization
from distnorm.system.progress import Progress
from distnorm.tasks.captioning import (
    CaptionResult,
    agreement,
    check_judgements,
    check_owner,
    score_captions,
    shared_captions,
)

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
    protocol: str | Protocol = "held-out",
    progress: Progress | None = None,
    **settings: Any,
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
    protocol, progress, **settings
        As `compare_retrieval`; texts are the captions.

    Raises
    ------
    DistnormError
        For input that cannot be compared or split, or judgements that are all equal.
    """
    left = checked(images, "images")
    right = checked(captions, "captions", dimension=left.shape[1])
    if references is not None:
        references = checked(references, "references", dimension=left.shape[1])
    owner = check_owner(image_of_caption, right.shape[0], left.shape[0], "captions")
    judged = check_judgements(human, len(owner))
    plan = Protocol.of(protocol, **settings)
    reference = reference_rows(plan, left.shape[1], both=True)
    options = {"references": references, "image_of_reference": image_of_reference, "rule": rule}

    def evaluate(norm: ScoreNormalization, draw: Draw) -> Outcome:
        answers, owners = judged[draw.texts], owner[draw.texts]
        if np.ptp(answers) == 0:
            raise DistnormError(
                f"a split of {len(answers)} captions whose judgements are all the same",
                "different ones in every split",
                "use more captions, or a smaller fit fraction",
            )
        scores = score_captions(norm, left, draw.evaluated[1], owners, **options)
        result = CaptionResult(agreement(scores, answers), scores)
        values = {
            name: ("caption", draw.texts, shares)
            for name, shares in tau_shares(result, answers).items()
        }
        shared = shared_captions(norm, *draw.evaluated)
        return Outcome(norm, result.metrics, values, plan.is_transductive(shared), shared)

    experiment = Experiment(
        "captions",
        {"n_images": left.shape[0], "n_captions": right.shape[0]},
        {"caption": owner},
        draws(plan, left, right, owner, reference),
        evaluate,
        rule=rule or ("plain" if references is None else "additive"),
    )
    return run(experiment, plan, progress)


def tau_shares(result: CaptionResult, human: Float64) -> dict[str, Float64]:
    """Each caption's share in tau b and c, to first order, by metric: their mean is tau."""
    share = concordance(result.scores, human) * len(human)
    return {
        name: share * tau_scale(result.scores, human, name[-1]) - result.metrics[name]
        for name in ("kendall_tau_b", "kendall_tau_c")
    }

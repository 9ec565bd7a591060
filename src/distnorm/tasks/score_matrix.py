"""Methods on a given matrix of scores, of models whose score is no dot product.

With S the scores of queries with items, (q, n), and B those of a bank of other queries with the
same items, (m, n), the score of query i for item y is

    S_iy - strength bias_y(B)             is, nnn, csls, sinkhorn; qbnorm for some queries only
    log softmax_y (beta S_i) + log softmax_i (beta S_y)             dual-softmax

(`distnorm.methods.score_bank`). Without a bank the queries themselves are it, which makes every
result transductive; dual-softmax always is (Cheng et al. 2021), and ranks as ``is`` at strength
1/2 does. Methods that need vectors are refused.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from distnorm.arrays import Array, Float64, from_numpy
from distnorm.errors import DistnormError
from distnorm.methods.bank import INVERTED_SOFTMAX
from distnorm.methods.base import Method, real
from distnorm.methods.registry import METHODS, parse_method
from distnorm.methods.score_bank import beta_of_scores, log_mean_exp
from distnorm.metrics.figures import check_scores
from distnorm.tasks.retrieval import RetrievalResult, figures_of_scores, pairing

__all__ = [
    "DUAL_SOFTMAX",
    "evaluate_scores",
    "normalize_scores",
    "parse_scores_method",
    "score_methods",
]

DUAL_SOFTMAX = "dual-softmax"


def score_methods() -> tuple[str, ...]:
    """The names that `normalize_scores` takes."""
    takes = [name for name, method in METHODS.items() if method.of_scores is not None]
    return (*takes, DUAL_SOFTMAX)


def parse_scores_method(text: str) -> tuple[str, float | None, dict[str, Any]]:
    """`parse_method`, also for ``dual-softmax``."""
    if text.partition("@")[0].partition(":")[0] != DUAL_SOFTMAX:
        return parse_method(text)
    _, strength, params = parse_method(text.replace(DUAL_SOFTMAX, INVERTED_SOFTMAX.name, 1))
    return DUAL_SOFTMAX, strength, params


def normalize_scores(
    scores: Array,
    method: str,
    *,
    bank: Array | None = None,
    strength: float | None = None,
    **params: Any,
) -> Array:
    """Normalized scores of queries with items, from scores alone.

    Parameters
    ----------
    scores : array, shape (n_queries, n_items)
        Finite, higher is better; of any model.
    method : str
        ``is``, ``nnn``, ``csls``, ``qbnorm``, ``sinkhorn`` or ``dual-softmax``, optionally with
        strength and parameters: ``"nnn@0.5:k=16"``.
    bank : array, shape (n_bank, n_items), optional
        Scores of other queries with the same items. Left out, the queries are the bank, and what
        comes out depends on all of them: say "transductive" of results.
    strength : float, optional
        The method's own if left out.
    **params
        The method's: ``k``, ``beta``, ``scale``, ``iterations`` ...

    Returns
    -------
    array, shape (n_queries, n_items)
        In the library and on the device of ``scores``. They rank the items of a query.

    Raises
    ------
    DistnormError
        For a method that needs vectors, matrices that do not fit, or a parameter out of range.

    Examples
    --------
    >>> S = [[0.9, 0.8], [0.9, 0.1]]
    >>> normalize_scores(S, "nnn", k=2, strength=1.0).round(2).tolist()
    [[0.0, 0.35], [0.0, -0.35]]
    """
    matrix = check_scores(scores, "scores").astype(np.float64)
    name, own, settings = parse_scores_method(method)
    strength, params = own if strength is None else strength, {**settings, **params}
    others = matrix
    if bank is not None:
        others = check_scores(bank, "bank").astype(np.float64)
        if others.shape[1] != matrix.shape[1]:
            raise DistnormError(
                f"a bank of shape {others.shape} for scores of shape {matrix.shape}",
                f"(n_bank, {matrix.shape[1]}), the scores of other queries with the same items",
                "it looks transposed: pass bank.T"
                if others.shape[0] == matrix.shape[1]
                else "score the bank's queries with these items",
            )
    if name == DUAL_SOFTMAX:
        found = _dual_softmax(matrix, bank is not None, strength, params)
    else:
        found = _biased(matrix, others, _method(name), strength, params)
    return found if isinstance(scores, (list, tuple)) else from_numpy(found, scores)


def evaluate_scores(
    scores: Array,
    image_of_text: Any = None,
    *,
    positives: Any = None,
    method: str | None = None,
    image_bank: Array | None = None,
    text_bank: Array | None = None,
    strength: float | None = None,
    k: int | Sequence[int] = (1, 5, 10),
    with_r_precision: bool = False,
) -> RetrievalResult:
    """Retrieval in both directions from a matrix of scores.

    Parameters
    ----------
    scores : array, shape (n_images, n_texts)
    image_of_text, positives
        As `evaluate_retrieval`.
    method : str, optional
        As `normalize_scores`; the scores as they are if left out.
    image_bank : array, shape (n_bank, n_texts), optional
        Scores of other images with these texts: for images that look for texts.
    text_bank : array, shape (n_images, n_bank), optional
        Scores of these images with other texts: for texts that look for images.
    strength : float, optional
        As `normalize_scores`.
    k, with_r_precision
        As `evaluate_retrieval`.

    Raises
    ------
    DistnormError
        As `normalize_scores` and `evaluate_retrieval`.
    """
    matrix = check_scores(scores, "scores").astype(np.float64)
    truth = pairing(image_of_text, matrix.shape[0], matrix.shape[1], positives)
    banks = {
        "text_retrieval": image_bank,
        "image_retrieval": None if text_bank is None else check_scores(text_bank, "text_bank").T,
    }
    ways = {"text_retrieval": matrix, "image_retrieval": np.ascontiguousarray(matrix.T)}
    if method is not None:
        ways = {
            way: normalize_scores(x, method, bank=banks[way], strength=strength)
            for way, x in ways.items()
        }
    lacks = any(bank is None for bank in banks.values())
    transductive = method is not None and (lacks or parse_scores_method(method)[0] == DUAL_SOFTMAX)
    return figures_of_scores(
        ways, truth, k, with_r_precision=with_r_precision, transductive=transductive
    )


def _method(name: str) -> Method:
    """The method; raises, with the reason, for one that needs vectors."""
    takes = ", ".join(score_methods())
    method = METHODS[name]
    if method.of_scores is not None:
        return method
    if not method.corrects:
        raise DistnormError(
            f"method {name!r} with a matrix of scores, which it leaves as it is",
            f"one of {takes}",
            "leave the method out to evaluate scores as they are",
        )
    remedy = "evaluate the vectors, or pick one of these"
    if method.direction is not None:
        remedy = (
            "evaluate the vectors; where scores are dot products, nnn with k = the size of the "
            "bank ranks as dn does"
        )
    raise DistnormError(
        f"method {name!r} with a matrix of scores: it needs vectors", f"one of {takes}", remedy
    )


def _biased(
    matrix: Float64, bank: Float64, method: Method, strength: float | None, params: dict[str, Any]
) -> Float64:
    assert method.of_scores is not None
    own = real("strength", method.strength if strength is None else strength)
    for name in params:
        if name in method.parameters and method.parameters[name].quiet:
            raise DistnormError(f"{name!r} with a matrix of scores", "vectors", "leave it out")
    bias = own * method.of_scores(bank, method.check_params(params))
    if not method.gated:
        return matrix - bias
    popular = np.zeros(matrix.shape[1], dtype=bool)
    popular[bank.argmax(axis=1)] = True
    counts = popular[matrix.argmax(axis=1)]
    return np.where(counts[:, None], matrix - bias, matrix)


def _dual_softmax(
    matrix: Float64, has_bank: bool, strength: float | None, params: dict[str, Any]
) -> Float64:
    if has_bank or strength is not None:
        raise DistnormError(
            f"{DUAL_SOFTMAX} with a {'bank' if has_bank else 'strength'}",
            "neither: it is of these queries and items",
            "use 'is', the same with a bank and a strength",
        )
    settings = INVERTED_SOFTMAX.check_params(params)
    beta = beta_of_scores(matrix, settings)
    if not beta:
        return np.zeros_like(matrix)
    n, m = matrix.shape
    rows = log_mean_exp(matrix, beta, axis=1)[:, None] + np.log(m) / beta
    columns = log_mean_exp(matrix, beta, axis=0) + np.log(n) / beta
    return np.asarray(beta * (2 * matrix - rows - columns))

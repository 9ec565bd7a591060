"""Short ways to a `ScoreNormalization`: the paper's method, any method by its name, a file."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from distnorm.normalization.files import read_state
from distnorm.normalization.normalization import ScoreNormalization

__all__ = ["DistributionNormalization", "load", "make"]


class DistributionNormalization(ScoreNormalization):
    """The paper's method: (x - s_X mu_X).(y - s_Y mu_Y), strength 1/2.

    Zhou, Ren, Li, Zabih, Lim: Test-Time Distribution Normalization for Contrastively Learned
    Vision-language Models, NeurIPS 2023, arXiv 2302.11084.

    Parameters
    ----------
    strength : float or mapping from side to float
    sides, model, prompt, input
        As `ScoreNormalization`.

    Examples
    --------
    >>> import numpy as np, distnorm
    >>> X, Y = np.eye(3)[:2], np.eye(3)[1:]
    >>> norm = DistributionNormalization(strength=0.5).fit(images=X, texts=Y)
    >>> norm.paired_similarity(X, Y)
    array([-0.1875, -0.1875])
    """

    def __init__(
        self,
        strength: float | Mapping[str, float] = 0.5,
        *,
        sides: tuple[str, str] = ("image", "text"),
        model: str | None = None,
        prompt: str | None = None,
        input: str | None = None,
    ) -> None:
        super().__init__(
            "dn", strength=strength, sides=sides, model=model, prompt=prompt, input=input
        )


def make(
    name: str,
    *,
    strength: float | Mapping[str, float] | None = None,
    sides: tuple[str, str] = ("image", "text"),
    **options: Any,
) -> ScoreNormalization:
    """Build the method called ``name``; other arguments as `ScoreNormalization`.

    Raises
    ------
    DistnormError
        For an unknown name (with the nearest ones), parameter or value.

    Examples
    --------
    >>> make("nnn", strength=0.25, k=16)
    ScoreNormalization('nnn', strength: image=0.25, text=0.25; fitted on 0 image rows, 0 text rows)
    """
    return ScoreNormalization(name, strength=strength, sides=sides, **options)


def load(
    path: str | os.PathLike[str], *, model: str | None = None, dimension: int | None = None
) -> ScoreNormalization:
    """Read a normalization that its ``save`` wrote.

    Parameters
    ----------
    path : path
    model : str, optional
        The model it will be used with; a file of another model is refused.
    dimension : int, optional
        The d it will be used with.

    Raises
    ------
    DistnormError
        For a missing, truncated, foreign, tampered or newer-version file, or another model's.
    """
    state, notes = read_state(path, model, dimension)
    norm = ScoreNormalization(state.spec.name)
    norm.state, norm.notes = state, notes
    return norm

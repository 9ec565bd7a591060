"""Every method side by side on retrieval, with statistics from data that is not evaluated.

All methods see the same splits; see `distnorm.comparison.protocol` for where statistics come
from. A method's difference to the dot product is the mean over splits; its interval is a paired
bootstrap over images. Splits of one data set overlap, so their standard error would be far too
narrow: instead each query's difference is averaged over the splits that evaluated it, and images
(with all their texts) are drawn with replacement.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from distnorm.arrays import Array, check_embeddings, to_numpy
from distnorm.comparison.diagnostics import diagnose
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
from distnorm.metrics import check_k
from distnorm.tasks.retrieval import DIRECTIONS, evaluate_retrieval, pairing

__all__ = ["compare_retrieval", "deduplicate_images"]


def compare_retrieval(
    images: Array,
    texts: Array,
    image_of_text: Any = None,
    *,
    methods: Sequence[str] = DEFAULT_METHODS,
    protocol: str = "held-out",
    fit_fraction: float = 0.5,
    repeats: int | None = None,
    seed: int = 0,
    samples: int = 100,
    fit_images: Array | None = None,
    fit_texts: Array | None = None,
    k: int | Sequence[int] = (1, 5, 10),
    strength: float | Mapping[str, float] | None = None,
    input: str | None = None,
    diagnostics: bool = True,
    progress: Callable[[int, int], None] | None = None,
) -> Comparison:
    """Compare methods on retrieval in both directions.

    Parameters
    ----------
    images, texts : array, shape (n_images, d) and (n_texts, d)
    image_of_text : int array, shape (n_texts,), optional
        Row of each text's image; row with row if left out.
    methods : sequence of str
        Names, each optionally with strength and parameters as `parse_method` reads them. The
        dot product is always there.
    protocol : {"held-out", "paper", "reference", "transductive"}
    fit_fraction : float in (0, 1)
        Share of the images that gives statistics (held-out).
    repeats : int, optional
        Splits; 20 held-out, 5 paper, else 1.
    seed : int
    samples : int
        Rows a side that give statistics (paper).
    fit_images, fit_texts : array, optional
        Statistics of other data: the protocol is then "reference", or "paper" if asked for
        (samples drawn from them).
    k : int or sequence of int
    strength : float or mapping, optional
        For every method that has none in its name.
    input : {"unit", "raw", "any"}, optional
        See `ScoreNormalization`.
    diagnostics : bool
        Also hubness, gap and the ladder of approximations, on the first split.
    progress : callable, optional
        Called with (evaluations done, evaluations in all).

    Raises
    ------
    DistnormError
        For input that cannot be compared or split.
    """
    images = check_embeddings(images, "images")
    texts = check_embeddings(texts, "texts", dimension=images.shape[1])
    ks = check_k(k)
    truth = pairing(image_of_text, images.shape[0], texts.shape[0])
    owner = truth.indices
    truth.transposed()
    norms = method_norms(methods, strength, input)
    if fit_images is not None or fit_texts is not None:
        protocol = "reference" if protocol == "held-out" else protocol
    described = describe(protocol, fit_fraction, repeats, seed, samples)
    reference = reference_rows(fit_images, fit_texts, protocol, images.shape[1])
    tally = Tally(norms, {"text_retrieval": None, "image_retrieval": owner}, images.shape[0])
    found: dict[str, Any] | None = None
    total = len(norms) * int(described["repeats"])
    for number, (split, fit_rows) in enumerate(draws(images, texts, owner, described, reference)):
        left, right = take_rows(images, split.images), take_rows(texts, split.texts)
        fitted = [norm.clone().fit(**fit_rows) for norm in norms]
        placed = {"text_retrieval": split.images, "image_retrieval": split.texts}
        for direction in DIRECTIONS:
            tally.saw(direction, placed[direction])
        for index, norm in enumerate(fitted):
            result = evaluate_retrieval(norm, left, right, split.image_of_text, k=ks)
            flag = result.transductive or protocol == "transductive"
            tally.note(index, norm, result.metrics, transductive=flag)
            for direction in DIRECTIONS:
                for value in ks:
                    name = f"{direction}_recall@{value}"
                    hits = result.ranks[direction] <= value
                    tally.add(index, name, direction, placed[direction], hits)
            if progress is not None:
                progress(number * len(norms) + index + 1, total)
        if number == 0 and diagnostics:
            found = diagnose(
                fitted,
                left,
                right,
                fit_rows,
                image_of_text=split.image_of_text,
                rows=(split.images, split.texts),
            )
    sizes = {"n_images": images.shape[0], "n_texts": texts.shape[0]}
    return Comparison("retrieval", sizes, described, tally.results(described), found)


def deduplicate_images(images: Array) -> tuple[Array, npt.NDArray[np.intp]]:
    """Distinct rows of an image matrix that repeats each image for every caption.

    Parameters
    ----------
    images : array, shape (n_texts, d)
        Row i is the image of text i.

    Returns
    -------
    images : array, shape (n_images, d)
        Distinct rows in order of first appearance.
    image_of_text : ndarray of int, shape (n_texts,)
    """
    images = check_embeddings(images, "images")
    host = np.ascontiguousarray(to_numpy(images))
    _, first, inverse = np.unique(host, axis=0, return_index=True, return_inverse=True)
    order = np.argsort(first)
    position = np.empty_like(order)
    position[order] = np.arange(len(order))
    return take_rows(images, first[order]), position[inverse.ravel()]

"""Zero-shot classification: images are queries, class texts the items.

    class row = unit(mean over templates of unit(text("template with the class")))
    prediction = argmax over classes c of image . c - bias(c)

(Radford et al. 2021 for the prompt ensemble.) Ranking classes for an image needs the image
statistics only. A linear bias is a shift of the image row, so DN costs one subtraction.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from distnorm.arrays import Array, checked
from distnorm.encoders.prompts import check_templates, fill
from distnorm.errors import DistnormError
from distnorm.metrics.positives import Positives
from distnorm.metrics.ranks import best_ranks
from distnorm.normalization import ScoreNormalization, make
from distnorm.system.progress import Progress

__all__ = [
    "ClassificationResult",
    "check_labels",
    "class_rows",
    "class_weights",
    "evaluate_classification",
    "repeated_names",
]


@dataclass(frozen=True)
class ClassificationResult:
    """Figures of one evaluation.

    Attributes
    ----------
    metrics : dict from str to float
        ``acc1``, ``acc5``, ``mean_per_class_recall``, in [0, 1].
    n_images, n_classes : int
    ranks : ndarray of int, shape (n_images,)
        Rank of each image's class; 1 is a correct prediction.
    transductive : bool
    """

    metrics: dict[str, float]
    n_images: int
    n_classes: int
    ranks: npt.NDArray[np.int64]
    transductive: bool

    def __repr__(self) -> str:
        """One line: sizes and accuracies."""
        values = ", ".join(f"{name}={value:.3f}" for name, value in self.metrics.items())
        return f"ClassificationResult({self.n_images} images, {self.n_classes} classes, {values})"

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON, without the ranks."""
        return {
            "n_images": self.n_images,
            "n_classes": self.n_classes,
            "transductive": self.transductive,
            "metrics": dict(self.metrics),
        }


def evaluate_classification(
    norm: ScoreNormalization | None,
    images: Array,
    classes: Array,
    labels: Any,
    *,
    k: int = 5,
    progress: Progress | None = None,
) -> ClassificationResult:
    """Top-1, top-k and mean per class accuracy.

    Parameters
    ----------
    norm : ScoreNormalization or None
        Fitted on images; None is the dot product.
    images : array, shape (n, d)
    classes : array, shape (c, d)
        One row per class, e.g. of `class_rows`.
    labels : int array, shape (n,)
        Row of ``classes`` that each image belongs to.
    k : int
        Of ``acc5``; the metric is called ``acc{k}``.
    progress : callable, optional
        Called with (images done, images in all).

    Raises
    ------
    DistnormError
        For unusable rows or labels that do not fit them.
    """
    norm = make("dot") if norm is None else norm
    one = norm.sides[0]
    images = checked(images, f"{one}s")
    classes = checked(classes, "classes", dimension=images.shape[1])
    own = check_labels(labels, images.shape[0], classes.shape[0])
    ranking = norm.ranking(images, classes, one)
    truth = Positives.of(own, len(own), classes.shape[0])
    ranks = best_ranks(ranking, truth, progress=progress)
    hits = ranks <= 1
    metrics = {
        "acc1": float(hits.mean()),
        f"acc{k}": float((ranks <= k).mean()),
        "mean_per_class_recall": float((hits * class_weights(own)).mean()),
    }
    return ClassificationResult(
        metrics, images.shape[0], classes.shape[0], ranks, ranking.transductive
    )


def class_weights(labels: npt.NDArray[np.intp]) -> npt.NDArray[np.float64]:
    """Weights that make a mean over images the mean over the classes that have any."""
    counts = np.bincount(labels)
    weights: npt.NDArray[np.float64] = len(labels) / ((counts > 0).sum() * counts[labels])
    return weights


def class_rows(
    encoder: Any,
    classes: Sequence[str] | Mapping[str, Sequence[str]],
    templates: Sequence[str] | Mapping[str, Sequence[str]] = ("{c}",),
    *,
    normalize: bool = True,
) -> npt.NDArray[np.float32]:
    """One row per class from its prompts.

    Parameters
    ----------
    encoder : Encoder
        Anything with ``encode_texts``.
    classes : sequence of str, or mapping from class to its prompts
        Names are put into the templates; a mapping's prompts are used as they are.
    templates : sequence of str, or mapping from class to its own templates
        With ``{}`` or ``{c}`` for the class, as CLIP_benchmark writes them.
    normalize : bool
        Unit rows; False averages the model's raw output, for ``dn-renorm``.

    Returns
    -------
    ndarray of float32, shape (c, d)

    Raises
    ------
    DistnormError
        For no class, a class without prompts or templates, or a template without a place.
    """
    if isinstance(classes, str) or not len(classes):
        raise DistnormError(f"classes {classes!r}", "a list of names", "give at least one")
    if isinstance(classes, Mapping):
        prompts = [list(texts) for texts in classes.values()]
    else:
        prompts = [
            [fill(template, name) for template in _templates(templates, name)] for name in classes
        ]
    for name, texts in zip(classes, prompts, strict=True):
        if not texts:
            raise DistnormError(f"class {name!r} without a prompt", "one at least", "add one")
    flat = [text for texts in prompts for text in texts]
    rows = encoder.encode_texts(flat) if normalize else encoder.encode_texts(flat, normalize=False)
    starts = np.cumsum([0, *(len(texts) for texts in prompts[:-1])])
    sums = np.add.reduceat(np.asarray(rows, dtype=np.float64), starts, axis=0)
    if not normalize:
        counts = np.array([[len(texts)] for texts in prompts])
        return np.asarray(sums / counts, dtype=np.float32)
    unit = sums / np.linalg.norm(sums, axis=1, keepdims=True)
    return np.asarray(unit, dtype=np.float32)


def _templates(templates: Sequence[str] | Mapping[str, Sequence[str]], name: str) -> Sequence[str]:
    """Those of a class, checked."""
    if isinstance(templates, Mapping):
        if name not in templates:
            raise DistnormError(f"no templates of {name!r}", "some for every class", "add them")
        templates = templates[name]
    if isinstance(templates, str):
        raise DistnormError(f"the template {templates!r}", "a list", "wrap it in a list")
    if not len(templates):
        raise DistnormError(
            f"no template of {name!r}", "one with '{}' or '{c}' in it", "write 'a photo of a {c}.'"
        )
    check_templates(templates)
    return templates


def check_labels(labels: Any, n_images: int, n_classes: int) -> npt.NDArray[np.intp]:
    """Labels as class rows."""
    own = np.asarray(labels)
    if own.shape != (n_images,) or own.dtype.kind not in "iu":
        raise DistnormError(
            f"labels of shape {own.shape} and dtype {own.dtype}",
            f"({n_images},) whole numbers",
            "give the class row of each image",
        )
    outside = np.flatnonzero((own < 0) | (own >= n_classes))
    if outside.size:
        at = int(outside[0])
        raise DistnormError(
            f"label {int(own[at])} of image {at}", f"0 to {n_classes - 1}", "number the classes"
        )
    return own.astype(np.intp)


def repeated_names(names: Sequence[Any]) -> list[Any]:
    """Names that several classes share: their images cannot be told apart."""
    values, counts = np.unique(np.asarray(names), return_counts=True)
    repeated: list[Any] = values[counts > 1].tolist()
    return repeated

"""Zero-shot classification: images are queries, class texts the items.

    class row = unit(mean over templates of unit(text("template with the class")))
    prediction = argmax over classes c of image . c - bias(c)

(Radford et al. 2021 for the prompt ensemble.) Ranking classes for an image needs the image
statistics only. A linear bias is a shift of the image row, so DN costs one subtraction.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from distnorm.arrays import Array, Float32, Float64, Indices, Int64, NDArray, checked, to_numpy
from distnorm.calibration.side_check import check_not_swapped
from distnorm.encoders.prompts import Template, check_templates, fill
from distnorm.errors import DistnormError
from distnorm.metrics.positives import Positives, row_numbers
from distnorm.metrics.ranks import best_ranks
from distnorm.normalization import ScoreNormalization, make
from distnorm.system.progress import Progress
from distnorm.tasks.class_prior import class_ranking, prior_overlap
from distnorm.tasks.shared_rows import (
    SharedRows,
    is_transductive,
    plain_shared_rows,
    transductive_text,
)

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
    """Figures of one evaluation."""

    metrics: dict[str, float]  # ``acc1``, ``acc5``, ``mean_per_class_recall``, in [0, 1]
    n_images: int
    n_classes: int
    ranks: Int64  # (n_images,): of each image's class; 1 is right
    transductive: bool  # whether the statistics hold any of the images
    shared_rows: SharedRows = field(default_factory=dict, repr=False)

    def __repr__(self) -> str:
        """One line: sizes and accuracies."""
        values = ", ".join(f"{name}={value:.3f}" for name, value in self.metrics.items())
        values += transductive_text(self.shared_rows, self.transductive)
        return f"ClassificationResult({self.n_images} images, {self.n_classes} classes, {values})"

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON, without the ranks."""
        return {
            "n_images": self.n_images,
            "n_classes": self.n_classes,
            "transductive": self.transductive,
            "shared_rows": plain_shared_rows(self.shared_rows),
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
        Fitted on images; None is the dot product. Its class prior, if it has one, counts.
    images : array, shape (n, d)
    classes : array, shape (c, d)
        One row per class, e.g. of `class_rows`.
    labels : array, shape (n,) or one-hot (n, c)
        Row of ``classes`` that each image belongs to, whole numbers of any dtype.
    k : int
        Of ``acc5``; the metric is called ``acc{k}``, and left out below k classes.
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
    check_not_swapped(norm, **{one: images, norm.sides[1]: classes})
    own = check_labels(labels, images.shape[0], classes.shape[0])
    ranking = class_ranking(norm, images, classes)
    truth = Positives.of(own, len(own), classes.shape[0])
    ranks = best_ranks(ranking, truth, progress=progress)
    hits = ranks <= 1
    metrics = {"acc1": float(hits.mean())}
    if classes.shape[0] >= k:
        metrics[f"acc{k}"] = float((ranks <= k).mean())
    metrics["mean_per_class_recall"] = float((hits * class_weights(own)).mean())
    shared = {one: norm.correction(one).overlap(images)}
    if norm.prior != "none":
        both = shared[one], prior_overlap(norm, images)
        counted = [each for each in both if each is not None]
        shared[one] = max(counted, key=lambda each: each.fitted) if len(counted) == 2 else None
    return ClassificationResult(
        metrics, images.shape[0], classes.shape[0], ranks, is_transductive(shared), shared
    )


def class_weights(labels: Indices) -> Float64:
    """Weights that make a mean over images the mean over the classes that have any."""
    counts = np.bincount(labels)
    weights: Float64 = len(labels) / ((counts > 0).sum() * counts[labels])
    return weights


def class_rows(
    encoder: Any,
    classes: Sequence[str] | Mapping[str, Sequence[str]],
    templates: Sequence[Template] | Mapping[str, Sequence[Template]] = ("{c}",),
    *,
    normalize: bool = True,
) -> Float32:
    """One row per class from its prompts, (c, d) float32; an ``encoder`` has ``encode_texts``.

    ``classes`` are names, which are put into the templates, or a mapping from each to its prompts,
    used as they are. ``templates`` hold ``{}`` or ``{c}`` for the class, as CLIP_benchmark writes
    them, or are functions of it, as open_clip's; of a mapping each class has its own, which may be
    whole sentences. Without ``normalize`` the model's raw output is averaged, for ``dn-renorm``.

    Raises `DistnormError` for no class, a class without prompts or templates, or a template without
    a place.
    """
    if isinstance(classes, str) or not len(classes):
        raise DistnormError(f"classes {classes!r}", "a list of names", "give at least one")
    odd = next((name for name in classes if not isinstance(name, str)), "")
    if odd != "" and not isinstance(classes, Mapping):
        raise DistnormError(f"{odd!r:.40} among the classes", "names", "name it, or drop it")
    if isinstance(classes, Mapping):
        for name, texts in classes.items():
            if isinstance(texts, str):
                raise DistnormError(f"the prompt {texts!r} of {name!r}", "a list", "wrap it")
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


def _templates(
    templates: Sequence[Template] | Mapping[str, Sequence[Template]], name: str
) -> Sequence[Template]:
    """Those of a class, checked."""
    own = isinstance(templates, Mapping)
    if isinstance(templates, Mapping):
        if name not in templates:
            raise DistnormError(f"no templates of {name!r}", "some for every class", "add them")
        templates = templates[name]
    if isinstance(templates, str) or callable(templates):
        raise DistnormError(f"the template {templates!r}", "a list", "wrap it in a list")
    if not len(templates):
        raise DistnormError(
            f"no template of {name!r}", "one with '{}' or '{c}' in it", "write 'a photo of a {c}.'"
        )
    if not (own and all(isinstance(template, str) for template in templates)):
        check_templates(templates)
    return templates


def check_labels(
    labels: Any, n_images: int, n_classes: int, names: Sequence[str] | None = None
) -> Indices:
    """Labels as class rows, (n_images,).

    Whole numbers from 0 of any dtype, one-hot rows (n_images, n_classes), or names that are in
    ``names``, one per class row. Raises `DistnormError` for other shapes, several classes for an
    image, or a label that is no class.
    """
    expected = f"one class number per image, ({n_images},), from 0 to {n_classes - 1}"
    try:
        own = to_numpy(labels) if hasattr(labels, "__dlpack__") else np.asarray(labels)
    except ValueError as error:
        raise DistnormError("labels as a ragged list", expected, _SEVERAL) from error
    if own.shape == (n_images, 1) and n_classes > 1:
        own = own[:, 0]
    if own.ndim == 2 and own.shape == (n_images, n_classes):
        own = _of_one_hot(own, expected)
    if own.shape != (n_images,):
        raise DistnormError(
            f"labels of shape {own.shape} and dtype {own.dtype}",
            expected,
            "give the class row of each image (one-hot rows and probabilities: argmax(axis=1))",
        )
    if own.dtype.kind in "USO" and any(isinstance(label, (str, bytes)) for label in own):
        own = _of_names(own, names, expected)
    rows = row_numbers(own)
    if rows is None:
        raise DistnormError(
            f"labels of dtype {own.dtype} that are no whole numbers",
            expected,
            "give the class row of each image",
        )
    outside = np.flatnonzero((rows < 0) | (rows >= n_classes))
    if outside.size:
        at = int(outside[0])
        remedy = "number the classes by their rows"
        if rows.min() == 1 and rows.max() == n_classes:
            remedy = "subtract 1: these count from 1"
        elif rows[at] < 0:
            remedy = "leave images without a class out"
        raise DistnormError(f"label {int(rows[at])} of image {at}", f"0 to {n_classes - 1}", remedy)
    return rows


_SEVERAL = "leave images of several classes out, or repeat them, once for each class"


def _of_one_hot(matrix: NDArray, expected: str) -> NDArray:
    """The place of each row's only 1."""
    binary = matrix.dtype.kind in "biuf" and bool(np.isin(matrix, (0, 1)).all())
    sums = matrix.sum(axis=1) if binary else np.zeros(len(matrix))
    wrong = np.flatnonzero(sums != 1)
    if not binary:
        raise DistnormError(
            f"labels of shape {matrix.shape} that are not 0 and 1",
            expected,
            "of probabilities take the largest: labels.argmax(axis=1)",
        )
    if wrong.size:
        raise DistnormError(
            f"one-hot labels with {int(sums[wrong[0]])} classes for image {int(wrong[0])}",
            expected,
            _SEVERAL if sums[wrong[0]] else "leave images without a class out",
        )
    return np.asarray(matrix.argmax(axis=1))


def _of_names(labels: NDArray, names: Sequence[str] | None, expected: str) -> Indices:
    """The class row of each name."""
    words = [word.decode() if isinstance(word, bytes) else str(word) for word in labels.tolist()]
    if names is None:
        raise DistnormError(
            f"labels that are names, such as {words[0]!r}",
            expected,
            "look them up: --class-names FILE with the name of each class row "
            "(in Python: [names.index(label) for label in labels])",
        )
    place: dict[str, int] = {}
    shared = set(repeated_names(names))
    for row, name in enumerate(names):
        place.setdefault(name, row)
    for at, word in enumerate(words):
        if word not in place or word in shared:
            raise DistnormError(
                f"label {word!r} of image {at}, "
                + ("which several classes are called" if word in shared else "no class's name"),
                "the name of one class",
                "give class numbers" if word in shared else f"use names such as {names[0]!r}",
            )
    return np.array([place[word] for word in words], dtype=np.intp)


def repeated_names(names: Sequence[Any]) -> list[Any]:
    """Names that several classes share: their images cannot be told apart."""
    values, counts = np.unique(np.asarray(names), return_counts=True)
    repeated: list[Any] = values[counts > 1].tolist()
    return repeated

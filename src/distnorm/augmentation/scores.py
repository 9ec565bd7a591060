"""Scores of pictures for classes under an augmentation, plain and with any normalization on top.

One run of the augmentation gives the scores of every normalization. Each must have been fitted on
rows of the same augmentation; `augmented_image_rows` makes them of unlabelled pictures.

| name  | image row (what a normalization sees)   | class rows                                 |
|-------|-----------------------------------------|--------------------------------------------|
| none  | the picture's                           | mean of the templates' (a prompt ensemble) |
| tta   | mean of several views' (`views`)        | mean of the templates'                     |
| tpt   | the picture's                           | tuned for each picture (`tpt`)             |
| calip | unit(v + beta_3 v_a) (`calip`)          | mean of the templates'; patches are added  |
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from distnorm.arrays import Float32
from distnorm.augmentation.calip import attended
from distnorm.augmentation.clip_parts import clip_parts, frozen
from distnorm.augmentation.settings import TEMPLATES, augmentation_cost, settings_of
from distnorm.augmentation.tpt import PromptTuner
from distnorm.augmentation.views import augmented_rows, crop_rows
from distnorm.encoders.base import unit_rows
from distnorm.encoders.prompts import Template, place, spelled
from distnorm.errors import DistnormError
from distnorm.normalization import ScoreNormalization, make
from distnorm.system.progress import Progress
from distnorm.tasks.classification import class_rows

__all__ = ["ClassScores", "augmented_image_rows", "class_scores"]


@dataclass(frozen=True)
class ClassScores:
    """Scores of n pictures for C classes."""

    name: str  # of `AUGMENTATIONS`
    # (n, C) of each normalization: cosines less biases, so CLIP's logits are 100 times them
    scores: dict[str, Float32]
    image_rows: Float32  # (n, d): what normalizations saw; see the module
    class_rows: Float32  # (C, d): before any tuning
    cost: dict[str, int]  # see `augmentation_cost`
    settings: dict[str, Any]  # all else that affects the scores

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON, without the arrays."""
        return {
            "augmentation": self.name,
            "n_images": len(self.image_rows),
            "n_classes": len(self.class_rows),
            "cost": dict(self.cost),
            "settings": {
                key: list(value) if isinstance(value, tuple) else value
                for key, value in self.settings.items()
            },
        }

    def __repr__(self) -> str:
        """One line: sizes, normalizations, cost."""
        return (
            f"ClassScores({self.name!r}, {len(self.image_rows)} images, "
            f"{len(self.class_rows)} classes, {', '.join(self.scores)}; "
            f"{self.cost['encodings_per_image']} encodings per image, "
            f"{self.cost['encodings_per_class']} per class, "
            f"{self.cost['encodings_per_class_and_image']} per class and image, "
            f"{self.cost['gradient_steps_per_image']} gradient steps per image)"
        )


def class_scores(
    name: str,
    encoder: Any,
    images: Sequence[Any],
    classes: Sequence[str] | Mapping[str, Sequence[str]],
    *,
    templates: Sequence[Template] = TEMPLATES,
    norms: Mapping[str, ScoreNormalization | None] | None = None,
    seed: int = 0,
    progress: Progress | None = None,
    **options: Any,
) -> ClassScores:
    """Run an augmentation once and score it with every normalization.

    Parameters
    ----------
    name : str
        ``none``, ``tta``, ``tpt`` or ``calip``.
    encoder : Encoder
        Any for ``none`` and ``tta``; a CLIP of open_clip or transformers for the others.
    images : sequence of PIL.Image.Image
    classes : sequence of str, or mapping from class to its prompts
        As `class_rows`; ``tpt`` takes names alone.
    templates : sequence of str or callable
        Prompts with ``{}`` or ``{c}``, averaged; ``tpt`` takes exactly one.
    norms : mapping from str to ScoreNormalization or None, optional
        Fitted on rows of `augmented_image_rows`; None is the score without any. Only that, as
        ``dot``, if left out.
    seed : int
        Of random views.
    progress : callable, optional
        Called with (images done, images in all).
    **options
        Of the augmentation; see `AUGMENTATIONS`.

    Returns
    -------
    ClassScores

    Raises
    ------
    DistnormError
        For an unknown name or option, a normalization that was not fitted (before anything is
        encoded but the classes), or a model that the augmentation cannot open.
    """
    settings = settings_of(name, options)
    if not len(images):
        raise DistnormError("no picture", "at least one", "give some")
    choices = {"dot": None} if norms is None else dict(norms)
    fitted = {key: make("dot") if norm is None else norm for key, norm in choices.items()}
    if name == "tpt":
        scores, queries, rows = _tuned(
            encoder, images, classes, templates, fitted, seed, progress, settings
        )
    else:
        rows = class_rows(encoder, classes, templates)
        _check(fitted, rows)
        queries, lengths, added = _queries(name, encoder, images, rows, seed, progress, settings)
        scores = {key: _scored(norm, queries, rows) for key, norm in fitted.items()}
        if added is not None:
            scores = {
                key: np.asarray(score * lengths + added, dtype=np.float32)
                for key, score in scores.items()
            }
    return ClassScores(
        name,
        scores,
        queries,
        rows,
        cost=augmentation_cost(name, templates=templates, **options),
        settings={"templates": tuple(map(spelled, templates)), "seed": seed, **settings},
    )


def augmented_image_rows(
    name: str,
    encoder: Any,
    images: Sequence[Any],
    classes: Sequence[str] | Mapping[str, Sequence[str]] | None = None,
    *,
    templates: Sequence[Template] = TEMPLATES,
    seed: int = 0,
    progress: Progress | None = None,
    **options: Any,
) -> Float32:
    """Unit image rows of an augmentation, to fit normalizations on.

    Parameters
    ----------
    name, encoder, images, templates, seed, progress, **options
        As `class_scores`, and the same as there.
    classes : sequence of str or mapping, optional
        ``calip`` needs the classes that will be scored: its rows hold class texts.

    Returns
    -------
    ndarray of float32, shape (n, d)

    Raises
    ------
    DistnormError
        As `class_scores`; for ``calip`` without classes.
    """
    settings = settings_of(name, options)
    if not len(images):
        raise DistnormError("no picture", "at least one", "give some")
    rows = None
    if name == "calip":
        if classes is None:
            raise DistnormError("'calip' without classes", "those to be scored", "give classes")
        rows = class_rows(encoder, classes, templates)
    plain = "none" if name == "tpt" else name
    return _queries(plain, encoder, images, rows, seed, progress, settings)[0]


def _queries(
    name: str,
    encoder: Any,
    images: Sequence[Any],
    classes: Float32 | None,
    seed: int,
    progress: Progress | None,
    settings: Mapping[str, Any],
) -> tuple[Float32, Any, Any]:
    """Unit rows; for CALIP also their lengths, (n, 1), and what is added to scores, (n, C)."""
    if name == "tta":
        rows = augmented_rows(encoder, images, **settings, seed=seed, progress=progress)
        return rows, None, None
    if name == "none":
        return _plain_rows(encoder, images, progress), None, None
    assert classes is not None
    result = attended(clip_parts(encoder), images, classes, **settings, progress=progress)
    lengths = np.linalg.norm(result.queries, axis=1, keepdims=True)
    return unit_rows(result.queries / lengths), lengths, result.patches


def _plain_rows(encoder: Any, images: Sequence[Any], progress: Progress | None) -> Float32:
    parts = []
    for start in range(0, len(images), 256):
        stop = min(start + 256, len(images))
        parts.append(encoder.encode_images([images[at] for at in range(start, stop)]))
        if progress is not None:
            progress(stop, len(images))
    return np.concatenate(parts)


def _tuned(
    encoder: Any,
    images: Sequence[Any],
    classes: Sequence[str] | Mapping[str, Sequence[str]],
    templates: Sequence[Template],
    norms: Mapping[str, ScoreNormalization],
    seed: int,
    progress: Progress | None,
    settings: Mapping[str, Any],
) -> tuple[dict[str, Float32], Float32, Float32]:
    """Scores, image rows and untuned class rows of prompt tuning."""
    if isinstance(classes, (Mapping, str)) or not len(classes):
        raise DistnormError(
            f"classes {type(classes).__name__!r} of {len(classes)}",
            "a list of names: prompt tuning writes the prompts itself",
            "pass names and one template",
        )
    if isinstance(templates, str) or len(templates) != 1 or place(spelled(templates[0])) is None:
        raise DistnormError(
            f"templates {templates!r}",
            "exactly one, with '{}' or '{c}'",
            "write ('a photo of a {c}.',)",
        )
    count, mix, parts = settings["views"], settings["mix"], clip_parts(encoder)
    if count < 1:
        raise DistnormError(f"views = {count!r}", "1 or more", "the paper takes 64")
    rest = {key: value for key, value in settings.items() if key not in ("views", "mix")}
    scores = {key: np.empty((len(images), len(classes)), dtype=np.float32) for key in norms}
    queries = []
    with frozen(parts.model):
        tuner = PromptTuner(parts, list(classes), spelled(templates[0]), **rest)
        untuned = _as_rows(tuner.class_rows)
        _check(norms, untuned)
        for at, rows in enumerate(crop_rows(encoder, images, count, seed=seed, mix=mix)):
            tuned = _as_rows(tuner.tune(rows))
            queries.append(rows[:1])
            for key, norm in norms.items():
                scores[key][at] = _scored(norm, rows[:1], tuned)[0]
            if progress is not None:
                progress(at + 1, len(images))
    return scores, np.concatenate(queries), untuned


def _scored(norm: ScoreNormalization, queries: Float32, classes: Float32) -> Float32:
    return np.asarray(norm.ranking(queries, classes, norm.sides[0]).scores(), dtype=np.float32)


def _check(norms: Mapping[str, ScoreNormalization], rows: Float32) -> None:
    """Raise before hours of encoding, not after, if a normalization cannot score."""
    for norm in norms.values():
        norm.ranking(rows[:1], rows, norm.sides[0])


def _as_rows(tensor: Any) -> Float32:
    return np.asarray(tensor.cpu().numpy(), dtype=np.float32)

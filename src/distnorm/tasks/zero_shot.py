"""`ZeroShotClassifier`: class texts in, classes of images out, in scikit-learn's manners.

    decision(x, c) = x . c - bias(c)        predict: its argmax        probability: softmax(./tau)

The bias rests on unlabelled images: those a fitted normalization brings, or those given to
`partial_fit`. So does a prior, another bias of each class, for how often it comes. scikit-learn is
not needed; its `clone` and its scorers take the object.
"""

from __future__ import annotations

import importlib
import inspect
import os
import sys
import warnings
from collections.abc import Iterator, Mapping, Sequence
from copy import copy
from typing import Any

import numpy as np

from distnorm.arrays import (
    Array,
    Bools,
    Float64,
    NDArray,
    blocks,
    check_embeddings,
    rows_per_block,
    to_numpy,
)
from distnorm.encoders.prompts import Template
from distnorm.errors import DistnormError
from distnorm.metrics.ranking import Ranking
from distnorm.metrics.ranks import top_items
from distnorm.normalization import ScoreNormalization, make
from distnorm.system.threads import OwnLock
from distnorm.tasks.class_prior import class_ranking, sample_of, with_prior, with_sample
from distnorm.tasks.classification import class_rows, repeated_names
from distnorm.tasks.detection import best_scores, chosen_threshold
from distnorm.text import plain

__all__ = ["ZeroShotClassifier"]


class ZeroShotClassifier:
    """Zero-shot classification with a normalization of scores.

    Parameters
    ----------
    norm : ScoreNormalization or str
        Fitted on unlabelled images, or a method's name (then call `partial_fit`).
    encoder : Encoder, optional
        For classes given as texts.
    templates : sequence of str or callable, or mapping from class to its own
        Prompts with ``{}`` or ``{c}`` for the class, or functions of it; averaged. A class's own
        may be whole sentences.
    temperature : float
        tau of `predict_proba`; CLIP's is 0.01.
    threshold : float, optional
        `predict` says "none of these" unless the best class's two-sided score is above it.
    false_alarm_rate : float, optional
        Instead of a threshold: the largest share of images of none of the classes that may
        get a class all the same. Each of c classes gets a c-th of it (Bonferroni). Needs a
        calibration: that of ``norm``, or `calibrate`.
    rejected : optional
        What "none of these" is called: -1 among numbered classes, ``"none of these"`` among
        names if left out.
    prior : {"none", "balance", "shift", "auto"}, optional
        How often classes come, learned from the images of `partial_fit`: alike ("balance"), as
        they came ("shift"), or what these support, if anything ("auto"). That of ``norm`` if
        left out. Feed images in the order in which they come.

    Attributes
    ----------
    classes_ : ndarray, shape (c,)
        Names, or 0 to c - 1.
    class_rows_ : ndarray, shape (c, d)
    norm_ : ScoreNormalization
    repeated_ : list
        Names that several classes share.

    Examples
    --------
    >>> import numpy as np, distnorm
    >>> rng = np.random.default_rng(0)
    >>> C = distnorm.normalize(rng.normal(size=(3, 8)))
    >>> X = distnorm.normalize(C[[0, 1, 2, 1]] + 0.1 * rng.normal(size=(4, 8)))
    >>> classifier = distnorm.ZeroShotClassifier("dn").fit(C, ["cat", "dog", "owl"])
    >>> classifier.partial_fit(X).predict(X).tolist()
    ['cat', 'dog', 'owl', 'dog']
    """

    _estimator_type = "classifier"

    def __init__(
        self,
        norm: ScoreNormalization | str = "dn",
        *,
        encoder: Any = None,
        templates: Sequence[Template] | Mapping[str, Sequence[Template]] = ("{c}",),
        temperature: float = 0.01,
        threshold: float | None = None,
        false_alarm_rate: float | None = None,
        rejected: Any = None,
        prior: str | None = None,
    ) -> None:
        self.norm = norm
        self.encoder = encoder
        self.templates = templates
        self.temperature = temperature
        self.threshold = threshold
        self.false_alarm_rate = false_alarm_rate
        self.rejected = rejected
        self.prior = prior

    def fit(self, classes: Any, y: Any = None) -> ZeroShotClassifier:
        """Take the classes.

        Parameters
        ----------
        classes : array of shape (c, d), sequence of str, or mapping from class to its prompts
            Embeddings, or texts for the encoder.
        y : sequence, optional
            Names of the classes, where ``classes`` are embeddings.

        Raises
        ------
        DistnormError
            For texts without an encoder, or names of another number.
        """
        names: Sequence[Any]
        classes = _names_as_list(classes)
        if isinstance(classes, Mapping) or _are_texts(classes):
            if self.encoder is None:
                raise DistnormError(
                    "classes as texts without an encoder",
                    "embeddings, or encoder=",
                    "pass encoder=distnorm.load_encoder(...)",
                )
            names = list(classes)
            raw = (make(self.norm) if isinstance(self.norm, str) else self.norm).input == "raw"
            rows: Any = class_rows(self.encoder, classes, self.templates, normalize=not raw)
        else:
            rows = check_embeddings(classes, "classes")
            names = range(rows.shape[0])
        names = list(names if y is None else y)
        if len(names) != rows.shape[0]:
            raise DistnormError(
                f"{len(names)} names of {rows.shape[0]} classes", "one each", "mend the list"
            )
        self._lock = OwnLock()
        self.classes_ = np.asarray(names)
        self.class_rows_ = rows
        self.repeated_ = repeated_names(names)
        if self.repeated_:
            shown = ", ".join(plain(repr(name)) for name in self.repeated_[:3])
            warnings.warn(
                f"several classes are called {shown}: predictions cannot tell them apart",
                stacklevel=2,
            )
        self.norm_ = make(self.norm) if isinstance(self.norm, str) else self.norm
        self.norm_ = with_prior(self.norm_, self.norm_.prior if self.prior is None else self.prior)
        self.sample_ = sample_of(self.norm_)
        two = self.norm_.sides[1]
        if self.norm_.spec.transforms and not self.norm_.counts[two]:
            # These move both sides, and the classes are all the texts there are.
            self.norm_.partial_fit(**{two: rows})
        return self

    def partial_fit(
        self, images: Array, y: Any = None, *, weights: Any = None
    ) -> ZeroShotClassifier:
        """Add unlabelled images to the statistics, with ``weights`` as there; ``y`` is ignored."""
        self._fitted()
        side = self.norm_.sides[0]
        if weights is not None and self.norm_.prior != "none":
            raise DistnormError(
                f"weights of images under prior {self.norm_.prior!r}",
                "images as often as they come",
                "repeat them, or leave weights or the prior out",
            )
        rows = images if weights is not None else self.norm_.check(images, side)
        with self._lock:
            self.norm_.partial_fit(weights=weights, **{side: rows})
            if self.norm_.prior != "none":
                self.sample_ = self.sample_.add(rows)
        return self

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write ``norm_`` with what is known of the classes' frequencies, whole or not at all.

        ``ZeroShotClassifier(distnorm.load(path)).fit(classes)`` goes on from there.
        """
        self._fitted()
        if len(self.sample_.keys):
            self._learn()
        self.norm_.save(path)

    def calibrate(self, images: Array) -> ZeroShotClassifier:
        """Learn from unlabelled images what classes score that an image does not show.

        Every image is taken to show one of the classes, presumably its best, which is left
        out. Where the method needs statistics of the texts and has none, the classes give
        them; better are those of other texts, above all for a bank method: in a bank of the
        classes each image finds its own, which an image of none does not.

        Parameters
        ----------
        images : array, shape (n, d)
            At least 5, better 100; best others than those of the statistics.

        Raises
        ------
        DistnormError
            Before `fit`, with fewer than 5 classes or images, or unusable rows.
        """
        self._fitted()
        one, two = self.norm_.sides
        if self.norm_.moments(two) is None and self.norm_.spec.corrects:
            self.norm_.partial_fit(**{two: self.class_rows_})
        self.norm_.calibrate(pairs="best", **{one: images, two: self.class_rows_})
        return self

    def decision_function(self, images: Array) -> NDArray:
        """Scores, shape (n, c).

        Raises
        ------
        DistnormError
            Before `fit`, or without any image in the statistics of a method that needs them.
        """
        parts = [to_numpy(part.scores(), np.float64) for part in self._rankings(images)]
        return np.concatenate(parts)

    def predict(self, images: Array) -> NDArray:
        """Class of each image, shape (n,); the first of equal scores.

        With ``threshold`` or ``false_alarm_rate``, ``rejected`` where no class is above it.

        Raises
        ------
        DistnormError
            As `decision_function`; for both a threshold and a rate, or a rate without a
            calibration.
        """
        best = np.concatenate([top_items(part, 1)[:, 0] for part in self._rankings(images)])
        wanted = self.false_alarm_rate is not None and self.threshold is None
        if wanted and self.norm_.notes.calibration is None:
            raise DistnormError(
                f"false_alarm_rate {self.false_alarm_rate!r} without calibration",
                "scores of classes that images do not show",
                "call calibrate(images) of the classifier after the last partial_fit",
            )
        found: NDArray = self.classes_[best]
        bar = chosen_threshold(
            self.norm_, self.threshold, self.false_alarm_rate, tries=len(self.classes_)
        )
        if bar is None:
            return found
        below = best_scores(self.norm_, images, self.class_rows_, best) <= bar
        return _with_rejected(found, below, self.rejected)

    def predict_proba(self, images: Array) -> Float64:
        """Softmax of the scores over ``temperature``, shape (n, c)."""
        if not self.temperature > 0:
            raise DistnormError(f"temperature {self.temperature!r}", "above 0", "CLIP's is 0.01")
        logits = self.decision_function(images) / self.temperature
        logits -= logits.max(axis=1, keepdims=True)
        weights = np.exp(logits)
        found: Float64 = weights / weights.sum(axis=1, keepdims=True)
        return found

    def score(self, images: Array, y: Any) -> float:
        """Share of images whose class is predicted."""
        return float(np.mean(self.predict(images) == np.asarray(y)))

    def __copy__(self) -> ZeroShotClassifier:
        """A classifier of the same classes that goes on by itself."""
        twin = type(self).__new__(type(self))
        vars(twin).update({n: copy(x) if n in _OWN else x for n, x in vars(self).items()})
        return twin

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Constructor arguments, as scikit-learn asks for them."""
        del deep
        return {name: getattr(self, name) for name in _parameters(type(self))}

    def set_params(self, **params: Any) -> ZeroShotClassifier:
        """Change constructor arguments."""
        for name, value in params.items():
            if name not in _parameters(type(self)):
                known = ", ".join(_parameters(type(self)))
                raise DistnormError(f"parameter {name!r}", f"one of {known}", "rename it")
            setattr(self, name, value)
        return self

    def __sklearn_tags__(self) -> Any:
        """What scikit-learn asks: a classifier that is fitted on class texts, not on samples."""
        tags = importlib.import_module("sklearn.utils")
        return tags.Tags(
            estimator_type="classifier",
            target_tags=tags.TargetTags(required=False),
            classifier_tags=tags.ClassifierTags(poor_score=True),
            input_tags=tags.InputTags(two_d_array=False, string=True),
        )

    def __sklearn_is_fitted__(self) -> bool:
        """Whether there are classes."""
        return hasattr(self, "class_rows_")

    def __repr__(self) -> str:
        """Method and number of classes."""
        name = self.norm if isinstance(self.norm, str) else self.norm.method
        classes = len(self.classes_) if hasattr(self, "classes_") else "no"
        return f"ZeroShotClassifier({name!r}, {classes} classes)"

    def _rankings(self, images: Array) -> Iterator[Ranking]:
        """Rankings of the classes for blocks of images."""
        self._fitted()
        images = check_embeddings(images, "images", dimension=self.class_rows_.shape[1])
        if self.norm_.spec.chooses and self.norm_.notes.selection is None:
            self.norm_.choose(**{self.norm_.sides[1]: self.class_rows_})
        self._learn()
        for rows in blocks(images.shape[0], rows_per_block(len(self.classes_), itemsize=8)):
            yield class_ranking(self.norm_, images[rows, ...], self.class_rows_)

    def _learn(self) -> None:
        """How often classes come, from the images so far, if a prior is wanted."""
        if self.norm_.prior == "none" or self.norm_.notes.class_prior is not None:
            return
        if not len(self.sample_.keys):
            raise DistnormError(
                f"prior {self.norm_.prior!r} before any image",
                "unlabelled images that tell how often classes come",
                "call partial_fit(images) first, or pass prior='none'",
            )
        with_sample(self.norm_, self.sample_, self.class_rows_)

    def _fitted(self) -> None:
        if not hasattr(self, "class_rows_"):
            raise _unfitted()("no classes", "a fit with class texts", "call fit(classes) first")


_OWN = ("norm_", "_lock")  # not shared with copies


def _unfitted() -> type[DistnormError]:
    """Our error, and scikit-learn's too for those who have loaded it."""
    exceptions = sys.modules.get("sklearn.exceptions")
    if exceptions is None:
        return DistnormError
    # Pickled as ours: a class made here cannot be found by its name.
    plain = {"__reduce__": lambda self: (DistnormError, (self.got, self.expected, self.remedy))}
    return type("NotFittedError", (DistnormError, exceptions.NotFittedError), plain)


def _with_rejected(found: NDArray, below: Bools, rejected: Any) -> NDArray:
    """``found`` with ``rejected`` where ``below``, in a dtype that holds both."""
    if rejected is None:
        rejected = -1 if found.dtype.kind in "iu" else "none of these"
    word = np.asarray(rejected)
    alike = word.dtype.kind == found.dtype.kind or (
        word.dtype.kind in "iu" and found.dtype.kind in "iu"
    )
    kind = np.result_type(found, word) if alike else np.dtype(object)
    result = found.astype(kind)
    result[below] = rejected
    return result


def _names_as_list(classes: Any) -> Any:
    """Names that pandas or NumPy keep as objects, as a list; anything else as it is."""
    if isinstance(classes, Sequence | Mapping) or getattr(classes, "ndim", 0) != 1:
        return classes
    names = classes.tolist() if hasattr(classes, "tolist") else classes
    words = isinstance(names, list) and any(isinstance(name, str) for name in names)
    return names if words else classes


def _are_texts(classes: Any) -> bool:
    if isinstance(classes, str):
        raise DistnormError(f"the class {classes!r}", "a list of classes", "wrap it in a list")
    return (isinstance(classes, Sequence) and len(classes) > 0 and isinstance(classes[0], str)) or (
        isinstance(classes, np.ndarray) and classes.dtype.kind == "U"
    )


def _parameters(kind: type) -> list[str]:
    return [name for name in inspect.signature(kind.__init__).parameters if name != "self"]  # type: ignore[misc]

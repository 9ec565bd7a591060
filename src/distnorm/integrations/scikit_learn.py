"""scikit-learn: a transformer that shifts queries, and a zero-shot classifier for pipelines.

    QueryShift:       fit(Q): m = mean of Q;  transform(Q) = Q - s m
    ZeroShotClasses:  fit(X): statistics of unlabelled images; predict = argmax_c x . c - s b(c)

Both learn without labels: ``y`` is taken and not looked at, but for scoring.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from distnorm.arrays import Floats, NDArray
from distnorm.errors import require
from distnorm.normalization import make
from distnorm.tasks.zero_shot import ZeroShotClassifier

if TYPE_CHECKING:
    from sklearn.base import BaseEstimator, ClassifierMixin, TransformerMixin
    from sklearn.utils.validation import check_is_fitted, validate_data
else:
    _base = require("sklearn.base", "scikit-learn")
    BaseEstimator, ClassifierMixin = _base.BaseEstimator, _base.ClassifierMixin
    TransformerMixin = _base.TransformerMixin
    _validation = require("sklearn.utils.validation", "scikit-learn")
    check_is_fitted, validate_data = _validation.check_is_fitted, _validation.validate_data

__all__ = ["QueryShift", "ZeroShotClasses"]


class QueryShift(TransformerMixin, BaseEstimator):
    """Subtract the strength times the mean of the rows that it was fitted on.

    Parameters
    ----------
    strength : float
        0 is the identity, 1 takes the whole mean out. The paper's is 1/2.

    Attributes
    ----------
    norm_ : DistributionNormalization
        May be saved for an index.
    n_features_in_ : int

    Examples
    --------
    >>> import numpy as np
    >>> from distnorm.integrations.scikit_learn import QueryShift
    >>> QueryShift(strength=1.0).fit_transform(np.array([[1.0, 0.0], [0.0, 1.0]]))
    array([[ 0.5, -0.5],
           [-0.5,  0.5]])
    """

    def __init__(self, strength: float = 0.5) -> None:
        self.strength = strength

    def fit(self, X: Any, y: Any = None) -> QueryShift:
        """Statistics of rows X, shape (n, d), but for rows of zeros; starts anew."""
        self.norm_ = make("dn", strength=self.strength, input="any")
        return self._take(X, reset=True)

    def partial_fit(self, X: Any, y: Any = None) -> QueryShift:
        """Add rows; the result is that of one fit on all of them."""
        if not hasattr(self, "norm_"):
            return self.fit(X)
        return self._take(X, reset=False)

    def transform(self, X: Any) -> Floats:
        """Rows, shape (n, d), less s times the mean; float32 and float64 stay what they are."""
        check_is_fitted(self)
        rows = validate_data(self, X, reset=False, dtype=[np.float64, np.float32])
        moments = self.norm_.moments("text")
        if moments is None:
            return np.array(rows)
        mean: Floats = (self.strength * moments.mean).astype(rows.dtype)
        return np.asarray(rows - mean)

    def _take(self, X: Any, reset: bool) -> QueryShift:
        rows = validate_data(self, X, reset=reset, dtype=[np.float64, np.float32])
        pointing = np.any(rows != 0, axis=1)
        if pointing.any():
            self.norm_.partial_fit(texts=rows[pointing])
        return self


class ZeroShotClasses(ClassifierMixin, BaseEstimator):
    """`ZeroShotClassifier` with given class rows, for `Pipeline` and `GridSearchCV`.

    Parameters
    ----------
    class_rows : array, shape (c, d)
        Unit rows of the class texts.
    labels : sequence, optional
        Names of the classes; 0 to c - 1 if left out.
    method : str
        ``dn``, ``dn2``, ``is``, ``nnn`` ...
    strength : float, optional
        The method's own if left out; 0 is the dot product.

    Attributes
    ----------
    classes_ : ndarray, shape (c,)
    classifier_ : ZeroShotClassifier

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.model_selection import GridSearchCV
    >>> from distnorm.integrations.scikit_learn import ZeroShotClasses
    >>> C = np.eye(3, 4)
    >>> X, y = np.repeat(C, 4, axis=0), np.repeat(range(3), 4)
    >>> search = GridSearchCV(ZeroShotClasses(C), {"strength": [0.0, 0.5]}, cv=2).fit(X, y)
    >>> float(search.best_score_)
    1.0
    """

    def __init__(
        self, class_rows: Any, labels: Any = None, method: str = "dn", strength: float | None = None
    ) -> None:
        self.class_rows, self.labels = class_rows, labels
        self.method, self.strength = method, strength

    def fit(self, X: Any, y: Any = None) -> ZeroShotClasses:
        """Statistics of unlabelled images, shape (n, d); y is not looked at."""
        rows = validate_data(self, X, dtype=[np.float64, np.float32])
        norm = make(self.method, strength=self.strength)
        classifier = ZeroShotClassifier(norm).fit(self.class_rows, self.labels)
        self.classifier_ = classifier.partial_fit(rows)
        self.classes_ = self.classifier_.classes_
        return self

    def decision_function(self, X: Any) -> Floats:
        """Scores, shape (n, c)."""
        scores: Floats = self.classifier_.decision_function(self._rows(X))
        return scores

    def predict_proba(self, X: Any) -> Floats:
        """softmax(scores / .01), shape (n, c): CLIP's temperature."""
        shares: Floats = self.classifier_.predict_proba(self._rows(X))
        return shares

    def predict(self, X: Any) -> NDArray:
        """The class of the highest score, shape (n,)."""
        names: NDArray = self.classifier_.predict(self._rows(X))
        return names

    def _rows(self, X: Any) -> Floats:
        check_is_fitted(self, "classifier_")
        rows: Floats = validate_data(self, X, reset=False, dtype=[np.float64, np.float32])
        return rows

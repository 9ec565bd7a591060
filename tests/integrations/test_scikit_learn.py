"""scikit-learn's own checks, a pipeline, and a search over strengths."""

import warnings

import numpy as np
import pytest

import distnorm

pytest.importorskip("sklearn", reason="needs the extra 'scikit-learn'")
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.utils.estimator_checks import check_estimator

from distnorm.integrations.scikit_learn import QueryShift, ZeroShotClasses


def test_scikit_learns_own_checks():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        check_estimator(QueryShift())


def test_batches_give_what_one_fit_gives(words):
    one = QueryShift(1.0).fit(words.log)
    many = QueryShift(1.0).partial_fit(words.log[:70]).partial_fit(words.log[70:])
    np.testing.assert_allclose(one.transform(words.log), words.log - words.log.mean(axis=0))
    np.testing.assert_allclose(many.transform(words.log), one.transform(words.log), atol=1e-12)


def classes(seed=0):
    """Pictures of three classes with a gap between the sides and a class that is a hub."""
    rng = np.random.default_rng(seed)
    C = distnorm.normalize(rng.normal(size=(3, 16)))
    y = rng.integers(3, size=300)
    gap = distnorm.normalize((rng.normal(size=16) + 2 * C[0])[None])[0]
    return C, distnorm.normalize(C[y] + 1.2 * gap + 0.35 * rng.normal(size=(300, 16))), y


def test_a_search_over_strengths_finds_what_helps():
    C, X, y = classes()
    search = GridSearchCV(ZeroShotClasses(C), {"strength": [0.0, 0.5, 1.0]}, cv=3).fit(X, y)
    dot = float((np.argmax(X @ C.T, axis=1) == y).mean())
    assert search.best_params_["strength"] > 0
    assert search.best_score_ > dot + 0.05
    assert search.cv_results_["mean_test_score"][0] == pytest.approx(dot)


def test_predictions_are_the_classifiers_and_names_are_kept():
    C, X, _ = classes()
    own = ZeroShotClasses(C, labels=["cat", "dog", "owl"], strength=0.5).fit(X[:200])
    want = distnorm.ZeroShotClassifier(distnorm.make("dn", strength=0.5)).fit(C)
    want.partial_fit(X[:200])
    names = np.array(["cat", "dog", "owl"])
    assert list(own.predict(X[200:])) == list(names[want.predict(X[200:])])
    assert own.predict_proba(X[200:]).shape == (100, 3)
    np.testing.assert_allclose(own.decision_function(X), want.decision_function(X))
    assert clone(own).get_params()["strength"] == 0.5


def test_a_pipeline_takes_the_shift_as_a_step():
    _, X, y = classes()
    pipeline = make_pipeline(QueryShift(), LogisticRegression(solver="newton-cholesky")).fit(X, y)
    assert pipeline.score(X, y) > 0.8
    assert pipeline.set_params(queryshift__strength=1.0).fit(X, y).score(X, y) > 0.8

"""A collection of twelve sentences with vectors of one's own, and statistics fitted on others."""

from __future__ import annotations

import numpy as np
import pytest

import distnorm


class Words:
    """Vectors of sentences: unit rows around a common mean, one and the same for one sentence."""

    names = tuple(f"sentence {i}" for i in range(12))

    def __init__(self):
        rng = np.random.default_rng(3)
        self.mean = rng.normal(size=8)
        rows = distnorm.normalize(rng.normal(size=(12, 8)) + self.mean)
        self.rows = dict(zip(self.names, rows, strict=True))
        self.log = distnorm.normalize(rng.normal(size=(200, 8)) + self.mean)

    def __call__(self, text):
        return [float(v) for v in self.rows[text]]


@pytest.fixture(scope="session")
def words():
    return Words()


@pytest.fixture(scope="session")
def dn(words):
    norm = distnorm.make("dn", strength=1.0, sides=("query", "document"))
    norm.fit(queries=words.log[:100], documents=words.log[100:])
    return norm.calibrate(queries=words.log[:100], documents=words.log[100:])


@pytest.fixture(scope="session")
def expected(words, dn):
    """The order of all documents for "sentence 0", and their scores, by four lines of NumPy."""
    q = np.array(words("sentence 0")) - words.log[:100].mean(axis=0)
    X = np.array([words(name) for name in words.names]) - words.log[100:].mean(axis=0)
    scores = X @ q
    return np.argsort(-scores), scores

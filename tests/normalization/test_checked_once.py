"""Rows that were checked at the door are not looked at again behind it."""

from __future__ import annotations

import numpy as np
import pytest

from distnorm import arrays, make, normalize
from distnorm.arrays import checked

METHODS = ("dot", "dn", "dn2", "is", "nnn", "ridge", "qbnorm", "sinkhorn", "centered")


@pytest.fixture
def looks(monkeypatch):
    """How often rows are searched for NaN and zeros."""
    count = []
    look = arrays.check_rows
    monkeypatch.setattr(
        arrays, "check_rows", lambda block, *rest: (count.append(len(block)), look(block, *rest))
    )
    return count


@pytest.mark.parametrize("method", METHODS)
def test_checked_rows_are_not_looked_at_again(method, looks, rng):
    X, Y = (normalize(rng.normal(0.2, 1, (n, 8))) for n in (30, 40))
    looks.clear()
    images, texts = checked(X, "images"), checked(Y, "texts")
    assert looks == [30, 40]
    norm = make(method).fit(images=images, texts=texts)
    some = images.take(np.arange(20))
    norm.partial_fit(images=some)
    scores = norm.ranking(texts, some).scores()
    norm.ranking(some, texts, "image")
    if norm.spec.two_sided:
        norm.similarity(some, texts)
        norm.paired_similarity(some, texts.take(np.arange(20)))
    if norm.spec.has_item_bias:
        norm.item_bias(images=some)
    if norm.spec.shifts_queries:
        norm.shift_queries(texts=texts)
    assert looks == [30, 40]
    plain = make(method).fit(images=X, texts=Y).partial_fit(images=X[:20])
    np.testing.assert_array_equal(scores, plain.ranking(Y, X[:20]).scores())


def test_a_choice_looks_at_no_fitted_row_again(looks, rng):
    images, texts = (checked(normalize(rng.normal(0.2, 1, (n, 8))), "x") for n in (30, 40))
    looks.clear()
    make("auto").fit(images=images, texts=texts).choose()
    assert looks == []


def test_unit_length_is_inherited_by_parts_and_refused_all_the_same(rng):
    rows = checked(5 * rng.normal(size=(30, 8)), "images")
    assert not rows.unit_length
    assert rows.take(np.arange(3)).unit_length is False
    with pytest.raises(arrays.DistnormError, match="not of unit length"):
        make("dn").fit(images=rows.take(np.arange(3)))

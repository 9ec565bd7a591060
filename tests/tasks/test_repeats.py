"""Rows that are copies are found, and refused where each image belongs to the text of its row."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from distnorm import DistnormError, compare_retrieval, evaluate_retrieval, normalize
from distnorm.comparison import deduplicate_images
from distnorm.tasks import repeats
from distnorm.tasks.repeats import distinct_rows


@given(st.integers(0, 10_000), st.integers(1, 9), st.sampled_from(["f2", "f4", "f8"]))
def test_distinct_rows_are_those_of_unique(seed, d, kind):
    rng = np.random.default_rng(seed)
    rows = rng.integers(-2, 3, (40, d)).astype(kind)
    first, which = distinct_rows(rows)
    np.testing.assert_array_equal(rows[first][which], rows)
    assert (np.diff(first) > 0).all()
    assert len(first) == len(np.unique(rows + 0.0, axis=0))


def test_equal_sums_of_other_rows_are_told_apart(monkeypatch):
    monkeypatch.setattr(repeats, "_word_sums", lambda rows: np.zeros(len(rows), np.uint64))
    rows = np.array([[1.0, 2], [3, 4], [1, 2]])
    first, which = distinct_rows(rows)
    assert first.tolist() == [0, 1]
    assert which.tolist() == [0, 1, 0]


def test_copies_paired_row_by_row_are_refused(library, rng):
    rows = normalize(rng.normal(0.2, 1, (12, 6)))
    images, texts = (
        library.asarray(x) for x in (np.repeat(rows, 3, axis=0), rng.normal(0, 1, (36, 6)))
    )
    texts = normalize(texts)
    for owner in (None, np.arange(36)):
        with pytest.raises(DistnormError, match=r"12 are distinct \(row 1 repeats row 0\)"):
            evaluate_retrieval(None, images, texts, owner)
        with pytest.raises(DistnormError, match="deduplicate_images"):
            compare_retrieval(images, texts, owner, methods=["dn"], repeats=1)
    distinct, owner = deduplicate_images(images)
    assert evaluate_retrieval(None, distinct, texts, owner).n_images == 12
    assert evaluate_retrieval(None, images, texts, np.arange(36)[::-1].copy()).n_images == 36

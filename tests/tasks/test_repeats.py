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


def test_rows_of_distinct_images_are_not_taken_for_rows_of_repeated_ones(rng):
    images = normalize(rng.normal(size=(6, 8)))
    texts = normalize(rng.normal(size=(12, 8)))
    owner = np.repeat(np.arange(6), 2)
    for call in (
        lambda x: evaluate_retrieval(None, x, texts, owner),
        lambda x: compare_retrieval(x, texts, owner, methods=["dn"], repeats=1),
    ):
        with pytest.raises(DistnormError, match="12 images of which 6 are distinct, and rows of 6"):
            call(np.repeat(images, 2, axis=0))
        call(images)
    # A gallery with a copy that no text names.
    evaluate_retrieval(None, np.concatenate([images, images[:1], -images[1:]]), texts, owner)


def test_captions_in_a_third_axis_are_said_how_to_pass(rng):
    with pytest.raises(DistnormError, match=r"the 5 are captions of each: x.reshape\(-1, 8\)"):
        evaluate_retrieval(None, rng.normal(size=(4, 8)), rng.normal(size=(4, 5, 8)))

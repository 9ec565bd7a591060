"""Whose rows are meant: by keyword as in `fit`, by ``modality=``, by position where both agree."""

from __future__ import annotations

import numpy as np
import pytest

from distnorm import DistnormError, make, normalize

X = normalize(np.random.default_rng(0).normal(0.3, 1, (30, 8)))
Y = normalize(np.random.default_rng(1).normal(-0.2, 1, (40, 8)))


@pytest.fixture
def norm():
    return make("dn", strength={"image": 0.25, "text": 0.5}).fit(images=X, texts=Y)


def test_queries_are_shifted_by_the_mean_of_their_own_side(norm):
    of_texts, of_images = Y - 0.5 * Y.mean(axis=0), X - 0.25 * X.mean(axis=0)
    for shifted in (
        norm.shift_queries(texts=Y),
        norm.shift_queries(text=Y),
        norm.shift_queries(Y, modality="text"),
        norm.shift_queries(Y, "texts"),
    ):
        np.testing.assert_allclose(shifted, of_texts, atol=1e-12)
    for shifted in (norm.shift_queries(images=X), norm.shift_queries(X, modality="image")):
        np.testing.assert_allclose(shifted, of_images, atol=1e-12)


def test_items_are_biased_by_the_queries_of_the_other_side(norm):
    for bias in (
        norm.item_bias(images=X),
        norm.item_bias(image=X),
        norm.item_bias(X, modality="image"),
        norm.item_bias(X, "images"),
    ):
        np.testing.assert_allclose(bias, 0.5 * X @ Y.mean(axis=0), atol=1e-12)
    np.testing.assert_allclose(norm.item_bias(texts=Y), 0.25 * Y @ X.mean(axis=0), atol=1e-12)


def test_other_sides_go_by_their_names():
    norm = make("dn", sides=("query", "document")).fit(queries=X, documents=Y)
    np.testing.assert_allclose(norm.shift_queries(queries=X), X - 0.5 * X.mean(axis=0))
    np.testing.assert_allclose(norm.item_bias(documents=Y), 0.5 * Y @ X.mean(axis=0))


def test_a_side_is_not_guessed_where_sides_differ(norm):
    one_sided = make("dn").fit(texts=Y)
    strengths = make("dn", strength={"image": 0.25, "text": 0.5}).fit(images=Y, texts=Y)
    for each in (norm, one_sided, strengths):
        with pytest.raises(DistnormError, match=r"shift_queries\(texts=\.\.\.\).*modality="):
            each.shift_queries(Y)
        with pytest.raises(DistnormError, match=r"item_bias\(images=\.\.\.\).*modality="):
            each.item_bias(X)


def test_a_side_needs_no_name_where_both_are_alike():
    alike = make("dn").fit(images=Y, texts=Y)
    np.testing.assert_allclose(alike.shift_queries(X), X - 0.5 * Y.mean(axis=0))
    np.testing.assert_allclose(alike.item_bias(X), 0.5 * X @ Y.mean(axis=0))
    np.testing.assert_array_equal(make("dot").shift_queries(X), X)
    zero = make("dn", strength=0).fit(images=X, texts=Y)
    np.testing.assert_array_equal(zero.shift_queries(Y), Y)


@pytest.mark.parametrize("call", ["shift_queries", "item_bias"])
def test_rows_of_one_side_and_no_more(norm, call):
    for args, kwargs in (
        ((), {}),
        ((X,), {"texts": Y}),
        ((), {"images": X, "texts": Y}),
        ((), {"texts": Y, "modality": "text"}),
    ):
        with pytest.raises(DistnormError, match=f"{call} of .* sets? of rows"):
            getattr(norm, call)(*args, **kwargs)
    with pytest.raises(DistnormError, match="side 'audio'"):
        getattr(norm, call)(audio=X)

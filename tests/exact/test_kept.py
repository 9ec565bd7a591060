"""Products that rankings share: the same ranks as without, of the right arrays, small ones only."""

import numpy as np
import pytest

from distnorm.arrays import CheckedRows
from distnorm.exact import KeptProducts
from distnorm.exact.counting import KeptEngine
from distnorm.metrics.positives import Positives
from distnorm.metrics.ranking import Ranking
from distnorm.metrics.ranks import best_ranks, best_ranks_both_ways


@pytest.fixture
def rows():
    rng = np.random.default_rng(3)
    # Few values: many ties, which float64 decides.
    return [
        CheckedRows(rng.integers(-2, 3, (n, 8)).astype(np.float32) + 0.5, name)
        for n, name in ((40, "images"), (60, "texts"))
    ]


def test_ranks_are_those_of_products_that_are_not_kept(rows):
    images, texts = rows
    owner = np.arange(60) % 40
    truth = Positives.of_pairs(np.arange(60), owner, 60, 40)
    both = truth, truth.transposed()
    kept = KeptProducts.of(texts, images)
    rng = np.random.default_rng(4)
    for _ in range(3):
        one, two = rng.integers(0, 3, 40).astype(float), rng.integers(0, 3, 60).astype(float)
        forth = Ranking(texts.rows, images.rows, one, kept=kept)
        back = Ranking(images.rows, texts.rows, two)
        found = best_ranks_both_ways(forth, back, both)
        alone = best_ranks(Ranking(texts.rows, images.rows, one), both[0])
        np.testing.assert_array_equal(found[0], alone)
        np.testing.assert_array_equal(found[1], best_ranks(back, both[1]))
    assert set(kept.tiles) == {"float32"}


def test_a_product_is_computed_once(rows, monkeypatch):
    images, texts = rows
    kept = KeptProducts.of(texts, images)
    truth = Positives.of_pairs(np.arange(60), np.arange(60) % 40, 60, 40)
    best_ranks(Ranking(texts.rows, images.rows, kept=kept), truth)

    def refuse(*_):
        raise AssertionError("multiplied again")

    monkeypatch.setattr(KeptEngine.__mro__[1], "product", refuse)
    best_ranks(Ranking(texts.rows, images.rows, np.ones(40), kept=kept), truth)
    with pytest.raises(AssertionError, match="again"):
        best_ranks(Ranking(texts.rows, images.rows), truth)


def test_products_of_other_arrays_are_not_taken(rows):
    images, texts = rows
    kept = KeptProducts.of(texts, images)
    truth = Positives.of_pairs(np.arange(60), np.arange(60) % 40, 60, 40)
    best_ranks(Ranking(texts.rows, images.rows, kept=kept), truth)
    turned = images.rows[::-1].copy()
    found = best_ranks(Ranking(texts.rows, turned, kept=kept), truth)
    np.testing.assert_array_equal(found, best_ranks(Ranking(texts.rows, turned), truth))
    other = CheckedRows(turned, "images")
    assert KeptProducts.of(texts, other) is not kept


def test_large_products_are_not_kept():
    rows = CheckedRows(np.ones((1100, 2), np.float32), "rows")
    assert KeptProducts.of(rows, rows) is None

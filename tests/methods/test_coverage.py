"""How a bank covers the items, and own matches that are left out where it does so narrowly."""

from __future__ import annotations

import numpy as np
import pytest

from distnorm import make, normalize
from distnorm.methods.coverage import FEW_KINDS, NARROW, coverage_of
from distnorm.moments import density_weights


def pairs(n: int = 120, d: int = 48, seed: int = 0) -> tuple[np.ndarray, np.random.Generator]:
    rng = np.random.default_rng(seed)
    return normalize((rng.standard_normal((n, d)) + 0.4).astype(np.float32)), rng


def asked(
    items: np.ndarray, numbers: np.ndarray, rng: np.random.Generator, spread: float = 0.11
) -> np.ndarray:
    """Queries near the items with these numbers."""
    noise = rng.standard_normal((len(numbers), items.shape[1])) * spread
    return normalize((items[numbers] + noise - 0.1).astype(np.float32))


@pytest.mark.parametrize("share", [1.0, 0.5, 0.2])
def test_coverage_is_the_share_of_items_that_are_asked_for(share):
    items, rng = pairs(400)
    bank = asked(items, rng.integers(0, round(share * 400), 1500), rng)
    coverage = coverage_of(bank, items)
    assert coverage.share == pytest.approx(share, rel=0.2)
    assert (coverage.rows, coverage.items) == (1500, 400)
    assert coverage.effective_items <= 400 * share * 1.05
    np.testing.assert_allclose(coverage.best, (bank @ items.T).max(axis=1), rtol=1e-6)


def test_popular_items_do_not_look_narrow_once_rows_are_weighed():
    items, rng = pairs(200)
    popular = rng.choice(200, 1500, p=np.r_[np.full(10, 0.05), np.full(190, 0.5 / 190)])
    bank = asked(items, popular, rng)
    assert coverage_of(bank, items).share < NARROW / 2
    assert coverage_of(bank, items, density_weights(bank)).share > NARROW


@pytest.mark.parametrize(
    ("numbers", "few"),
    [(200, False), (25, True), ("popular", True)],
    ids=["all items", "a corner", "a few popular ones"],
)
def test_near_copies_do_not_hide_that_few_kinds_are_asked_for(numbers, few):
    items, rng = pairs(200)
    chances = 1 / np.arange(1, 201) ** 1.5
    if numbers == "popular":
        drawn = rng.choice(200, 800, p=chances / chances.sum())
    else:
        drawn = rng.integers(0, numbers, 800)
    bank = asked(items, drawn, rng, 0.04)
    weights, worth = density_weights(bank), float(density_weights(items).sum())
    without, coverage = (coverage_of(bank, items, weights, w) for w in (None, worth))
    assert without.kinds is None
    assert without.narrow == (without.share < NARROW)
    assert (coverage.kinds < FEW_KINDS) == few
    assert coverage.narrow == (few or without.narrow)
    expected = worth * -np.expm1(-800 / worth)
    assert coverage.kinds == pytest.approx(weights.sum() / expected)


def test_a_near_copy_log_leaves_own_matches_out_where_the_items_are_weighed_too():
    items, rng = pairs(200)
    bank = asked(items, rng.integers(0, 25, 800), rng, 0.04)
    left, always, never = (
        make("is", weights="density", **own).fit(texts=bank, images=items).item_bias(images=items)
        for own in ({}, {"own": True}, {"own": False})
    )
    np.testing.assert_array_equal(left, always)
    assert np.abs(left - never).max() > 0.01


def test_a_bank_in_which_no_item_comes_twice_covers_without_end():
    items, _ = pairs(50)
    assert coverage_of(items, items).share == float("inf")


@pytest.mark.parametrize("method", ["is", "nnn", "ridge"])
def test_narrow_banks_leave_own_matches_out_and_wide_ones_do_not(method):
    items, rng = pairs(200)
    for narrow, numbers in ((True, rng.integers(0, 25, 300)), (False, np.arange(200))):
        bank = asked(items, numbers, rng)
        left, always, never = (
            make(method, weights="density", **own).fit(texts=bank, images=items)
            for own in ({}, {"own": True}, {"own": False})
        )
        bias = left.item_bias(images=items)
        same, other = (always, never) if narrow else (never, always)
        np.testing.assert_array_equal(bias, same.item_bias(images=items))
        assert np.abs(bias - other.item_bias(images=items)).max() > 1e-4


@pytest.mark.parametrize("method", ["is", "nnn", "ridge"])
def test_a_log_about_few_items_does_not_push_them_down(method):
    items, rng = pairs(200)
    numbers, truth = (rng.integers(0, 25, 300) for _ in range(2))
    bank, queries = (asked(items, asks, rng, 0.16) for asks in (numbers, truth))
    found = {
        weights: make(method, strength=1.0, weights=weights)
        .fit(texts=bank, images=items)
        .ranking(queries, items, "text")
        .scores()
        .argmax(axis=1)
        for weights in ("even", "density")
    }
    kept = {weights: np.mean(first == truth) for weights, first in found.items()}
    assert kept["density"] > kept["even"] + 0.05


def test_biases_stand_item_by_item_where_both_sides_are_fitted():
    items, rng = pairs(200)
    bank = asked(items, rng.integers(0, 25, 300), rng)
    norm = make("nnn", weights="density").fit(texts=bank, images=items)
    assert norm.correction("text").item_by_item
    whole = norm.item_bias(images=items)
    np.testing.assert_allclose(norm.item_bias(images=items[7:9]), whole[7:9], atol=1e-6)
    assert not make("nnn", weights="density").fit(texts=bank).correction("text").item_by_item
    assert make("nnn").fit(texts=bank).correction("text").item_by_item

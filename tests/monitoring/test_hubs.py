"""Hubs: figures of counts, and an audit that keeps its alert rate."""

from __future__ import annotations

import math

import numpy as np
import pytest

from distnorm.errors import DistnormError
from distnorm.monitoring.hubs import CountModel, Occurrences, audit, fit_counts


def poisson_above(count: int, rate: float) -> float:
    """P(N >= count), term by term."""
    terms = [math.exp(n * math.log(rate) - rate - math.lgamma(n + 1)) for n in range(count)]
    return 1 - math.fsum(terms)


def test_effective_items_are_those_that_crowd_the_lists_alike():
    even = Occurrences.of(np.full(50, 4), "dot", 0)
    assert (even.effective_items, even.skewness, even.items_found) == (50, 0, 50)
    few = Occurrences.of(np.array([7, 7, 0, 0, 0, 0]), "dn", 0.5)
    assert (few.effective_items, few.items_found, few.largest) == (2, 2, 7)
    none = Occurrences.of(np.zeros(3, dtype=np.int64), "dot", 0)
    assert (none.effective_items, none.items_found) == (0, 0)


def test_the_null_model_is_a_poisson_law_where_items_are_alike():
    alike = CountModel(median=5.0, spread=0.0)
    for count in (0, 1, 5, 12, 30):
        assert alike.survival(count) == pytest.approx(poisson_above(count, 5.0), abs=1e-12)
    many = CountModel(median=200.0, spread=0.0)
    for count in (150, 200, 230, 260):
        assert many.survival(count) == pytest.approx(poisson_above(count, 200.0), rel=2e-2)


def test_the_null_model_mixes_rates(rng):
    model = CountModel(median=6.0, spread=0.8)
    drawn = rng.poisson(6 * np.exp(0.8 * rng.standard_normal(400_000)))
    for count in (1, 5, 20, 70, 120):
        assert model.survival(count) == pytest.approx(np.mean(drawn >= count), rel=0.15, abs=2e-5)


@pytest.mark.parametrize(("median", "spread"), [(8.0, 0.7), (0.02, 0.8), (150.0, 0.4), (3.0, 0.0)])
def test_the_fit_finds_the_model_beside_items_out_of_line(rng, median, spread):
    counts = rng.poisson(median * np.exp(spread * rng.standard_normal(20_000)))
    counts[:5] = 100 * (1 + counts.max())
    found = fit_counts(counts)
    assert found.spread == pytest.approx(spread, abs=0.2)
    # Where nearly all counts are 0 and 1, median and spread are known less well than the mean.
    mean, wanted = (m * math.exp(s**2 / 2) for m, s in (vars(found).values(), (median, spread)))
    assert mean == pytest.approx(wanted, rel=0.15)


def test_the_alert_rate_is_kept_in_clean_collections(rng):
    rate, worlds = 0.2, 25
    reports = 0
    for _ in range(worlds):
        counts = rng.poisson(6 * np.exp(0.7 * rng.standard_normal(1000)))
        reports += int(np.isfinite(audit(counts, rate)).sum())
    assert 0 < reports <= rate * worlds + 3 * math.sqrt(rate * worlds)


def test_an_item_out_of_line_is_reported_alone(rng):
    counts = rng.poisson(10 * np.exp(0.7 * rng.standard_normal(500)))
    counts[17] = 480
    assert np.flatnonzero(np.isfinite(audit(counts))).tolist() == [17]


def test_too_few_items_that_come_up_are_not_audited():
    assert audit(np.array([5] * 19 + [0] * 100)) is None


@pytest.mark.parametrize(
    "counts", [np.array([0.5, 1]), np.array([[1, 2]]), np.array([-1, 2]), np.array(["a"])]
)
def test_counts_that_are_none_are_refused(counts):
    with pytest.raises(DistnormError, match="whole numbers from 0 on"):
        audit(counts)


@pytest.mark.parametrize("rate", [0, 1, -0.1, "often", float("nan")])
def test_a_rate_out_of_range_is_refused(rate):
    with pytest.raises(DistnormError, match="between 0 and 1"):
        audit(np.arange(100), rate)

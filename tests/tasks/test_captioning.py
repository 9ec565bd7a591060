"""Caption scores by their formulas, and rank correlations against counting pairs."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import distnorm
from distnorm import (
    DistnormError,
    evaluate_captions,
    kendall_tau,
    make,
    normalize,
    score_captions,
)
from distnorm.metrics.correlations import concordance, spearman_rho
from distnorm.tasks.captioning import pair_accuracy


def tau_by_pairs(first, second, variant):
    """Kendall's tau from its definition."""
    n = len(first)
    signs = np.sign(first[:, None] - first) * np.sign(second[:, None] - second)
    total = signs[np.triu_indices(n, 1)].sum()
    if variant == "c":
        least = min(len(np.unique(first)), len(np.unique(second)))
        return 2 * least * total / (n**2 * (least - 1))
    pairs = n * (n - 1) / 2
    ties = [(np.triu(x[:, None] == x, 1)).sum() for x in (first, second)]
    return total / np.sqrt((pairs - ties[0]) * (pairs - ties[1]))


@given(st.integers(0, 500), st.sampled_from(["b", "c"]), st.integers(2, 200))
def test_tau_is_that_of_all_pairs(seed, variant, levels):
    rng = np.random.default_rng(seed)
    n = int(rng.integers(3, 150))
    first, second = rng.integers(0, 40, n) / 7, rng.integers(0, levels, n).astype(float)
    second[:2] = 0, 1
    first[:2] = 0, 1
    assert kendall_tau(first, second, variant) == pytest.approx(
        tau_by_pairs(first, second, variant), abs=1e-12
    )


def test_tau_and_rho_agree_with_scipy(rng):
    stats = pytest.importorskip("scipy.stats", reason="compares with scipy")
    first, second = rng.normal(0, 1, 400).round(1), rng.integers(0, 5, 400)
    for variant in "bc":
        wanted = stats.kendalltau(first, second, variant=variant).statistic
        assert kendall_tau(first, second, variant) == pytest.approx(wanted, abs=1e-12)
    assert spearman_rho(first, second) == pytest.approx(stats.spearmanr(first, second).statistic)


def test_negative_and_constant_scores():
    assert kendall_tau([-3.0, -1.0, -2.0], [0, 2, 1]) == 1
    assert np.isnan(kendall_tau([1.0, 1.0], [0, 1]))
    assert concordance(np.array([1.0, 2.0]), np.array([5.0, 3.0])).tolist() == [-1, -1]


@pytest.fixture
def pairs(rng):
    images = normalize(rng.normal(0.2, 1, (30, 12)).astype(np.float32))
    owner = np.repeat(np.arange(30), 3)
    noise = np.tile([0.2, 0.8, 2.0], 30)
    texts = images[owner] + noise[:, None] * rng.normal(0, 1, (90, 12))
    return images, normalize(texts.astype(np.float32)), owner, -np.tile([0, 1, 2], 30)


def test_rules_are_their_formulas(pairs, rng):
    images, texts, owner, _ = pairs
    references = normalize(rng.normal(0, 1, (60, 12)).astype(np.float32))
    belongs = np.repeat(np.arange(30), 2)
    wide = [x.astype(np.float64) for x in (images, texts, references)]
    cosine = (wide[0][owner] * wide[1]).sum(axis=1)
    best = np.array(
        [(wide[2][belongs == o] @ t).max() for o, t in zip(owner, wide[1], strict=True)]
    )
    clip = 2.5 * np.maximum(cosine, 0)
    given = {"references": references, "image_of_reference": belongs}
    np.testing.assert_allclose(
        score_captions(None, images, texts, owner, rule="clipscore"), clip, atol=1e-6
    )
    total = clip + np.maximum(best, 0)
    harmonic = np.where(total > 0, 2 * clip * np.maximum(best, 0) / np.maximum(total, 1e-30), 0)
    np.testing.assert_allclose(
        score_captions(None, images, texts, owner, rule="refclipscore", **given),
        harmonic,
        atol=1e-6,
    )
    norm = make("dn").fit(images=images, texts=texts)
    means = [x.mean(axis=0) for x in wide[:2]]
    dn = ((wide[0][owner] - means[0] / 2) * (wide[1] - means[1] / 2)).sum(axis=1)
    np.testing.assert_allclose(score_captions(norm, images, texts, owner), dn, atol=1e-6)
    np.testing.assert_allclose(
        score_captions(norm, images, texts, owner, **given), dn + 0.25 * best, atol=1e-6
    )
    assert (score_captions(norm, images, texts, owner, rule="harmonic", **given) >= 0).all()


def test_preferred_captions():
    found = pair_accuracy([3, 1, 2], [1, 2, 2], [True, True, False], ["HC", "HI", "HI"])
    assert found == {"HC": 1.0, "HI": 0.25, "mean": 0.625}


@pytest.mark.parametrize(
    ("change", "part"),
    [
        ({"rule": "cider"}, "rule 'cider'"),
        ({"rule": "refclipscore"}, "without references"),
        ({"image_of_caption": np.full(90, 30)}, "0 to 29"),
        ({"image_of_caption": None}, "equal numbers"),
        ({"references": np.ones((2, 12)), "image_of_reference": [0, 1]}, "without a reference"),
    ],
)
def test_what_cannot_be_scored_is_said(pairs, change, part):
    images, texts, owner, _ = pairs
    with pytest.raises(DistnormError, match=part):
        score_captions(None, images, texts, **{"image_of_caption": owner, **change})


def test_clipscore_is_of_the_dot_product(pairs):
    images, texts, owner, _ = pairs
    norm = make("dn").fit(images=images, texts=texts)
    with pytest.raises(DistnormError, match="'additive'"):
        score_captions(norm, images, texts, owner, rule="clipscore")


@pytest.mark.parametrize(
    ("human", "words"),
    [
        (np.full(90, 4), "all the same (4)"),
        (np.ones((90, 3)), "human.mean(axis=1)"),
        (np.ones((3, 90)), "human.mean(axis=0)"),
        (np.ones(30), "one for each caption"),
        ([1.0, np.nan] * 45, "nan in row 1"),
        ([[1], [2, 3]] * 45, "their mean"),
    ],
)
def test_judgements_without_an_order_are_said(pairs, human, words):
    images, texts, owner, _ = pairs
    with pytest.raises(DistnormError) as caught:
        evaluate_captions(None, images, texts, human, owner)
    assert words in str(caught.value)


def test_image_rows_may_be_floats(pairs):
    images, texts, owner, _ = pairs
    np.testing.assert_array_equal(
        score_captions(None, images, texts, owner.astype(float)),
        score_captions(None, images, texts, owner),
    )


@pytest.mark.parametrize("method", ["dot", "dn", "is"])
def test_the_exponential_rule_is_its_formula(method, rng):
    X, Y, R = (distnorm.normalize(rng.normal(c, 1, (40, 12))) for c in (0.3, -0.3, -0.2))
    norm = distnorm.make(method).fit(images=X, texts=Y)
    owner = rng.permutation(40)
    cosine = (X[owner] * Y).sum(axis=1)
    if method == "dn":
        # At strength 1/2 the means stand in the exponents whole.
        left, right = Y @ X.mean(axis=0), (X @ Y.mean(axis=0))[owner]
    elif method == "dot":
        left, right = np.zeros(40), np.zeros(40)
    else:
        left, right = 2 * norm.item_bias(texts=Y), 2 * norm.item_bias(images=X)[owner]
    wanted = np.exp(cosine - left) + np.exp(cosine - right)
    found = distnorm.score_captions(norm, X, Y, owner, rule="exponential")
    np.testing.assert_allclose(found, wanted, atol=1e-12)
    best = np.array([(R[owner[row]] * Y[row]).sum() for row in range(40)])
    options = {"references": R, "image_of_reference": np.arange(40), "rule": "exponential-additive"}
    found = distnorm.score_captions(norm, X, Y, owner, **options)
    np.testing.assert_allclose(found, wanted + best, atol=1e-12)
    found = distnorm.score_captions(norm, X, Y, owner, reference_weight=0.25, **options)
    np.testing.assert_allclose(found, wanted + best / 4, atol=1e-12)


def test_the_exponential_rule_needs_a_bias_of_each_item(rng):
    X, Y = (distnorm.normalize(rng.normal(c, 1, (40, 12))) for c in (0.3, -0.3))
    norm = distnorm.make("centered").fit(images=X, texts=Y)
    with pytest.raises(DistnormError, match="rule 'exponential' with method 'centered'"):
        distnorm.score_captions(norm, X, Y, rule="exponential")

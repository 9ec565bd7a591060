"""Comparisons on captions."""

from __future__ import annotations

import numpy as np
import pytest

from distnorm import (
    DistnormError,
    compare_captions,
    normalize,
)
from distnorm.tasks.captioning import evaluate_captions


@pytest.fixture
def pairs(rng):
    images = normalize(rng.normal(0.2, 1, (30, 12)).astype(np.float32))
    owner = np.repeat(np.arange(30), 3)
    noise = np.tile([0.2, 0.8, 2.0], 30)
    texts = images[owner] + noise[:, None] * rng.normal(0, 1, (90, 12))
    return images, normalize(texts.astype(np.float32)), owner, -np.tile([0, 1, 2], 30)


def test_comparison_orders_damage(pairs):
    images, texts, owner, human = pairs
    found = compare_captions(images, texts, human, owner, repeats=3)
    plain = evaluate_captions(None, images, texts, human, owner)
    assert found.to_dict()["task"] == "captions"
    assert found["dot"].metrics["kendall_tau_c"].mean == pytest.approx(
        plain.metrics["kendall_tau_c"], abs=0.1
    )
    low, high = found["dn"].metrics["kendall_tau_b"].delta_ci95
    assert low <= high
    assert found["dn"].metrics["spearman"].delta_ci95 is None


def test_shares_of_rows_average_to_tau(pairs):
    images, texts, owner, human = pairs
    found = compare_captions(images, texts, human, owner, protocol="transductive")
    assert found["dn"].transductive
    delta = found["dn"].metrics["kendall_tau_c"]
    assert delta.delta_ci95[0] - 0.02 <= delta.delta <= delta.delta_ci95[1] + 0.02


def test_judgements_that_are_all_equal_are_refused(pairs):
    images, texts, owner, _ = pairs
    with pytest.raises(DistnormError, match="all the same"):
        compare_captions(images, texts, np.ones(90), owner)

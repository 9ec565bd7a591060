"""What belongs together stays together: groups, and comparisons of galleries with distractors."""

from __future__ import annotations

import numpy as np
import pytest

from distnorm import DistnormError, compare_retrieval
from distnorm.comparison.draws import draw_splits
from distnorm.comparison.groups import Groups
from distnorm.metrics.positives import Positives


def test_groups_are_connected_components():
    pairs = Positives.of([[0, 3], [3, 2], [1], []], 4, 6, partial=True)
    groups = Groups.of(pairs)
    assert groups.of_image.tolist() == [0, 1, 0, 0, 2, 3]
    assert groups.of_text.tolist() == [0, 0, 1, 4]
    assert groups.count == 5


def test_a_long_chain_is_one_group():
    n = 300
    groups = Groups.of(Positives.of([[i, i + 1] for i in range(n - 1)], n - 1, n))
    assert groups.count == 1


def test_groups_of_one_image_per_text_are_the_images(rng):
    owner = rng.integers(0, 20, 50)
    groups = Groups.of(Positives.of(owner, 50, 20))
    np.testing.assert_array_equal(groups.of_image, np.arange(20))
    np.testing.assert_array_equal(groups.of_text, owner)


@pytest.mark.parametrize("drawn", [{"fit_fraction": 0.4}, {"samples": 8}])
def test_splits_part_no_group(drawn):
    truth = Positives.of([[2 * i, 2 * i + 1] for i in range(20)] + [[]] * 5, 25, 50, partial=True)
    groups = Groups.of(truth)
    own = groups.of_image
    for split in draw_splits(
        groups.of_text, groups.count, repeats=3, seed=1, group_of_image=own, **drawn
    ):
        fitted = {*own[split.fit_images], *groups.of_text[split.fit_texts]}
        asked = {*own[split.images], *groups.of_text[split.texts]}
        assert not fitted & asked
        assert len(split.fit_images) == len(set(split.fit_images)) > 0


@pytest.mark.parametrize("protocol", ["held-out", "paper", "transductive"])
def test_compare_with_distractors_and_several_images_per_text(gap_pair, protocol):
    images, texts = gap_pair[0][:90], gap_pair[1][:45]
    positives = [[2 * i, 2 * i + 1] for i in range(40)] + [[]] * 5
    found = compare_retrieval(
        images,
        texts,
        positives=positives,
        protocol=protocol,
        methods=["dn"],
        repeats=2,
        samples=6,
        with_r_precision=True,
    )
    assert found.sizes["n_images_without_text"] == 10
    assert found.sizes["n_texts_without_image"] == 5
    for way in ("text", "image"):
        summary = found["dn"].metrics[f"{way}_retrieval_map@r"]
        assert 0 <= summary.mean <= 1
        low, high = summary.delta_ci95
        assert low <= summary.delta <= high


def test_one_image_per_text_is_the_same_in_every_form(gap_pair):
    images, texts = gap_pair[0][:60], gap_pair[1][:60]
    owner = np.arange(60) // 2 * 2
    settings = {"methods": ["dn"], "repeats": 2, "diagnostics": False}
    plain = compare_retrieval(images, texts, owner, **settings)
    lists = compare_retrieval(images, texts, positives=[[i] for i in owner], **settings)
    assert plain.to_dict() == lists.to_dict()
    assert plain.sizes["n_images_without_text"] == 30


def test_lists_as_image_of_text_name_positives(gap_pair):
    with pytest.raises(DistnormError, match="--positives"):
        compare_retrieval(*(x[:20] for x in gap_pair), [[i, i] for i in range(20)])

"""Splits: disjoint, and captions stay with their image."""

from __future__ import annotations

import numpy as np
import pytest

from distnorm.comparison.draws import draw_splits


@pytest.mark.parametrize("drawn", [{"fit_fraction": 0.4}, {"samples": 10}])
def test_splits_are_disjoint_and_keep_captions_together(drawn):
    owner = np.repeat(np.arange(50), 3)
    splits = list(draw_splits(owner, 50, repeats=4, seed=3, **drawn))
    again = list(draw_splits(owner, 50, repeats=4, seed=3, **drawn))
    for split, same in zip(splits, again, strict=True):
        np.testing.assert_array_equal(split.images, same.images)
        assert not set(split.images) & set(split.fit_images)
        assert not set(split.images) & set(owner[split.fit_texts])
        np.testing.assert_array_equal(split.images[split.image_of_text], owner[split.texts])
        assert len(split.texts) == 3 * len(split.images)
        if "samples" in drawn:
            assert len(split.fit_images) == len(split.fit_texts) == 10
            assert not set(split.fit_images) & set(owner[split.fit_texts])
    assert not np.array_equal(splits[0].images, splits[1].images)

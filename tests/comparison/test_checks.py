"""Rows are looked at once, at the door: one call of `arrays.check_rows` per matrix."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

import distnorm
from distnorm import arrays


@pytest.fixture
def looks(monkeypatch):
    """How often each matrix was looked at, by its name in messages."""
    counts = Counter()
    look = arrays.check_rows

    def counted(block, name, start):
        counts[name] += 1
        look(block, name, start)

    for module in (arrays, distnorm.moments.sums):
        if hasattr(module, "check_rows"):
            monkeypatch.setattr(module, "check_rows", counted)
    return counts


def test_comparisons_look_once(gap_pair, looks):
    images, texts = gap_pair
    distnorm.compare_retrieval(images, texts, methods=["dn"], repeats=2)
    assert looks == {"images": 1, "texts": 1}
    distnorm.compare_retrieval(images, texts, repeats=3)
    assert looks == {"images": 2, "texts": 2}
    looks.clear()
    distnorm.compare_classification(images, texts[:9], np.arange(200) % 9, repeats=2)
    assert looks == {"images": 1, "classes": 1}
    looks.clear()
    distnorm.compare_captions(images, texts, np.arange(200) % 7, repeats=2)
    assert looks == {"images": 1, "captions": 1}


def test_comparisons_look_once_at_reference_data(gap_pair, looks):
    images, texts = gap_pair
    rows = {"fit_images": images[100:], "fit_texts": texts[100:]}
    distnorm.compare_retrieval(images[:100], texts[:100], **rows)
    assert looks == {"images": 1, "texts": 1, "fit_images": 1, "fit_texts": 1}


def test_evaluations_look_once(gap_pair, looks):
    images, texts = gap_pair
    norm = distnorm.make("dn2").fit(images=images, texts=texts)
    looks.clear()
    distnorm.evaluate_retrieval(norm, images, texts)
    assert looks == {"images": 1, "texts": 1}
    looks.clear()
    distnorm.evaluate_classification(norm, images, texts[:9], np.arange(200) % 9)
    assert looks == {"images": 1, "classes": 1}
    looks.clear()
    distnorm.evaluate_captions(norm, images, texts, np.arange(200) % 7)
    assert looks == {"images": 1, "captions": 1}

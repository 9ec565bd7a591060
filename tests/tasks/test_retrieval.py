"""Retrieval in both directions and comparisons, by hand, by law, and on real features."""

from __future__ import annotations

import numpy as np
import pytest

import distnorm
from distnorm import DistnormError, evaluate_retrieval


def by_hand(images, texts, owner, k):
    """Hit-type recall both ways, sorting each row of the full matrix."""
    order = np.argsort(-(images @ texts.T), axis=1, kind="stable")[:, :k]
    forth = np.mean([np.any(owner[row] == i) for i, row in enumerate(order)])
    order = np.argsort(-(texts @ images.T), axis=1, kind="stable")[:, :k]
    return forth, np.mean([owner[j] in row for j, row in enumerate(order)])


def test_several_captions_an_image(gap_pair, rng):
    images, texts = gap_pair
    owner = np.repeat(np.arange(40), 5)
    images = images[:40]
    shuffle = rng.permutation(200)
    result = evaluate_retrieval(None, images, texts[shuffle], owner[shuffle], k=(1, 3, 500))
    for k in (1, 3):
        forth, back = by_hand(images, texts, owner, k)
        assert result.metrics[f"text_retrieval_recall@{k}"] == pytest.approx(forth)
        assert result.metrics[f"image_retrieval_recall@{k}"] == pytest.approx(back)
    assert result.metrics["image_retrieval_recall@500"] == 1.0
    assert not result.transductive


def test_every_method_evaluates_and_r_precision_of_one_is_recall(gap_pair):
    images, texts = gap_pair
    for name in distnorm.METHODS:
        norm = distnorm.make(name, input="any").fit(images=images[:100], texts=texts[:100])
        result = evaluate_retrieval(norm, images[100:], texts[100:], with_r_precision=True)
        scores = norm.ranking(texts[100:], images[100:]).scores()
        wanted = np.mean(scores.argmax(axis=1) == np.arange(100))
        assert result.metrics["image_retrieval_recall@1"] == pytest.approx(wanted)
        assert result.metrics["image_retrieval_r_precision"] == pytest.approx(wanted)
        assert result.metrics["image_retrieval_map@r"] == pytest.approx(wanted)


def test_several_images_a_text(gap_pair):
    images, texts = gap_pair
    positives = [[i, (i + 1) % 200] for i in range(200)]
    result = evaluate_retrieval(None, images, texts, positives=positives)
    single = evaluate_retrieval(None, images, texts)
    for name in ("text_retrieval_recall@1", "image_retrieval_recall@1"):
        assert result.metrics[name] >= single.metrics[name]


def test_ground_truth_that_does_not_fit(gap_pair):
    images, texts = gap_pair
    with pytest.raises(DistnormError, match="image_of_text"):
        evaluate_retrieval(None, images, texts[:9])
    with pytest.raises(DistnormError, match="without a pair"):
        evaluate_retrieval(None, images[:2], texts[:3], positives=[[], [], []])
    with pytest.raises(DistnormError, match="pass positives"):
        evaluate_retrieval(None, images[:3], texts[:2], [[0, 1], [2]])
    with pytest.raises(DistnormError, match="one ground truth"):
        evaluate_retrieval(None, images[:2], texts[:2], [0, 1], positives=[[0], [1]])
    with pytest.raises(DistnormError, match="item 7"):
        evaluate_retrieval(None, images[:3], texts[:3], np.array([0, 1, 7]))


def brute_figures(scores, mask):
    """Recall@1, R-precision and mAP@R of the queries that have a positive."""
    figures = []
    for row, own in zip(scores, mask, strict=True):
        if own.any():
            hits = own[np.argsort(-row, kind="stable")]
            r = own.sum()
            precision = np.cumsum(hits[:r]) / np.arange(1, r + 1)
            figures.append((hits[0], hits[:r].mean(), (precision * hits[:r]).sum() / r))
    return np.mean(figures, axis=0)


@pytest.mark.parametrize("form", ["mask", "noughts", "lists", "mapping"])
def test_distractors_and_several_images_per_text(gap_pair, rng, form):
    images, texts = gap_pair[0][:60], gap_pair[1][:40]
    mask = rng.random((40, 60)) < 0.04
    mask[:, 50:] = mask[35:] = False
    lists = [np.flatnonzero(row).tolist() for row in mask]
    positives = {
        "mask": mask,
        "noughts": mask.astype(int),
        "lists": lists,
        "mapping": {row: items for row, items in enumerate(lists) if items},
    }[form]
    result = evaluate_retrieval(None, images, texts, positives=positives, with_r_precision=True)
    scores = texts.astype(np.float64) @ images.T
    names = ("recall@1", "r_precision", "map@r")
    for way, table, own in (("image", scores, mask), ("text", scores.T, mask.T)):
        found = [result.metrics[f"{way}_retrieval_{name}"] for name in names]
        np.testing.assert_allclose(found, brute_figures(table, own))
    sizes = result.to_dict()
    assert sizes["n_images_without_text"] == (~mask.any(axis=0)).sum()
    assert sizes["n_texts_without_image"] == (~mask.any(axis=1)).sum()

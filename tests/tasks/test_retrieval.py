"""Retrieval in both directions and comparisons, by hand, by law, and on real features."""

from __future__ import annotations

import json

import numpy as np
import pytest

import distnorm
from distnorm import DistnormError, compare_retrieval, evaluate_retrieval
from distnorm.comparison import deduplicate_images
from distnorm.comparison.diagnostics import ladder
from distnorm.comparison.draws import draw_splits
from distnorm.methods.registry import parse_method


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
    with pytest.raises(DistnormError, match="query 1 without"):
        evaluate_retrieval(None, images[:2], texts[:3], np.zeros(3, dtype=int))
    with pytest.raises(DistnormError, match="item 7"):
        evaluate_retrieval(None, images[:3], texts[:3], np.array([0, 1, 7]))


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


def test_comparison_is_the_contract_and_repeats_itself(gap_pair):
    images, texts = gap_pair
    comparison = compare_retrieval(images, texts, repeats=3, seed=5)
    found = comparison.to_dict()
    assert found == compare_retrieval(images, texts, repeats=3, seed=5).to_dict()
    json.dumps(found, allow_nan=False)
    assert found["schema"] == 1
    assert found["task"] == "retrieval"
    assert found["protocol"] == {
        "statistics": "held-out",
        "fit_fraction": 0.5,
        "repeats": 3,
        "seed": 5,
    }
    assert [r["method"] for r in found["results"]] == ["dot", "dn", "dn*", "dn2", "is", "nnn"]
    for result in found["results"]:
        assert not result["transductive"]
        assert result["n_fit"] == {"image": 100, "text": 100}
        for name, metric in result["metrics"].items():
            if "recall" in name:
                low, high = metric["delta_ci95"]
                assert low <= metric["delta"] + 0.05
                assert metric["delta"] - 0.05 <= high
                assert metric["significant"] == (low > 0 or high < 0)


def test_a_method_without_effect_is_called_noise(gap_pair):
    images, texts = gap_pair
    same = compare_retrieval(images, texts, methods=["dn@0"], repeats=3, diagnostics=False)
    metric = same.results[1].metrics["image_retrieval_recall@1"]
    assert (metric.delta, metric.delta_ci95, metric.significant) == (0.0, (0.0, 0.0), False)


def test_bootstrap_interval_covers_the_spread_of_fresh_data():
    def draw(seed):
        rng = np.random.default_rng(seed)
        shared = rng.normal(0, 1, (120, 10))
        rows = [shared + 1.2 * rng.normal(0, 1, (120, 10)) + c for c in (1.0, -1.0)]
        return [x / np.linalg.norm(x, axis=1, keepdims=True) for x in rows]

    reference = [draw(999)[i] for i in (0, 1)]
    deltas, widths = [], []
    for seed in range(40):
        metric = (
            compare_retrieval(
                *draw(seed),
                methods=["dn"],
                fit_images=reference[0],
                fit_texts=reference[1],
                diagnostics=False,
            )
            .results[1]
            .metrics["image_retrieval_recall@1"]
        )
        deltas.append(metric.delta)
        widths.append(metric.delta_ci95[1] - metric.delta_ci95[0])
    # A 95 % interval is 3.92 standard deviations wide.
    assert np.mean(widths) / 3.92 == pytest.approx(np.std(deltas), rel=0.35)


def test_protocols_say_where_statistics_came_from(gap_pair):
    images, texts = gap_pair
    options = {"methods": ["dn", "sinkhorn"], "diagnostics": False}
    paper = compare_retrieval(images, texts, protocol="paper", samples=20, **options)
    assert paper.protocol["repeats"] == 5
    assert paper.results[1].n_fit == {"image": 20, "text": 20}
    on_itself = compare_retrieval(images, texts, protocol="transductive", **options)
    assert all(result.transductive for result in on_itself.results)
    given = compare_retrieval(
        images[:100], texts[:100], fit_images=images[100:], fit_texts=texts[100:], **options
    )
    assert given.protocol["statistics"] == "reference"
    assert not any(result.transductive for result in given.results)
    leaked = compare_retrieval(images, texts, fit_images=images, fit_texts=texts, **options)
    assert leaked.results[1].transductive


def test_comparisons_that_cannot_be_made(gap_pair):
    images, texts = gap_pair
    for options, words in (
        ({"methods": ["dm"]}, "did you mean"),
        ({"methods": ["dn", "dn"]}, "twice"),
        ({"fit_fraction": 1.5}, "fit_fraction"),
        ({"protocol": "paper"}, "200 images of which 200"),
        ({"protocol": "best"}, "protocol 'best'"),
        ({"repeats": 0}, "repeats"),
        ({"fit_images": images}, "give both"),
    ):
        with pytest.raises(DistnormError, match=words):
            compare_retrieval(images, texts, **options)


def test_methods_with_their_settings():
    assert parse_method("nnn@0.25:k=16") == ("nnn", 0.25, {"k": 16})
    assert parse_method("is:beta=50,scale=2") == ("is", None, {"beta": 50, "scale": 2})
    with pytest.raises(DistnormError, match="number"):
        parse_method("dn@half")


def test_repeated_images_are_told_apart_losslessly(gap_pair, rng):
    images = gap_pair[0][:10]
    owner = rng.permutation(np.repeat(np.arange(10), 4))
    unique, found = deduplicate_images(images[owner])
    assert unique.shape == images.shape
    np.testing.assert_array_equal(unique[found], images[owner])


def test_ladder_is_exact_for_one_query_and_climbs():
    rng = np.random.default_rng(0)
    bank, items = rng.normal(0, 0.1, (400, 6)) + 0.3, rng.normal(0, 1, (200, 6))
    first = ladder(bank[:1], items, 20.0)
    assert [round(r["explained_variance"], 9) for r in first] == [0, 1, 1]
    shares = [r["explained_variance"] for r in ladder(bank, items, 5.0)]
    assert shares[0] == 0 < shares[1] < shares[2] < 1


def test_ladder_on_real_features(real_data):
    folder = real_data / "coco500-clip-vit-b16"
    images, texts = (np.load(folder / f"{side}.npy") for side in ("image", "text"))
    # Items whose partner is not among the queries: unrelated halves.
    correlations = {
        beta: [r["correlation"] for r in ladder(texts[:250], images[250:], beta)]
        for beta in (20.0, 50.0)
    }
    assert correlations[20.0][1:] == pytest.approx([0.86, 0.99], abs=0.04)
    assert correlations[50.0][1:] == pytest.approx([0.57, 0.90], abs=0.12)


# Change of R@1 against the dot product, from METHOD.md section 3, in points.
PUBLISHED = {
    "coco500-clip-vit-b16": {
        "dot": (64.2, 59.6),
        "dn*": (1.1, 1.4),
        "dn": (0.5, 2.3),
        "dn2": (2.4, 4.9),
        "is": (2.7, 5.5),
        "nnn": (3.1, 5.2),
    },
    "mimic500-convirt": {
        "dot": (1.6, 4.7),
        "dn*": (0.8, 0.2),
        "dn": (1.6, 0.3),
        "dn2": (1.3, 0.3),
        "is": (1.4, 0.3),
        "nnn": (1.0, 0.3),
    },
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_real_features_agree_with_what_was_measured(real_data, name):
    images, texts = (np.load(real_data / name / f"{side}.npy") for side in ("image", "text"))
    comparison = compare_retrieval(images, texts, diagnostics=False)
    for result in comparison.results:
        for value, name_ in zip(
            PUBLISHED[name][result.method], ("text_retrieval", "image_retrieval"), strict=True
        ):
            metric = result.metrics[f"{name_}_recall@1"]
            found = metric.mean if result.method == "dot" else metric.delta
            # Three standard errors of two such measurements; the dot product's own level
            # differs more, since it depends on which pairs a split evaluates.
            allowed = 2.0 if result.method == "dot" else 1.2
            assert 100 * found == pytest.approx(value, abs=allowed)


def test_flickr_with_five_captions_an_image(real_data):
    folder = real_data / "flickr8k-100x5-clip-vit-b32"
    images, owner = deduplicate_images(np.load(folder / "image_rows.npy"))
    assert images.shape == (100, 512)
    comparison = compare_retrieval(images, np.load(folder / "text.npy"), owner, repeats=3)
    assert comparison.sizes == {"n_images": 100, "n_texts": 500}
    assert comparison.results[0].metrics["image_retrieval_recall@1"].mean > 0.8

"""ECCV Caption on its real ground truths: mAP@R and R-precision as their authors define them.

R of a query is the number of its positives, those that are no caption of the 5K split included.
"""

from __future__ import annotations

import numpy as np
import pytest

import distnorm
from distnorm import datasets
from distnorm.datasets.base import RetrievalSet
from distnorm.datasets.coco import read_ids
from distnorm.paper.loaders import ground_truth
from distnorm.paper.protocols import evaluated_rows
from distnorm.paper.retrieval import extended_outcomes


@pytest.fixture(scope="module")
def split(real_data):
    """The 5K split by the official ids, without its words."""
    home = real_data / "eccv-caption"
    of_caption = datasets.coco_ground_truth(home, "original")
    captions = read_ids(home / "coco_test_ids.npy")
    images = tuple(sorted({of_caption[caption][0] for caption in captions}))
    place = {image: row for row, image in enumerate(images)}
    owner = np.array([place[of_caption[caption][0]] for caption in captions])
    names = tuple(map(str, images))
    return home, RetrievalSet("coco", names, ("",) * len(captions), owner, images, captions)


def by_definition(scores, truth, items, queries):
    """Means over queries of AP@R and of R-precision, from rankings of ids."""
    average, precision = [], []
    for row, query in enumerate(queries):
        positives = set(truth[query])
        best = np.argpartition(-scores[row], len(positives))[: len(positives)]
        best = best[np.argsort(-scores[row, best])]
        right = np.isin(items[best], list(positives))
        at = right.cumsum() / np.arange(1, len(right) + 1)
        average.append((at * right).sum() / len(positives))
        precision.append(right.sum() / len(positives))
    return float(np.mean(average)), float(np.mean(precision))


def test_positives_outside_of_the_split_stay_in_r(split):
    home, data = split
    rng = np.random.default_rng(0)
    images = distnorm.normalize(rng.normal(size=(len(data.images), 64)))
    noise = 1.2 * rng.normal(size=(len(data.texts), 64))
    texts = distnorm.normalize(rng.normal(size=(1, 64)) + images[data.image_of_text] * 8 + noise)
    draws = [(evaluated_rows(len(images), data.image_of_text), {"images": images, "texts": texts})]
    norms = {"dn": distnorm.make("dn")}
    truth = ground_truth(data, home, "eccv", True)
    judge = extended_outcomes(truth, images, texts, norms, draws)
    found = {name: judge(name, 0).metrics for name in norms}
    outside = 0
    for direction, kind, items, queries, of_items, rows in (
        ("text_retrieval", "image", data.text_ids, data.image_ids, texts, images),
        ("image_retrieval", "caption", data.image_ids, data.text_ids, images, texts),
    ):
        published = datasets.coco_ground_truth(home, "eccv", queries=kind)
        known = set(items)
        outside += sum(item not in known for every in published.values() for item in every)
        place = {query: row for row, query in enumerate(queries)}
        asked = [place[query] for query in published]
        for name in norms:
            norm = norms[name].clone().fit(images=images, texts=texts)
            left, right = (rows[asked], of_items) if kind == "image" else (of_items, rows[asked])
            scores = norm.similarity(left, right)
            scores = scores if kind == "image" else scores.T
            average, precision = by_definition(scores, published, np.array(items), list(published))
            assert found[name][f"{direction}_map@r"] == pytest.approx(average, abs=1e-9)
            assert found[name][f"{direction}_r_precision"] == pytest.approx(precision, abs=1e-9)
            assert 0.05 < average < precision < 0.9
    assert outside == 2

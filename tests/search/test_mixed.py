"""Texts and images in one list: against brute force over everything, and on real features."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import distnorm
from distnorm import DistnormError
from distnorm.search import Gallery, topk_mixed
from distnorm.system.shards import ShardedRows


def fitted(method, X, Y, **settings):
    return distnorm.make(method, **settings).fit(images=X, texts=Y)


def brute_force(norm, queries, galleries, modality, scale):
    """Scores of each query with everything, from the formulas, in float64."""
    scores = []
    for side, items in galleries.items():
        if norm is None or norm.method == "dot":
            plain, own = queries @ items.T, np.zeros(len(queries))
        elif norm.spec.shifts_queries:
            s, t = norm.strength[side], norm.strength[modality]
            shifted = queries - t * norm.moments(modality).mean
            plain, own = shifted @ items.T, s * shifted @ norm.moments(side).mean
        else:
            # Between different sides this is what `similarity` gives; tested below.
            bias = norm.item_bias(items, modality=side) if side != modality else None
            own = norm.item_bias(queries, modality=modality) if side != modality else None
            if side == modality:
                same = distnorm.make(norm.method, strength=norm.strength[side], sides=("q", side),
                                     **norm.params)  # fmt: skip
                bank = np.concatenate(norm.statistics[side].bank)
                same.fit(**{"q": bank, side: bank})
                bias = same.item_bias(items, modality=side)
                own = same.item_bias(queries, modality="q")
            plain = queries @ items.T - bias
        if scale == "standard":
            center, width = plain.mean(axis=1), plain.std(axis=1)
            scores.append((plain - center[:, None]) / width[:, None])
        else:
            scores.append(plain - own[:, None])
    return np.concatenate(scores, axis=1)


@pytest.mark.parametrize("scale", ["standard", "two-sided"])
@pytest.mark.parametrize("modality", ["text", "image"])
@pytest.mark.parametrize("method", [None, "dot", "dn", "is", "nnn"])
def test_the_merge_is_the_exact_answer(method, modality, scale, gap_pair):
    X, Y = gap_pair
    norm = None if method is None else fitted(
        method, X[:80], Y[:90], strength={"image": 0.25, "text": 0.5}
    )  # fmt: skip
    galleries = {"image": X[80:], "text": Y[90:]}
    queries = (Y if modality == "text" else X)[:12]
    found = topk_mixed(queries, galleries, norm, 15, modality=modality, scale=scale)
    wanted = brute_force(norm, queries, galleries, modality, scale)
    order = np.argsort(-wanted, axis=1, kind="stable")[:, :15]
    n = len(galleries["image"])
    np.testing.assert_array_equal(found.side * n + found.rows, order)
    np.testing.assert_allclose(found.scores, np.take_along_axis(wanted, order, axis=1), atol=1e-9)


@pytest.mark.parametrize("method", ["dn", "dn2", "is", "nnn"])
def test_between_sides_scores_are_those_of_similarity(method, gap_pair):
    X, Y = gap_pair
    norm = fitted(method, X[:80], Y[:90])
    found = topk_mixed(Y[90:95], {"image": X[80:]}, norm, 200, scale="two-sided")
    wanted = norm.similarity(X[80:], Y[90:95]).T
    got = np.empty_like(wanted)
    np.put_along_axis(got, found.rows, found.scores, axis=1)
    np.testing.assert_allclose(got, wanted, atol=1e-9)


def test_no_shift_of_the_query_gives_the_merged_order(gap_pair):
    """The same vector as an image and as a text: equal for every query, not in the merge."""
    X, Y = gap_pair
    twin = X[:1] + Y[:1]
    galleries = {"image": np.concatenate([X, twin]), "text": np.concatenate([Y, twin])}
    norm = fitted("dn", X, Y)
    for scale in ("standard", "two-sided"):
        found = topk_mixed(Y[:3], galleries, norm, 402, scale=scale)
        twins = [found.scores[row][found.rows[row] == 200] for row in range(3)]
        assert all(abs(first - second) > 1e-3 for first, second in twins)


@given(st.integers(0, 10_000), st.integers(1, 60))
def test_every_item_comes_once(seed, k):
    rng = np.random.default_rng(seed)
    images, texts = rng.standard_normal((9, 4)), rng.standard_normal((7, 4)) + 3
    found = topk_mixed(rng.standard_normal((2, 4)), {"image": images, "text": texts}, k=k)
    places = found.side * 9 + found.rows
    assert places.shape == (2, min(k, 16))
    assert all(len(set(row)) == len(row) for row in places.tolist())
    assert (np.diff(found.scores, axis=1) <= 0).all()


def test_shards_galleries_and_biases_at_hand(gap_pair):
    X, Y = gap_pair
    norm = fitted("nnn", X[:80], Y[:90])
    from distnorm.search.mixed import item_biases

    plain = topk_mixed(Y[:4], {"image": X, "text": Y}, norm, 9)
    shards = {"image": ShardedRows([X[:50], X[50:]]), "text": Gallery(Y)}
    biases = {side: item_biases(norm, x, side, "text") for side, x in (("image", X), ("text", Y))}
    for given_biases in (None, biases):
        again = topk_mixed(Y[:4], shards, norm, 9, biases=given_biases)
        np.testing.assert_array_equal(again.rows, plain.rows)
        np.testing.assert_array_equal(again.side, plain.side)
    assert repr(plain).startswith("MixedResult(4 queries, k=9: ")


@pytest.mark.parametrize(
    ("change", "part"),
    [
        ({"scale": "z"}, "scale 'z'"),
        ({"galleries": {}}, "no galleries"),
        ({"galleries": {"audio": np.eye(32)}}, "'audio'"),
        ({"method": "qbnorm"}, "'qbnorm'"),
        ({"method": "centered"}, "'centered'"),
        ({"queries": np.full((1, 32), np.nan)}, "NaN in queries"),
        ({"k": 0}, "k = 0"),
    ],
)
def test_what_it_refuses(change, part, gap_pair):
    X, Y = gap_pair
    norm = fitted(change.pop("method", "dn"), X, Y)
    given = {"queries": Y[:2], "galleries": {"image": X, "text": Y}, "k": 3, **change}
    queries, galleries, k = (given.pop(key) for key in ("queries", "galleries", "k"))
    with pytest.raises(DistnormError, match=part):
        topk_mixed(queries, galleries, norm, k, **given)


def test_pictures_come_into_the_list_on_real_features(real_data):
    """By dot product a caption never sees its picture; standard scores show nearly all."""
    folder = real_data / "flickr8k-100x5-clip-vit-b32"
    texts = distnorm.normalize(np.load(folder / "text.npy").astype(np.float64))
    images = distnorm.normalize(np.load(folder / "image_rows.npy")[::5].astype(np.float64))
    norm = fitted("dn", images[50:], texts[250:])
    galleries, queries = {"image": images[:50], "text": texts[:250]}, texts[:250]
    seen = {}
    for name, about, scale in (
        ("dot", None, "two-sided"), ("two-sided", norm, "two-sided"), ("standard", norm, "standard")
    ):  # fmt: skip
        # Eleven: every caption finds itself first.
        found = topk_mixed(queries, galleries, about, 11, scale=scale)
        own = (found.side == 0) & (found.rows == np.arange(250)[:, None] // 5)
        seen[name] = own.any(axis=1).mean()
    assert seen["dot"] < 0.02
    assert seen["dot"] <= seen["two-sided"] < seen["standard"]
    assert seen["standard"] > 0.9

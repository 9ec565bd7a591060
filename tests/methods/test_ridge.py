"""Ridge: a linear fit to nearest-neighbour biases, and therefore a shift of the query."""

from __future__ import annotations

import numpy as np
import pytest

from distnorm import DistnormError, load, make, normalize
from distnorm.methods.bank import nearest_neighbor_bias
from distnorm.methods.ridge import linear_fit, ridge_direction


@pytest.fixture
def sides(rng) -> tuple[np.ndarray, np.ndarray]:
    return normalize(rng.normal(0.3, 1, (80, 12))), normalize(rng.normal(-0.2, 1, (60, 12)))


@pytest.mark.parametrize("shape", [(30, 5), (5, 30)])
def test_the_fit_by_the_normal_equations(shape, rng):
    rows, values, weight = rng.normal(size=shape), rng.normal(size=shape[0]), 0.3
    C = rows - rows.mean(0)
    penalty = weight * np.mean(np.sum(C**2, axis=1))
    wanted = np.linalg.inv(C.T @ C + penalty * np.eye(shape[1])) @ C.T @ (values - values.mean())
    np.testing.assert_allclose(linear_fit(rows, values, weight), wanted, atol=1e-9)


def test_all_neighbours_without_penalty_are_dn(sides):
    X, Y = sides
    ridge = make("ridge", k=60, weight=1e-12).fit(images=X, texts=Y)
    dn = make("dn").fit(images=X, texts=Y)
    shifted, wanted = (n.shift_queries(Y, modality="text") for n in (ridge, dn))
    np.testing.assert_allclose(shifted, wanted, atol=1e-8)


def test_it_approximates_the_bank(sides):
    X, Y = sides
    exact = nearest_neighbor_bias(X, Y, 5)
    fitted = X @ ridge_direction(X, Y, 5, 0.1)
    assert np.corrcoef(exact, fitted)[0, 1] > 0.6


@pytest.mark.parametrize("strength", [0.0, 0.5, {"image": 0.1, "text": 0.8}])
def test_shift_bias_and_two_sided_score_rank_alike(sides, strength):
    X, Y = sides
    norm = make("ridge", strength=strength).fit(images=X, texts=Y)
    shifted = norm.shift_queries(Y, modality="text") @ X.T
    by_bias = Y @ X.T - norm.item_bias(X, modality="image")
    np.testing.assert_allclose(shifted, by_bias, atol=1e-12)
    np.testing.assert_array_equal(
        norm.similarity(X, Y).argsort(axis=0), norm.ranking(Y, X).scores().T.argsort(axis=0)
    )
    np.testing.assert_allclose(norm.paired_similarity(X[:60], Y), np.diag(norm.similarity(X, Y)))


def test_new_rows_are_fitted_anew(sides, tmp_path):
    X, Y = sides
    whole = make("ridge").fit(images=X, texts=Y)
    parts = make("ridge").fit(images=X[:40], texts=Y[:30])
    parts.item_bias(images=X)
    parts.partial_fit(images=X[40:], texts=Y[30:])
    halves = make("ridge").fit(images=X[:40], texts=Y[:30])
    merged = halves.merge(make("ridge").fit(images=X[40:], texts=Y[30:]))
    whole.save(tmp_path / "n.safetensors")
    for other in (parts, merged, load(tmp_path / "n.safetensors")):
        np.testing.assert_allclose(other.item_bias(images=X), whole.item_bias(images=X), atol=1e-12)


def test_identical_items_give_no_direction(sides):
    X, Y = sides
    norm = make("ridge").fit(images=np.repeat(X[:1], 9, axis=0), texts=Y)
    np.testing.assert_allclose(norm.item_bias(images=X), 0, atol=1e-12)


def test_it_needs_rows_of_both_sides(sides):
    X, Y = sides
    with pytest.raises(DistnormError, match="a fit with both sides"):
        make("ridge").fit(texts=Y).item_bias(images=X)
    with pytest.raises(DistnormError, match="weight = 0"):
        make("ridge", weight=0)


def test_gains_on_real_features_without_a_new_index(real_data):
    X, Y = (
        np.load(real_data / "coco500-clip-vit-b16" / f"{side}.npy") for side in ("image", "text")
    )
    norm = make("ridge").fit(images=X[:250], texts=Y[:250])
    own = np.arange(250)
    hits = [
        np.mean((queries @ X[250:].T).argmax(1) == own)
        for queries in (Y[250:], norm.shift_queries(Y[250:], modality="text"))
    ]
    assert hits[1] > hits[0] + 0.02

"""Every method against a float64 oracle written from the formulas, and the laws they obey."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import distnorm
from distnorm import DistnormError, make
from distnorm.methods.quadratic import shrunk_covariance
from distnorm.moments import Moments

PAIRWISE = ("dot", "dn", "dn*", "dn2", "is", "nnn", "csls", "sinkhorn")


def unit(x: np.ndarray) -> np.ndarray:
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def sides(n: int = 60, d: int = 12, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    shared = rng.normal(0, 1, (n, d))
    return (
        unit(shared + 0.5 * rng.normal(0, 1, (n, d)) + 1),
        unit(shared + 0.5 * rng.normal(0, 1, (n, d)) - 1),
    )


def spread(bank, others):
    return np.sqrt(np.mean(np.einsum("ij,jk,ik->i", others, np.cov(bank.T, bias=True), others)))


def oracle_bias(method, items, bank, others, k=None):
    """Item bias of one side straight from METHOD's table, strength not applied."""
    scores = items @ bank.T
    beta = 1.5 / spread(bank, others)
    if method in ("dn", "dn*"):
        return scores.mean(axis=1)
    if method == "dn2":
        return scores.mean(axis=1) + beta / 2 * scores.var(axis=1)
    if method == "is":
        return np.log(np.mean(np.exp(beta * scores), axis=1)) / beta
    return np.sort(scores, axis=1)[:, -k:].mean(axis=1)


def check_against_oracle(X, Y, fit, tolerance):
    A, B = X[:fit].astype(float), Y[:fit].astype(float)
    C, D = X[fit:].astype(float), Y[fit:].astype(float)
    k = max(1, round(np.sqrt(fit) / 2))
    for method in ("dn", "dn*", "dn2", "is", "nnn"):
        norm = make(method, **({"shrinkage": 0.0} if method == "dn2" else {}))
        norm.fit(images=X[:fit], texts=Y[:fit])
        s = norm.strength["image"]
        on_images = s * oracle_bias(method, C, B, A, k)
        on_texts = s * oracle_bias(method, D, A, B, k)
        constant = s * s * A.mean(0) @ B.mean(0) if method in ("dn", "dn*") else 0.0
        wanted = C @ D.T - on_images[:, None] - on_texts[None, :] + constant
        np.testing.assert_allclose(norm.similarity(X[fit:], Y[fit:]), wanted, atol=tolerance)
        np.testing.assert_allclose(
            norm.paired_similarity(X[fit:], Y[fit:]), np.diag(wanted), atol=tolerance
        )
        np.testing.assert_allclose(norm.item_bias(X[fit:], "image"), on_images, atol=tolerance)
        np.testing.assert_allclose(norm.item_bias(Y[fit:], "text"), on_texts, atol=tolerance)


def test_agrees_with_the_oracle_on_synthetic_pairs():
    check_against_oracle(*sides(), 30, 1e-12)


@pytest.mark.parametrize("name", ["coco500-clip-vit-b16", "mimic500-convirt"])
def test_agrees_with_the_oracle_on_real_features(real_data, name):
    X, Y = (np.load(real_data / name / f"{side}.npy") for side in ("image", "text"))
    check_against_oracle(X, Y, 250, 1e-6)


def test_authors_formulas():
    X, Y = sides()
    mu_x, mu_y = X.mean(0), Y.mean(0)
    norm = distnorm.DistributionNormalization().fit(images=X, texts=Y)
    wanted = (X - mu_x / 2) @ (Y - mu_y / 2).T
    np.testing.assert_allclose(norm.similarity(X, Y), wanted, atol=1e-13)
    np.testing.assert_allclose(norm.paired_similarity(X, Y), np.diag(wanted), atol=1e-13)
    raw_x, raw_y = 7 * X, 9 * Y
    renorm = make("dn-renorm").fit(images=raw_x, texts=raw_y)
    zero_shot = unit(raw_x - raw_x.mean(0) / 2) @ unit(raw_y - raw_y.mean(0) / 2).T
    np.testing.assert_allclose(renorm.similarity(raw_x, raw_y), zero_shot, atol=1e-13)


def test_csls_is_the_published_score():
    X, Y = sides()
    norm = make("csls", k=5).fit(images=X, texts=Y)
    S = X @ Y.T
    r_x = np.sort(S, axis=1)[:, -5:].mean(axis=1)
    r_y = np.sort(S, axis=0)[-5:].mean(axis=0)
    np.testing.assert_allclose(norm.similarity(X, Y), 2 * S - r_x[:, None] - r_y, atol=1e-12)


def test_qbnorm_gates_each_query():
    X, Y = sides(80)
    items, bank, queries = X[:30], Y[:20], Y[40:]
    norm = make("qbnorm").fit(texts=bank)
    S = queries @ items.T
    active = np.unique((bank @ items.T).argmax(axis=1))
    bias = np.log(np.mean(np.exp(20 * items @ bank.T), axis=1)) / 20
    gated = np.isin(S.argmax(axis=1), active)
    assert 0 < gated.sum() < len(gated)
    wanted = np.where(gated[:, None], S - bias, S)
    np.testing.assert_allclose(norm.ranking(queries, items).scores(), wanted, atol=1e-12)
    with pytest.raises(DistnormError, match="query"):
        norm.similarity(items, queries)


def test_sinkhorn_gives_every_item_its_share():
    X, Y = sides()
    norm = make("sinkhorn", strength=1.0, beta=10.0, iterations=500, tolerance=1e-12)
    norm.fit(images=X, texts=Y)
    g = norm.item_bias(X, "image")
    S = 10 * (X @ Y.T - g[:, None])
    share = (np.exp(S) / np.exp(S).sum(axis=0)).sum(axis=1)
    np.testing.assert_allclose(share, np.ones(len(X)), atol=1e-6)
    once = make("sinkhorn", strength=1.0, beta=10.0, iterations=1).fit(texts=Y)
    inverted = make("is", strength=1.0, beta=10.0).fit(texts=Y)
    np.testing.assert_allclose(once.item_bias(images=X), inverted.item_bias(images=X), atol=1e-12)


def test_centered_is_the_cosine_of_what_is_left():
    X, Y = sides()
    norm = make("centered").fit(images=X, texts=Y)
    np.testing.assert_allclose(
        norm.similarity(X, Y), unit(X - X.mean(0)) @ unit(Y - Y.mean(0)).T, atol=1e-12
    )


@given(st.floats(-1, 2), st.integers(0, 5))
def test_query_shift_and_item_bias_rank_like_the_full_score(strength, seed):
    X, Y = sides(seed=seed)
    norm = distnorm.DistributionNormalization(strength).fit(images=X, texts=Y)
    full = norm.similarity(X, Y).T
    shifted = norm.shift_queries(Y, "text") @ X.T
    biased = Y @ X.T - norm.item_bias(X, "image")
    # Equal up to a number that is constant for each query.
    for scores in (shifted, biased):
        np.testing.assert_allclose((full - scores).std(axis=1), 0, atol=1e-12)


@given(st.integers(0, 5))
def test_nnn_over_the_whole_bank_is_dn(seed):
    X, Y = sides(seed=seed)
    nnn = make("nnn", k=len(Y)).fit(images=X, texts=Y)
    dn = make("dn").fit(images=X, texts=Y)
    np.testing.assert_allclose(nnn.item_bias(images=X), dn.item_bias(images=X), atol=1e-12)


@pytest.mark.parametrize("method", [m for m in PAIRWISE if m != "dot"])
def test_strength_zero_is_the_dot_product(method):
    X, Y = sides()
    norm = make(method, strength=0).fit(images=X, texts=Y)
    np.testing.assert_allclose(norm.similarity(X, Y), norm.spec.factor * (X @ Y.T), atol=1e-13)


@pytest.mark.parametrize("method", PAIRWISE)
def test_permuting_rows_permutes_scores(method, rng):
    X, Y = sides()
    p, q = rng.permutation(len(X)), rng.permutation(len(Y))
    norm = make(method).fit(images=X, texts=Y)
    again = make(method).fit(images=X[p], texts=Y[q])
    np.testing.assert_allclose(
        again.similarity(X[p], Y[q]), norm.similarity(X, Y)[p][:, q], atol=1e-5
    )


@pytest.mark.parametrize("method", list(distnorm.METHODS))
def test_pieces_and_shards_equal_one_fit(method):
    X, Y = sides()
    one = make(method, input="any").fit(images=X, texts=Y)
    pieces = make(method, input="any")
    for start in range(0, 60, 20):
        pieces.partial_fit(images=X[start : start + 20], texts=Y[start : start + 20])
    a = make(method, input="any").fit(images=X[:10], texts=Y[:35])
    b = make(method, input="any").fit(images=X[10:], texts=Y[35:])
    # Folds of auto are drawn by row: another order is another draw.
    turned = make(method, input="any").fit(
        images=np.concatenate([X[10:], X[:10]]), texts=np.concatenate([Y[35:], Y[:35]])
    )
    for other, whole in ((pieces, one), (a.merge(b), one), (b.merge(a), turned)):
        assert other.counts == whole.counts
        wanted = whole.ranking(Y, X).scores()
        np.testing.assert_allclose(other.ranking(Y, X).scores(), wanted, atol=1e-6)
    if method != "auto":
        np.testing.assert_allclose(
            turned.ranking(Y, X).scores(), one.ranking(Y, X).scores(), atol=1e-6
        )


@pytest.mark.parametrize("method", list(distnorm.METHODS))
def test_every_library_gives_numpys_scores(method, library):
    X, Y = (x.astype(np.float32) for x in sides())
    wanted = make(method, input="any").fit(images=X, texts=Y).ranking(Y, X).scores()
    foreign = make(method, input="any").fit(images=library.asarray(X), texts=library.asarray(Y))
    scores = foreign.ranking(library.asarray(Y), library.asarray(X)).scores()
    assert type(scores) is type(library.asarray(X))
    np.testing.assert_allclose(library.to_numpy(scores), wanted, atol=2e-5)


def test_half_precision_in_half_precision_out():
    X, Y = (x.astype(np.float16) for x in sides())
    norm = make("dn").fit(images=X, texts=Y)
    shifted = norm.shift_queries(texts=Y)
    assert shifted.dtype == np.float16
    wanted = Y.astype(float) - Y.astype(float).mean(0) / 2
    np.testing.assert_allclose(shifted, wanted, atol=1e-3)


def test_sides_take_their_own_names():
    X, Y = sides()
    norm = make("dn", sides=("query", "document"), strength={"query": 0.25})
    norm.fit(queries=X, document=Y)
    assert norm.strength == {"query": 0.25, "document": 0.5}
    assert norm.counts == {"query": 60, "document": 60}
    np.testing.assert_allclose(norm.shift_queries(X, modality="query"), X - X.mean(0) / 4)
    with pytest.raises(DistnormError, match="'images'"):
        norm.fit(images=X)


def test_a_correction_counts_evaluated_rows_that_were_fitted():
    X, Y = sides()
    overlap = make("sinkhorn").fit(images=X, texts=Y[:59]).correction("text").overlap
    assert str(overlap(Y[::-1])) == "fitted on 59 of the 60 evaluated rows"
    assert overlap(Y[59:]).fitted == 0
    # What is not corrected is transductive in no way.
    assert make("sinkhorn", strength=0).fit(texts=Y).correction("text").overlap(Y).fitted == 0


def test_low_rank_and_shrunk_order_two():
    X, Y = sides(300)
    full = make("dn2").fit(images=X, texts=Y)
    whole = make("dn2", rank=12).fit(images=X, texts=Y)
    np.testing.assert_allclose(whole.item_bias(images=X), full.item_bias(images=X), atol=1e-9)
    low = make("dn2", rank=10).fit(images=X, texts=Y)
    assert np.corrcoef(low.item_bias(images=X), full.item_bias(images=X))[0, 1] > 0.98
    form = shrunk_covariance(low.moments("text"))
    spread = form.average_along(Moments(order=2).update(X))
    np.testing.assert_allclose(spread, form.along(X).mean(), rtol=1e-9)
    few = make("dn2").fit(images=X[:6], texts=Y[:6])
    bare = make("dn2", shrinkage=0.0).fit(images=X[:6], texts=Y[:6])
    assert np.ptp(few.item_bias(images=X) - bare.item_bias(images=X)) > 1e-4


def test_bank_keeps_its_rows_when_the_caller_changes_theirs():
    X, Y = sides()
    norm = make("nnn").fit(texts=Y)
    before = norm.item_bias(images=X)
    Y[:] = unit(np.ones_like(Y))
    np.testing.assert_array_equal(norm.item_bias(images=X), before)


def test_blocks_do_not_show(monkeypatch):
    from distnorm.methods import bank

    X, Y = sides(200)
    norms = [make(m).fit(images=X, texts=Y) for m in ("is", "nnn")]
    wanted = [norm.item_bias(images=X) for norm in norms]
    monkeypatch.setattr(bank, "_BANK_ROWS", 17)
    monkeypatch.setattr(bank, "_ITEM_ROWS", 13)
    for norm, values in zip(norms, wanted, strict=True):
        np.testing.assert_allclose(norm.item_bias(images=X), values, atol=1e-12)


def test_sharp_temperatures_do_not_overflow():
    X, Y = sides()
    sharp = make("is", strength=1.0, beta=5000.0).fit(texts=Y).item_bias(images=X)
    np.testing.assert_allclose(sharp, (X @ Y.T).max(axis=1), atol=2e-3)

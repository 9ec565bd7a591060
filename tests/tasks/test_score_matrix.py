"""Methods on matrices of scores: those of vectors where scores are dot products."""

from __future__ import annotations

import numpy as np
import pytest

from distnorm import DistnormError, evaluate_retrieval, evaluate_scores, make, normalize_scores
from distnorm.tasks.score_matrix import score_methods


@pytest.fixture
def data(gap_pair):
    images, texts = (x.astype(np.float64) for x in gap_pair)
    return images[:60], texts[:60], images[60:130], texts[60:140]


@pytest.mark.parametrize(
    "method", ["is:beta=20", "nnn:k=5", "csls", "sinkhorn:beta=20", "qbnorm", "is", "sinkhorn"]
)
def test_methods_rank_scores_as_they_rank_vectors(data, method):
    images, texts, more_images, more_texts = data
    norm = make(_parts(method)[0], **_parts(method)[1])
    norm.fit(images=more_images, texts=more_texts)
    plain = evaluate_retrieval(norm, images, texts, with_r_precision=True)
    found = evaluate_scores(
        images @ texts.T,
        method=method,
        image_bank=more_images @ texts.T,
        text_bank=images @ more_texts.T,
        with_r_precision=True,
    )
    assert not found.transductive
    close = 0 if "beta" in method or "k=" in method or method in ("csls", "qbnorm") else 0.04
    for name, value in plain.metrics.items():
        if "median" not in name:
            assert found.metrics[name] == pytest.approx(value, abs=close + 1e-12)


def _parts(method):
    name, _, tail = method.partition(":")
    return name, {k: int(v) for k, v in (p.split("=") for p in filter(None, tail.split(",")))}


def test_all_of_a_bank_is_dn(data):
    images, texts, more_images, _ = data
    norm = make("dn").fit(images=more_images)
    wanted = norm.ranking(images, texts, "image").scores()
    found = normalize_scores(images @ texts.T, "nnn", bank=more_images @ texts.T, k=70)
    np.testing.assert_allclose(found, wanted, atol=1e-9)


def test_dual_softmax_is_the_product_of_both(rng):
    scores = rng.normal(size=(7, 5))
    exponents = np.exp(3 * scores)
    wanted = exponents / exponents.sum(axis=1, keepdims=True) * exponents / exponents.sum(axis=0)
    found = normalize_scores(scores, "dual-softmax", beta=3)
    np.testing.assert_allclose(found, np.log(wanted), atol=1e-9)
    half = normalize_scores(scores, "is", beta=3, strength=0.5)
    np.testing.assert_array_equal(np.argsort(-found, axis=1), np.argsort(-half, axis=1))


def test_without_a_bank_a_result_is_transductive(data):
    images, texts, *_ = data
    for method in score_methods():
        assert evaluate_scores(images @ texts.T, method=method).transductive
    plain = evaluate_scores(images @ texts.T)
    assert not plain.transductive
    assert plain.metrics == evaluate_retrieval(None, images, texts).metrics


def test_scores_that_are_all_equal_stay_equal():
    for method in score_methods():
        assert np.ptp(normalize_scores(np.full((12, 4), 0.3), method)) == 0


def test_scores_stay_in_their_library():
    torch = pytest.importorskip("torch")
    scores = torch.rand(4, 6)
    found = normalize_scores(scores, "nnn", k=2)
    assert isinstance(found, torch.Tensor)
    assert found.dtype == torch.float32


def test_scores_in_numpys_bfloat16_are_numbers(rng):
    bfloat16 = pytest.importorskip("ml_dtypes").bfloat16
    scores = rng.normal(size=(30, 30)).astype(bfloat16)
    plain = scores.astype(np.float32)
    found = normalize_scores(scores, "nnn", k=4)
    assert found.dtype == bfloat16
    assert np.array_equal(found, normalize_scores(plain, "nnn", k=4).astype(bfloat16))
    assert evaluate_scores(scores).to_dict() == evaluate_scores(plain).to_dict()
    scores[3, 4] = np.nan
    with pytest.raises(DistnormError, match="no number in row 3"):
        evaluate_scores(scores)


@pytest.mark.parametrize(
    ("method", "settings", "words"),
    [
        ("dn", {}, "needs vectors"),
        ("dn", {}, "nnn with k = the size of the bank"),
        ("centered", {}, "needs vectors"),
        ("dot", {}, "leaves as it is"),
        ("nnnn", {}, "did you mean"),
        ("nnn", {"k": 9}, "at least k = 9"),
        ("nnn", {"own": True}, "leave it out"),
        ("is", {"k": 2}, "parameter 'k'"),
        ("is", {"bank": np.ones((6, 3))}, "pass bank.T"),
        ("is", {"bank": np.ones((4, 5))}, "the same items"),
        ("dual-softmax", {"bank": np.ones((4, 6))}, "use 'is'"),
        ("dual-softmax", {"strength": 0.5}, "use 'is'"),
    ],
)
def test_what_needs_vectors_or_does_not_fit_is_said(method, settings, words):
    with pytest.raises(DistnormError) as caught:
        normalize_scores(np.ones((3, 6)), method, **settings)
    assert words in str(caught.value)


@pytest.mark.parametrize("scores", [np.ones(3), np.ones((2, 2), int), [[np.nan, 1.0]], "x", [[]]])
def test_matrices_that_are_none(scores):
    with pytest.raises(DistnormError):
        normalize_scores(scores, "nnn")

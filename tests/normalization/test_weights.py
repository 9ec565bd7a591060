"""Rows with weights in every method: a row counts as much as its copies, whatever the scale."""

from __future__ import annotations

import numpy as np
import pytest

import distnorm
from distnorm import DistnormError, make, normalize
from distnorm.methods.registry import parse_method
from distnorm.monitoring.drift import difference

RNG = np.random.default_rng(0)
X = normalize((RNG.standard_normal((80, 16)) + 0.5).astype(np.float32))
Q = normalize((RNG.standard_normal((60, 16)) + 0.3).astype(np.float32))
TIMES = RNG.permutation(np.repeat([1, 2, 3], 20))
COPIES = np.repeat(Q, TIMES, axis=0)
BIASED = ["dn", "dn2", "is", "nnn:k=9", "csls", "sinkhorn", "ridge:k=9"]
BIASED += ["is:own=1", "nnn:k=9,own=1", "is:beta=900", "is:beta=900,own=1", "nnn:k=45"]


def norm(text: str, **options: object) -> distnorm.ScoreNormalization:
    name, strength, params = parse_method(text)
    return make(name, **{"strength": strength, **params, **options})


@pytest.mark.parametrize("text", BIASED)
def test_a_weighted_bank_is_one_of_copies(text, tmp_path):
    if text.partition(":")[0] in ("is", "nnn", "csls", "ridge") and "own" not in text:
        text += ",own=0" if ":" in text else ":own=0"
    weighted = norm(text).fit(texts=Q, images=X, weights={"text": TIMES})
    name, _, params = parse_method(text)
    if "csls" in text or "k" in params:
        # k counts rows of the bank, each of two copies on average.
        params["k"] = 2 * weighted.params["k"]
    repeated = make(name, **params).fit(texts=COPIES, images=X)
    want = repeated.item_bias(images=X)
    np.testing.assert_allclose(weighted.item_bias(images=X), want, atol=2e-6)
    weighted.save(tmp_path / "n.safetensors")
    again = distnorm.load(tmp_path / "n.safetensors")
    assert again.effective == {"image": 80, "text": TIMES.sum()}
    np.testing.assert_array_equal(again.item_bias(images=X), weighted.item_bias(images=X))


@pytest.mark.parametrize("text", [*BIASED, "nnn", "ridge", "dn*", "csls:k=4", "auto"])
@pytest.mark.parametrize("rows", [Q, Q[:12]], ids=["many", "few"])
def test_weights_of_any_scale_are_the_same(text, rows, tmp_path):
    """Counts, seven times as many, shares that add up to 1; of fewer rows than dimensions too."""
    if "k=45" in text and len(rows) < 45:
        text = "nnn:k=12"
    times = TIMES[: len(rows)].astype(float)
    biases = []
    for weights in (times, 7 * times, times / times.sum()):
        fitted = norm(text).fit(images=X, texts=rows, weights={"text": weights})
        fitted.save(tmp_path / "n.safetensors")
        halves = (slice(len(rows) // 3), slice(len(rows) // 3, None))
        parts = norm(text).fit(images=X)
        for part in halves:
            parts.partial_fit(texts=rows[part], weights={"text": weights[part]})
        for each in (fitted, distnorm.load(tmp_path / "n.safetensors"), parts):
            biases.append(each.similarity(X, rows, query="text"))
    for bias in biases[1:]:
        np.testing.assert_allclose(bias, biases[0], atol=1e-6)


def test_shares_keep_nearest_rows_apart_from_the_mean():
    shares = TIMES / TIMES.sum()
    nearest, mean = (norm(text).fit(texts=Q, weights=shares) for text in ("nnn", "dn"))
    assert np.ptp(nearest.item_bias(images=X) - mean.item_bias(images=X)) > 0.01


def test_the_gated_method_too():
    weighted = norm("qbnorm").fit(texts=Q, weights=TIMES).similarity(X, Q, query="text")
    repeated = norm("qbnorm").fit(texts=COPIES).similarity(X, Q, query="text")
    np.testing.assert_allclose(weighted, repeated, atol=2e-6)


@pytest.mark.parametrize("text", ["nnn:k=9", "nnn:k=9,own=1"])
def test_weighted_neighbours_on_torch(text):
    torch = pytest.importorskip("torch")
    want = norm(text).fit(texts=Q, weights=TIMES).item_bias(images=X)
    fitted = norm(text).fit(texts=torch.from_numpy(Q), weights=torch.from_numpy(TIMES))
    np.testing.assert_allclose(fitted.item_bias(images=torch.from_numpy(X)), want, atol=1e-6)


@pytest.mark.parametrize(("text", "beta"), [("is:own=1,beta=20", 20.0), ("nnn:k=9,own=1", None)])
def test_own_match_is_left_out_of_its_item_alone(text, beta):
    fitted = norm(text, strength=1.0).fit(texts=Q)
    scores = X.astype(np.float64) @ Q.T.astype(np.float64)
    best = scores.argmax(axis=0)
    for item, bias in enumerate(fitted.item_bias(images=X)):
        counted = scores[item, best != item]
        if beta is None:
            want = np.sort(counted)[-9:].mean()
        else:
            want = np.log(np.exp(beta * counted).mean()) / beta
        assert bias == pytest.approx(want, abs=2e-6)


def test_an_item_that_every_row_likes_best_keeps_a_finite_bias():
    item = Q.mean(axis=0, keepdims=True)
    for text in ("is:own=1", "nnn:k=3,own=1", "is:own=1,beta=900"):
        bias = norm(text).fit(texts=Q).item_bias(images=normalize(item))
        assert np.isfinite(bias).all()


def test_own_needs_the_whole_gallery():
    fitted = norm("nnn:own=1").fit(texts=Q)
    assert not fitted.correction("text").item_by_item


def test_by_density_copies_change_nothing():
    for text in ("dn", "dn2", "is", "nnn:k=9", "ridge:k=9", "sinkhorn"):
        once = norm(text, weights="density").fit(texts=Q, images=X)
        often = norm(text).fit(texts=COPIES, images=X, weights="density")
        # The mean that rows are centred by still sees the copies.
        np.testing.assert_allclose(
            often.item_bias(images=X), once.item_bias(images=X), atol=0.02, err_msg=text
        )
        assert often.effective["text"] == pytest.approx(once.effective["text"], rel=0.05)
        assert often.counts["text"] == len(COPIES)


def test_a_bank_is_weighed_as_a_whole_whatever_its_chunks():
    whole = norm("nnn", weights="density").fit(texts=COPIES)
    parts = norm("nnn", weights="density")
    for part in np.array_split(COPIES, 4):
        parts.partial_fit(texts=part)
    np.testing.assert_allclose(parts.item_bias(images=X), whole.item_bias(images=X), atol=1e-6)


@pytest.mark.parametrize("method", ["dn", "dn2"])
def test_a_stream_without_a_bank_is_weighed_with_the_rows_before(method, tmp_path, monkeypatch):
    """By one kind after the other, the worst order; until too many rows came, or they are lost."""
    rng = np.random.default_rng(1)
    kinds = np.repeat(np.arange(20), 12)
    log = normalize((Q[kinds] + 0.02 * rng.standard_normal((240, 16))).astype(np.float32))
    parts = np.array_split(log, 8)
    whole = make(method, weights="density").fit(texts=log, images=X)
    want = whole.item_bias(images=X)

    def stream(kept: bool) -> distnorm.ScoreNormalization:
        found = make(method, weights="density").fit(images=X)
        for part in parts:
            found.partial_fit(texts=part)
            if not kept:
                found.save(tmp_path / "n.safetensors")
                found = distnorm.load(tmp_path / "n.safetensors")
        return found

    kept = stream(kept=True)
    assert kept.counts == whole.counts
    assert kept.effective["text"] == pytest.approx(whole.effective["text"])
    np.testing.assert_allclose(kept.item_bias(images=X), want, atol=1e-6)
    assert np.abs(stream(kept=False).item_bias(images=X) - want).max() > 1e-3
    monkeypatch.setattr("distnorm.methods.statistics.MOST_PENDING", 100)
    few = stream(kept=True)
    assert few.counts == whole.counts
    assert few.effective["text"] > whole.effective["text"]
    bad = log[:3].copy()
    bad[1, 0] = np.nan
    with pytest.raises(DistnormError, match="row 1"):
        few.partial_fit(texts=bad)
    assert few.counts == whole.counts


def test_removing_and_merging_keep_weights():
    both = norm("is").fit(texts=Q, weights=TIMES)
    left = norm("is").fit(texts=Q, weights=TIMES).remove(texts=Q[:20])
    right = norm("is").fit(texts=Q[20:], weights=TIMES[20:])
    np.testing.assert_allclose(left.item_bias(images=X), right.item_bias(images=X), atol=1e-6)
    first = norm("is").fit(texts=Q[:20], weights=TIMES[:20])
    merged = right.merge(first)
    np.testing.assert_allclose(merged.item_bias(images=X), both.item_bias(images=X), atol=1e-6)
    even = norm("is").fit(texts=Q[:20]).merge(right)
    assert even.effective["text"] == 20 + TIMES[20:].sum()


@pytest.mark.parametrize("text", [*BIASED, "nnn", "ridge", "qbnorm", "centered", "auto", "dn*"])
def test_rows_of_weight_0_are_as_if_absent(text):
    if text == "nnn:k=45":
        text = "nnn:k=25"
    times = np.where(np.arange(60) % 2, TIMES, 0)
    kept = np.flatnonzero(times)
    weighted = norm(text).fit(images=X, texts=Q, weights={"text": times})
    absent = norm(text).fit(images=X, texts=Q[kept], weights={"text": times[kept]})
    for side in ("image", "text"):
        np.testing.assert_array_equal(
            weighted.similarity(X, Q, query=side), absent.similarity(X, Q, query=side)
        )
    assert weighted.to_dict() == absent.to_dict()
    assert weighted.fitted("text").overlap(Q).fitted == len(kept)


@pytest.mark.parametrize("text", ["auto", "nnn"])
def test_numbers_stay_under_density(text, tmp_path):
    """Merging, taking out, forgetting and saving replace no given weight."""
    options = {} if text == "auto" else {"weights": "density"}

    def fitted(rows: slice) -> distnorm.ScoreNormalization:
        return norm(text, **options).fit(images=X, texts=Q[rows], weights={"text": TIMES[rows]})

    whole = fitted(slice(None))
    whole.save(tmp_path / "n.safetensors")
    again = distnorm.load(tmp_path / "n.safetensors")
    first, second = fitted(slice(20)), fitted(slice(20, None))
    for found in (again, fitted(slice(None)).remove(texts=Q[:20]).merge(first)):
        assert (found.weighting, found.weights) == ("given", "density")
        assert found.effective["text"] == TIMES.sum()
        assert found.effective["image"] < 80
    assert again.remove(texts=Q[:20]).effective["text"] == second.effective["text"]
    assert whole.forget(0.5).effective["text"] == TIMES[30:].sum()


@pytest.mark.parametrize("scale", [1, 1e6, 1e-6])
def test_what_is_learned_from_weighted_rows_keeps_their_weights(scale):
    """A refreshed watch and cross-fitting, whatever the scale."""
    numbers = {"image": scale * np.tile([1.0, 3.0], 40), "text": scale * TIMES}
    fitted = norm("nnn").fit(images=X, texts=Q, weights=numbers)
    watch = distnorm.Watch(fitted, window=64)
    watch.update(images=X[:64])
    fresh = watch.refreshed(keep=0.5)
    # The latest 40 of the bank and 64 new ones, each worth the mean of the fitted.
    assert fresh.effective["image"] == pytest.approx(scale * 2 * 104)
    others = norm("nnn").fit(images=X[::2], texts=Q[1::2])
    assert difference(fitted, others).interchangeable
    fitted.calibrate(images=X, texts=Q)
    found = fitted.notes.calibration["cross_fitted"], float(fitted.threshold(0.1))
    plain = norm("nnn").fit(
        images=X, texts=Q, weights={"image": np.tile([1.0, 3.0], 40), "text": TIMES}
    )
    plain.calibrate(images=X, texts=Q)
    even = norm("nnn").fit(images=X, texts=Q).calibrate(images=X, texts=Q)
    assert found == (True, pytest.approx(float(plain.threshold(0.1)), abs=1e-6))
    assert abs(found[1] - float(even.threshold(0.1))) > 1e-4
    moments = norm("dn").fit(images=X, texts=Q, weights=numbers).calibrate(images=X, texts=Q)
    assert not moments.notes.calibration["cross_fitted"]


def test_what_cannot_be_weighed():
    with pytest.raises(DistnormError, match="one array of weights for two sides"):
        make("dn").fit(images=X, texts=Q, weights=TIMES)
    with pytest.raises(DistnormError, match="weights 'dense'; expected 'even', 'density'"):
        make("dn").fit(texts=Q, weights="dense")
    with pytest.raises(DistnormError, match="weights of images; expected images="):
        make("dn").fit(texts=Q, weights={"image": np.ones(80)})
    with pytest.raises(DistnormError, match=r"50 rows, worth 50 by their weights; expected .* 51"):
        norm("nnn:k=51").fit(texts=Q, weights=np.arange(60) >= 10).item_bias(images=X)
    with pytest.raises(DistnormError, match="a removal of texts whose weights are not known"):
        make("dn").fit(texts=Q, weights=TIMES).remove(texts=Q[:2])
    with pytest.raises(DistnormError, match="weights 'dense'; expected 'even', 'density'"):
        make("dn").fit(texts=Q, weights={"text": "dense"})
    with pytest.raises(DistnormError, match=r"weights of type ndarray; .* pass numbers to fit"):
        make("dn", weights=TIMES)
    with pytest.raises(DistnormError, match="5 images to take out, 3 of which were not fitted"):
        make("dn").fit(images=X[:50]).remove(images=X[48:53])
    with pytest.raises(DistnormError, match="weights 'density'"):
        make("dn").fit(texts=Q).merge(make("dn", weights="density").fit(texts=Q))

"""P(match): recovered on a world whose truth is known, prior correction, reliability, errors."""

from __future__ import annotations

import builtins

import numpy as np
import pytest

import distnorm
from distnorm import DistnormError, MissingExtraError, make
from distnorm.calibration import reliability

pytest.importorskip("sklearn", reason="curves are fitted by scikit-learn")


def logistic(s: np.ndarray, slope: float = 30.0, middle: float = 0.25) -> np.ndarray:
    return 1 / (1 + np.exp(-slope * (s - middle)))


@pytest.fixture(scope="module")
def pairs() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Pairs of known score s in two dimensions, a match with probability logistic(s)."""
    rng = np.random.default_rng(0)
    s = rng.uniform(-0.2, 0.7, 4000)
    angle = rng.uniform(0, 2 * np.pi, 4000)
    turn = angle + np.arccos(s)
    rows = [np.stack([np.cos(a), np.sin(a)], axis=1) for a in (angle, turn)]
    return rows[0], rows[1], (rng.uniform(size=4000) < logistic(s)).astype(int)


@pytest.mark.parametrize("method", ["isotonic", "platt"])
def test_curves_recover_the_truth(pairs, method):
    norm = make("dot").calibrate_probability(
        images=pairs[0], texts=pairs[1], labels=pairs[2], method=method
    )
    s = np.linspace(0.05, 0.5, 10)
    # Steps of an isotonic curve follow some hundred pairs each, a logistic curve all of them.
    bound = 0.12 if method == "isotonic" else 0.05
    np.testing.assert_allclose(norm.probability(s), logistic(s), atol=bound)
    found = norm.notes.probability
    assert found["prior"] == pytest.approx(pairs[2].mean())
    assert found["expected_calibration_error"] < 0.03
    assert sum(bin_["share"] for bin_ in found["reliability"]) == pytest.approx(1)


def test_another_prior_moves_the_odds_by_one_factor(pairs):
    norm = make("dot").calibrate_probability(
        images=pairs[0], texts=pairs[1], labels=pairs[2], method="platt", prior=0.5
    )
    s = np.array([0.2, 0.25, 0.3])
    half, rare = norm.probability(s), norm.probability(s, prior=0.01)
    np.testing.assert_allclose(rare / (1 - rare), half / (1 - half) / 99)
    # Fitting at the other prior gives the same curve.
    again = make("dot").calibrate_probability(
        images=pairs[0], texts=pairs[1], labels=pairs[2], method="platt", prior=0.01
    )
    np.testing.assert_allclose(again.probability(s), rare, rtol=0.25)


def test_matches_alone_take_other_rows_as_non_matches(gap_pair, tmp_path):
    norm = make("dn").fit(images=gap_pair[0][:60], texts=gap_pair[1][:60])
    rows = {"images": gap_pair[0][60:], "texts": gap_pair[1][60:]}
    with pytest.raises(DistnormError, match="no prior"):
        norm.calibrate_probability(**rows)
    norm.calibrate_probability(**rows, prior=0.1)
    own = norm.paired_similarity(*rows.values())
    other = norm.paired_similarity(rows["images"], np.roll(rows["texts"], 1, axis=0))
    assert norm.probability(own).mean() > 3 * norm.probability(other).mean()
    assert 0 < norm.probability(-9.0) < norm.probability(9.0) < 1
    assert norm.notes.probability["non_matches"] == "pairs of different rows"
    norm.save(tmp_path / "n.safetensors")
    again = distnorm.load(tmp_path / "n.safetensors")
    np.testing.assert_array_equal(again.probability(own), norm.probability(own))
    again.strength["image"] = 0.1
    with pytest.raises(DistnormError, match="calibrate again"):
        again.probability(own)


def test_reliability_by_hand():
    bins, error = reliability([0.05, 0.05, 0.95, 0.95], [0, 1, 1, 1])
    assert bins == [
        {"probability": pytest.approx(0.05), "matches": 0.5, "share": 0.5},
        {"probability": pytest.approx(0.95), "matches": 1.0, "share": 0.5},
    ]
    assert error == pytest.approx(0.5 * 0.45 + 0.5 * 0.05)
    _, weighted = reliability([0.05, 0.95], [0, 1], prior=0.2)
    assert weighted == pytest.approx(0.05)
    assert reliability([1.0, 0.0], [1, 0])[1] == 0


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"prior": 1.0}, "prior 1.0"),
        ({"prior": 0.5, "method": "spline"}, "'isotonic' or 'platt'"),
        ({"labels": [1, 0]}, r"labels of shape \(2,\)"),
        ({"labels": [2] * 200}, "zeros and ones"),
        ({"labels": [1] * 200}, "0 non-matches"),
    ],
)
def test_bad_input(gap_pair, options, words):
    with pytest.raises(DistnormError, match=words):
        make("dot").calibrate_probability(images=gap_pair[0], texts=gap_pair[1], **options)


def test_before_it_is_calibrated_and_unpaired(gap_pair):
    with pytest.raises(DistnormError, match="calibrate_probability"):
        make("dot").probability(0.3)
    with pytest.raises(DistnormError, match="pair them"):
        make("dot").calibrate_probability(images=gap_pair[0], texts=gap_pair[1][1:], prior=0.5)


def test_a_missing_extra_names_the_pip_line(gap_pair, monkeypatch):
    real = builtins.__import__

    def without(name, *args, **kwargs):
        if name.startswith("sklearn"):
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr("importlib.import_module", lambda name: without(name))
    with pytest.raises(MissingExtraError, match=r"pip install 'distnorm\[calibration\]'"):
        make("dot").calibrate_probability(images=gap_pair[0], texts=gap_pair[1], prior=0.5)


def test_pictures_of_one_name_are_one_item_of_probabilities():
    rng = np.random.default_rng(3)
    shared = rng.normal(size=(40, 32))
    images = np.repeat(shared + 0.6 * rng.normal(size=(40, 32)), 3, axis=0)
    # Embedded anew for each of three captions, they differ in their last digits.
    images = distnorm.normalize(images + 1e-3 * rng.normal(size=images.shape))
    texts = np.repeat(shared, 3, axis=0) + 0.3 * rng.normal(size=(120, 32))
    rows = {"images": images, "texts": distnorm.normalize(texts)}
    norm = make("dot").fit(**rows)
    at = np.median(norm.paired_similarity(*rows.values()))[None]
    found = []
    for names in (None, {"images": [f"{row // 3}.jpg" for row in range(120)]}):
        norm.calibrate_probability(**rows, prior=0.1, names=names)
        count = norm.notes.probability["n_non_matches"]
        found.append((count, float(norm.probability(at)[0])))
    # The other captions of an image are no non-matches.
    assert [count for count, _ in found] == [120 * 119, 120 * 117]
    assert found[1][1] > found[0][1] + 0.1

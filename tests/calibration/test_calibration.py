"""False-alarm rates without labels: oracles, laws, samples that hold their matches, bad input."""

from __future__ import annotations

import json

import numpy as np
import pytest

import distnorm
from distnorm import DistnormError, make, normalize
from distnorm.calibration.sample import calibration_warnings, labelled_pairs, without_wrong
from distnorm.calibration.tail import ParetoTail, fit_tails, tail_bins

SIDES = ("image", "text")


def world(n: int, seed: int = 0, d: int = 48) -> tuple[np.ndarray, np.ndarray]:
    """Pairs whose match is mostly the best of their row."""
    rng = np.random.default_rng(seed)
    shared = rng.normal(size=(n, d))
    common = np.random.default_rng(99).normal(size=(2, d))
    sides = [shared + 0.7 * rng.normal(size=(n, d)) + offset for offset in common]
    return tuple(distnorm.normalize(x) for x in sides)  # type: ignore[return-value]


@pytest.fixture(scope="module")
def big() -> tuple[np.ndarray, np.ndarray]:
    """4 million non-matching pairs to compare with."""
    return world(2000, seed=5)


def fitted(method: str = "dn"):
    images, texts = world(150, seed=8)
    return make(method).fit(images=images, texts=texts)


def true_rate(norm, big, threshold) -> float:
    scores = norm.similarity(*big)
    return float((scores[~np.eye(len(scores), dtype=bool)] > threshold).mean())


def test_pareto_fit_agrees_with_scipy():
    stats = pytest.importorskip("scipy.stats", reason="the oracle is scipy.stats.genpareto")
    for shape in (-0.3, 0.0, 0.25):
        z = stats.genpareto.rvs(shape, scale=0.02, size=6000, random_state=1)
        edges = tail_bins(z)
        tallies = np.histogram(z, np.append(edges, np.inf))[0].astype(float)
        scale, found = fit_tails(tallies[None], edges, float(z.mean()))
        oracle, _, oracle_scale = stats.genpareto.fit(z, floc=0)
        assert found[0] == pytest.approx(oracle, abs=0.05)
        assert scale[0] == pytest.approx(oracle_scale, rel=0.06)
        tail = ParetoTail(0.5, 0.01, float(scale[0]), float(found[0]))
        frozen = stats.genpareto(tail.shape, scale=tail.scale)
        at = np.array([0.5, 0.51, 0.53])
        np.testing.assert_allclose(tail.survival(at), 0.01 * frozen.sf(at - 0.5), rtol=1e-9)
        np.testing.assert_allclose(tail.quantile(tail.survival(at)), at, rtol=1e-9)


@pytest.mark.parametrize("method", ["dot", "dn", "dn2", "is", "centered"])
def test_rates_hold_on_new_rows(method, big):
    norm = fitted(method)
    images, texts = world(300, seed=1)
    norm.calibrate(images=images[:150], texts=texts[150:])
    for wanted, factor in ((0.1, 1.3), (0.01, 1.5), (0.001, 2.0), (0.0001, 4.0)):
        assert (
            wanted / factor < true_rate(norm, big, float(norm.threshold(wanted))) < wanted * factor
        )


def test_the_body_is_the_plain_share_of_pairs():
    norm = fitted()
    images, texts = world(120, seed=2)
    norm.calibrate(images=images, texts=texts, pairs="rows")
    scores = norm.similarity(images, texts)[~np.eye(120, dtype=bool)]
    for t in np.quantile(scores, [0.3, 0.6, 0.9]):
        found = norm.false_alarm_rate(t)
        assert found.value == pytest.approx((scores > t).mean(), rel=0.03)
        assert found.low < found.value < found.high
        assert norm.percentile(t).value == pytest.approx(100 * (1 - found.value))
        assert norm.percentile(t).low < norm.percentile(t).value


@pytest.mark.parametrize("order", ["in order", "shuffled"])
def test_a_sample_of_all_true_pairs_does_not_spoil_it(order, big):
    norm = fitted()
    images, texts = world(120, seed=3)
    if order == "shuffled":
        texts = texts[np.random.default_rng(0).permutation(120)]
    naive = float(norm.calibrate(images=images, texts=texts, pairs="none").threshold(1e-3))
    assert true_rate(norm, big, naive) < 1e-3 / 5
    norm.calibrate(images=images, texts=texts)
    table = norm.notes.calibration
    assert table["pairs"] == ("rows" if order == "in order" else "hidden")
    assert (table["hidden_matches"] > 60) == (order == "shuffled")
    assert 1e-3 / 2.5 < true_rate(norm, big, float(norm.threshold(1e-3))) < 1e-3 * 2.5


@pytest.mark.parametrize("order", ["in order", "shuffled"])
def test_rows_that_a_bank_holds_are_left_out_of_each_side(order):
    """Of sides in one order the same rows; in any other order no row of one has to go for those."""
    images, texts = world(120, seed=3)
    norm = distnorm.make("nnn").fit(images=images[:40], texts=texts[30:60])
    given = np.random.default_rng(0).permutation(120) if order == "shuffled" else np.arange(120)
    for pairs in (None, given):
        norm.calibrate(images=images, texts=texts[given], pairs=pairs)
        rows = (60, 60) if order == "in order" else (80, 90)
        assert norm.notes.calibration["n_rows"] == dict(zip(("image", "text"), rows, strict=True))


def test_the_rows_of_the_statistics_are_cross_fitted(big):
    images, texts = world(150, seed=8)
    norm = make("is").fit(images=images, texts=texts)
    norm.calibrate(images=images, texts=texts)
    assert norm.notes.calibration["cross_fitted"]
    assert 0.01 / 1.5 < true_rate(norm, big, float(norm.threshold(0.01))) < 0.01 * 1.5


def test_rows_that_a_bank_holds_in_part_are_left_out():
    images, texts = world(200, seed=8)
    norm = make("nnn").fit(images=images[:120], texts=texts[:120])
    table = norm.calibrate(images=images, texts=texts).notes.calibration
    assert table["n_rows"] == {"image": 80, "text": 80}
    assert not table["cross_fitted"]
    other = make("nnn").fit(images=images[:120], texts=texts[:120])
    other.calibrate(images=images[120:], texts=texts[120:])
    assert other.notes.calibration["knots"]["score"] == table["knots"]["score"]
    with pytest.raises(DistnormError, match="3 images that the bank does not hold"):
        norm.calibrate(images=images[60:123], texts=texts[60:123])
    # Nearly the rows of the statistics are cross-fitted like all of them.
    assert norm.calibrate(images=images[:123], texts=texts[:123]).notes.calibration["cross_fitted"]


def test_given_pairs_may_be_many_to_one_or_none(big):
    norm = fitted()
    images, texts = world(90, seed=4)
    owner = np.append(np.arange(90), -1)
    texts = np.vstack([texts, big[1][:1]])
    table = norm.calibrate(images=images, texts=texts, pairs=owner).notes.calibration
    assert (table["pairs"], table["n_pairs"]) == ("given", 90 * 91 - 90)


def test_threshold_and_rate_are_inverse_and_monotone():
    norm = fitted("dn2")
    images, texts = world(100, seed=6)
    norm.calibrate(images=images, texts=texts)
    rates = np.logspace(-7, -0.05, 30)
    thresholds = [norm.threshold(rate) for rate in rates]
    assert np.all(np.diff([float(t) for t in thresholds]) < 0)
    back = norm.false_alarm_rate([float(t) for t in thresholds])
    np.testing.assert_allclose(back.value, rates, rtol=1e-6)
    for found in thresholds:
        assert found.low <= found.value <= found.high
    assert thresholds[-1].reliable
    assert not thresholds[0].reliable
    assert "too small a sample to know" in str(thresholds[0])
    scores = norm.similarity(images[:4], texts)
    assert (scores >= norm.threshold(0.1)).shape == scores.shape
    assert norm.false_alarm_rate(scores).value.shape == scores.shape
    assert norm.false_alarm_rate(scores[0, 0]).value == norm.false_alarm_rate(scores).value[0, 0]
    assert norm.false_alarm_rate(-5.0).value == 1.0
    assert norm.false_alarm_rate(5.0).value == pytest.approx(1e-8)


def test_intervals_narrow_with_rows_and_mostly_hold(big):
    norm = fitted()
    widths, inside = {}, 0
    level = np.quantile(norm.similarity(big[0][:500], big[1][500:1000]), 0.99)
    truth = true_rate(norm, big, level)
    for n in (10, 40, 160):
        found = []
        for seed in range(10):
            images, texts = world(2 * n, seed=100 + seed)
            norm.calibrate(images=images[:n], texts=texts[n:], pairs="none")
            found.append(norm.false_alarm_rate(level))
        widths[n] = np.median([np.log(f.high / f.low) for f in found])
        inside += sum(f.low <= truth <= f.high for f in found)
    assert widths[10] > widths[40] > widths[160]
    assert inside >= 26


def test_ten_samples_give_a_wide_interval():
    norm = fitted()
    images, texts = world(20, seed=7)
    norm.calibrate(images=images[:10], texts=texts[10:])
    assert not norm.threshold(1e-3).reliable
    assert norm.false_alarm_rate(float(norm.threshold(0.5))).reliable


def test_it_stays_with_the_file_until_the_statistics_change(tmp_path):
    norm = fitted()
    images, texts = world(60, seed=9)
    norm.calibrate(images=images, texts=texts)
    json.dumps(norm.notes.to_dict(), allow_nan=False)
    norm.save(tmp_path / "n.safetensors")
    again = distnorm.load(tmp_path / "n.safetensors")
    assert again.threshold(0.01) == norm.threshold(0.01)
    assert again.notes.calibration["score"]["label"] == "dn two-sided score"
    again.strength["text"] = 0.25
    with pytest.raises(DistnormError, match="calibrate again"):
        again.threshold(0.01)
    norm.partial_fit(images=images)
    with pytest.raises(DistnormError, match="call calibrate"):
        norm.threshold(0.01)


def test_same_seed_same_table_whatever_the_library(library):
    norm = make("dn")
    images, texts = world(60, seed=10)
    fit_images, fit_texts = world(50, seed=11)
    norm.fit(images=library.asarray(fit_images), texts=library.asarray(fit_texts))
    norm.calibrate(images=library.asarray(images), texts=library.asarray(texts))
    plain = make("dn").fit(images=fit_images, texts=fit_texts)
    plain.calibrate(images=images, texts=texts)
    ours, theirs = (n.notes.calibration["knots"]["score"] for n in (norm, plain))
    np.testing.assert_allclose(ours, theirs, atol=1e-5)
    assert norm.false_alarm_rate(library.asarray(np.array([0.1]))).value.shape == (1,)


def test_more_rows_than_it_looks_at(monkeypatch):
    monkeypatch.setattr("distnorm.calibration.sample.MAX_ROWS", 50)
    norm = fitted()
    images, texts = world(90, seed=12)
    table = norm.calibrate(images=images, texts=texts).notes.calibration
    assert table["n_rows"] == {"image": 50, "text": 50}
    assert table["pairs"] == "rows"
    owner = np.arange(90)
    table = norm.calibrate(images=images, texts=texts, pairs=owner).notes.calibration
    assert table["n_pairs"] == 50 * 49


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"images": slice(0, 1)}, "1 images to calibrate with"),
        ({"texts": slice(0, 4)}, "4 texts to calibrate with"),
        ({"pairs": "all"}, "pairs 'all'"),
        ({"pairs": "rows", "texts": slice(0, 9)}, "equal numbers"),
        ({"pairs": np.zeros(3, dtype=int)}, "pairs of shape"),
        ({"pairs": np.full(30, 30)}, "from 0 to 29"),
    ],
)
def test_bad_samples_are_one_clear_error(change, words):
    images, texts = world(30, seed=13)
    given = {"images": images[change.get("images", slice(None))]}
    given["texts"] = texts[change.get("texts", slice(None))]
    with pytest.raises(DistnormError, match=words):
        fitted().calibrate(**given, pairs=change.get("pairs"))


def test_other_bad_input():
    norm = fitted()
    images, texts = world(30, seed=13)
    with pytest.raises(DistnormError, match="all score alike"):
        norm.calibrate(images=np.repeat(images[:1], 20, 0), texts=np.repeat(texts[:1], 20, 0))
    with pytest.raises(DistnormError, match="no texts"):
        norm.calibrate(images=images)
    with pytest.raises(DistnormError, match="two-sided score of 'qbnorm'"):
        fitted("qbnorm").calibrate(images=images, texts=texts)
    norm.calibrate(images=images, texts=texts)
    for rate in (0, 1, -1, "0.1", True, 1e-12):
        with pytest.raises(DistnormError, match="false-alarm rate"):
            norm.threshold(rate)
    with pytest.raises(DistnormError, match="no number"):
        norm.false_alarm_rate([np.nan])


def test_copies_of_a_row_are_one_item():
    norm = fitted()
    images, texts = world(40, seed=14)
    norm.calibrate(images=np.repeat(images, 3, axis=0), texts=texts, pairs="none")
    assert norm.notes.calibration["n_pairs"] == 40 * 40
    assert norm.false_alarm_rate(float(norm.threshold(0.1))).value == pytest.approx(0.1, rel=0.05)


def test_real_features(real_data):
    images, texts = (np.load(real_data / f"coco500-clip-vit-b16/{s}.npy") for s in SIDES)
    order = np.random.default_rng(0).permutation(500)
    fit, sample, judged = order[:100], order[100:300], order[300:]
    norm = make("dn2").fit(images=images[fit], texts=texts[fit])
    norm.calibrate(images=images[sample], texts=texts[sample][::-1])
    scores = norm.similarity(images[judged], texts[judged])
    non = scores[~np.eye(200, dtype=bool)]
    assert 0.005 < (non > float(norm.threshold(0.01))).mean() < 0.015
    assert 0.0003 < (non > float(norm.threshold(0.001))).mean() < 0.003
    assert (np.diagonal(scores) > float(norm.threshold(0.01))).mean() > 0.7


@pytest.mark.parametrize("paired", [True, False])
def test_several_hidden_captions_an_image(paired, big):
    norm = fitted()
    images, texts = world(240, seed=15)
    rng = np.random.default_rng(1)
    # Four texts of each of 60 images; unpaired, of 60 others.
    chosen = np.repeat(np.arange(60) + (0 if paired else 60), 4)
    captions = distnorm.normalize(texts[chosen] + 0.03 * rng.normal(size=(240, 48)))
    norm.calibrate(images=images[:60], texts=rng.permutation(captions))
    found = norm.notes.calibration
    assert (found["hidden_matches"] > 100) == paired
    assert found["pairs"] == ("hidden" if paired else "not found")
    assert 0.01 / 2.5 < true_rate(norm, big, float(norm.threshold(0.01))) < 0.01 * 2.5


def test_real_captions_five_an_image(real_data):
    folder = real_data / "flickr8k-100x5-clip-vit-b32"
    texts = distnorm.normalize(np.load(folder / "text.npy").astype(np.float32))
    images = distnorm.normalize(np.load(folder / "image_rows.npy")[::5].astype(np.float32))
    owner = np.repeat(np.arange(100), 5)
    rates = {"hidden": [], "naive": []}
    for seed in range(5):
        order = np.random.default_rng(seed).permutation(100)
        fit, sample, judged = order[:20], order[20:60], order[60:]
        rows = [np.flatnonzero(np.isin(owner, part)) for part in (fit, sample, judged)]
        norm = make("dn").fit(images=images[fit], texts=texts[rows[0]])
        scores = norm.similarity(images[judged], texts[rows[2]])
        non = scores[owner[rows[2]][None, :] != judged[:, None]]
        for name, pairs in (("hidden", None), ("naive", "none")):
            norm.calibrate(images=images[sample], texts=texts[rows[1]], pairs=pairs)
            rates[name].append((non > float(norm.threshold(0.01))).mean())
    assert 0.004 < np.mean(rates["hidden"]) < 0.015
    assert np.mean(rates["naive"]) < 0.003


@pytest.mark.parametrize("strength", [None, 0, 0.5, {"image": 0.25, "text": 1.0}])
@pytest.mark.parametrize("seed", [3, 4])
def test_a_calibration_belongs_to_what_auto_chose(strength, seed, tmp_path):
    images, texts = world(200, seed=seed)
    norm = make("auto", strength=strength).fit(images=images[:100], texts=texts[:100])
    norm.calibrate(images=images[100:], texts=texts[100:])
    found = norm.threshold(0.01)
    applied = {side: about["strength"] for side, about in norm.to_dict()["chosen"].items()}
    assert norm.notes.calibration["score"]["strength"] == applied
    norm.save(tmp_path / "n.safetensors")
    again = distnorm.load(tmp_path / "n.safetensors")
    assert again.threshold(0.01) == found
    assert again.selection.to_dict() == norm.selection.to_dict()
    assert float(again.false_alarm_rate(float(found))) == pytest.approx(0.01, rel=1e-6)
    # Another choice, or other statistics, void both together.
    again.choose(pairs=(images[:100], texts[:100]))
    with pytest.raises(DistnormError, match="without calibration"):
        again.threshold(0.01)
    merged = norm.merge(make("auto", strength=strength).fit(images=images[100:]))
    assert merged.notes.dropped == ("selection", "calibration")


def test_a_negative_seed_gets_one_line(rng):
    rows = normalize((rng.standard_normal((60, 8)) + 0.3).astype(np.float32))
    norm = make("dn").fit(images=rows, texts=rows[::-1])
    with pytest.raises(DistnormError, match="an integer from 0 on"):
        norm.calibrate(images=rows, texts=rows[::-1], seed=-1)


def test_scores_equal_but_for_rounding_tie_for_the_lowest_index():
    from distnorm.calibration.sample import _first_best

    near = np.nextafter(0.3, 1)
    scores = np.array([[0.1, 0.3, near], [-np.inf, -0.2, -0.2 - 1e-9], [-np.inf] * 3])
    assert _first_best(scores, axis=1).tolist() == [1, 1, 0]
    assert _first_best(scores.T.copy(), axis=0).tolist() == [1, 1, 0]


@pytest.mark.parametrize("pairs", ["best", None])
def test_what_is_left_out_is_decided_in_float64(pairs):
    from distnorm.calibration.sample import draw_nonmatches

    images, texts = world(60, seed=8)
    texts = texts[np.random.default_rng(3).permutation(60)]
    rows = [x.astype(np.float16).astype(np.float32) for x in (images, texts)]
    wide = [x.astype(np.float64) for x in rows]
    for method in ("dn", "nnn"):
        norm = make(method).fit(images=rows[0], texts=rows[1])
        found, again = (draw_nonmatches(norm, *x, pairs, 0) for x in (rows, wide))
        np.testing.assert_array_equal(np.isneginf(found.scores), np.isneginf(again.scores))
        assert found.hidden == again.hidden


@pytest.mark.parametrize("method", ["dot", "dn", "nnn"])
@pytest.mark.parametrize("same_rows", [False, True])
def test_an_image_once_per_caption_has_all_its_captions_for_matches(method, same_rows):
    images, texts = world(60, seed=21)
    more = texts + 0.05 * np.random.default_rng(22).normal(size=texts.shape)
    rows = np.repeat(images, 2, axis=0)
    captions = np.stack([texts, distnorm.normalize(more)], axis=1).reshape(len(rows), -1)
    norm = make(method).fit(images=rows, texts=captions) if same_rows else fitted(method)
    norm.calibrate(images=rows, texts=captions)
    table = norm.notes.calibration
    assert (table["pairs"], table["n_rows"]["image"]) == ("rows", 60)
    assert table["cross_fitted"] == (same_rows and method != "dot")
    if not table["cross_fitted"]:
        assert table["n_pairs"] == 60 * 120 - 120
        assert table["right_pairs"] > 0.9


def test_half_wrong_pairs_are_noticed():
    images, texts = world(100, seed=23)
    wrong = np.arange(100)
    wrong[:50] = np.roll(wrong[:50], 1)
    right = fitted().calibrate(images=images, texts=texts, pairs="rows")
    half = fitted().calibrate(images=images, texts=texts, pairs=wrong)
    assert not calibration_warnings(right.notes.calibration)
    (line,) = calibration_warnings(half.notes.calibration)
    assert "of the given pairs score as matches do" in line
    assert half.notes.calibration["hidden_matches"]
    assert float(half.threshold(0.01)) == pytest.approx(float(right.threshold(0.01)), rel=0.1)


def test_statistics_of_the_same_rows_are_said_and_the_diagonal_is_found():
    images, texts = world(120, seed=24)
    for method in ("dn", "dn2", "nnn", "is"):
        norm = make(method).fit(images=images, texts=texts).calibrate(images=images, texts=texts)
        assert norm.notes.calibration["pairs"] == "rows"
        lines = calibration_warnings(norm.notes.calibration)
        assert "fitted on 120 of the 120 rows" in lines[0]


def test_labels_say_which_rows_match():
    owner = labelled_pairs([1, 0, True, 0], 4, 4)
    assert owner.tolist() == [0, -1, 2, -1]
    assert without_wrong([0, 1, 0, 3], [1, 0, 0, 1]).tolist() == [0, -1, 0, 3]
    assert without_wrong([0, 1, 0, 3], [1, 0]).tolist() == [0, 1, 0, 3]
    with pytest.raises(DistnormError, match="0 or 1 for each pair"):
        labelled_pairs([1, 2, 0, 0], 4, 4)
    with pytest.raises(DistnormError, match="4 and 5 rows"):
        labelled_pairs([1, 1, 0, 0], 4, 5)


def test_rows_of_one_name_are_one_item():
    """Pictures that were embedded anew for each caption differ in their last digits."""
    images, texts = world(90, seed=4)
    norm = fitted()
    rng = np.random.default_rng(0)
    repeated = normalize(np.repeat(images, 4, axis=0) + rng.normal(0, 1e-3, (360, 48)))
    captions = normalize(np.repeat(texts, 4, axis=0) + rng.normal(0, 0.05, (360, 48)))
    names = {"images": [f"{row // 4}.jpg" for row in range(360)]}
    tables = [
        norm.calibrate(images=repeated, texts=captions, pairs="rows", names=given).notes.calibration
        for given in (None, names)
    ]
    assert [table["n_rows"]["image"] for table in tables] == [360, 90]
    assert tables[1]["n_pairs"] == 90 * 360 - 360
    # Taken for non-matches, the other captions of an image raise the threshold.
    known = norm.calibrate(images=images, texts=captions, pairs=np.arange(360) // 4)
    wanted = float(known.threshold(0.01))
    rows = {"images": repeated, "texts": captions, "pairs": "rows"}
    by_name, without = (
        float(norm.calibrate(**rows, names=given).threshold(0.01)) for given in (names, None)
    )
    assert by_name == pytest.approx(wanted, abs=0.01)
    assert without > wanted + 0.03
    # Equal rows under two names, and rows without a name, are told by the rows.
    mixed = [None if row % 2 else f"{row}" for row in range(360)]
    norm.calibrate(images=np.repeat(images, 4, axis=0), texts=captions, names={"image": mixed})
    assert norm.notes.calibration["n_rows"]["image"] == 90
    for bad, words in (({"images": ["a"]}, "one for each of the 360"), ({"sound": []}, "'sound'")):
        with pytest.raises(DistnormError, match=words):
            norm.calibrate(images=repeated, texts=captions, names=bad)


def test_a_store_s_paths_are_its_names(tmp_path):
    arrow = pytest.importorskip("pyarrow", reason="stores need pyarrow")
    from click.testing import CliRunner

    from distnorm.cli.main import cli

    images, texts = world(60, seed=4)
    rng = np.random.default_rng(0)
    rows = {
        "img_emb": normalize(np.repeat(images, 3, axis=0) + rng.normal(0, 1e-3, (180, 48))),
        "text_emb": normalize(np.repeat(texts, 3, axis=0) + rng.normal(0, 0.05, (180, 48))),
    }
    for part, x in rows.items():
        (tmp_path / "store" / part).mkdir(parents=True)
        np.save(tmp_path / "store" / part / f"{part}_0.npy", x.astype(np.float32))
    (tmp_path / "store" / "metadata").mkdir()
    table = arrow.table(
        {
            "image_path": [f"photos/{row // 3}.jpg" for row in range(180)],
            "caption": [f"caption {row}" for row in range(180)],
        }
    )
    pytest.importorskip("pyarrow.parquet").write_table(
        table, tmp_path / "store" / "metadata" / "metadata_0.parquet"
    )
    fitted().save(tmp_path / "n.safetensors")
    place, file = str(tmp_path / "store"), str(tmp_path / "n.safetensors")
    words = ["calibrate", file, "--images", place, "--texts", place, "--pairs", "rows"]
    done = CliRunner().invoke(cli, [*words, "--json", "-"])
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["calibration"]["n_rows"] == {"image": 60, "text": 180}

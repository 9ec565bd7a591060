"""The label-free choice: its biases and planted matches by oracle, its rule, and method auto."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest
from click.testing import CliRunner

import distnorm
from distnorm import DistnormError, load, make, normalize, select
from distnorm.cli.main import cli
from distnorm.moments import density_weights
from distnorm.normalization.notes import Notes
from distnorm.search.indexes.recovery import linear_queries
from distnorm.selection import Selection
from distnorm.selection.decision import strength_weight
from distnorm.selection.planted import Log, draw_folds, found_matches, planted_recall
from distnorm.selection.scored import CORRECTIONS, OF_SAMPLES, SHIFTS, Scored, Weighing
from distnorm.selection.views import price_factor, views


def hubs(n: int, seed: int = 0, d: int = 64) -> tuple[np.ndarray, np.ndarray]:
    """Pairs in which some images are nearer to every text than others, for no reason."""
    rng = np.random.default_rng(seed)
    common = normalize(np.random.default_rng(99).normal(size=(1, d)))
    shared = rng.normal(size=(n, d))
    images = shared + 1.2 * rng.normal(size=(n, d)) + 8 * rng.uniform(size=(n, 1)) * common
    texts = shared + 1.2 * rng.normal(size=(n, d)) + 6 * common
    return normalize(images), normalize(texts)


def recall(norm: distnorm.ScoreNormalization | None, X: np.ndarray, Y: np.ndarray) -> float:
    return distnorm.evaluate_retrieval(norm, X, Y).metrics["image_retrieval_recall@1"]


@pytest.fixture(scope="module")
def world() -> tuple[np.ndarray, ...]:
    """Samples of images and texts of different pairs, then pairs to search."""
    X, Y = hubs(600)
    return X[:200], Y[200:400], X[400:], Y[400:]


@pytest.fixture(scope="module")
def chosen(world) -> distnorm.ScoreNormalization:
    """An auto that chose with the gallery at hand: another method for each side."""
    images, texts, X, Y = world
    return make("auto").fit(images=images, texts=texts).choose(images=X, texts=Y)


# -- the shared matrix of scores


@pytest.mark.parametrize("n", [40, 200])
@pytest.mark.parametrize("method", [*CORRECTIONS, "ridge"])
def test_biases_from_scores_are_those_of_the_library(method, n):
    X, Y = hubs(250)
    queries, items, scale = Y[:n], X[:30], 0.9 * X[100:]
    scored = Scored(queries, items, scale, (method,))
    norm = make(method, strength=1, input="any").fit(images=scale, texts=queries)
    found = scored.biases(np.ones(n, dtype=bool))[method]
    np.testing.assert_allclose(found, norm.item_bias(images=items), atol=1e-9)


@pytest.mark.parametrize("corner", [None, 25])
@pytest.mark.parametrize("method", [*CORRECTIONS, "ridge"])
def test_biases_from_scores_weigh_samples_as_the_library_does(method, corner, rng):
    """A log with repeats about all items, and one about a corner of them: there the gate shuts."""
    X, Y = hubs(250)
    log = Y[rng.integers(0, corner or 250, 300)]
    log = log + 0.1 * rng.normal(size=log.shape) / 4
    log = np.concatenate([log, log[:40], log[:40]])
    distinct, times = np.unique(log, axis=0, return_counts=True)
    items = X[:30]
    weighing = Weighing(times.astype(float), density=True, gated=True)
    scored = Scored(distinct, items, X, (method,), weighing, density_weights(X))
    norm = make(method, strength=1, input="any", weights="density").fit(images=X, texts=log)
    found = scored.biases(np.ones(len(distinct), dtype=bool))
    np.testing.assert_allclose(found[method], norm.item_bias(images=items), atol=2e-5)


@pytest.mark.parametrize("m", [2, 3, 9])
def test_found_matches_by_brute_force(m, rng):
    scores, matches = rng.normal(size=(7, m)), rng.normal(size=m) + 1
    wanted = [
        np.mean([(np.delete(row, y) >= matches[y]).sum() <= 1 for y in range(m)]) for row in scores
    ]
    np.testing.assert_allclose(found_matches(scores, matches), wanted)
    chances = rng.dirichlet(np.ones(m))
    wanted = [
        sum(chances[y] * ((np.delete(row, y) >= matches[y]).sum() <= 1) for y in range(m))
        for row in scores
    ]
    np.testing.assert_allclose(found_matches(scores, matches, chances), wanted)


def test_the_dot_product_finds_four_fifths_of_planted_matches(world):
    images, texts, X, _ = world
    scored = Scored(texts, X, images)
    folds = draw_folds(scored, 5, np.random.default_rng(0))
    dot, full = planted_recall(scored, folds, [("dot", 0.0), ("nnn", 0.5)])
    assert dot.mean() == pytest.approx(0.8, abs=1e-3)
    assert full.mean() > dot.mean()


# -- what two halves of the dimensions say


def related(noise: float, bias: float) -> tuple[np.ndarray, np.ndarray]:
    """Queries and items of 10 themes in 256 dimensions, with a bias of each item."""
    rng = np.random.default_rng(5)
    common = rng.normal(size=256)
    themes = rng.normal(size=(10, 256))
    numbers = rng.integers(10, size=(2, 150))
    queries, items = (themes[at] + noise * rng.normal(size=(150, 256)) for at in numbers)
    along = rng.uniform(-1, 1, size=(150, 1))
    return queries + common, items + bias * along * common


def test_views_confirm_relations_and_not_noise():
    found = [
        views(*related(noise, 0.2), np.ones(150), np.random.default_rng(0))[0]
        for noise in (0.3, 1.5, 6.0)
    ]
    assert found[0] > 0.8 > found[1] > found[2]
    noise = np.random.default_rng(1).normal(size=(2, 150, 256))
    assert abs(views(*noise, np.ones(150), np.random.default_rng(0))[0]) < 0.1


def test_a_bias_that_all_queries_give_reaches_the_best_one():
    queries, items = related(0.3, 1.0)
    carried = views(queries, items, np.ones(150), np.random.default_rng(0))[1]
    assert carried == pytest.approx(1.0, abs=0.15)
    # The scores of an item's own theme make up for its mean: nothing is to be taken away.
    rng = np.random.default_rng(2)
    themes, common = np.linalg.qr(rng.normal(size=(256, 41)))[0].T[:40], rng.normal(size=256) / 16
    numbers, along = np.arange(150) % 40, rng.uniform(-1, 1, size=(150, 1))
    made_up = (4 - along) * themes[numbers] + along * common
    asked = themes[rng.permutation(numbers)] + common
    asked += 0.01 * rng.normal(size=asked.shape)
    assert views(asked, made_up, np.ones(150), np.random.default_rng(0))[1] < 0.5


def test_a_clear_match_in_the_gallery_says_nothing_of_the_search():
    queries, items = related(1.5, 0.5)
    rng = np.random.default_rng(3)
    matches = queries + 0.1 * rng.normal(size=queries.shape)
    without = views(queries, items, np.ones(150), np.random.default_rng(0))[0]
    within = views(queries, np.vstack([items, matches]), np.ones(150), np.random.default_rng(0))
    assert within[0] < without + 0.05


def test_noise_and_bias_make_strength_cheap_and_clear_matches_dear():
    factor = [
        price_factor(*related(noise, bias), np.ones(150), np.random.default_rng(0))
        for noise, bias in ((3.0, 1.0), (0.3, 1.0), (0.3, 0.0))
    ]
    assert factor[0] < 0.5 < factor[1] < factor[2]


def test_few_dimensions_and_even_scores_change_no_price(rng):
    few = rng.normal(size=(2, 40, 8))
    assert price_factor(*few, np.ones(40), rng) == 1
    assert price_factor(np.ones((40, 32)), np.ones((40, 32)), np.ones(40), rng) == 1


# -- the rule


def test_it_corrects_hubs_and_recall_of_unseen_queries_rises(world, chosen):
    _, _, X, Y = world
    choice = chosen.selection["text"]
    assert choice.method in CORRECTIONS
    assert 0 < choice.strength <= strength_weight(200)
    assert choice.evidence == "planted"
    assert (choice.samples, choice.gallery, choice.folds) == (200, 200, 5)
    assert recall(chosen, X, Y) > recall(None, X, Y) + 0.05


def test_nothing_to_correct_leaves_the_dot_product(rng):
    X, Y = (normalize(rng.normal(size=(200, 32))) for _ in range(2))
    found = select(X, Y)
    for side in ("image", "text"):
        assert found[side].method == "dot"
        assert "the dot product stays" in found[side].why


def test_every_candidate_is_explained(chosen):
    choice = chosen.selection["text"]
    # The texts' best images are few, its hubs: sinkhorn, which leaves no own matches out, is none.
    assert choice.coverage < 0.65
    assert [c.method for c in choice.candidates] == ["dot", *OF_SAMPLES[:-1]]
    assert choice.candidates[0].gain == 0
    for candidate in choice.candidates[1:]:
        assert candidate.interval[0] <= candidate.gain <= candidate.interval[1]
        assert candidate.gain == max(candidate.gains) or candidate.net <= candidate.gain
        assert len(candidate.strengths) == len(candidate.gains) == 10
        assert 0 < candidate.mutual_agreement <= 1
        assert 0 < candidate.occupancy <= 1
        outdone = candidate.method != choice.method
        assert bool(candidate.outweighed) == outdone
    assert "little: gain and strength are not limited" in choice.more
    again = Selection.from_dict(json.loads(json.dumps(chosen.notes.selection)))
    assert again == chosen.selection
    assert repr(again).startswith("Selection(image: ")
    assert repr(choice).startswith(f"SideChoice({choice.method}@")


def test_the_choice_is_the_same_for_the_same_seed(world):
    images, texts, X, Y = world
    first, second = (select(images, texts, gallery={"image": X, "text": Y}) for _ in range(2))
    assert first == second


@pytest.mark.parametrize("how", ["density", "even", "numbers", "pairs"])
def test_the_choice_does_not_depend_on_the_order_of_rows(how, world, rng):
    images, texts, X, Y = world
    texts = np.concatenate([texts, texts[:30]])
    asked = rng.uniform(0.5, 9, len(texts))
    found = []
    for number in range(3):
        one, two, three, four = (
            rng.permutation(len(x)) if number else np.arange(len(x)) for x in (images, texts, X, Y)
        )
        if how == "pairs":
            options = {"pairs": (X[three], Y[three])}
        else:
            weights = {"images": "even", "texts": asked[two]} if how == "numbers" else how
            options = {"weights": weights, "gallery": {"image": X[three], "text": Y[four]}}
        found.append(select(images[one], texts[two], **options).to_dict())
    assert found[0] == found[1] == found[2]


def test_equal_rows_share_a_fold_and_many_are_thinned_alike(world, rng):
    images, texts, X, _ = world
    log = np.repeat(texts, rng.integers(1, 60, len(texts)), axis=0)
    assert len(log) > 5000
    found = [select(images, log[rng.permutation(len(log))], gallery={"image": X}) for _ in (1, 2)]
    assert found[0].to_dict() == found[1].to_dict()
    # Each of the rows that are left stands in one fold, with all its copies.
    assert 150 < found[0]["text"].samples <= 200


def test_shards_in_any_order_choose_alike(world):
    images, texts, _, _ = world
    parts = [
        make("auto").fit(images=images[p], texts=texts[p]) for p in (slice(120), slice(120, 200))
    ]
    want = make("auto").fit(images=images, texts=texts).selection
    assert parts[0].merge(parts[1]).selection == want
    assert parts[1].merge(parts[0]).selection == want


def test_repeated_queries_are_no_new_evidence(world):
    images, texts, X, _ = world
    once = select(images, texts, gallery={"images": X})
    twice = select(images, np.concatenate([texts, texts]), gallery={"images": X})
    assert twice["text"].samples == 200
    assert twice["text"].effective_samples == pytest.approx(once["text"].effective_samples)
    assert twice["text"].method == once["text"].method
    for first, second in zip(once["text"].candidates, twice["text"].candidates, strict=True):
        assert second.gain == pytest.approx(first.gain, abs=1e-6)


@pytest.mark.parametrize(
    ("seed", "more"),
    [
        (1, "four times as many samples (160) would halve the standard error"),
        (0, "more samples would not change that: is gains less than it costs"),
    ],
)
def test_what_outweighs_a_gain_is_named(seed, more):
    """A small gain against its price, which more samples would lower enough or not."""
    rng = np.random.default_rng(seed)
    shared = rng.normal(size=(300, 32))
    X, Y = (normalize(shared + 0.7 * rng.normal(size=(300, 32)) + 0.3) for _ in range(2))
    choice = select(X[:100], Y[100:140], gallery={"image": X[200:]})["text"]
    assert choice.method == "dot"
    told = [c.outweighed for c in choice.candidates[1:]]
    price, gain = re.fullmatch(
        r"gains too little: price ([\d.]+) > gain ([\d.]+)", told[0]
    ).groups()
    assert float(price) > float(gain)
    assert float(gain) == pytest.approx(100 * max(choice.candidates[1].gains), abs=0.05)
    assert all(told), told
    assert choice.why == f"is {told[0]}: the dot product stays"
    assert choice.more.startswith(more)


def test_few_even_samples_of_a_corner_of_many_items_are_no_evidence(rng):
    """Forty rows about four of 400 items; as many about forty of them are evidence."""
    items = normalize(rng.normal(size=(400, 64)))
    asked = items[np.repeat(np.arange(40), 10)] + 0.1 * rng.normal(size=(400, 64))
    few = select(None, normalize(asked[:40]), gallery={"image": items}, weights="even")["text"]
    assert (few.method, few.evidence, few.samples) == ("dot", "none", 40)
    assert "effective samples ask for few of the items" in few.why
    spread = normalize(asked[::10])
    assert select(None, spread, gallery={"image": items}, weights="even")["text"].evidence != "none"


def test_a_log_is_planted_as_it_asks():
    """Items asked for often weigh more, hubs of many kinds do not, unasked ones least."""
    log = Log(np.array([1.0, 1, 1, 1, 1, 1]), np.array([0.25, 0.25, 0.25, 0.25, 1, 1]))
    best = np.array([0, 0, 0, 0, 1, 1])
    chance = log.of_items(best, np.ones(6, dtype=bool), 3)
    np.testing.assert_allclose(chance, np.array([4, 1, 1]) / 6)


def test_only_query_shifts_on_request(world):
    images, texts, X, Y = world
    norm = make("auto", shift=True).fit(images=images, texts=texts).choose(images=X, texts=Y)
    assert norm.selection["text"].method in SHIFTS
    shifted = norm.shift_queries(Y, modality="text") @ X.T
    np.testing.assert_allclose(shifted.argmax(1), norm.ranking(Y, X).scores().argmax(1))
    assert recall(norm, X, Y) > recall(None, X, Y)


@pytest.mark.parametrize(
    ("name", "sizes"), [("coco500-clip-vit-b16", (100, 250)), ("mimic500-convirt", (250,))]
)
def test_real_features_gain_for_texts_and_lose_nothing(real_data, name, sizes):
    X, Y = (np.load(real_data / name / f"{side}.npy") for side in ("image", "text"))
    for n in sizes:
        norm = make("auto").fit(images=X[:n], texts=Y[:n]).choose(images=X[250:], texts=Y[250:])
        assert recall(norm, X[250:], Y[250:]) >= recall(None, X[250:], Y[250:]) - 0.005


# -- labelled pairs


def test_labelled_pairs_decide_by_held_out_recall():
    X, Y = hubs(300)
    norm = make("auto").fit(images=X[:150], texts=Y[:150]).choose(pairs=(X[:150], Y[:150]))
    choice = norm.selection["text"]
    assert (choice.evidence, choice.samples) == ("labelled", 150)
    assert choice.method in CORRECTIONS
    assert recall(norm, X[150:], Y[150:]) > recall(None, X[150:], Y[150:]) + 0.02


def test_a_side_without_statistics_stays_the_dot_product():
    X, Y = hubs(150)
    norm = make("auto").fit(images=X).choose(pairs=(X, Y))
    assert norm.selection["text"].method == "dot"
    assert "no texts are fitted" in norm.selection["text"].why
    assert norm.selection["image"].method in CORRECTIONS


def test_pairs_that_do_not_belong_together_choose_nothing(rng):
    X, Y = (normalize(rng.normal(size=(100, 32))) for _ in range(2))
    assert select(pairs=(X, Y))["text"].method == "dot"


def test_a_labelled_query_never_testifies_for_itself():
    # Banks of the query's own row would find every match of these.
    X, Y = hubs(120)
    alone = select(pairs=(X, Y))
    with_itself = select(X, Y, pairs=(X, Y))
    assert with_itself["text"] == alone["text"]


# -- method auto is what it chose


def test_each_side_is_served_by_its_own_choice(world, chosen):
    images, texts, X, Y = world
    for side, queries, items in (("text", Y, X), ("image", X, Y)):
        c = chosen.correction(side)
        plain = make(c.method.name, strength=c.strength, weights="density", **c.params)
        plain.fit(images=images, texts=texts)
        np.testing.assert_allclose(
            chosen.ranking(queries, items, side).scores(),
            plain.ranking(queries, items, side).scores(),
        )
    bias = chosen.item_bias(X, modality="image")
    np.testing.assert_allclose(chosen.ranking(Y, X).scores(), Y @ X.T - bias)


@pytest.mark.parametrize(("image", "text"), [("dn", "nnn"), ("dot", "is"), ("dn2", "dn")])
def test_two_sided_scores_of_different_methods(image, text, world):
    images, texts, X, Y = world
    norm = make("auto").fit(images=images, texts=texts)
    notes = select(images, texts).to_dict()
    for side, method in (("image", image), ("text", text)):
        notes["sides"][side].update(method=method, strength=0.3 if method != "dot" else 0.0)
    norm.notes = Notes(selection=notes)
    wanted = X @ Y.T - norm.item_bias(X, modality="image")[:, None]
    wanted = wanted - norm.item_bias(Y, modality="text")[None, :]
    np.testing.assert_allclose(norm.similarity(X, Y), wanted, atol=1e-12)
    np.testing.assert_allclose(norm.paired_similarity(X, Y), np.diag(wanted), atol=1e-12)


def test_two_linear_choices_are_the_papers_score(world):
    images, texts, X, Y = world
    norm = make("auto").fit(images=images, texts=texts)
    notes = select(images, texts).to_dict()
    for side, strength in (("image", 0.0), ("text", 0.4)):
        notes["sides"][side].update(method="dn" if strength else "dot", strength=strength)
    norm.notes = Notes(selection=notes)
    plain = make("dn", strength={"image": 0, "text": 0.4}).fit(images=images, texts=texts)
    np.testing.assert_allclose(norm.similarity(X, Y), plain.similarity(X, Y))


def test_chunks_and_shards_choose_alike(world):
    images, texts, _, _ = world
    whole = make("auto").fit(images=images, texts=texts)
    streamed = make("auto")
    for start in range(0, 200, 50):
        streamed.partial_fit(images=images[start : start + 50], texts=texts[start : start + 50])
    parts = [
        make("auto").fit(images=images[p], texts=texts[p]) for p in (slice(100), slice(100, 200))
    ]
    assert all("chosen" in part.to_dict() for part in parts)
    merged = parts[0].merge(parts[1])
    for other in (streamed, merged):
        assert other.to_dict()["chosen"] == whole.to_dict()["chosen"]


def test_new_rows_make_the_choice_void(world, chosen):
    images, texts, X, Y = world
    norm = make("auto").fit(images=images, texts=texts).choose(images=X, texts=Y)
    norm.partial_fit(texts=hubs(30, 5)[1])
    assert norm.notes == Notes()
    assert norm.selection["text"].samples == 230


def test_a_new_choice_voids_what_was_noted_of_the_old(world):
    images, texts, X, _ = world
    norm = make("auto").fit(images=images, texts=texts)
    norm.similarity(X[:2], texts[:2])
    norm.notes = Notes(calibration={"of": "the old score"}, fitted_on={"samples": 200})
    norm.similarity(X[:2], texts[:2])
    assert set(norm.notes.to_dict()) == {"calibration", "fitted_on", "selection"}
    assert set(norm.choose(images=X).notes.to_dict()) == {"fitted_on", "selection"}


def test_the_file_carries_choice_and_reasons(world, chosen, tmp_path):
    _, _, X, Y = world
    chosen.save(tmp_path / "n.safetensors")
    again = load(tmp_path / "n.safetensors")
    assert again.selection == chosen.selection
    assert again.to_dict() == chosen.to_dict()
    np.testing.assert_array_equal(again.similarity(X, Y), chosen.similarity(X, Y))


def test_strength_scales_the_choice_and_zero_is_the_dot_product(world):
    images, texts, X, _ = world
    norm = make("auto", strength={"image": 0, "text": 0.5}).fit(images=images, texts=texts)
    full = norm.selection["text"].strength
    assert norm.correction("text").strength == pytest.approx(full / 2)
    assert norm.correction("image").method.name == "dot"
    np.testing.assert_array_equal(norm.shift_queries(X, modality="image"), X)


def test_a_bank_is_no_query_shift(world):
    images, texts, _, Y = world
    norm = make("auto").fit(images=images, texts=texts)
    notes = select(images, texts).to_dict()
    notes["sides"]["text"].update(method="nnn", strength=0.3)
    norm.notes = Notes(selection=notes)
    with pytest.raises(DistnormError, match="'auto', which chose 'nnn'"):
        norm.shift_queries(Y, modality="text")


@pytest.mark.parametrize(("image", "text"), [("nnn", "dn"), ("dot", "ridge"), ("ridge", "dn")])
def test_an_index_of_raw_vectors_gives_back_the_two_sided_score(image, text, world):
    images, texts, X, Y = world
    norm = make("auto").fit(images=images, texts=texts)
    notes = select(images, texts).to_dict()
    for side, method in (("image", image), ("text", text)):
        notes["sides"][side].update(method=method, strength=0.3 if method != "dot" else 0.0)
    norm.notes = Notes(selection=notes)
    shifted, constants, _ = linear_queries(norm, Y, "text")
    found = shifted @ X.T - constants[:, None]
    np.testing.assert_allclose(found, norm.similarity(X, Y).T, atol=1e-12)


def test_other_sides_and_torch(world):
    torch = pytest.importorskip("torch")
    images, texts, X, Y = (torch.from_numpy(x).float() for x in world)
    norm = make("auto", sides=("document", "query")).fit(documents=images, queries=texts)
    scores = norm.similarity(X, Y)
    assert isinstance(scores, torch.Tensor)
    assert norm.selection["query"].samples == 200


def test_zero_shot_chooses_against_its_classes(world):
    images, _, _, Y = world
    classifier = distnorm.ZeroShotClassifier("auto").fit(Y[:50]).partial_fit(images)
    assert classifier.predict(images).shape == (200,)
    choice = classifier.norm_.selection["image"]
    assert (choice.samples, choice.gallery) == (200, 50)


# -- bad input: a right answer, or one clear error


def nothing(found: Selection, side: str, word: str) -> None:
    assert found[side].method == "dot"
    assert found[side].evidence == "none"
    assert word in found[side].why


def test_shifts_without_rows_to_fit_over(world):
    _, texts, X, _ = world
    norm = make("auto", shift=True).fit(texts=texts).choose(images=X)
    assert norm.selection["text"].method == "dn"
    assert norm.shift_queries(texts, modality="text").shape == texts.shape


def test_many_rows_are_thinned(world):
    images, texts, _, _ = world
    rng = np.random.default_rng(1)
    many = normalize(np.repeat(images, 40, axis=0) + 0.01 * rng.normal(size=(8000, 64)))
    choice = select(many, texts)["image"]
    assert choice.samples == 4000
    assert select(pairs=(many, many[:, ::-1]))["image"].samples == 2000


@pytest.mark.parametrize("n", [1, 7])
def test_few_samples_are_no_evidence(n, world):
    images, texts, X, _ = world
    nothing(select(images, texts[:n], gallery={"image": X}), "text", f"{n} distinct text samples")
    norm = make("auto").fit(images=images, texts=texts[:n])
    np.testing.assert_array_equal(norm.ranking(texts, X).scores(), texts @ X.T)


def test_ten_samples_take_a_small_step(world):
    images, texts, X, Y = world
    norm = make("auto").fit(images=images, texts=texts[:10]).choose(images=X)
    assert norm.correction("text").strength <= strength_weight(10) < 0.4
    assert recall(norm, X, Y) >= recall(None, X, Y)


def test_identical_samples_count_once(world):
    images, texts, X, _ = world
    found = select(images, np.repeat(texts[:1], 50, axis=0), gallery={"image": X})
    nothing(found, "text", "1 distinct text samples")
    assert "all texts are the same row" in found.warnings


def test_a_gallery_of_one(world):
    images, texts, X, _ = world
    nothing(select(images, texts, gallery={"image": X[:1]}), "text", "gallery of one item")


def test_no_gallery_and_no_samples_of_a_side(world):
    _, texts, _, _ = world
    found = make("auto").fit(texts=texts).selection
    nothing(found, "text", "the gallery is missing")
    nothing(found, "image", "no sample of images")


def test_the_same_rows_on_both_sides(world):
    images, _, _, _ = world
    for side in ("image", "text"):
        nothing(select(images, images[::-1]), side, "are the same rows")


def test_images_given_as_texts_are_noticed_where_there_is_a_gap(world, gap_pair):
    X, Y = gap_pair
    assert select(X[:100], Y[100:]).warnings == ()
    assert "without a modality gap" in select(X[:100], X[100:]).warnings[0]
    gallery = {"image": X[:50], "text": Y[:50]}
    wrong = select(X[50:100], X[100:], gallery=gallery)
    assert any("the samples called texts lie nearer to" in line for line in wrong.warnings)
    assert select(X[50:100], Y[100:], gallery=gallery).warnings == ()


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda X, Y: select(), "no samples"),
        (lambda X, Y: select(X, normalize(Y[:, :5])), "different dimensions"),
        (lambda X, Y: select(3 * X, Y), "not of unit length"),
        (lambda X, Y: select(X, Y, gallery={"sound": X}), "side 'sound'"),
        (lambda X, Y: select(pairs=(X[:5], Y[:5])), "at least 20"),
        (lambda X, Y: select(pairs=(X[:50], Y[:40])), "as many on both sides"),
        (lambda X, Y: make("auto").similarity(X, Y), "unfitted 'auto'"),
        (lambda X, Y: make("auto").save("n.safetensors"), "unfitted normalization"),
        (lambda X, Y: make("dn").fit(images=X).choose(), "make('auto')"),
        (lambda X, Y: make("auto", seed=-1), "seed = -1"),
        (lambda X, Y: make("auto", shift=3), "shift = 3"),
        (lambda X, Y: make("auto").choose(pairs=(X, Y)), "unfitted 'auto'"),
    ],
)
def test_errors_say_what_is_wrong(call, said):
    X, Y = hubs(300)
    with pytest.raises(DistnormError, match=said.replace("(", r"\(").replace(")", r"\)")):
        call(X, Y)


# -- command line and report


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> str:
    folder = tmp_path_factory.mktemp("auto")
    X, Y = hubs(300)
    np.save(folder / "image.npy", X.astype(np.float32))
    np.save(folder / "text.npy", Y.astype(np.float32))
    return str(folder)


def run(*words: str) -> tuple[int, str, str]:
    done = CliRunner().invoke(cli, list(words))
    return done.exit_code, done.stdout, done.stderr


def test_fit_explains_and_draws_its_choice(files):
    pytest.importorskip("matplotlib", reason="pages need the extra 'report'")
    given = ("--images", f"{files}/image.npy", "--texts", f"{files}/text.npy")
    saved, page = f"{files}/n.safetensors", f"{files}/choice.html"
    code, out, err = run(
        *("fit", *given, "--method", "auto", "--samples", "150", "--explain", "--json", "-"),
        *("--out", saved, "--report", page),
    )
    assert code == 0, err
    found = json.loads(out)
    assert found["chosen"]["text"]["method"] in CORRECTIONS
    assert "queries of the text side" in err
    assert "more samples" in " ".join(err.split())
    assert load(saved).selection["text"].gallery == 300
    with open(page, encoding="utf-8") as file:
        html = file.read()
    assert "<svg" in html
    assert "planted matches" in html
    code, out, err = run("inspect", saved, "--json", "-")
    assert code == 0, err
    assert json.loads(out)["selection"]["sides"]["text"]["samples"] == 150


def test_fit_with_labels(files):
    given = ("--images", f"{files}/image.npy", "--texts", f"{files}/text.npy")
    out = ("--out", f"{files}/l.safetensors")
    code, _, err = run("fit", *given, "--method", "auto", "--labelled", *out)
    assert code == 0, err
    assert load(f"{files}/l.safetensors").selection["text"].evidence == "labelled"
    code, _, err = run("fit", *given[:2], "--method", "auto", "--labelled", *out, "--overwrite")
    assert code == 1
    assert "--labelled" in err
    code, _, err = run("fit", *given, "--method", "dn", "--explain", *out, "--overwrite")
    assert code == 2
    assert "--method auto" in err


def test_compare_names_what_auto_chose(files):
    pytest.importorskip("matplotlib", reason="pages need the extra 'report'")
    page = f"{files}/compare.html"
    code, out, err = run(
        *("compare", "retrieval", "--images", f"{files}/image.npy", "--texts"),
        *(f"{files}/text.npy", "--methods", "dot,dn,auto", "--strength", "0.5"),
        *("--repeats", "2", "--json", "-", "--report", page),
    )
    assert code == 0, err
    found = json.loads(out)
    auto = next(r for r in found["results"] if r["method"] == "auto")
    assert sum(about["splits"] for about in auto["params"]["chosen"]["text"].values()) == 2
    assert auto["strength"] == {"image": 1.0, "text": 1.0}
    assert found["diagnostics"]["selection"]["sides"]["text"]["candidates"]
    with open(page, encoding="utf-8") as file:
        assert "queries of the text side" in file.read()

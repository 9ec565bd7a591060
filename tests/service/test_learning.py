"""``--learn``: what is learned, when it is used, and the way back."""

from __future__ import annotations

import time

import numpy as np
import pytest

import distnorm
from distnorm.service.learning import GATE, Learner

RNG = np.random.default_rng(3)


def unit(rows):
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def world(n, d=48, seed=0):
    """Pictures, and texts of the same things, each side with its own mean."""
    rng = np.random.default_rng(seed)
    things = rng.normal(0, 1, (n, d))
    images = things + rng.normal(0, 0.6, (n, d)) + 4 * np.eye(d)[0]
    texts = things + rng.normal(0, 0.6, (n, d)) + 4 * np.eye(d)[1]
    return unit(images), unit(texts)


ITEMS, TEXTS = world(600)


def test_the_mean_approaches_that_of_a_fit_on_everything():
    learner = Learner(ITEMS, "text")
    distances = []
    for start in (0, 150, 450):
        learner.add(TEXTS[start : start + 150 + start])
        mean = learner.propose().norm.moments("text").mean
        distances.append(np.linalg.norm(mean - TEXTS.astype(float).mean(axis=0)))
    assert distances[-1] < 0.6 * distances[0]


@pytest.mark.parametrize("method", ["dn", "nnn"])
def test_the_scale_of_weights_that_the_start_was_given_is_nothing(method):
    means = []
    for scale in (1.0, 1e5, 1e-5):
        start = distnorm.make(method).fit(
            images=ITEMS, texts=TEXTS[:300], weights={"text": scale * np.arange(1.0, 301)}
        )
        learner = Learner(ITEMS, "text", start)
        learner.add(TEXTS[300:])
        means.append(learner.propose().norm.moments("text").mean)
    np.testing.assert_allclose(means[1:], [means[0]] * 2, atol=1e-9)


def test_nothing_is_used_before_there_are_enough_different_queries():
    learner = Learner(ITEMS, "text")
    learner.add(TEXTS[:60])
    proposal = learner.propose()
    assert not proposal.accepted
    assert "effective queries" in proposal.reason
    learner.add(TEXTS[60:])
    proposal = learner.propose()
    assert proposal.accepted
    assert proposal.effective >= GATE


def test_one_query_asked_again_and_again_neither_fills_the_bank_nor_drives_others_out():
    learner = Learner(ITEMS, "text", window=300)
    learner.add(TEXTS[:300])
    kept = {row.tobytes() for row in learner.rows}
    learner.add(np.repeat(TEXTS[400:401], 5000, axis=0))
    left = {row.tobytes() for row in learner.rows}
    assert len(kept & left) == len(kept)
    assert learner.repeated > 3900


def test_a_narrow_stream_is_never_used():
    stream = np.repeat(TEXTS[:15], 60, axis=0)
    learner = Learner(ITEMS, "text")
    learner.add(stream[np.random.default_rng(0).permutation(len(stream))])
    assert not learner.propose().accepted


def test_statistics_that_lose_agreement_are_held_back():
    start = distnorm.make("dn").fit(images=ITEMS, texts=TEXTS)
    learner = Learner(ITEMS, "text", start)
    learner.add(TEXTS[:400])
    assert learner.propose().accepted
    # Four of five queries lean towards one picture; the fifth, which is held out, does not.
    strong = distnorm.make("dn", strength=1.5).fit(images=ITEMS, texts=TEXTS)
    learner = Learner(ITEMS, "text", strong)
    leaning = unit(TEXTS[::-1] + 2 * ITEMS[:1])
    for at in range(100):
        learner.add(np.concatenate([leaning[4 * at : 4 * at + 4], TEXTS[at : at + 1]]))
    proposal = learner.propose()
    assert proposal.effective >= GATE
    assert not proposal.accepted
    assert "agree no more" in proposal.reason


def test_memory_is_bounded_and_the_old_is_forgotten():
    old, new = world(500, seed=1)[1], world(4000, seed=2)[1]
    learner = Learner(None, "text", window=200)
    learner.add(old)
    learner.add(new)
    assert learner.rows.shape == (200, 48)
    left = {row.tobytes() for row in learner.rows} & {row.tobytes() for row in old}
    assert not left
    assert len(learner.held_out) == 200


@pytest.fixture
def place(tmp_path):
    np.save(tmp_path / "items.npy", ITEMS)
    return tmp_path


def until(condition, seconds=30.0):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.02)


def test_a_service_learns_publishes_and_rolls_back(place):
    pytest.importorskip("starlette")
    pytest.importorskip("uvicorn")
    pytest.importorskip("jinja2")
    from serving import served

    from distnorm.service.app import Service
    from distnorm.service.opening import Opening, open_engine, watch_and_learn

    opening = Opening(str(place / "items.npy"), learn=place / "learned.safetensors")
    lines = []
    service = Service(open_engine(opening), log=lines.append)
    watch_and_learn(service, opening)
    with served(service) as client:
        assert len(client.post("/search", {"vector": TEXTS[0].tolist()})[1]["lists"]) == 1
        assert client.post("/learn", {"action": "publish"})[0] == 409
        for query in TEXTS[:300]:
            service.learning.take(_found(query))
        until(lambda: client.get("/learn")[1]["in_force"])
        found = client.post("/search", {"vector": TEXTS[0].tolist()})[1]
        assert found["statistics"] == {"source": "learned", "version": 1}
        assert "learned from" in found["notes"][0]
        assert [each["method"] for each in found["lists"]] == ["dot", "dn"]
        assert client.post("/learn", {"action": "publish"})[0] == 200
        written = distnorm.load(place / "learned.safetensors")
        assert written.moments("text").count >= GATE
        state = client.post("/learn", {"action": "rollback"})[1]
        assert (state["in_force"], state["paused"]) == (False, True)
        assert len(client.post("/search", {"vector": TEXTS[0].tolist()})[1]["lists"]) == 1
        assert (place / "learned.safetensors.rolled-back").exists()
        assert not (place / "learned.safetensors").exists()
        assert client.post("/learn", {"action": "dance"})[0] == 400
        assert not client.post("/learn", {"action": "resume"})[1]["paused"]


def _found(row):
    from distnorm.service.engine import Found

    return Found({}, row, "text")

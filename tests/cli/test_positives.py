"""``--positives``: galleries with distractors and several images per text."""

from __future__ import annotations

import json

import numpy as np
import pytest

PAIR = ("--images", "image.npy", "--texts", "text.npy", "--json", "-")


@pytest.fixture
def pairs(run, tmp_path):
    lines = "".join(f"{i},{i}\n{i},{(i + 1) % 200}\n" for i in range(0, 180, 3))
    (tmp_path / "pairs.csv").write_text("query,item\n" + lines)
    return ("--positives", "pairs.csv")


@pytest.mark.parametrize("command", ["evaluate", "compare"])
def test_positives_are_ranked_and_what_has_none_is_counted(run, pairs, command):
    more = ("--methods", "dn", "--repeats", 1) if command == "compare" else ()
    done = run(command, "retrieval", *PAIR, *pairs, *more)
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    assert found["n_texts_without_image"] == 140
    assert "140 of 200 texts belong to no image" in done.stderr
    metrics = found["metrics"] if command == "evaluate" else found["results"][1]["metrics"]
    assert "image_retrieval_map@r" in metrics


def test_thresholds_take_positives(run, pairs):
    done = run("evaluate", "retrieval", *PAIR, *pairs, "--threshold", 0.3)
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["at_threshold"]["n_matches"] == 120


def test_two_ground_truths_are_refused(run, pairs):
    np.save("rows.npy", np.arange(200))
    done = run("evaluate", "retrieval", *PAIR, *pairs, "--image-of-text", "rows.npy")
    assert done.exit_code == 2
    assert "--positives excludes" in done.stderr

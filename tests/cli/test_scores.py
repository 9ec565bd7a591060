"""``evaluate retrieval --scores``, and matrices of scores where vectors belong."""

from __future__ import annotations

import json

import numpy as np
import pytest


@pytest.fixture
def matrix(run):
    scores = np.load("image.npy") @ np.load("text.npy").T
    np.save("s.npy", scores[:100, :100])
    np.save("b.npy", scores[100:, :100])
    np.save("t.npy", scores[:100, 100:])
    return ("evaluate", "retrieval", "--scores", "s.npy", "--json", "-")


def test_scores_are_evaluated_with_and_without_a_method(run, matrix):
    plain = run(*matrix)
    assert plain.exit_code == 0, plain.output
    assert json.loads(plain.stdout)["transductive"] is False
    alone = json.loads(run(*matrix, "--method", "dual-softmax:beta=20").stdout)
    assert alone["transductive"] is True
    banks = ("--image-bank", "b.npy", "--text-bank", "t.npy")
    with_banks = json.loads(run(*matrix, "--method", "csls@0.25:k=4", *banks).stdout)
    assert with_banks["transductive"] is False
    assert with_banks["method"] == "csls@0.25:k=4"
    assert with_banks["metrics"] != json.loads(plain.stdout)["metrics"]


@pytest.mark.parametrize(
    ("more", "code", "words"),
    [
        (("--method", "dn"), 1, "needs vectors"),
        (("--images", "image.npy"), 2, "--scores excludes"),
        (("--threshold", "0.1"), 2, "--scores excludes"),
        (("--fit-images", "image.npy"), 2, "--scores excludes"),
        (("--method", "nnn", "--text-bank", "s2.npy"), 1, "no file"),
    ],
)
def test_what_scores_exclude(run, matrix, more, code, words):
    done = run(*matrix, *more)
    assert done.exit_code == code
    assert words in done.stderr


def test_one_matrix_for_both_sides_is_refused(run, matrix):
    np.save("turned.npy", np.load("s.npy").T)
    for other in ("s.npy", "turned.npy"):
        for command in ("evaluate", "compare"):
            done = run(command, "retrieval", "--images", "s.npy", "--texts", other)
            assert done.exit_code == 1
            assert "--scores FILE" in done.stderr
    done = run("evaluate", "retrieval", "--images", "image.npy")
    assert done.exit_code == 2


def test_whole_numbers_are_scores_and_distances_are_noticed(run, matrix):
    scores = np.load("s.npy")
    np.save("s.npy", np.round(1e6 * scores).astype(np.int64))
    whole = run(*matrix)
    assert whole.exit_code == 0, whole.output
    assert "distances" not in whole.stderr
    np.save("s.npy", 1 - scores)
    assert "of distances pass the negative" in " ".join(run(*matrix).stderr.split())

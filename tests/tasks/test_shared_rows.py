"""Evaluated rows that were fitted are counted, said and called transductive: by row, not by sum."""

from __future__ import annotations

import json

import numpy as np
import pytest
from click.testing import CliRunner

import distnorm
from distnorm.cli.main import cli
from distnorm.comparison import compare_retrieval
from distnorm.tasks.captioning import evaluate_captions
from distnorm.tasks.classification import evaluate_classification
from distnorm.tasks.retrieval import evaluate_retrieval


@pytest.fixture
def pair(gap_pair):
    return tuple(x.astype(np.float32) for x in gap_pair)


@pytest.mark.parametrize("method", ["dn", "dn2", "nnn", "centered", "auto"])
@pytest.mark.parametrize("weights", ["even", "density"])
def test_all_but_one_of_the_evaluated_rows(pair, method, weights):
    X, Y = pair
    n = len(X)
    norm = distnorm.make(method, weights=weights).fit(images=X[1:], texts=Y[1:])
    found = evaluate_retrieval(norm, X, Y)
    assert found.transductive
    assert f"transductive (image: fitted on {n - 1} of the {n} evaluated rows" in repr(found)
    assert str(found.shared_rows["text"]) == f"fitted on {n - 1} of the {n} evaluated rows"
    half = distnorm.make(method).fit(images=X[: n // 2], texts=Y[: n // 2])
    rest = evaluate_retrieval(half, X[n // 2 :], Y[n // 2 :])
    assert not rest.transductive
    assert "transductive" not in repr(rest)
    assert rest.shared_rows["image"].fitted == 0


def test_streams_shards_and_removal_are_seen_through(pair, tmp_path, library):
    X, Y = pair
    norm = distnorm.make("dn", strength={"image": 0, "text": 0.5})
    norm.partial_fit(texts=library.asarray(Y[:40])).partial_fit(texts=library.asarray(Y[40:90]))
    norm = distnorm.make("dn", strength={"image": 0, "text": 0.5}).fit(texts=Y[90:100]).merge(norm)
    norm.remove(texts=Y[:20])
    norm.save(tmp_path / "n.safetensors")
    shared = evaluate_retrieval(distnorm.load(tmp_path / "n.safetensors"), X, Y).shared_rows
    assert shared["text"].fitted == 80
    assert shared["image"].fitted == 0  # strength 0 takes nothing from the images


def test_other_tasks_count_too(pair):
    X, Y = pair
    norm = distnorm.make("dn").fit(images=X[5:], texts=Y[:4])
    found = evaluate_classification(norm, X, Y[:10], np.arange(len(X)) % 10)
    assert found.to_dict()["shared_rows"]["image"]["fitted"] == len(X) - 5
    scored = evaluate_captions(norm, X, Y, np.arange(len(X)))
    assert scored.to_dict()["shared_rows"]["text"]["fitted"] == 4
    assert scored.transductive
    assert "transductive (image: fitted on" in repr(scored)
    assert "transductive (image: fitted on" in repr(found)


def test_comparisons_count_equal_rows_and_call_them_by_their_plan(pair):
    X, Y = pair
    twice = np.concatenate([Y[: len(Y) // 2]] * 2)
    held_out = compare_retrieval(X, twice, methods="dn", repeats=2)["dn"]
    assert held_out.shared_rows["text"].fitted
    assert not held_out.transductive
    leaked = compare_retrieval(X, Y, methods="dn", fit_images=X[7:], fit_texts=Y)["dn"]
    assert leaked.transductive
    assert leaked.shared_rows["image"].fitted == len(X) - 7


def test_the_command_says_it(pair, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    X, Y = pair
    np.save("x.npy", X)
    np.save("y.npy", Y)
    distnorm.make("dn").fit(images=X[1:], texts=Y[1:].astype(np.float64)).save("n.safetensors")
    words = ["evaluate", "retrieval", "--images", "x.npy", "--texts", "y.npy"]
    done = CliRunner().invoke(cli, [*words, "--normalization", "n.safetensors", "--json", "-"])
    assert done.exit_code == 0, done.stderr
    n = len(X)
    assert json.loads(done.stdout)["shared_rows"]["image"] == {
        "fitted": n - 1,
        "rows": n,
        "exact": True,
    }
    assert f"fitted on {n - 1} of the {n} evaluated" in " ".join(done.stderr.split())
    assert "transductive" in done.stderr


def test_half_of_a_real_set_but_one_row(real_data):
    folder = real_data / "coco500-clip-vit-b16"
    X, Y = (np.load(folder / f"{side}.npy") for side in ("image", "text"))
    norm = distnorm.make("dn").fit(images=X[:-1].astype(np.float16), texts=Y[:-1])
    shared = evaluate_retrieval(norm, X, Y).shared_rows
    assert {str(each) for each in shared.values()} == {"fitted on 499 of the 500 evaluated rows"}

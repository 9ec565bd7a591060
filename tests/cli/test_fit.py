"""``distnorm fit`` and ``inspect`` as a user types them."""

from __future__ import annotations

import json

import numpy as np

import distnorm
from distnorm.storage import read

PAIR = ("--images", "image.npy", "--texts", "text.npy")


def test_fit_inspect_evaluate(run, gap_pair):
    fitted = run(
        "fit", *PAIR, "--method", "dn", "--strength", "image=0.25,text=0.5", "--model", "m",
        "--out", "n.safetensors", "--json", "-",
    )  # fmt: skip
    assert fitted.exit_code == 0, fitted.stderr
    assert json.loads(fitted.stdout)["strength"] == {"image": 0.25, "text": 0.5}
    norm = distnorm.load("n.safetensors")
    images = gap_pair[0].astype(np.float32).astype(float)
    np.testing.assert_allclose(norm.moments("image").mean, images.mean(axis=0))
    shown = json.loads(run("inspect", "n.safetensors", "--json", "-").stdout)
    assert shown["counts"] == {"image": 200, "text": 200}
    assert shown["modality_gap"] > 0
    assert len(shown["checksum"]) == 64
    assert shown["mean_uncertainty"]["text"]["cosine"] > 0.9
    done = run(
        "evaluate", "retrieval", *PAIR, "--normalization", "n.safetensors", "--r-precision",
        "--json", "-",
    )  # fmt: skip
    found = json.loads(done.stdout)
    assert found["transductive"]
    assert "image_retrieval_map@r" in found["metrics"]


def test_samples_are_random_and_seeded(run):
    checksums = []
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        out = f"{name}.safetensors"
        run("fit", *PAIR, "--samples", 30, "--seed", seed, "--method", "nnn", "--out", out)
        checksums.append(read(out)[2])
    assert checksums[0] == checksums[1] != checksums[2]
    assert distnorm.load("a.safetensors").counts == {"image": 30, "text": 30}


def test_other_sides(run):
    done = run("fit", *PAIR, "--sides", "audio,text", "--out", "n.safetensors")
    assert done.exit_code == 0, done.stderr
    assert distnorm.load("n.safetensors").sides == ("audio", "text")


def test_weights_of_a_file_are_those_of_rows(run):
    """Of every method; numbers, a column, other names; what cannot be meant is one line."""
    times = np.arange(200) % 5
    np.save("times.npy", times)
    with open("log.csv", "w") as file:
        file.write("query,count\n" + "".join(f"q{i},{n}\n" for i, n in enumerate(times)))
    texts = np.load("text.npy")
    for method, path in (("dn", "times.npy"), ("nnn", "log.csv"), ("dn2", "log.csv")):
        words = ("fit", *PAIR, "--method", method, "--weights", f"text={path}")
        done = run(*words, "--out", "n.safetensors", "--overwrite", "--json", "-")
        assert done.exit_code == 0, done.stderr
        about = json.loads(done.stdout)
        assert (about["weights"], about["effective"]["text"]) == ("given", times.sum())
        assert about["counts"] == {"image": 200, "text": 160}
        want = distnorm.make(method).fit(texts=texts, weights=times).moments("text").mean
        np.testing.assert_array_equal(distnorm.load("n.safetensors").moments("text").mean, want)
    for weights, said in (
        ("dense", "--weights dense: even, density, or a file per side as text=counts.csv"),
        ("text=", "--weights text=: even, density"),
        ("text=nowhere.csv", "no file nowhere.csv"),
        ("page=times.npy", "side 'page'"),
    ):
        refused = run("fit", *PAIR, "--weights", weights, "--out", "m.safetensors")
        assert refused.exit_code in (1, 2)
        assert said in refused.stderr
    np.save("times.npy", times[1:])
    for more in ((), ("--samples", 50)):
        refused = run("fit", *PAIR, "--weights", "text=times.npy", *more, "--out", "m.safetensors")
        assert refused.exit_code == 1
        assert "199 weights for 200 text rows" in refused.stderr

"""Statistics that keep no hashes of rows: what is the same, and what can no longer be told."""

from __future__ import annotations

import numpy as np
import pytest
from click.testing import CliRunner

import distnorm
from distnorm.cli.main import cli
from distnorm.monitoring.card import build_card


@pytest.fixture
def rows(rng):
    X, Y = (distnorm.normalize(rng.normal(c, 1, (300, 64))) for c in (0.3, -0.3))
    return X.astype(np.float32), Y.astype(np.float32)


@pytest.mark.parametrize("method", ["dn", "dn2", "is", "auto"])
def test_scores_are_the_same_and_no_hash_is_kept(method, rows, tmp_path):
    X, Y = rows
    sizes = []
    norms = []
    for sketch in (True, False):
        norm = distnorm.make(method, sketch=sketch).fit(images=X[:100], texts=Y[:100])
        norm.partial_fit(images=X[100:200], texts=Y[100:200])
        path = tmp_path / f"{sketch}.safetensors"
        norm.save(path)
        sizes.append(path.stat().st_size)
        norms.append(distnorm.load(path))
        assert (norms[-1].moments("text").sketch is not None) is sketch
    kept, without = norms
    np.testing.assert_array_equal(kept.similarity(X[:9], Y[:9]), without.similarity(X[:9], Y[:9]))
    # 200 hashes, as many counts and 128 folded rows on each side.
    assert sizes[0] - sizes[1] > 2 * (200 * 12 + 128 * 32 * 4)
    # It stays so whatever comes later.
    later = [
        distnorm.load(tmp_path / "False.safetensors").partial_fit(texts=Y[200:]),
        distnorm.load(tmp_path / "False.safetensors").fit(texts=Y),
        distnorm.make(method, sketch=False)
        .fit(texts=Y[:50])
        .merge(distnorm.make(method).fit(texts=Y[50:90])),
        without.clone().fit(texts=Y),
    ]
    for norm in later:
        assert norm.moments("text").sketch is None
        norm.save(tmp_path / "later.safetensors")
        assert distnorm.load(tmp_path / "later.safetensors").moments("text").sketch is None


def test_what_is_lost_without_it(rows):
    X, Y = rows
    kept, without = (
        distnorm.make("dn", sketch=sketch).fit(images=X[:200], texts=Y[:200])
        for sketch in (True, False)
    )
    half = slice(150, 250)
    assert kept.correction("text").overlap(Y[half]).fitted == 50
    assert without.correction("text").overlap(Y[half]) is None
    # Exactly the fitted rows are recognised by their sum.
    assert without.correction("text").overlap(Y[:200]).fitted == 200
    assert not distnorm.evaluate_retrieval(without, X[half], Y[half]).transductive
    assert distnorm.evaluate_retrieval(kept, X[half], Y[half]).transductive
    caveats = " ".join(build_card(without)["caveats"])
    assert "Which text rows were fitted is not kept" in caveats
    assert "is not kept" not in " ".join(build_card(kept)["caveats"])


def test_fit_without_a_sketch(rows, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    np.save("x.npy", rows[0])
    np.save("y.npy", rows[1])
    words = [
        "fit",
        "--images",
        "x.npy",
        "--texts",
        "y.npy",
        "--no-sketch",
        "--out",
        "n.safetensors",
    ]
    done = CliRunner().invoke(cli, words)
    assert done.exit_code == 0, done.output
    norm = distnorm.load("n.safetensors")
    assert norm.moments("image").sketch is None
    np.testing.assert_allclose(norm.moments("image").mean, rows[0].mean(axis=0), atol=1e-6)

"""Banks as bad as real ones: one query repeated, weights that are none, one best item for all."""

from __future__ import annotations

import numpy as np
import pytest
from click.testing import CliRunner

import distnorm
from distnorm import DistnormError
from distnorm.cli.main import cli
from distnorm.methods.registry import METHODS
from distnorm.monitoring.banks import bank_figures

CORRECTING = sorted(
    name for name, method in METHODS.items() if method.corrects and method.rows != "raw"
)


@pytest.fixture
def rows(rng):
    X, Y = (distnorm.normalize(rng.normal(c, 1, (60, 16))) for c in (0.5, -0.5))
    return X.astype(np.float32), Y.astype(np.float32)


def ranked(norm, rows):
    X, Y = rows
    return norm.similarity(X, Y, query="text")


@pytest.mark.parametrize("weights", ["even", "density"])
@pytest.mark.parametrize("method", CORRECTING)
def test_one_query_repeated_gives_numbers(method, weights, rows):
    X, Y = rows
    norm = distnorm.make(method, weights=weights)
    norm.fit(images=X, texts=np.repeat(Y[:1], 50, axis=0))
    refused = {"centered": "equal to the subtracted mean", "csls": "a bank of 50 rows, worth 1"}
    if method in refused and (method, weights) != ("csls", "even"):
        with pytest.raises(DistnormError, match=refused[method]):
            ranked(norm, rows)
        return
    assert np.isfinite(ranked(norm, rows)).all()


@pytest.mark.parametrize("method", ["dn", "dn2", "is", "nnn", "sinkhorn", "auto"])
@pytest.mark.parametrize(
    "weights", [np.zeros(60), -np.ones(60), np.full(60, np.nan), np.ones(59), np.ones((60, 2))]
)
def test_weights_that_are_none_are_refused_and_nothing_is_fitted(method, weights, rows):
    norm = distnorm.make(method).fit(texts=rows[1])
    with pytest.raises(DistnormError, match="weight") as said:
        norm.fit(texts=rows[1][::-1], weights=weights)
    assert "\n" not in str(said.value)
    assert norm.counts["text"] == 60


@pytest.mark.parametrize("method", CORRECTING)
def test_a_bank_whose_items_share_one_best_item(method, rows):
    X, Y = rows
    Y = distnorm.normalize(Y + 2 * Y.mean(axis=0)).astype(np.float32)
    hub = distnorm.normalize(Y.mean(axis=0, keepdims=True))
    items = np.concatenate([hub, X]).astype(np.float32)
    assert len(set((Y @ items.T).argmax(axis=1))) == 1
    norm = distnorm.make(method).fit(images=items, texts=Y)
    assert np.isfinite(norm.similarity(items, Y, query="text")).all()
    if method in ("is", "nnn"):
        # It no longer comes first for all.
        assert len(set(norm.similarity(items, Y, query="text").argmax(axis=0))) > 1


@pytest.mark.parametrize("method", ["is", "nnn", "auto"])
def test_one_query_in_nine_of_ten_rows_of_a_log_is_said(method, rows):
    X, Y = rows
    log = np.concatenate([np.repeat(Y[:1], 540, axis=0), Y])
    norm = distnorm.make(method).fit(images=X, texts=log)
    figures = bank_figures(norm)["text"]
    assert figures.effective_rows < 0.2 * figures.rows
    assert "many repeat" in figures.warning
    if method == "nnn":
        # By density the log is near the one in which every query comes once.
        plain, even = ranked(distnorm.make(method).fit(images=X, texts=Y), rows), ranked(norm, rows)
        weighed = ranked(distnorm.make(method, weights="density").fit(images=X, texts=log), rows)
        assert np.abs(weighed - plain).mean() < 0.5 * np.abs(even - plain).mean()


@pytest.mark.parametrize("method", [*CORRECTING, "dot"])
def test_commands_on_one_query_repeated_say_one_line_at_most(method, rows, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    X, Y = rows
    for name, x in (("x", X), ("y", Y), ("log", np.repeat(Y[:1], 50, axis=0))):
        np.save(f"{name}.npy", x)
    fit = "fit --images x.npy --texts log.npy --weights density --out n.safetensors --method"
    refused = {"centered": "equal to the subtracted mean", "csls": "a bank of 50 rows, worth 1"}
    for words in (
        [*fit.split(), method],
        ["inspect", "n.safetensors"],
        ["card", "n.safetensors"],
        [
            "evaluate",
            "retrieval",
            "--images",
            "x.npy",
            "--texts",
            "y.npy",
            "--normalization",
            "n.safetensors",
        ],
    ):
        done = CliRunner().invoke(cli, words)
        if words[0] == "evaluate" and method in refused:
            assert done.exit_code == 1
            (line,) = done.stderr.strip().splitlines()
            assert refused[method] in line
            continue
        assert done.exit_code == 0, done.output
        assert "nan" not in done.output

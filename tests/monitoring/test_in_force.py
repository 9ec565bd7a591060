"""What a normalization applies is what inspect and card say of it."""

from __future__ import annotations

import json

import numpy as np
import pytest
from click.testing import CliRunner

import distnorm
from distnorm.cli.main import cli
from distnorm.methods.registry import METHODS
from distnorm.monitoring.card import build_card, card_markdown, in_force

TUNED = ["dn2", "is", "nnn", "csls", "ridge", "sinkhorn"]


@pytest.fixture
def rows(rng):
    X, Y = (distnorm.normalize(rng.normal(c, 1, (90, 12))).astype(np.float32) for c in (0.4, -0.4))
    return X, np.concatenate([Y, np.repeat(Y[:2], 20, axis=0)])


@pytest.mark.parametrize("weights", ["even", "density"])
@pytest.mark.parametrize("method", TUNED)
def test_parameters_in_force_given_by_hand_change_nothing(method, weights, rows):
    X, Y = rows
    norm = distnorm.make(method, weights=weights).fit(images=X, texts=Y)
    found = in_force(norm)["text"]
    assert found["method"] == method
    assert found["strength"] == norm.strength["text"]
    params = found["params"]
    assert set(params) == set(METHODS[method].parameters)
    assert None not in params.values()
    given = {name: value for name, value in params.items() if value != "full"}
    by_hand = distnorm.make(method, weights=weights, **given).fit(images=X, texts=Y)
    np.testing.assert_allclose(by_hand.item_bias(images=X), norm.item_bias(images=X), atol=1e-6)
    # Not by chance: another value of what was open does change it.
    key = "beta" if "beta" in params else "k"
    other = distnorm.make(method, weights=weights, **{**given, key: 2 * given[key]})
    changed = other.fit(images=X, texts=Y).item_bias(images=X)
    assert np.abs(changed - norm.item_bias(images=X)).max() > 1e-4


def test_what_the_items_of_a_call_set_is_said(rows):
    norm = distnorm.make("is").fit(texts=rows[1])
    found = in_force(norm)
    assert found["image"] is None
    assert found["text"]["params"]["beta"] is None
    assert "beta=by the items of a call" in card_markdown(build_card(norm))
    assert in_force(distnorm.make("nnn")) == {"image": None, "text": None}


@pytest.mark.parametrize("method", [*TUNED, "dn", "auto"])
def test_inspect_and_card_say_everything(method, rows, rng, tmp_path, monkeypatch):
    monkeypatch.setenv("COLUMNS", "160")
    X, Y = rows
    path = tmp_path / "n.safetensors"
    norm = distnorm.make(method, weights="density").fit(images=X, texts=Y)
    new = (distnorm.normalize(rng.normal(c, 1, (60, 12))).astype(np.float32) for c in (0.4, -0.4))
    norm.calibrate(**dict(zip(("images", "texts"), new, strict=True)))
    norm.save(path)
    expected = in_force(distnorm.load(path))
    shown = CliRunner().invoke(cli, ["inspect", str(path), "--json", "-"])
    card = CliRunner().invoke(cli, ["card", str(path), "--json", str(tmp_path / "c.json")])
    assert (shown.exit_code, card.exit_code) == (0, 0), (shown.output, card.output)
    for found in (json.loads(shown.stdout), json.loads((tmp_path / "c.json").read_text())):
        assert found["in_force"] == expected
        assert found["weights"] == "density"
        assert found["effective"]["text"] == pytest.approx(norm.effective["text"])
        assert found["calibration"]["thresholds"]
        for side, bank in found["banks"].items():
            assert bank["effective_rows"] < bank["rows"] or side == "image"
            assert bank["kinds"] > 0
    for words in (shown.stderr, card.stdout):
        assert "weights" in words
        assert "density" in words
        for about in expected.values():
            for name in about["params"]:
                assert f"{name}=" in words.replace("\\_", "_")
    if method != "dn":
        assert "## Banks" in card.stdout or method == "dn2"
        assert "kinds" in shown.stderr or method == "dn2"


def test_no_large_search_is_made_to_tell_what_is_in_force(rows, monkeypatch):
    X, Y = rows
    norm = distnorm.make("nnn", weights="density").fit(images=X, texts=Y)
    monkeypatch.setattr("distnorm.methods.coverage._MOST_PAIRS", len(X) * len(Y) - 1)
    monkeypatch.setattr("distnorm.methods.coverage.topk", None)
    assert in_force(norm)["text"]["params"]["own"] == "if narrow"

"""What a bank is worth, and what is said of one that is not worth much."""

from __future__ import annotations

import json

import numpy as np
import pytest
from click.testing import CliRunner

from distnorm import make, normalize
from distnorm.cli.main import cli
from distnorm.monitoring.banks import bank_figures, repeat_warnings
from distnorm.monitoring.card import build_card, card_markdown


@pytest.fixture
def items():
    rng = np.random.default_rng(0)
    return normalize((rng.standard_normal((300, 32)) + 0.4).astype(np.float32))


def log(items: np.ndarray, numbers: np.ndarray) -> np.ndarray:
    noise = np.random.default_rng(1).standard_normal((len(numbers), items.shape[1]))
    return normalize((items[numbers] - 0.1 + 0.02 * noise).astype(np.float32))


def test_an_even_bank_is_worth_its_rows_and_nothing_is_said(items):
    found = bank_figures(make("nnn").fit(texts=log(items, np.arange(300)), images=items))["text"]
    assert found.rows == found.compared == 300
    assert found.effective_rows > 290
    assert found.effective_items > 290
    assert found.warning is None
    assert json.loads(json.dumps(found.to_dict()))["coverage"] == 1.0


def test_repeated_queries_and_a_corner_of_the_gallery_are_told_apart(items):
    numbers = np.arange(1200) % 80
    figures = bank_figures(make("is").fit(texts=log(items, numbers), images=items))
    assert 70 < figures["text"].effective_rows < 110
    assert "1200 rows are worth" in figures["text"].warning
    assert "--weights density" in figures["text"].warning
    weighed = make("is", weights="density").fit(texts=log(items, numbers), images=items)
    assert "--weights" not in bank_figures(weighed)["text"].warning


def test_a_method_without_a_bank_and_few_rows(items):
    assert bank_figures(make("dn").fit(texts=items)) == {}
    few = bank_figures(make("nnn").fit(texts=items[:20]))["text"]
    assert few.coverage is None
    assert few.warning == "text: 20 rows worth 20, too few for a bank: use dn, or more rows"


def test_fit_inspect_and_card_say_it(items, tmp_path):
    np.save(tmp_path / "log.npy", log(items, np.arange(1200) % 30))
    np.save(tmp_path / "items.npy", items)
    out, report = tmp_path / "n.safetensors", tmp_path / "n.json"
    words = ["fit", "--texts", str(tmp_path / "log.npy"), "--images", str(tmp_path / "items.npy")]
    words += ["--method", "nnn", "--out", str(out)]
    done = CliRunner().invoke(cli, [*words, "--json", str(report)])
    assert done.exit_code == 0, done.output
    assert "many repeat" in " ".join(done.stderr.split())
    assert json.loads(report.read_text())["banks"]["text"]["warning"]
    shown = CliRunner().invoke(cli, ["inspect", str(out), "--json", "-"])
    assert json.loads(shown.stdout)["banks"]["text"]["rows"] == 1200
    assert "worth" in shown.stderr
    weighed = CliRunner().invoke(
        cli, [*words, "--weights", "density", "--overwrite", "--json", str(report)]
    )
    assert weighed.exit_code == 0, weighed.output
    about = json.loads(report.read_text())
    assert about["weights"] == "density"
    assert about["effective"]["text"] < 100


def test_weights_that_make_a_few_rows_count_for_most(items):
    """Popular queries once each with how often they were asked are a log, too."""
    asked = 1000 / np.arange(1, 301)
    skewed = make("nnn").fit(texts=log(items, np.arange(300)), weights=asked)
    found = bank_figures(skewed)["text"]
    assert found.by_numbers == pytest.approx(asked.sum() ** 2 / (asked**2).sum())
    assert found.warning is not None
    assert "300 rows count as 24 by their weights: weigh them by density" in found.warning
    assert (
        bank_figures(make("nnn").fit(texts=items, weights=np.full(300, 7)))["text"].warning is None
    )


def test_repeats_are_told_where_a_covariance_but_no_bank_is_kept(items, tmp_path):
    often = np.repeat(np.arange(300), 900 // np.arange(1, 301))
    assert repeat_warnings(make("dn2").fit(texts=items, images=np.repeat(items, 5, axis=0))) == []
    skewed = make("dn2").fit(texts=items[often])
    (line,) = repeat_warnings(skewed)
    assert line.startswith(f"text: {len(often)} rows, of which {len(often)} are 300 different ones")
    assert any(line in caveat for caveat in build_card(skewed)["caveats"])
    assert "use more rows" in repeat_warnings(make("dn2").fit(texts=items[[0] * 200]))[0]
    assert repeat_warnings(make("dn").fit(texts=items[often])) == []
    assert repeat_warnings(make("dn2", weights="density").fit(texts=items[often])) == []
    np.save(tmp_path / "log.npy", items[often])
    words = ["fit", "--texts", str(tmp_path / "log.npy"), "--method", "dn2"]
    done = CliRunner().invoke(cli, [*words, "--out", str(tmp_path / "n.safetensors")])
    assert "300 different ones" in " ".join(done.stderr.split())


def test_a_card_warns_of_a_skewed_bank(items):
    card = build_card(make("nnn").fit(texts=log(items, np.arange(900) % 100), images=items))
    assert any("many repeat" in line for line in card["caveats"])
    assert "many repeat" in card_markdown(card)

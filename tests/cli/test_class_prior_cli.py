"""`--prior`: fitted, kept in a file, evaluated, compared, shown."""

from __future__ import annotations

import json

import numpy as np
import pytest
from click.testing import CliRunner

import distnorm
from distnorm.cli.main import cli

CLASSES, D = 12, 24


@pytest.fixture
def say(tmp_path, monkeypatch, rng):
    """Runs the command where there are a bank, images, classes and labels."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    classes = distnorm.normalize(rng.normal(0.1, 1, (CLASSES, D)).astype(np.float32))

    def draw(labels):
        rows = classes[labels] + 0.25 * rng.normal(size=(len(labels), D)) + 0.3
        return distnorm.normalize(rows.astype(np.float32))

    labels = rng.permutation(np.repeat(np.arange(CLASSES), 20))
    np.save("bank.npy", draw(rng.permutation(np.repeat(np.arange(CLASSES), 40))))
    np.save("few.npy", draw(rng.permutation(np.repeat(np.arange(3), 60))))
    np.save("images.npy", draw(labels))
    np.save("classes.npy", classes)
    np.save("labels.npy", labels)

    def run(line):
        return CliRunner().invoke(cli, line.split())

    return run


DATA = "--images images.npy --classes classes.npy --labels labels.npy"


def read(result, path="out.json"):
    assert result.exit_code == 0, result.output
    with open(path, encoding="utf-8") as file:
        return json.load(file)


def test_a_file_holds_the_prior_and_every_command_shows_it(say):
    fitted = say(
        "fit --images bank.npy --texts classes.npy --method dn --prior auto --out n.safetensors"
    )
    assert "class prior: auto, balance, from 480 images of 12 classes" in fitted.output
    evaluated = read(
        say(f"evaluate classification {DATA} --normalization n.safetensors --json out.json")
    )
    about = evaluated["class_prior"]
    assert (about["kind"], about["wanted"], about["n_classes"]) == ("balance", "auto", 12)
    norm = distnorm.load("n.safetensors")
    rows = [np.load(f"{name}.npy") for name in ("images", "classes", "labels")]
    want = distnorm.evaluate_classification(norm, *rows)
    assert evaluated["metrics"] == pytest.approx(want.metrics)
    plain = say(
        f"evaluate classification {DATA} --normalization n.safetensors --prior none --json out.json"
    )
    assert "class_prior" not in read(plain)
    shown = say("inspect n.safetensors --json out.json")
    assert "class prior: auto, balance" in shown.output
    assert read(shown)["class_prior"]["kind"] == "balance"
    card = say("card n.safetensors --json out.json")
    assert "## Classes" in card.output
    assert read(card)["class_prior"]["images"] == 480


def test_a_prior_without_a_file_comes_from_the_images_of_the_fit(say):
    line = f"evaluate classification {DATA} --method dn --prior shift"
    found = read(say(f"{line} --fit-images few.npy --json out.json"))
    assert found["class_prior"]["kind"] == "shift"
    assert found["class_prior"]["images"] == 180
    for wrong, part in (
        (f"evaluate classification {DATA} --prior auto", "--fit-images with unlabelled ones"),
        ("fit --images bank.npy --prior auto --out o.safetensors", "one row per class"),
        (
            "fit --images bank.npy --texts classes.npy --method dn:prior=odd --out o.safetensors",
            "odd",
        ),
    ):
        result = say(wrong)
        assert result.exit_code == 1, (wrong, result.output)
        assert part in result.output
        assert "Traceback" not in result.output


def test_compare_shows_every_method_with_the_prior_and_dot_without(say):
    found = read(
        say(
            f"compare classification {DATA} --repeats 2 --methods dot,dn,dn2:prior=none "
            "--prior balance --json out.json"
        )
    )
    rows = [(r["method"], r["params"].get("prior")) for r in found["results"]]
    assert rows == [("dot", None), ("dot", "balance"), ("dn", "balance"), ("dn2", None)]
    assert found["results"][1]["params"]["class_priors"] == {"balance": 2}
    assert found["protocol"]["prior"] == "balance"


def test_an_update_says_that_the_prior_is_void(say):
    say("fit --images bank.npy --texts classes.npy --method dn --prior auto --out n.safetensors")
    norm = distnorm.load("n.safetensors")
    norm.partial_fit(images=np.load("few.npy"))
    norm.save("n.safetensors")
    result = say(f"evaluate classification {DATA} --normalization n.safetensors")
    assert result.exit_code == 1
    assert "prior auto without images" in result.output

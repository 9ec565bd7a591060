"""The commands as a user types them: outputs, exit codes, one-line errors."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

import distnorm
from distnorm.cli.main import cli
from distnorm.storage import read


@pytest.fixture
def run(tmp_path, monkeypatch, gap_pair):
    """Runs a command in a folder with image.npy and text.npy; returns click's result."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    for name, rows in zip(("image.npy", "text.npy"), gap_pair, strict=True):
        np.save(name, rows.astype(np.float32))
    runner = CliRunner()
    return lambda *words: runner.invoke(cli, [str(word) for word in words])


PAIR = ("--images", "image.npy", "--texts", "text.npy")


def test_compare_prints_json_alone_on_stdout_and_tables_on_stderr(run):
    done = run("compare", "retrieval", *PAIR, "--repeats", 2, "--json", "-")
    assert done.exit_code == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["task"] == "retrieval"
    assert set(found["diagnostics"]) >= {"modality_gap", "hubness", "ladder"}
    for words in ("image → text", "text → image", "seed 0", "prefix: not stated", "hubs"):
        assert words in " ".join(done.stderr.split())


def test_compare_with_everything_said(run):
    np.savetxt("rows.txt", np.arange(200), fmt="%d")
    done = run(
        "compare", "retrieval", *PAIR, "--image-of-text", "rows.txt", "--protocol", "paper",
        "--samples", 20, "--repeats", 2, "--methods", "dn@0.3,is:beta=20,scale=2,nnn:k=4",
        "--prompt", "A photo depicts ", "--no-diagnostics", "--k", "1,2", "--json", "out.json",
    )  # fmt: skip
    assert done.exit_code == 0, done.stderr
    assert done.stdout == ""
    found = json.loads(Path("out.json").read_text())
    assert [r["strength"]["text"] for r in found["results"]] == [0, 0.3, 0.5, 0.5]
    assert found["results"][2]["params"] == {"beta": 20, "scale": 2}
    assert found["protocol"]["samples"] == 20
    assert "A photo depicts" in done.stderr
    assert found["diagnostics"] is None


def test_transductive_results_say_so(run):
    done = run("compare", "retrieval", *PAIR, "--protocol", "transductive", "--no-diagnostics")
    assert done.stderr.count("transductive") > 6


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


@pytest.mark.parametrize(
    ("command", "code", "words"),
    [
        ("compare retrieval --images image.npy", 2, "Missing option"),
        ("compare retrieval --images imag.npy --texts text.npy", 1, "did you mean image.npy"),
        ("compare retrieval --images image.npy --texts text.npy --methods dm", 1, "did you mean"),
        ("compare retrieval --images image.npy --texts text.npy --k x", 1, "whole numbers"),
        ("fit --out n.safetensors", 2, "give --images"),
        ("fit --images image.npy --out image.npy", 1, "--overwrite"),
        ("fit --images image.npy --out no/n.safetensors", 1, "mkdir"),
        ("fit --images image.npy --out n.safetensors --strength half", 1, "--strength half"),
        ("fit --images image.npy --out n.safetensors --samples 900", 1, "lower --samples"),
        ("inspect image.npy", 1, "no readable safetensors"),
        ("evaluate retrieval --images image.npy --texts text.npy --method dn", 1, "--fit-images"),
        ("nonsense", 2, "No such command"),
    ],
)
def test_exit_codes_and_one_line_errors(run, command, code, words):
    done = run(*command.split())
    assert done.exit_code == code
    assert words in done.stderr
    assert "Traceback" not in done.stderr
    if code == 1:
        assert done.stderr.startswith("distnorm: ")
        assert len(done.stderr.strip().splitlines()) == 1


def test_a_full_disk_is_one_line(run):
    if not Path("/dev/full").exists():
        pytest.skip("no /dev/full on this system")
    command = [sys.executable, "-c", "from distnorm.cli import main; main()"]
    command += ["compare", "retrieval", *PAIR, "--repeats", "2", "--json", "-"]
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            command, stdout=full, stderr=subprocess.PIPE, text=True, check=False, env=os.environ
        )
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert "distnorm: got a full disk" in done.stderr


def test_version_and_help(run):
    assert distnorm.__version__ in run("--version").stdout
    for words in (["-h"], ["compare", "retrieval", "-h"], ["fit", "-h"]):
        assert run(*words).exit_code == 0


@pytest.fixture
def labelled(tmp_path, rng):
    classes = distnorm.normalize(rng.normal(0.3, 1, (6, 12)).astype(np.float32))
    labels = rng.integers(0, 6, 90)
    images = classes[labels] + rng.normal(0, 0.4, (90, 12))
    np.save(tmp_path / "x.npy", distnorm.normalize(images.astype(np.float32)))
    np.save(tmp_path / "c.npy", classes)
    np.save(tmp_path / "l.npy", labels)
    (tmp_path / "human.csv").write_text(
        "caption,score\n" + "".join(f"{i},{i % 4}\n" for i in range(90))
    )
    np.save(tmp_path / "t.npy", distnorm.normalize(images[::-1].astype(np.float32)))
    return tmp_path


def test_compare_and_evaluate_classification(run, labelled):
    given = ["--images", labelled / "x.npy", "--classes", labelled / "c.npy"]
    given += ["--labels", labelled / "l.npy", "--json", "-"]
    page = labelled / "page.html"
    extra = ["--report", page] if importlib.util.find_spec("matplotlib") else []
    compared = run("compare", "classification", *given, "--repeats", 2, *extra)
    found = json.loads(compared.stdout)
    assert (found["task"], found["n_images"], found["n_classes"]) == ("classification", 90, 6)
    assert set(found["results"][0]["metrics"]) == {"acc1", "acc5", "mean_per_class_recall"}
    assert "top-1 accuracy" in compared.stderr
    assert page.exists() == bool(extra)
    fitted = ["--method", "dn", "--fit-images", labelled / "x.npy"]
    one = json.loads(run("evaluate", "classification", *given, *fitted).stdout)
    assert one["normalization"]["counts"]["image"] == 90
    assert one["transductive"]


def test_compare_and_evaluate_captions(run, labelled):
    given = ["--images", labelled / "x.npy", "--captions", labelled / "t.npy"]
    given += ["--human", labelled / "human.csv", "--json", "-"]
    found = json.loads(run("compare", "captions", *given, "--repeats", 2).stdout)
    assert (found["task"], found["n_captions"]) == ("captions", 90)
    assert set(found["results"][0]["metrics"]) == {"kendall_tau_b", "kendall_tau_c", "spearman"}
    one = json.loads(run("evaluate", "captions", *given, "--rule", "clipscore").stdout)
    assert -1 <= one["metrics"]["kendall_tau_b"] <= 1
    result = run("evaluate", "captions", *given, "--rule", "x")
    assert result.exit_code == 1
    assert "one of plain" in result.stderr

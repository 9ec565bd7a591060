"""``distnorm compare`` and ``evaluate`` as a user types them."""

from __future__ import annotations

import importlib.util
import json
import shlex
import sys
from pathlib import Path

import numpy as np
import pytest

import distnorm

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


def test_the_next_command_reads_and_fits_what_was_compared(run):
    rows = {"a": 3 * np.load("image.npy"), "b": 2 * np.load("text.npy")}
    np.savez("raw.npz", **rows)
    data = ("--images", "raw.npz", "--texts", "raw.npz", "--key", "image=a,text=b", "--normalize")
    how = ("--methods", "dn", "--strength", "image=0.3,text=0.4", "--prompt", "A {}.")
    found = run("compare", "retrieval", *data, *how, "--repeats", 4, "--json", "-")
    first = json.loads(found.stdout)["verdict"]["next"][0]
    assert f"run: {first}" in found.stderr
    done = run(*shlex.split(first)[1:])
    assert done.exit_code == 0, done.stderr
    norm = distnorm.load("dn.safetensors")
    assert (norm.strength, norm.prompt) == ({"image": 0.3, "text": 0.4}, "A {}.")


def test_rows_that_do_not_belong_together_are_said(run, labelled):
    np.save("other.npy", np.load("text.npy")[::-1])
    for task in (("evaluate",), ("compare", "--repeats", 2, "--methods", "dn", "--no-diagnostics")):
        words = (task[0], "retrieval", *task[1:], "--images", "image.npy", "--texts")
        assert "about as by chance" in run(*words, "other.npy").stderr
        assert "by chance" not in run(*words, "text.npy").stderr
    np.save(labelled / "w.npy", (np.load(labelled / "l.npy") + 1) % 6)
    given = ("--images", labelled / "x.npy", "--classes", labelled / "c.npy", "--labels")
    assert (
        "about as by chance" in run("evaluate", "classification", *given, labelled / "w.npy").stderr
    )
    assert "by chance" not in run("evaluate", "classification", *given, labelled / "l.npy").stderr


def test_transductive_results_say_so(run):
    done = run("compare", "retrieval", *PAIR, "--protocol", "transductive", "--no-diagnostics")
    assert done.stderr.count("transductive") > 6


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


@pytest.fixture
def tasks(labelled):
    """The three comparisons by name, with quick options."""
    classes = f"--images {labelled / 'x.npy'} --classes {labelled / 'c.npy'}"
    captions = f"--images {labelled / 'x.npy'} --captions {labelled / 't.npy'}"
    return {
        "retrieval": " ".join(PAIR).split(),
        "classification": f"{classes} --labels {labelled / 'l.npy'}".split(),
        "captions": f"{captions} --human {labelled / 'human.csv'}".split(),
    }


TASKS = ("retrieval", "classification", "captions")


@pytest.mark.parametrize("task", TASKS)
def test_a_page_that_cannot_be_drawn_is_refused_before_the_work(run, tasks, task, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    never = lambda *_, **__: pytest.fail("worked")  # noqa: E731
    monkeypatch.setattr(distnorm.comparison, f"compare_{task}", never)
    done = run("compare", task, *tasks[task], "--report", "r.html", "--json", "c.json")
    assert done.exit_code == 1
    assert "pip install 'distnorm[report]'" in done.stderr


@pytest.mark.parametrize("task", TASKS)
def test_json_is_written_before_the_page(run, tasks, task, monkeypatch):
    pytest.importorskip("matplotlib", reason="a page needs the extra report")

    def broken(*_):
        raise distnorm.DistnormError("a full disk", "room", "free some")

    monkeypatch.setattr("distnorm.report.html.page.write_page", broken)
    quick = ("--repeats", 1, "--methods", "dot,dn", "--report", "r.html", "--json", "c.json")
    assert run("compare", task, *tasks[task], *quick).exit_code == 1
    assert json.loads(Path("c.json").read_text())["task"] == task


def test_the_prompt_of_a_store_is_reported_by_every_task(run, tmp_path):
    pytest.importorskip("onnxruntime", reason="the built-in model needs onnxruntime")
    lines = [f"a {size} {shape}" for size in ("small", "large", "red") for shape in "abcdefgh"]
    Path("lines.txt").write_text("\n".join(lines))
    embed = ("embed", "lines.txt", "--model", "builtin", "--prompt", "a photo of {}.")
    made = run(*embed, "--out", "store")
    assert made.exit_code == 0, made.output
    rows = np.load(tmp_path / "store" / "text_emb" / "text_emb_0.npy")
    np.save("rows.npy", rows + 1e-3 * np.eye(24, rows.shape[1], dtype=np.float16))
    np.save("labels.npy", np.arange(24))
    np.save("human.npy", np.arange(24) % 5)
    given = {
        "retrieval": ("--texts", "store"),
        "classification": ("--classes", "store", "--labels", "labels.npy"),
        "captions": ("--captions", "store", "--human", "human.npy"),
    }
    for task, files in given.items():
        files = ("--images", "rows.npy", *files, "--json", "-")
        compared = run("compare", task, *files, "--repeats", 1, "--methods", "dot,dn")
        assert json.loads(compared.stdout)["protocol"]["prompt"] == "a photo of {}.", task
        assert "prefix: a photo of {}." in " ".join(compared.stderr.split())
        evaluated = run("evaluate", task, *files)
        assert json.loads(evaluated.stdout)["prompt"] == "a photo of {}.", task
        assert "prefix: a photo of {}." in " ".join(evaluated.stderr.split())


def test_a_gain_ends_in_a_sentence_and_the_commands(run, tmp_path, monkeypatch):
    monkeypatch.setenv("COLUMNS", "300")
    rng = np.random.default_rng(0)
    shared, own = rng.normal(size=(2, 1, 16)), rng.normal(size=(200, 16))
    for number, side in enumerate(("x", "y")):
        rows = own + 3 * shared[number] + 0.6 * rng.normal(size=own.shape)
        np.save(tmp_path / f"{side}.npy", rows / np.linalg.norm(rows, axis=1, keepdims=True))
    files = ("--images", tmp_path / "x.npy", "--texts", tmp_path / "y.npy")
    done = run("compare", "retrieval", *files, "--methods", "dot,dn", "--repeats", 2)
    assert done.exit_code == 0, done.stderr
    lines = done.stderr.splitlines()
    commands = [number for number, line in enumerate(lines) if line.startswith("run: ")]
    assert commands
    assert commands[-1] == len(lines) - 1
    sentence = lines[commands[0] - 1]
    assert "points with dn@0.5 (95 % interval" in sentence
    assert sentence.endswith("only queries change, the index stays as it is.")

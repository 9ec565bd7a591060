"""Classes, labels and their names on the command line, from files and stores."""

from __future__ import annotations

import json

import numpy as np
import pytest

from distnorm import load_encoder

LINES = ["a red star", "a red star", "a blue circle", "a green square"]


def acc1(result):
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)["metrics"]["acc1"]


@pytest.fixture
def classes(run, tmp_path):
    """Lines with a repeated one as classes.txt and store; images that look like the others."""
    for module in ("onnxruntime", "PIL", "pyarrow"):
        pytest.importorskip(module)
    rows = load_encoder("builtin").encode_texts(LINES)
    labels = np.array([2, 3, 2, 3])
    np.save(tmp_path / "x.npy", rows[labels])
    np.save(tmp_path / "l.npy", labels)
    (tmp_path / "classes.txt").write_text("\n".join(LINES) + "\n")
    result = run("embed", "classes.txt", "--model", "builtin", "--out", "store", "--workers", 0)
    assert result.exit_code == 0, result.output
    assert "1 as other items before them" in result.stderr
    arguments = ("--images", "x.npy", "--labels", "l.npy", "--json", "-")
    return lambda *more: run("evaluate", "classification", *arguments, "--classes", *more)


def test_a_store_of_repeated_class_texts_is_refused_or_read_by_words(classes, tmp_path):
    refused = classes("store")
    assert refused.exit_code == 1
    assert "--class-names" in refused.stderr
    result = classes("store", "--class-names", "classes.txt")
    assert acc1(result) == 1
    assert json.loads(result.stdout)["n_classes"] == 4


def test_a_store_that_was_added_to_is_in_another_order(classes, run, tmp_path):
    lines = ["a blue circle", "a green square"]
    (tmp_path / "two.txt").write_text("\n".join(lines) + "\n")
    embed = ("embed", "two.txt", "--model", "builtin", "--out", "more", "--workers", 0)
    assert run(*embed).exit_code == 0
    np.save(tmp_path / "l.npy", np.array([0, 1, 0, 1]))
    assert acc1(classes("more")) == 1
    (tmp_path / "two.txt").write_text("\n".join(["a yellow ring", *lines]) + "\n")
    assert run(*embed).exit_code == 0
    np.save(tmp_path / "l.npy", np.array([1, 2, 1, 2]))
    assert "not the lines of one list" in classes("more").stderr
    assert acc1(classes("more", "--class-names", "two.txt")) == 1
    (tmp_path / "two.txt").write_text("a blue circle\na green square\n")
    assert run(*embed, "--prune").exit_code == 0
    np.save(tmp_path / "l.npy", np.array([0, 1, 0, 1]))
    assert acc1(classes("more")) == 1


def test_labels_as_names(run, labelled):
    names = [f"n0000000{row}" for row in range(6)]
    (labelled / "names.csv").write_text("synset,name\n" + "".join(f"{n},x{n}\n" for n in names))
    labels = np.load("l.npy")
    np.save("ids.npy", np.array(names)[labels])
    data = ("evaluate", "classification", "--images", "x.npy", "--classes", "c.npy")
    plain = acc1(run(*data, "--labels", "l.npy", "--json", "-"))
    named = run(*data, "--labels", "ids.npy", "--class-names", "names.csv", "--json", "-")
    assert acc1(named) == plain
    refused = run(*data, "--labels", "ids.npy")
    assert refused.exit_code == 1
    assert "--class-names" in refused.stderr

"""``--sides``: two sides of any names, from files and stores."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest

SIDES = ("--sides", "query,document")
FILES = ("--first", "image.npy", "--second", "text.npy")


def test_two_sides_of_other_names_are_fitted_evaluated_and_compared(run):
    fitted = run("fit", *FILES, *SIDES, "--out", "n.safetensors")
    assert fitted.exit_code == 0, fitted.output
    data = ("evaluate", "retrieval", *FILES, "--normalization", "n.safetensors", "--json", "-")
    done = run(*data, *SIDES)
    assert done.exit_code == 0, done.output
    assert "query → document" in done.stderr
    assert "200 queries, 200 documents" in done.stderr
    assert set(json.loads(done.stdout)["score"]) == {"query", "document"}
    assert "--sides query,document" in run(*data).stderr
    compared = run(
        "compare", "retrieval", *FILES, *SIDES, "--methods", "dn,nnn", "--repeats", 2, "--json", "-"
    )
    assert compared.exit_code == 0, compared.output
    found = json.loads(compared.stdout)
    assert found["protocol"]["sides"] == ["query", "document"]
    assert found["results"][1]["n_fit"] == {"query": 100, "document": 100}
    assert "document → query" in compared.stderr
    calibrated = run("calibrate", "n.safetensors", *FILES)
    assert calibrated.exit_code == 0, calibrated.output


def test_pages_and_commands_speak_of_the_sides(run, tmp_path):
    pytest.importorskip("matplotlib")
    pytest.importorskip("jinja2")
    words = ("compare", "retrieval", *FILES, *SIDES, "--methods", "dn2,nnn", "--repeats", 2)
    done = run(*words, "--report", "r.html", "--json", "j.json")
    assert done.exit_code == 0, done.output
    page = (tmp_path / "r.html").read_text()
    body = re.sub(r"<script.*?</script>|<[^>]*>", " ", page[page.index("<body") :], flags=re.S)
    for word in ("image →", "→ image", "images", "pictures", "querys"):
        assert word not in body
        assert word not in done.stderr.replace("image.npy", "")
    assert "query → document" in body
    assert "bootstrap over queries" in " ".join(done.stderr.split())
    commands = json.loads((tmp_path / "j.json").read_text())["verdict"]["next"]
    assert all("--sides query,document" in line for line in commands if "fit" in line)


def test_names_change_no_figure(run):
    plain = ("compare", "retrieval", "--methods", "dn", "--repeats", 2, "--json", "-")
    one = json.loads(run(*plain, "--images", "image.npy", "--texts", "text.npy").stdout)
    two = json.loads(run(*plain, *FILES, *SIDES).stdout)
    assert [r["metrics"] for r in one["results"]] == [r["metrics"] for r in two["results"]]


def test_sides_that_are_none_are_refused(run):
    for sides in ("query", "a,a", "a,b,c"):
        done = run("evaluate", "retrieval", *FILES, "--sides", sides)
        assert done.exit_code == 1
        assert "two different names" in done.stderr


def test_stores_of_texts_are_both_sides(run, tmp_path):
    for module in ("onnxruntime", "PIL", "pyarrow"):
        pytest.importorskip(module)
    words = [f"{c} {s}" for c in ("red", "blue", "green") for s in ("star", "circle", "square")]
    for name, start in (("queries", "a "), ("documents", "one ")):
        (tmp_path / f"{name}.txt").write_text("".join(f"{start}{w}\n" for w in words))
        done = run("embed", f"{name}.txt", "--model", "builtin", "--out", name, "--workers", 0)
        assert done.exit_code == 0, done.output
    files = ("--first", "queries", "--second", "documents", *SIDES)
    fitted = run("fit", *files, "--out", "n.safetensors", "--json", "-")
    assert fitted.exit_code == 0, fitted.output
    assert json.loads(fitted.stdout)["model"].startswith("builtin")
    done = run("evaluate", "retrieval", *files, "--normalization", "n.safetensors", "--json", "-")
    assert done.exit_code == 0, done.output
    rows = np.load("queries/text_emb/text_emb_0.npy").astype(np.float32)
    assert json.loads(done.stdout)["n_images"] == len(rows) == 9
    found = run(
        *("search", "documents", "a red star", "--normalization", "n.safetensors"),
        *("--side", "document", "--k", 2, "--json", "-"),
    )
    assert found.exit_code == 0, found.output
    answer = json.loads(found.stdout)
    assert (answer["side"], answer["query_side"]) == ("document", "query")
    assert answer["results"][0]["name"] == "one red star"
    wrong = run("search", "documents", "a red star", "--normalization", "n.safetensors")
    assert wrong.exit_code == 1
    assert "'query' or 'document'" in wrong.stderr
    assert run("search", "documents", "a red star", "--side", "document").exit_code == 2


def test_every_command_takes_the_first_and_the_second(run):
    assert run("fit", *FILES, *SIDES, "--out", "n.safetensors").exit_code == 0
    for words in (
        ("watch", "n.safetensors"),
        ("card", "n.safetensors"),
        ("diff", "n.safetensors", "n.safetensors"),
    ):
        done = run(*words, *FILES)
        assert done.exit_code == 0, done.output


def test_statistics_of_one_model_do_not_meet_a_store_of_another(run, tmp_path):
    words = ("--images", "image.npy", "--texts", "text.npy")
    assert run("fit", *words, "--model", "one", "--out", "n.safetensors").exit_code == 0
    for side, part in (("image", "img_emb"), ("text", "text_emb")):
        (tmp_path / "store" / part).mkdir(parents=True)
        np.save(tmp_path / "store" / part / f"{part}_0.npy", np.load(f"{side}.npy"))
    (tmp_path / "store" / "store.json").write_text('{"model_id": "another"}')
    store = ("--images", "store", "--texts", "store")
    for command in (
        ("calibrate", "n.safetensors"),
        ("watch", "n.safetensors"),
        ("card", "n.safetensors"),
        ("diff", "n.safetensors", "n.safetensors"),
        ("evaluate", "retrieval", "--normalization", "n.safetensors"),
    ):
        done = run(*command, *store)
        assert done.exit_code in (1, 2), done.output
        assert "a normalization of 'one' for store with vectors of 'another'" in done.stderr

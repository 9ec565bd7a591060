"""Names of files to write that say that they are something else."""

from __future__ import annotations

import numpy as np
import pytest

import distnorm
from distnorm.errors import DistnormError

PAIR = ("--images", "image.npy", "--texts", "text.npy")


@pytest.fixture
def saved(run):
    assert run("fit", *PAIR, "--out", "n.safetensors").exit_code == 0
    return run


def test_an_output_named_as_another_kind_of_file_is_refused_before_any_work(saved):
    before = np.load("image.npy")
    for words, better in (
        (("fit", *PAIR, "--out", "image.npy", "--overwrite"), "image.safetensors"),
        (("fit", *PAIR, "--out", "norm.json"), "norm.safetensors"),
        (("fit", *PAIR, "--out", "m.safetensors", "--json", "m.safetensors"), "m.json"),
        (("calibrate", "n.safetensors", *PAIR, "--out", "n.CSV"), "n.safetensors"),
        (("watch", "n.safetensors", "--images", "image.npy", "--refresh", "f.npz"), "f.safetens"),
        (("watch", "n.safetensors", "--images", "image.npy", "--state", "w.txt"), "w.safetensors"),
        (("export", "n.safetensors", "--format", "js", "--out", "shift.json"), "shift.mjs"),
        (("export", "n.safetensors", "--format", "json", "--out", "shift.sql"), "shift.json"),
        (("card", "n.safetensors", "--out", "card.html"), "card.md"),
        (("card", "n.safetensors", "--json", "card.md"), "card.json"),
        (("compare", "retrieval", *PAIR, "--report", "page.json"), "page.html"),
        (("search", "image.npy", "--query-vectors", "text.npy", "--csv", "x.json"), "x.csv"),
        (("search", "image.npy", "q", "--model", "builtin", "--sheet", "x.png"), "x.html"),
        (("search", "image.npy", "q", "--model", "builtin", "--bias", "b.npy"), "b.safetensors"),
        (("export-atlas", "s", "--normalization", "n.safetensors", "--out", "m.csv"), "m.parquet"),
        (("embed", "text.npy", "--model", "builtin", "--out", "store.npy"), "store"),
        (("demo", "--out", "demo.html"), "demo"),
    ):
        done = saved(*words)
        assert done.exit_code == 1, done.output
        assert done.stderr.count("\n") == 1
        assert f"call it {better}" in done.stderr
    np.testing.assert_array_equal(np.load("image.npy"), before)


def test_no_ending_and_unknown_ones_will_do(saved):
    for name in ("plain", "norm.v2", "photos.2024", "n.st"):
        assert saved("fit", *PAIR, "--out", name).exit_code == 0
        assert distnorm.load(name).method == "dn"
    assert saved("fit", *PAIR, "--out", "x.safetensors", "--json", "x.txt").exit_code == 0


def test_python_says_the_same(saved, tmp_path):
    norm = distnorm.load("n.safetensors")
    with pytest.raises(DistnormError, match=r"call it .*rows\.safetensors"):
        norm.save(tmp_path / "rows.npy")
    assert not (tmp_path / "rows.npy").exists()
    # What is one already may go on under its name.
    (tmp_path / "n.safetensors").rename(tmp_path / "n.json")
    norm.save(tmp_path / "n.json")
    assert distnorm.load(tmp_path / "n.json").method == "dn"

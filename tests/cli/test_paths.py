"""Paths that no system can use, wherever a command takes one: one line, exit code 1."""

from __future__ import annotations

import os

import numpy as np
import pytest
from asking import invoke

pytest.importorskip("onnxruntime", reason="the built-in model")
pytest.importorskip("pyarrow.parquet", reason="stores")
pytest.importorskip("PIL", reason="stores")

BAD = {
    "too long": "a" * 300, "a file as a folder": "x.npy/store", "NUL": "a\0b",
    "no such place": "/proc/nowhere/at/all",
}  # fmt: skip
PAIR = ("--images", "x.npy", "--texts", "x.npy")
COMMANDS = (
    ("embed", "words.txt", "--model", "builtin", "--out", "@"),
    ("embed", "@", "--model", "builtin", "--out", "store"),
    ("evaluate", "retrieval", "--images", "@", "--texts", "x.npy"),
    ("evaluate", "retrieval", *PAIR, "--image-of-text", "@"),
    ("evaluate", "classification", "--images", "x.npy", "--classes", "x.npy", "--labels", "@"),
    ("compare", "retrieval", "--images", "x.npy", "--texts", "@"),
    ("fit", "--images", "x.npy", "--out", "@"),
    ("fit", "--update", "@"),
    ("inspect", "@"),
    ("diff", "n.safetensors", "@"),
    ("calibrate", "n.safetensors", *PAIR, "--pairs", "none", "--out", "@"),
    ("watch", "n.safetensors", "--images", "x.npy", "--state", "@"),
    ("search", "@", "a", "--model", "builtin"),
    ("search", "x.npy", "a", "--model", "builtin", "--normalization", "@"),
)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    x = np.random.default_rng(0).normal(size=(20, 8))
    np.save("x.npy", x / np.linalg.norm(x, axis=1, keepdims=True))
    (tmp_path / "words.txt").write_text("one\ntwo\n")
    assert invoke("fit", *PAIR, "--out", "n.safetensors").exit_code == 0
    return tmp_path


@pytest.mark.parametrize("bad", BAD.values(), ids=BAD)
def test_impossible_paths_are_one_line(folder, bad):
    for words in COMMANDS:
        done = invoke(*(word.replace("@", bad) for word in words))
        assert isinstance(done.exception, SystemExit | None), (words, done.exception)
        # As with other tools that compare, 1 says that files differ.
        assert done.exit_code in ((1, 2) if words[0] == "diff" else (1,)), words
        assert done.stderr.strip().splitlines()[-1].startswith("distnorm: got "), words
    assert sorted(os.listdir(folder)) == ["n.safetensors", "words.txt", "x.npy"]


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_cannot_be_written_is_one_line(folder):
    folder.chmod(0o500)
    try:
        done = invoke("embed", "words.txt", "--model", "builtin", "--out", "store")
        assert done.exit_code == 1
        assert "the right to do so" in done.stderr
    finally:
        folder.chmod(0o700)


RESULTS = (
    ("evaluate", "retrieval", *PAIR, "--json", "@"),
    ("compare", "retrieval", *PAIR, "--repeats", "1", "--report", "@"),
    ("fit", "--images", "x.npy", "--method", "auto", "--out", "@"),
    ("calibrate", "n.safetensors", *PAIR, "--pairs", "none", "--json", "@"),
    ("watch", "n.safetensors", "--images", "x.npy", "--refresh", "@"),
    ("card", "n.safetensors", *PAIR, "--out", "@"),
    ("export", "n.safetensors", "--format", "json", "--out", "@"),
    ("search", "x.npy", "--query-vectors", "x.npy", "--csv", "@"),
    ("index", "hubs", "x.npy", "--queries", "x.npy", "--report", "@"),
    ("embed", "words.txt", "--model", "builtin", "--out", "store", "--json", "@"),
    ("demo", "--json", "@"),
)


@pytest.mark.parametrize("bad", [".", "no/such/folder/x", "x.npy/y"])
def test_results_that_cannot_be_written_end_a_command_before_its_work(folder, bad, monkeypatch):
    def work(*args, **kwargs):
        raise AssertionError("the work had begun")

    import distnorm.demo
    import distnorm.encoders
    import distnorm.normalization
    from distnorm.store import vectors

    for module, name in (
        (vectors, "read_sides"),
        (distnorm.normalization, "load"),
        (distnorm.encoders, "load_encoder"),
        (distnorm.demo, "run_demo"),
    ):
        monkeypatch.setattr(module, name, work)
    for words in RESULTS:
        done = invoke(*(word.replace("@", bad) for word in words))
        assert isinstance(done.exception, SystemExit | None), (words, done.exception)
        assert done.exit_code == 1, words
        assert done.stderr.startswith("distnorm: got "), words
    assert sorted(os.listdir(folder)) == ["n.safetensors", "words.txt", "x.npy"]


def test_folders_of_results_are_looked_at_before_the_work(folder, monkeypatch):
    import distnorm.encoders

    monkeypatch.setattr(distnorm.encoders, "load_encoder", None)
    for place in ("x.npy", "x.npy/store"):
        for words in (("embed", "words.txt"), ("benchmark", "paper", "--data", ".")):
            done = invoke(*words, "--model", "builtin", "--out", place)
            assert done.exit_code == 1, done.output
            assert "x.npy; expected a folder" in done.stderr or "x.npy for a" in done.stderr


@pytest.mark.skipif(os.name != "posix", reason="devices and links")
def test_results_go_through_links_and_into_pipes(folder):
    os.symlink("real.json", "link.json")
    (folder / "real.json").write_text("old")
    words = ("evaluate", "retrieval", "--images", "x.npy", "--texts", "y.npy", "--json")
    np.save("y.npy", np.load("x.npy")[::-1])
    assert invoke(*words, "link.json").exit_code == 0
    assert os.path.islink("link.json")
    assert (folder / "real.json").read_text().startswith("{")
    os.mkfifo("pipe")
    reader = os.open("pipe", os.O_RDONLY | os.O_NONBLOCK)
    try:
        assert invoke(*words, "pipe").exit_code == 0
        assert os.read(reader, 1) == b"{"
    finally:
        os.close(reader)

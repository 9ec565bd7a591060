"""``distnorm index``: the commands, their JSON and their exit codes."""

from __future__ import annotations

import json

import numpy as np
import pytest
from click.testing import CliRunner

from distnorm.cli.main import cli
from distnorm.search.indexes import open_index


@pytest.fixture
def run(monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")

    def call(*arguments):
        return CliRunner().invoke(cli, [str(part) for part in arguments], catch_exceptions=False)

    return call


@pytest.fixture
def place(tmp_path, index_world, index_builders):
    """A DuckDB table, saved normalizations, and sample queries."""
    pytest.importorskip("duckdb", reason="duckdb is not installed")
    pytest.importorskip("pyarrow", reason="pyarrow is not installed")
    built = index_builders.duckdb_index(tmp_path, range(120), index_world.items[:120])
    for method in ("dn", "nnn", "centered"):
        index_world.norm(method).save(tmp_path / f"{method}.safetensors")
    np.save(tmp_path / "text.npy", index_world.queries)
    return tmp_path, built


def test_store_check_add_mend(run, place, index_world):
    folder, built = place
    norm, queries = folder / "nnn.safetensors", folder / "text.npy"
    before = run("index", "check", built.spec, "--normalization", norm, "--json", "-")
    assert before.exit_code == 1
    found = json.loads(before.stdout)
    assert (found["published"], found["without_bias"], found["healthy"]) == (False, 120, False)
    done = run("index", "bias", built.spec, "--normalization", norm, "--batch", 50, "--json", "-")
    assert done.exit_code == 0
    assert json.loads(done.stdout)["written"] == 120
    assert "120 biases written, 0 were there: nnn" in done.stderr
    check = ("index", "check", built.spec, "--normalization", norm, "--queries", queries)
    after = run(*check, "--k", 5, "--json", "-")
    assert after.exit_code == 0
    found = json.loads(after.stdout)
    assert (found["agreement"], found["without_bias"], found["queries"]) == (1, 0, 8)
    assert "agreement with the exact top 5" in after.stderr
    built.add(range(120, 130), index_world.items[120:130])
    later = run(*check, "--json", "-")
    assert later.exit_code == 1
    assert json.loads(later.stdout)["without_bias"] == 10
    assert "distnorm index bias" in later.stderr
    again = run("index", "bias", built.spec, "--normalization", norm)
    assert "10 biases written, 120 were there" in again.stderr
    assert run(*check).exit_code == 0


def test_a_linear_method_needs_nothing(run, place):
    folder, built = place
    norm = folder / "dn.safetensors"
    check = run(
        "index", "check", built.spec, "--normalization", norm, "--queries", folder / "text.npy"
    )
    assert check.exit_code == 0
    assert "none needed: the query changes" in check.stderr
    refused = run("index", "bias", built.spec, "--normalization", norm)
    assert refused.exit_code == 1
    assert refused.stderr.count("\n") == 1
    assert "nothing needs to be stored" in refused.stderr


def test_what_is_wrong_is_one_line(run, place):
    folder, built = place
    for arguments, code, part in (
        (("check", "nosuch:place"), 1, "system:place"),
        (("check", f"duckdb:{folder}/none.db/photos"), 1, "no file"),
        (("check", built.spec, "--normalization", folder / "none"), 1, "none"),
        (("check", built.spec, "--k", 0), 2, "k"),
        (("bias", built.spec), 2, "--normalization"),
        (("bias", built.spec, "--normalization", folder / "centered.safetensors"), 1, "centered"),
        (
            ("check", built.spec, "--side", "audio", "--normalization", folder / "dn.safetensors"),
            1,
            "audio",
        ),
    ):
        found = run("index", *arguments)
        assert found.exit_code == code, found.stderr
        assert part in found.stderr
        if code == 1:
            assert found.stderr.count("\n") == 1


def test_interrupted_it_says_how_to_go_on(run, place, monkeypatch, index_world):
    folder, built = place
    from distnorm.search.indexes.sql import SqlBiases

    write, calls = SqlBiases.write, []

    def interrupting(self, *arguments):
        if calls:
            raise KeyboardInterrupt
        calls.append(1)
        write(self, *arguments)

    monkeypatch.setattr(SqlBiases, "write", interrupting)
    norm = folder / "nnn.safetensors"
    stopped = run("index", "bias", built.spec, "--normalization", norm, "--batch", 50)
    assert stopped.exit_code == 130
    assert "interrupted after 50 of 120 items" in stopped.stderr
    monkeypatch.setattr(SqlBiases, "write", write)
    again = run("index", "bias", built.spec, "--normalization", norm)
    assert "70 biases written, 50 were there" in again.stderr


def test_rows_from_a_store_for_a_server_that_keeps_them(run, tmp_path, index_world, index_builders):
    np.save(tmp_path / "image.npy", index_world.items[:60])
    index_world.norm("nnn").save(tmp_path / "nnn.safetensors")
    built = index_builders.clip_retrieval_index(tmp_path, range(60), index_world.items[:60])
    try:
        done = run(
            "index",
            "bias",
            built.spec,
            "--normalization",
            tmp_path / "nnn.safetensors",
            "--items",
            tmp_path / "image.npy",
        )
        assert done.exit_code == 0, done.stderr
        with open_index(built.spec) as index:
            assert index.search(index_world.queries, 5, index_world.norm("nnn")).method == "nnn"
    finally:
        built.stop()


def test_list_and_drop(run, place):
    folder, built = place
    norm = folder / "nnn.safetensors"
    assert "no biases are stored" in run("index", "list", built.spec).stderr
    run("index", "bias", built.spec, "--normalization", norm)
    listed = run("index", "list", built.spec, "--normalization", norm, "--json", "-")
    (found,) = json.loads(listed.stdout)["biases"]
    assert (found["method"], found["items"], found["lacking"]) == ("nnn", 120, 0)
    assert (found["asked_for"], found["where"]) == (True, f"table {found['where'][6:]}")
    assert "this normalization" in listed.stderr
    for wrong, code in ((["--all", "x"], 2), ([], 2), (["x"], 1)):
        refused = run("index", "drop", built.spec, *wrong)
        assert refused.exit_code == code
    dropped = run("index", "drop", built.spec, "--normalization", norm, "--json", "-")
    assert json.loads(dropped.stdout)["dropped"] == [found["column"]]
    assert run("index", "drop", built.spec, "--normalization", norm).exit_code == 1
    run("index", "bias", built.spec, "--normalization", norm)
    assert found["column"] in run("index", "drop", built.spec, found["column"]).stderr
    assert "no biases are stored" in run("index", "drop", built.spec, "--all").stderr


def test_rows_that_changed_under_their_ids_are_counted(run, place):
    duckdb = pytest.importorskip("duckdb", reason="duckdb is not installed")
    folder, built = place
    norm = folder / "nnn.safetensors"
    run("index", "bias", built.spec, "--normalization", norm)
    with duckdb.connect(str(folder / "photos.duckdb")) as connection:
        connection.execute(
            "UPDATE photos SET embedding = (SELECT embedding FROM photos WHERE id = 0) WHERE id < 4"
        )
    check = ("index", "check", built.spec, "--normalization", norm)
    for tail in ([], ["--all"]):
        found = run(*check, *tail, "--json", "-")
        assert found.exit_code == 1
        assert (json.loads(found.stdout)["changed"], json.loads(found.stdout)["recomputed"]) == (
            3,
            120,
        )
        assert "3 of 120 computed again" in found.stderr
        assert "--fresh" in found.stderr
    run("index", "bias", built.spec, "--normalization", norm, "--fresh")
    assert run(*check, "--all").exit_code == 0


def test_help_lists_a_spec_per_line(run):
    text = run("index", "--help").stdout
    assert "\\b" not in text
    assert any(line.strip().startswith("faiss:FILE") for line in text.splitlines())

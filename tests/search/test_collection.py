"""Many queries at once: in stores and indexes, by one's own embedder, as JSON and CSV."""

from __future__ import annotations

import csv
import io
import json
import sys

import numpy as np
import pytest
from asking import invoke
from embedding_server import serving

import distnorm
from distnorm.encoders.http import KEY


@pytest.fixture
def here(tmp_path, monkeypatch, gap_pair):
    """A folder with vectors of both sides and normalizations."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "160")
    monkeypatch.delenv(KEY, raising=False)
    for name, rows in zip(("image.npy", "text.npy"), gap_pair, strict=True):
        np.save(name, rows.astype(np.float32))
    for method in ("dn", "nnn"):
        norm = distnorm.make(method).fit(images=gap_pair[0], texts=gap_pair[1])
        norm.save(f"{method}.safetensors")
    return tmp_path


def lists_of(output):
    return [[entry["id"] for entry in line] for line in output["results"]]


@pytest.mark.parametrize("method", ["dot", "dn", "nnn"])
def test_vectors_are_searched_as_topk_does(here, method, gap_pair):
    images, texts = (rows.astype(np.float32) for rows in gap_pair)
    words = ("search", "image.npy", "--query-vectors", "text.npy", "--k", 7, "--json", "-")
    bias, queries = None, texts
    if method != "dot":
        words += ("--normalization", f"{method}.safetensors")
        norm = distnorm.load(f"{method}.safetensors")
        if method == "dn":
            queries = norm.shift_queries(texts=texts)
        else:
            bias = norm.item_bias(images=images)
    done = invoke(*words)
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    scores, rows = distnorm.topk(queries, images, 7, bias)
    assert lists_of(found) == rows.tolist()
    assert found["results"][3][2]["value"] == pytest.approx(float(scores[3, 2]), abs=1e-6)
    assert (found["method"], found["n_queries"], found["n_items"]) == (method, 200, 200)
    assert found["results"][0][0]["name"] == f"#{rows[0, 0]}"


@pytest.mark.parametrize("method", [None, "dn", "nnn"])
def test_a_threshold_is_that_of_two_sided_scores(here, method, gap_pair):
    images, texts = (rows.astype(np.float32) for rows in gap_pair)
    norm = distnorm.make("dot") if method is None else distnorm.load(f"{method}.safetensors")
    scores = norm.similarity(images, texts).T
    bar = float(np.quantile(scores, 0.97))
    words = ("search", "image.npy", "--query-vectors", "text.npy", "--k", 5, "--json", "-")
    words += () if method is None else ("--normalization", f"{method}.safetensors")
    whole = json.loads(invoke(*words).stdout)
    done = invoke(*words, "--threshold", bar)
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    wanted = [[row for row in line if scores[query, row] > bar]
              for query, line in enumerate(lists_of(whole))]  # fmt: skip
    assert lists_of(found) == wanted
    assert found["rejected"] == 5 * 200 - sum(map(len, wanted)) > 0
    assert found["nothing_fits"] == sum(not line for line in wanted)
    assert "queries have none" in found["notes"][0]


def test_thresholds_of_many_queries_in_an_index(here, gap_pair):
    faiss = pytest.importorskip("faiss", reason="an index to search")
    images, texts = (rows.astype(np.float32) for rows in gap_pair)
    index = faiss.IndexFlatIP(images.shape[1])
    index.add(images)
    faiss.write_index(index, "i.index")
    words = ("--query-vectors", "text.npy", "--normalization", "dn.safetensors", "--k", 4)
    bar = float(np.quantile(distnorm.load("dn.safetensors").similarity(images, texts), 0.97))
    limit = ("--threshold", bar, "--json", "-")
    one, two = (json.loads(invoke("search", place, *words, *limit).stdout)
                for place in ("image.npy", "faiss:i.index"))  # fmt: skip
    assert lists_of(one) == lists_of(two)
    distnorm.make("dn").fit(texts=texts).save("half.safetensors")
    refused = invoke("search", "faiss:i.index", *words[:2], "--normalization", "half.safetensors",
                     "--threshold", bar)  # fmt: skip
    assert refused.exit_code == 1
    assert "fit the normalization on both sides" in refused.stderr


def test_an_index_and_a_csv(here, gap_pair):
    faiss = pytest.importorskip("faiss", reason="an index to search")
    images = gap_pair[0].astype(np.float32)
    index = faiss.IndexFlatIP(images.shape[1])
    index.add(images)
    faiss.write_index(index, "photos.index")
    words = ("search", "faiss:photos.index", "--query-vectors", "text.npy", "--k", 3)
    words += ("--normalization", "dn.safetensors")
    assert invoke(*words, "--csv", "out.csv").exit_code == 0
    lines = list(csv.DictReader(io.StringIO((here / "out.csv").read_text("utf-8"))))
    printed = invoke(*words, "--csv", "-")
    assert list(csv.DictReader(io.StringIO(printed.stdout))) == lines
    found = json.loads(invoke(*words, "--json", "-").stdout)
    assert [int(line["id"]) for line in lines] == [i for line in lists_of(found) for i in line]
    assert [line["rank"] for line in lines[:4]] == ["1", "2", "3", "1"]
    assert [line["query"] for line in lines[:4]] == ["0", "0", "0", "1"]
    values = [entry["value"] for line in found["results"] for entry in line]
    assert [float(line["score"]) for line in lines] == pytest.approx(values, abs=1e-7)


def test_items_of_other_lengths_are_refused_or_made_unit(here):
    np.save("raw.npy", 3 * np.load("image.npy"))
    (here / "shards").mkdir()
    for part, rows in enumerate(np.split(np.load("raw.npy"), [50])):
        np.save(here / "shards" / f"part_{part}.npy", rows)
    lists = {}
    for items in ("image.npy", "raw.npy", "shards"):
        for words in (
            ("search", items, "--query-vectors", "text.npy", "--k", 3),
            ("index", "hubs", items, "--queries", "text.npy", "--k", 3),
        ):
            for method in ("dn", "nnn"):
                words = (*words, "--json", "-", "--normalization", f"{method}.safetensors")
                found = invoke(*words, "--normalize")
                assert found.exit_code == 0, found.output
                shown = json.loads(found.stdout)
                now = lists_of(shown) if words[0] == "search" else shown["hubs"]
                if items == "image.npy":
                    lists[words[0], method] = now
                    continue
                assert now == lists[words[0], method]
                refused = invoke(*words)
                assert refused.exit_code == 1
                assert "not of unit length" in refused.output
    plain = ("search", "raw.npy", "--query-vectors", "text.npy", "--json", "-")
    assert json.loads(invoke(*plain).stdout)["score"] == "dot product"
    assert json.loads(invoke(*plain, "--normalize").stdout)["score"] == "cosine"


def test_a_table_without_either(here):
    done = invoke("search", "image.npy", "--query-vectors", "text.npy", "--k", 3)
    assert done.exit_code == 0, done.output
    assert done.stdout == ""
    assert "180 more queries: see --json or --csv" in " ".join(done.stderr.split())


@pytest.mark.parametrize(
    ("words", "code", "part"),
    [
        ((), 2, "QUERY or --query-vectors"),
        (("a red bus", "--query-vectors", "text.npy"), 2, "QUERY or --query-vectors"),
        (("a red bus", "--csv", "x.csv"), 2, "--csv needs"),
        (("--query-vectors", "text.npy", "--both"), 2, "again without --normalization"),
        (("--query-vectors", "text.npy", "--side", "both"), 2, "--side both needs"),
        (("--query-vectors", "text.npy", "--false-alarm-rate", "0.01"), 1, "calibrat"),
        (("--query-vectors", "text.npy", "--bias", "b"), 2, "--bias needs"),
        (("--query-vectors", "text.npy", "--open"), 2, "--open needs"),
        (("--query-vectors", "text.npy", "--csv", "-", "--json", "-"), 2, "exclude"),
        (("--query-vectors", "none.npy"), 1, "none.npy"),
        (("--query-vectors", "wide.npy"), 1, "dimension"),
        (("--query-vectors", "nan.npy"), 1, "row 1"),
        (("--query-vectors", "text.npy", "--csv", "none/x.csv"), 1, "none"),
    ],
)
def test_what_is_wrong_is_one_line(here, words, code, part):
    np.save("wide.npy", np.ones((3, 7)))
    np.save("nan.npy", np.array([[1.0] * 32, [np.nan] * 32]))
    done = invoke("search", "image.npy", *words)
    assert done.exit_code == code, done.output
    assert part in done.stderr
    assert code == 2 or done.stderr.count("\n") == 1


def test_vectors_of_a_server_are_known_by_its_model_alone(here):
    address = "https://api.example/v1#words"
    words = ("fit", "--texts", "text.npy", "--images", "image.npy", "--out", "own.safetensors")
    assert invoke(*words, "--model", address).exit_code == 0
    assert distnorm.load("own.safetensors").model == "http:words"
    asked = ("--query-vectors", "text.npy", "--normalization", "own.safetensors", "--k", 2)
    assert invoke("search", "image.npy", *asked, "--model", address).exit_code == 0
    assert invoke("search", "image.npy", *asked, "--model", "http:others").exit_code == 1
    keyed = invoke(*words, "--overwrite", "--model", "https://api.example/v1?key=sk-1#words")
    assert keyed.exit_code == 1
    assert "sk-1" not in keyed.stderr


MODULE = """
from embedding_server import rows_of

def embed(texts):
    return rows_of(texts)
"""


@pytest.fixture(params=["python", "http"])
def model(request, here, monkeypatch):
    """One's own embedder: a function in the working directory, a server on the loopback."""
    pytest.importorskip("pyarrow", reason="stores of sentences")
    pytest.importorskip("PIL", reason="embedding")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    if request.param == "http":
        with serving() as (url, _):
            yield f"http:{url}/v1#words"
        return
    (here / "my_words.py").write_text(MODULE, "utf-8")
    yield "python:my_words:embed"
    sys.modules.pop("my_words", None)


def test_ones_own_embedder_fits_embeds_searches_and_counts(here, model):
    lines = ["a red bus", "two dogs", "a dog and a bus", "red sofa", "sofa of a dog", "a dog"]
    (here / "log.txt").write_text("\n".join(lines * 5) + "\n", "utf-8")
    name = "python:my_words:embed" if model.startswith("python") else "http:words"
    fitted = invoke("fit", "--texts", "log.txt", "--model", model, "--out", "own.safetensors",
                    "--sides", "query,text")  # fmt: skip
    assert fitted.exit_code == 0, fitted.output
    assert distnorm.load("own.safetensors").model == name
    done = invoke("embed", "log.txt", "--model", model, "--out", "store")
    assert done.exit_code == 0, done.output
    found = invoke("search", "store", "a red bus", "--side", "text", "--k", 2, "--json", "-")
    assert found.exit_code == 0, found.output
    answer = json.loads(found.stdout)
    assert (answer["model"], answer["results"][0]["name"]) == (name, "a red bus")
    hubs = invoke("index", "hubs", "store", "--side", "text", "--queries", "image.npy")
    assert "dimension" in hubs.stderr
    np.save("rows.npy", distnorm.load_encoder(model).encode_texts(lines))
    hubs = invoke("index", "hubs", "rows.npy", "--queries", "log.txt", "--model", model,
                  "--k", 2, "--json", "-")  # fmt: skip
    assert hubs.exit_code == 0, hubs.output
    counted = json.loads(hubs.stdout)
    assert (counted["n_queries"], counted["repeated_queries"]) == (6, 24)


def test_a_query_and_vectors_take_the_same_options_of_an_index(here, gap_pair, monkeypatch):
    faiss = pytest.importorskip("faiss", reason="an index to search")
    index = faiss.IndexFlatIP(gap_pair[0].shape[1])
    index.add(gap_pair[0].astype(np.float32))
    faiss.write_index(index, "i.index")
    vectors = ("--query-vectors", "text.npy")
    nnn = ("--normalization", "nnn.safetensors", "--k", 3, "--json", "-")
    missing = invoke("search", "faiss:i.index", *vectors, *nnn)
    assert "no stored bias" in missing.output
    done = invoke("index", "bias", "faiss:i.index", *nnn[:2], "--biases", "kept")
    assert done.exit_code == 0, done.output
    beside = ("--biases", "kept")
    wanted = json.loads(invoke("search", "image.npy", *vectors, *nnn).stdout)
    found = invoke("search", "faiss:i.index", *vectors, *nnn, *beside, "--certify")
    assert found.exit_code == 0, found.output
    assert lists_of(json.loads(found.stdout)) == lists_of(wanted)
    assert json.loads(found.stdout)["notes"] == []
    monkeypatch.setattr(sys, "path", [str(here), *sys.path])
    np.save("one.npy", gap_pair[1][0].astype(np.float32))
    (here / "mine.py").write_text(
        "import numpy as np\n"
        "def encode(texts): return np.stack([np.load('one.npy')] * len(texts))\n"
    )
    one = ("search", "faiss:i.index", "words", "--model", "python:mine:encode", *nnn)
    found = invoke(*one, *beside, "--certify")
    assert found.exit_code == 0, found.output
    best = [entry["row"] for entry in json.loads(found.stdout)["results"]]
    assert best == lists_of(wanted)[0]
    assert "no stored bias" in invoke(*one).output
    for words, part in (
        (("image.npy", *vectors, "--certify"), "are of an INDEX"),
        (("image.npy", *vectors, *beside), "are of an INDEX"),
        (("faiss:i.index", *vectors, "--bias", "b.safetensors"), "--bias keeps the biases of a"),
    ):
        refused = invoke("search", *words)
        assert refused.exit_code == 2
        assert part in refused.output

"""Search in stores and indexes from the command line: lists, files beside them, pages, refusals."""

from __future__ import annotations

import itertools
import json
import re
import types
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

import distnorm
from distnorm.cli.main import cli
from distnorm.exact import places
from distnorm.scenes import save_scenes
from distnorm.search.bias_file import bias_of, kept_bias
from distnorm.store.columns import read_names
from distnorm.store.vectors import open_embeddings, read_embeddings
from distnorm.system.shards import ShardedRows

pytest.importorskip("PIL", reason="stores of pictures")
pytest.importorskip("onnxruntime", reason="the built-in model")
parquet = pytest.importorskip("pyarrow.parquet", reason="names in stores")


def invoke(*words):
    return CliRunner().invoke(cli, [str(word) for word in words])


def ask(*words):
    done = invoke("search", *words, "--json", "-")
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def scenes(tmp_path_factory):
    folder = tmp_path_factory.mktemp("in") / "scenes"
    save_scenes(folder, 24, world="night")
    return folder


@pytest.fixture(scope="module")
def store(scenes, tmp_path_factory):
    out = tmp_path_factory.mktemp("out") / "store"
    assert invoke("embed", scenes, "--model", "builtin", "--out", out).exit_code == 0
    return out


@pytest.fixture(scope="module")
def norms(store, tmp_path_factory):
    folder = tmp_path_factory.mktemp("norms")
    for method in ("dn", "nnn", "is"):
        out = folder / f"{method}.safetensors"
        done = invoke("fit", "--images", store, "--texts", store, "--method", method, "--out", out)
        assert done.exit_code == 0, done.output
    return folder


@pytest.fixture
def split(store, tmp_path):
    """The same store in three shards."""
    out = tmp_path / "split"
    table = parquet.read_table(store / "metadata" / "metadata_0.parquet")
    edges = [0, 7, 50, table.num_rows]
    for folder in ("img_emb", "text_emb", "metadata"):
        (out / folder).mkdir(parents=True)
    for i, (a, b) in enumerate(itertools.pairwise(edges)):
        for folder, side in (("img_emb", "image"), ("text_emb", "text")):
            np.save(out / folder / f"{folder}_{i}.npy", read_embeddings(store, side)[a:b])
        parquet.write_table(table.slice(a, b - a), out / "metadata" / f"metadata_{i}.parquet")
    (out / "store.json").write_text(
        json.dumps({"model": "builtin", "model_id": "builtin-1", "normalized": True})
    )
    return out


def test_shards_stay_in_their_files(split, store):
    opened = open_embeddings(split)
    assert isinstance(opened, ShardedRows)
    assert all(isinstance(part, np.memmap) for part in opened.parts)
    np.testing.assert_array_equal(opened[:], read_embeddings(store))
    assert read_names(split) == read_names(store)


@pytest.mark.parametrize("method", [None, "dn", "nnn"])
@pytest.mark.parametrize("side", ["image", "both"])
def test_shards_are_searched_like_one(split, store, norms, method, side):
    words = ["a red star at night", "--k", "7", "--side", side]
    if method is not None:
        words += ["--both", "--normalization", norms / f"{method}.safetensors"]
    one, other = ask(store, *words), ask(split, *words)
    assert {**one, "store": None} == {**other, "store": None}
    names = [(entry.get("side"), entry["name"]) for entry in one["results"]]
    assert len(set(names)) == len(names) == 7
    assert [entry["rank"] for entry in one["results"]] == list(range(1, 8))


def test_ranks_by_dot_are_those_of_the_whole_list(store, norms):
    found = ask(store, "a red star", "--normalization", norms / "nnn.safetensors", "--k", "24")
    plain = ask(store, "a red star", "--k", "24")
    place = {entry["name"]: entry["rank"] for entry in plain["results"]}
    assert len(place) == 24
    for entry in found["results"]:
        assert entry["rank_by_dot"] == place[entry["name"]]


def test_places_are_those_of_a_stable_sort(rng):
    items = rng.integers(-2, 3, (40_000, 6)).astype(np.float16)
    items[~items.any(axis=1)] = 1
    query, counted = rng.integers(-2, 3, 6) + 0.5, rng.random(40_000) < 0.7
    rows = np.flatnonzero(counted)[rng.integers(0, 20_000, 30)]
    for keep in (None, counted):
        line = items.astype(float) @ query
        line[~(counted if keep is not None else np.ones(40_000, bool))] = -np.inf
        wanted = np.empty(40_000, dtype=int)
        wanted[np.argsort(-line, kind="stable")] = np.arange(1, 40_001)
        np.testing.assert_array_equal(places(query, items, rows, keep), wanted[rows])


def test_both_sides_in_one_list(store, norms):
    found = ask(store, "a red star at night", "--side", "both", "--k", "12", "--both",
                "--normalization", norms / "dn.safetensors")  # fmt: skip
    sides = [entry["side"] for entry in found["results"]]
    assert set(sides) == {"image", "text"}
    # The gap: by dot product a sentence finds sentences only.
    assert {entry["side"] for entry in found["dot"]} == {"text"}
    assert found["score"] == "standard score of each side"
    plain = ask(store, "a red star at night", "--side", "both", "--scale", "two-sided")
    assert plain["score"] == "cosine"
    shown = invoke("search", store, "a red star at night", "--side", "both")
    assert "side" in shown.stderr


def same_list(found, wanted):
    """The same items in the same places; scores may differ by float32's rounding."""
    for one, other in zip(found["results"], wanted["results"], strict=True):
        assert {**one, "value": None} == {**other, "value": None}
        assert one["value"] == pytest.approx(other["value"], abs=1e-6)


def test_biases_are_kept_and_added_to(store, norms, tmp_path):
    norm, kept = norms / "nnn.safetensors", tmp_path / "bias.safetensors"
    words = ("a red star", "--normalization", norm, "--k", "5")
    wanted = ask(store, *words)
    items = read_embeddings(store)
    loaded, checksum = distnorm.load(norm), distnorm.storage.read(norm)[2]
    kept_bias(kept, loaded, checksum, items[:30], "image")
    grown = ask(store, *words, "--bias", kept)
    same_list(grown, wanted)
    assert f"{len(items) - 30} items were added after the 30 biases" in grown["notes"][0]
    again = ask(store, *words, "--bias", kept)
    assert again["notes"] == []
    same_list(again, wanted)
    for change, part in (
        (("--normalization", norms / "is.safetensors"), "another normalization"),
        ((), "items were removed"),
        ((), "cannot be read"),
    ):
        if part == "items were removed":
            kept.unlink()
            kept_bias(kept, loaded, checksum, np.concatenate([items, items]), "image")
        if part == "cannot be read":
            kept.write_bytes(b"x" * 30)
        done = invoke("search", store, *words, *change, "--bias", kept)
        assert done.exit_code == 1
        assert part in done.stderr


def test_biases_of_an_interrupted_run_count(norms, store, tmp_path, monkeypatch):
    monkeypatch.setattr("distnorm.search.bias_file._ROWS", 10)
    norm, items = distnorm.load(norms / "nnn.safetensors"), read_embeddings(store)

    def stop(done, total):
        if done == 40:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        kept_bias(tmp_path / "b", norm, "c", items, "image", stop)
    bias, known, added = kept_bias(tmp_path / "b", norm, "c", items, "image")
    assert (known, added) == (40, len(items) - 40)
    np.testing.assert_array_equal(bias, bias_of(norm, items, "image"))
    np.testing.assert_allclose(bias, norm.item_bias(items, modality="image"), atol=1e-6)


@pytest.mark.parametrize("method", ["is", "sinkhorn"])
def test_biases_that_depend_on_all_items_are_taken_of_all(method, gap_pair, tmp_path, monkeypatch):
    """Without statistics of the items' side (and always for sinkhorn) blocks would differ."""
    monkeypatch.setattr("distnorm.search.bias_file._ROWS", 16)
    X, Y = gap_pair
    norm = distnorm.make(method).fit(texts=Y)
    wanted = norm.item_bias(X, modality="image")
    np.testing.assert_allclose(bias_of(norm, X, "image"), wanted)
    kept_bias(tmp_path / "b", norm, "c", X[:50], "image")
    bias, known, added = kept_bias(
        tmp_path / "b", norm, "c", ShardedRows([X[:50], X[50:]]), "image"
    )
    assert (known, added) == (50, 150)
    np.testing.assert_allclose(bias, wanted)


def test_a_page_with_both_lists(store, scenes, norms, tmp_path):
    page = tmp_path / "page.html"
    done = invoke("search", store, "a <red> star", "--normalization", norms / "dn.safetensors",
                  "--k", "5", "--sheet", page, "--pictures", scenes)  # fmt: skip
    assert done.exit_code == 0, done.output
    text = page.read_text()
    assert text.index("dot product</h2>") < text.index("dn, strength 0.5</h2>")
    assert text.count("data:image/jpeg;base64,") == text.count("<li>") == 10
    assert "a &lt;red&gt; star" in text
    assert "prefers-color-scheme: dark" in text
    # Nothing is loaded from anywhere.
    assert not re.findall(r'(?:src|href)="(?!data:)', text)
    own = invoke("search", store, scenes / "night-000003.png", "--k", "2", "--sheet", page)
    assert "2 pictures were not found: name their folder with --pictures" in own.stderr
    text = page.read_text()
    assert 'alt="the query"' in text
    assert text.count("<h2>") == 1
    mixed = invoke("search", store, "a red star", "--side", "both", "--sheet", page, "--pictures",
                   scenes, "--normalization", norms / "dn.safetensors")  # fmt: skip
    assert mixed.exit_code == 0
    assert '<div class="words">' in page.read_text()


def test_open_shows_the_page_where_there_is_a_screen(store, tmp_path, monkeypatch):
    opened = []
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("distnorm.cli.search.webbrowser.open", opened.append)
    for display in ("", ":0"):
        monkeypatch.setenv("DISPLAY", display)
        monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
        assert invoke("search", store, "a star", "--open").exit_code == 0
        assert Path("search.html").exists()
    assert opened == [(tmp_path / "search.html").as_uri()]


class Found(types.SimpleNamespace):
    """An index's answer to one query."""


@pytest.fixture
def running(store, monkeypatch):
    """An index that answers like the front of `search.indexes`, over the store's pictures."""
    rows = read_embeddings(store).astype(np.float64)

    class Index:
        max_k = 20

        def __enter__(self):
            return self

        def __exit__(self, *_):
            return None

        def count(self):
            return len(rows)

        def search(self, queries, k, normalization=None, mode=None, *, query_side="text"):
            assert k <= self.max_k
            q = (
                queries
                if mode == "dot"
                else normalization.shift_queries(queries, modality=query_side)
            )
            line = (q.astype(np.float64) @ rows.T)[0]
            order = np.argsort(-line, kind="stable")[:k]
            return Found(
                ids=(tuple(order.tolist()),), scores=(line[order],), score="cosine",
                method="dot" if mode == "dot" else normalization.method,
                strength=0.5, certified=(False,), without_bias=3,
            )  # fmt: skip

    asked = []
    monkeypatch.setattr(
        "distnorm.search.in_index.open_index",
        lambda spec, model=None: asked.append((spec, model)) or Index(),
    )
    return asked


def test_an_index_answers_in_the_same_form(running, norms):
    words = ("faiss:photos.index", "a red star", "--model", "builtin", "--k", "6")
    found = ask(*words, "--normalization", norms / "dn.safetensors", "--both")
    assert running == [("faiss:photos.index", "builtin-1")]
    assert found["fetched"] == 20
    assert len(found["results"]) == len(found["dot"]) == 6
    place = {entry["name"]: entry["rank"] for entry in found["dot"]}
    for entry in found["results"]:
        assert entry["rank_by_dot"] == place.get(entry["name"], entry["rank_by_dot"])
    assert "3 items have no stored bias: run distnorm index bias faiss:photos" in found["notes"][0]
    assert "approximate" in found["notes"][1]
    plain = ask(*words)
    assert plain["method"] == "dot"
    assert plain["notes"] == []


def test_an_item_from_beyond_the_fetched_list_is_new():
    from distnorm.report.terminal import rank_change

    assert rank_change({"rank": 1, "rank_by_dot": None}, {"fetched": 100}) == (">100", "new")
    assert rank_change({"rank": 1, "rank_by_dot": 1}, {}) == ("1", "=")
    assert rank_change({"rank": 4, "rank_by_dot": 1}, {}) == ("1", "-3")


def test_a_real_faiss_file(store, norms, tmp_path):
    faiss = pytest.importorskip("faiss", reason="an index to search")
    pytest.importorskip("distnorm.search.indexes", reason="the front of all systems")
    rows = read_embeddings(store).astype(np.float32)
    index = faiss.IndexFlatIP(rows.shape[1])
    index.add(rows)
    faiss.write_index(index, str(tmp_path / "x.index"))
    words = ("a red star", "--normalization", norms / "dn.safetensors", "--k", "9")
    found = ask(f"faiss:{tmp_path / 'x.index'}", *words, "--model", "builtin")
    scores, wanted = distnorm.search.topk(
        distnorm.load(norms / "dn.safetensors").shift_queries(
            texts=distnorm.load_encoder("builtin").encode_texts(["a red star"])
        ),
        rows,
        9,
    )
    np.testing.assert_allclose(np.diff([e["value"] for e in found["results"]]),
                               np.diff(scores[0]), atol=1e-6)  # fmt: skip
    assert set(wanted[0].tolist()) & {e["row"] for e in found["results"]}


@pytest.mark.parametrize(
    ("words", "code", "part"),
    [
        (("STORE", "a star", "--k", "0"), 2, "0 is not in the range"),
        (("STORE", "a star", "--side", "sound"), 2, "sound"),
        (("STORE", "a star", "--normalization", "gone.safetensors"), 1, "gone.safetensors"),
        (("gone", "a star", "--model", "builtin"), 1, "no file"),
        (("faiss:gone.index", "a star"), 1, "--model"),
        (("STORE", "gone.png"), 1, "gone.png"),
        (("STORE", "a star", "--side", "both", "--bias", "b"), 1, "--bias with both sides"),
        (("STORE", "a star", "--sheet", "no/where.html"), 1, "no folder"),
    ],
)
def test_what_it_refuses(words, code, part, store, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = invoke("search", *[store if word == "STORE" else word for word in words])
    assert done.exit_code == code, done.output
    assert part in done.stderr


def test_a_sentence_is_worded_as_the_statistics_are(store, norms, tmp_path):
    norm = distnorm.load(norms / "dn.safetensors")
    norm.prompt = "a picture of {}"
    norm.save(tmp_path / "worded.safetensors")
    worded = ask(store, "a red star", "--normalization", tmp_path / "worded.safetensors")
    plain = ask(store, "a picture of a red star", "--normalization", norms / "dn.safetensors")
    assert worded["prompt"] == "a picture of {}"
    assert worded["results"] == plain["results"]


def test_the_dot_product_can_abstain_too(store, tmp_path):
    rows = {
        side: np.asarray(read_embeddings(store, side), np.float32) for side in ("image", "text")
    }
    norm = distnorm.make("dot").fit(images=rows["image"], texts=rows["text"])
    norm.calibrate(images=rows["image"][::2], texts=rows["text"][1::2])
    norm.save(tmp_path / "dot.safetensors")
    found = ask(
        *(store, "a red star", "--normalization", tmp_path / "dot.safetensors"),
        *("--false-alarm-rate", "0.01", "--k", "1000"),
    )
    assert found["judged_by"]["label"] == "cosine"
    assert found["rejected"] > 0
    assert all(entry["two_sided"] > found["threshold"] for entry in found["results"])

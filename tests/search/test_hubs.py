"""Hubs of a query log in rows, stores and indexes, and a planted hub in the built-in world."""

from __future__ import annotations

import json
from collections import Counter

import numpy as np
import pytest
from asking import invoke

import distnorm
from distnorm.report.many import hub_facts, summary_rows
from distnorm.search import query_hubs
from distnorm.search.indexes import open_index
from distnorm.search.items import RowItems
from distnorm.store.catalog import Catalog
from distnorm.store.layout import Commit
from distnorm.store.vectors import read_embeddings


def unit(x):
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def counted(queries, items, k, shift=0.0):
    """Oracle: how often each row is among the first k."""
    scores = (queries - shift).astype(np.float64) @ items.T.astype(np.float64)
    return Counter(np.argsort(-scores, axis=1, kind="stable")[:, :k].ravel().tolist())


def test_counts_before_and_after_a_shift(gap_pair):
    images, texts = gap_pair
    norm = distnorm.make("dn").fit(images=images[:100], texts=texts[:100])
    found = query_hubs(texts[100:], images[100:], norm, 5, show=7)
    before = counted(texts[100:], images[100:], 5)
    after = counted(texts[100:], images[100:], 5, 0.5 * texts[:100].mean(axis=0))
    assert found.counts == {i: (before[i], after[i]) for i in before | after}
    assert {hub.id for hub in found.hubs} >= {i for i, _ in before.most_common(3)}
    largest = max(before.values()), max(after.values())
    assert (found.before.largest, found.after.largest) == largest
    assert found.hubs[0].before == largest[0] or found.hubs[0].after == largest[1]
    assert (found.after.method, found.after.strength, found.exact) == ("dn", 0.5, True)
    assert found.after.effective_items > found.before.effective_items
    assert json.loads(json.dumps(found.to_dict()))["alerts"] == len(found.alerts)


def test_a_bias_of_each_item_counts_alike(gap_pair):
    images, texts = gap_pair
    norm = distnorm.make("nnn").fit(images=images[:100], texts=texts[:100])
    found = query_hubs(texts[100:], images[100:], norm, 5)
    scores = texts[100:] @ images[100:].T - norm.item_bias(images=images[100:])
    best = np.argsort(-scores, axis=1, kind="stable")[:, :5]
    assert {i: n for i, (_, n) in found.counts.items() if n} == Counter(best.ravel().tolist())


def test_without_a_normalization_there_is_no_after(gap_pair):
    images, texts = gap_pair
    found = query_hubs(texts, images)
    assert found.after is None
    assert {hub.after for hub in found.hubs} == {None}
    same = query_hubs(texts, images, distnorm.make("dot"))
    assert (same.after, same.before) == (None, found.before)


def test_the_same_query_twice_counts_once(gap_pair):
    images, texts = gap_pair
    once = query_hubs(texts[:50], images)
    twice = query_hubs(np.concatenate([texts[:50], texts[:20]]), images)
    assert (twice.n_queries, twice.repeated) == (50, 20)
    assert twice.counts == once.counts


def test_rows_of_one_item_are_listed_once(gap_pair, store):
    single, texts = RowItems(gap_pair[0][:60]), gap_pair[1]
    assert single.count() == 60
    commit = Commit.read(store)
    catalog = Catalog.read(commit, "image")
    rows = read_embeddings(commit, "image")
    several = RowItems(rows, catalog)
    alone = RowItems(rows[catalog.first])
    queries = read_embeddings(commit, "text")
    firsts = np.flatnonzero(catalog.first)
    assert several.count() == alone.count() == 24 < len(rows)
    for row, other in zip(
        several.search(queries, 5).ids, alone.search(queries, 5).ids, strict=True
    ):
        assert list(row) == firsts[list(other)].tolist()
    assert all(len(row) == 60 for row in single.search(texts, 100).ids)


def test_an_index_counts_as_its_rows_do(tmp_path, index_world, index_builders):
    pytest.importorskip("faiss", reason="an index to search")
    built = index_builders.faiss_index("flat", tmp_path, range(120), index_world.items[:120])
    for method in ("dn", "nnn"):
        norm = index_world.norm(method)
        with open_index(built.spec) as index:
            if method == "nnn":
                with pytest.raises(distnorm.DistnormError, match="index bias"):
                    query_hubs(index_world.queries, index, norm)
                index.upload_bias(norm)
            found = query_hubs(index_world.queries, index, norm, 4)
        rows = query_hubs(index_world.queries, index_world.items[:120], norm, 4)
        assert found.counts == rows.counts
        assert found.n_items == 120


def test_an_index_that_does_not_say_how_many_items_it_has(gap_pair):
    images, texts = gap_pair

    class Server(RowItems):
        counts_items = False

        def count(self):
            return 10_000

    found = query_hubs(texts[:30], Server(images[:100]), k=3)
    rows = query_hubs(texts[:30], images[:100], k=3)
    assert (found.n_items, found.counted) == (rows.before.items_found, False)
    assert found.counts == rows.counts
    facts = " ".join(hub_facts(found.to_dict()))
    assert "does not say how many items it has" in facts
    assert "never found" not in str(summary_rows(found.to_dict()))


def test_titles_and_pictures_of_an_index(tmp_path, gap_pair, monkeypatch):
    lancedb = pytest.importorskip("lancedb", reason="an index with columns")
    for module in ("jinja2", "matplotlib", "PIL"):
        pytest.importorskip(module, reason="pages")
    from PIL import Image

    monkeypatch.chdir(tmp_path)
    images, texts = (rows[:60].astype(np.float32) for rows in gap_pair)
    for at in range(60):
        Image.new("RGB", (8, 8), (4 * at, 0, 0)).save(f"{at}.png")
    rows = [
        {"id": at, "vector": row, "headline": f"no. {at} [b]", "file": f"{at}.png"}
        for at, row in enumerate(images)
    ]
    lancedb.connect("db").create_table("photos", rows)
    np.save("text.npy", texts)
    words = ("index", "hubs", "lancedb:db/photos?id=id", "--queries", "text.npy")
    words += ("--title", "headline", "--picture", "file", "--json", "-", "--report", "h.html")
    done = invoke(*words)
    assert done.exit_code == 0, done.output
    for hub in json.loads(done.stdout)["hubs"]:
        assert hub["name"] == f"no. {hub['id']} [b]"
        assert hub["picture"] == f"{hub['id']}.png"
        assert hub["fields"] == {"headline": hub["name"], "file": hub["picture"]}
    assert (tmp_path / "h.html").read_text("utf-8").count("data:image/jpeg;base64,") == 10
    wrong = invoke(*words[:5], "--title", "head")
    assert (wrong.exit_code, wrong.stderr.count("\n")) == (1, 1)
    store = invoke("index", "hubs", "text.npy", "--queries", "text.npy", "--title", "head")
    assert store.exit_code == 2
    with pytest.raises(distnorm.DistnormError, match="fields head of rows"):
        query_hubs(texts, images, fields=["head"])


@pytest.fixture(scope="module")
def night():
    """300 drawn scenes and a caption of each, as the built-in model embeds them."""
    pytest.importorskip("onnxruntime", reason="the built-in model")
    pytest.importorskip("PIL", reason="drawn scenes")
    from distnorm.scenes import generate

    encoder = distnorm.load_encoder("builtin")
    scenes = generate(300, world="night", seed=11)
    images = encoder.encode_images([scene.image() for scene in scenes])
    return images, encoder.encode_texts([scene.captions()[0] for scene in scenes])


def test_a_planted_hub_is_reported_and_nothing_else(night):
    images, texts = night
    # What many sentences have in common, and a picture that has nothing but that.
    planted = unit(texts[:150].mean(axis=0, keepdims=True) + 0.02 * images[:1])
    items = np.concatenate([images[150:], planted]).astype(np.float32)
    found = query_hubs(texts[150:], items, distnorm.make("dn").fit(images=images, texts=texts))
    assert [hub.id for hub in found.alerts] == [150]
    assert found.hubs[0].id == 150
    assert found.hubs[0].before > 100
    assert found.hubs[0].alert_before <= found.alert_rate
    assert found.hubs[0].after < found.hubs[0].before


def test_clean_worlds_raise_as_few_alerts_as_stated(night, rng):
    images, texts = night
    rate, worlds, reports = 0.05, 20, 0
    for _ in range(worlds):
        rows, asked = rng.permutation(300)[:150], rng.permutation(300)[:150]
        reports += len(query_hubs(texts[asked], images[rows], alert_rate=rate).alerts)
    assert reports <= rate * worlds + 3 * np.sqrt(rate * worlds)


@pytest.fixture
def here(tmp_path, monkeypatch, gap_pair):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "160")
    for name, rows in zip(("image.npy", "text.npy"), gap_pair, strict=True):
        np.save(name, rows.astype(np.float32))
    norm = distnorm.make("dn").fit(images=gap_pair[0], texts=gap_pair[1])
    norm.save("dn.safetensors")
    return tmp_path


def test_the_command_prints_a_table_and_json(here):
    words = ("index", "hubs", "image.npy", "--queries", "text.npy")
    done = invoke(*words, "--normalization", "dn.safetensors", "--show", 3, "--json", "-")
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    assert (found["task"], found["n_queries"], found["n_items"]) == ("index hubs", 200, 200)
    assert found["after"]["method"] == "dn"
    assert found["hubs"][0]["name"] == f"#{found['hubs'][0]['id']}"
    assert "effective items" in done.stderr
    plain = invoke(*words, "--json", "-")
    assert plain.exit_code == 0, plain.output
    assert json.loads(plain.stdout)["after"] is None
    assert "implausibly often; 0.01 expected" in " ".join(done.stderr.split())


@pytest.mark.parametrize(
    ("words", "code", "part"),
    [
        (("image.npy", "--queries", "none.npy"), 1, "none.npy"),
        (("image.npy", "--queries", "log.txt"), 1, "--model"),
        (("image.npy", "--queries", "empty.txt"), 1, "empty.txt"),
        (("none.npy", "--queries", "text.npy"), 1, "none.npy"),
        (("nosuch:place", "--queries", "text.npy"), 1, "system:place"),
        (("image.npy", "--queries", "text.npy", "--alert-rate", "1"), 2, "alert-rate"),
        (("image.npy", "--queries", "text.npy", "--items", "x"), 2, "--items"),
        (("image.npy",), 2, "--queries"),
        (("image.npy", "--queries", "wide.npy"), 1, "dimension"),
    ],
)
def test_what_is_wrong_is_one_line(here, words, code, part):
    (here / "log.txt").write_text("a red star\n")
    (here / "empty.txt").write_text("")
    np.save("wide.npy", np.ones((3, 7)))
    done = invoke("index", "hubs", *words)
    assert done.exit_code == code, done.output
    assert part in done.stderr
    assert code == 2 or done.stderr.count("\n") == 1


def test_sentences_a_store_and_the_page_with_pictures(store, scenes, norms, tmp_path, monkeypatch):
    for module in ("jinja2", "matplotlib"):
        pytest.importorskip(module, reason="pages")
    monkeypatch.setenv("COLUMNS", "160")
    log, page = tmp_path / "log.txt", tmp_path / "hubs.html"
    log.write_text("a red star\na blue circle\na green square\na red star\n", "utf-8")
    words = ("index", "hubs", store, "--queries", log, "--k", 4, "--json", "-", "--report", page)
    done = invoke(*words, "--normalization", norms / "nnn.safetensors", "--pictures", scenes)
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    # A picture is one item, though the store has a row for each of its captions.
    assert (found["n_items"], found["n_queries"], found["repeated_queries"]) == (24, 3, 1)
    assert found["hubs"][0]["name"].endswith(".png")
    text = page.read_text("utf-8")
    assert text.count("data:image/jpeg;base64,") >= 4
    assert found["hubs"][0]["name"] in text
    assert "http" not in text.replace("http://www.w3.org", "")
    assert "were not found" not in done.stderr

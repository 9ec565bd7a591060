"""Search in a store from the command line: lists, pages, refusals."""

from __future__ import annotations

import itertools
import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from asking import ask, invoke

import distnorm
from distnorm.exact import places
from distnorm.scenes import generate
from distnorm.store.columns import read_names
from distnorm.store.vectors import open_embeddings, read_embeddings
from distnorm.system.shards import ShardedRows

pytest.importorskip("PIL", reason="stores of pictures")
pytest.importorskip("onnxruntime", reason="the built-in model")
pyarrow = pytest.importorskip("pyarrow", reason="names in stores")
parquet = pytest.importorskip("pyarrow.parquet", reason="names in stores")


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


def test_pictures_beside_their_store_need_no_name(scenes, tmp_path):
    (tmp_path / "photos").mkdir()
    for path in sorted(scenes.glob("*.png"))[:4]:
        shutil.copy(path, tmp_path / "photos")
    out, page = tmp_path / "store", tmp_path / "page.html"
    assert invoke("embed", tmp_path / "photos", "--model", "builtin", "--out", out).exit_code == 0
    done = invoke("search", out, "a star", "--k", "3", "--sheet", page)
    assert "not found" not in done.stderr
    assert page.read_text().count("data:image/jpeg;base64,") == 3


def test_a_page_with_both_lists(store, scenes, norms, tmp_path):
    page = tmp_path / "page.html"
    done = invoke("search", store, "a <red> star", "--normalization", norms / "dn.safetensors",
                  "--k", "5", "--sheet", page, "--pictures", scenes)  # fmt: skip
    assert done.exit_code == 0, done.output
    text = page.read_text()
    assert text.index("dot product</h2>") < text.index("dn, strength 0.5</h2>")
    assert text.count("data:image/jpeg;base64,") == text.count("<li ") == 10
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


def two_years(folder, names=("2023", "2024")):
    """Folders of other scenes under the same file names, embedded into one store."""
    for k, name in enumerate(names):
        (folder / name).mkdir(parents=True)
        for i, scene in enumerate(generate(8, world="matched")[4 * k : 4 * k + 4]):
            scene.image().save(folder / name / f"DSC_{i}.png")
        done = invoke("embed", folder / name, "--model", "builtin", "--out", folder / "store",
                      "--workers", "0")  # fmt: skip
        assert done.exit_code == 0, done.output
    return folder / "store"


def test_other_pictures_of_the_same_name_are_all_found(tmp_path):
    store = two_years(tmp_path)
    found = ask(store, "a red star", "--k", "20")
    assert found["n_items"] == len({entry["row"] for entry in found["results"]}) == 8
    names = {entry["name"] for entry in found["results"]}
    assert names == {str(tmp_path / y / f"DSC_{i}.png") for y in ("2023", "2024") for i in range(4)}
    # The page finds their files by these names.
    page = tmp_path / "page.html"
    assert invoke("search", store, "a star", "--k", "8", "--sheet", page).exit_code == 0
    assert page.read_text().count("data:image/jpeg;base64,") == 8


def test_one_picture_under_two_names_is_found_once(tmp_path):
    store = two_years(tmp_path)
    (tmp_path / "copies").mkdir()
    (tmp_path / "copies" / "copy.png").write_bytes((tmp_path / "2023" / "DSC_1.png").read_bytes())
    words = ("embed", tmp_path / "copies", "--model", "builtin", "--out", store, "--workers", "0")
    assert invoke(*words).exit_code == 0
    found = ask(store, "a red star", "--k", "20")
    assert found["n_items"] == len(found["results"]) == 8


@pytest.mark.parametrize("column", [None, "sha256"])
def test_items_of_stores_that_others_made(tmp_path, rng, column):
    """Keys that repeat in every shard, as other tools write them; a hash where there is one."""
    rows = rng.normal(size=(6, 128)).astype(np.float32)
    rows[3] = rows[0]
    store = tmp_path / "store"
    for folder in ("img_emb", "metadata"):
        (store / folder).mkdir(parents=True)
    for shard in range(2):
        np.save(store / "img_emb" / f"img_emb_{shard}.npy", rows[3 * shard : 3 * shard + 3])
        columns = {"image_path": ["0.jpg", "1.jpg", None]}
        if column:
            columns[column] = ["a", f"b{shard}", f"c{shard}"]
        parquet.write_table(
            pyarrow.table(columns), store / "metadata" / f"metadata_{shard}.parquet"
        )
    found = ask(store, "a red star", "--model", "builtin", "--k", "9")
    assert found["n_items"] == len(found["results"]) == 5
    names = [entry["name"] for entry in found["results"]]
    assert len(set(names)) == len(names)
    assert {"1.jpg (#1)", "1.jpg (#4)", "#2", "#5"} <= set(names)


def test_a_picture_that_another_library_resizes_is_no_query(store, scenes, tmp_path):
    other = tmp_path / "store"
    shutil.copytree(store, other)
    settings = json.loads((other / "store.json").read_text())
    assert settings["resizer"] == "pillow"
    (other / "store.json").write_text(json.dumps({**settings, "resizer": "torchvision"}))
    done = invoke("search", other, scenes / "night-000003.png")
    assert done.exit_code == 1
    assert "pictures that torchvision resized; expected pictures that pillow" in done.stderr
    assert invoke("search", other, "a red star").exit_code == 0


def test_a_folder_of_photos_is_to_be_embedded_first(scenes):
    for model in ([], ["--model", "builtin"]):
        done = invoke("search", str(scenes), "a red star", *model)
        assert done.exit_code == 1
        assert f"embed its pictures first: distnorm embed {scenes} --model NAME" in done.stderr

"""A store as embedding-atlas's table: its columns, and the neighbours of exact search."""

from __future__ import annotations

import json

import numpy as np
import pytest
from click.testing import CliRunner

parquet = pytest.importorskip("pyarrow.parquet", reason="the extra 'embed' is not installed")
image = pytest.importorskip("PIL.Image", reason="the extra 'embed' is not installed")

import distnorm
from distnorm.cli.main import cli
from distnorm.errors import DistnormError
from distnorm.search.atlas import write_atlas
from distnorm.search.query_log import QueryLog

IMAGES, TEXTS = 40, 25


def unit(rng, n, gap):
    rows = rng.normal(gap, 1, (n, 12)).astype(np.float16).astype(np.float32)
    return distnorm.normalize(rows)


@pytest.fixture
def store(tmp_path, rng):
    """In clip-retrieval's layout: pictures and texts of other numbers, some pictures there."""
    import pyarrow as pa

    folder = tmp_path / "store"
    for name, rows in (("img", unit(rng, IMAGES, 0.4)), ("text", unit(rng, IMAGES, -0.4))):
        (folder / f"{name}_emb").mkdir(parents=True)
        np.save(folder / f"{name}_emb" / f"{name}_emb_0.npy", rows)
    (folder / "metadata").mkdir()
    names = [f"p{number}.png" for number in range(IMAGES)]
    captions = [f"caption {number}" for number in range(IMAGES)]
    table = pa.table({"image_path": names, "caption": captions})
    parquet.write_table(table, folder / "metadata" / "metadata_0.parquet")
    (tmp_path / "pictures").mkdir()
    for name in names[:3]:
        image.new("RGB", (300, 200), "red").save(tmp_path / "pictures" / name)
    (tmp_path / "pictures" / names[3]).write_bytes(b"no picture")
    return folder


@pytest.fixture
def rows(store):
    return [np.load(store / f"{name}_emb" / f"{name}_emb_0.npy") for name in ("img", "text")]


def read(path):
    return parquet.read_table(path).to_pylist()


@pytest.mark.parametrize("method", ["dn", "is"])
def test_neighbours_are_those_of_exact_search_in_both_directions(store, rows, tmp_path, method):
    norm = distnorm.make(method).fit(images=rows[0], texts=rows[1])
    made = write_atlas(tmp_path / "map.parquet", store, norm, k=6)
    assert (made.rows, made.k, made.unchanged) == ({"image": IMAGES, "text": IMAGES}, 6, ())
    table = read(tmp_path / "map.parquet")
    assert [entry["side"] for entry in table] == ["image"] * IMAGES + ["text"] * IMAGES
    assert (table[1]["name"], table[IMAGES + 1]["name"]) == ("p1.png", "caption 1")
    np.testing.assert_array_equal([entry["vector"] for entry in table], np.concatenate(rows))
    for side, (asking, items), start in (("image", rows, IMAGES), ("text", rows[::-1], 0)):
        part = [entry for entry in table if entry["side"] == side]
        sides = {"images": asking, "texts": items} if side == "image" else None
        full = norm.similarity(asking, items) if sides else norm.similarity(items, asking).T
        for column, scores in (("neighbors", asking @ items.T), ("neighbors_normalized", full)):
            found = np.array([entry[column]["ids"] for entry in part]) - start
            np.testing.assert_array_equal(found, np.argsort(-scores, axis=1, kind="stable")[:, :6])
            distances = np.array([entry[column]["distances"] for entry in part])
            assert (np.diff(distances, axis=1) >= 0).all()
        dot = np.take_along_axis(
            asking @ items.T, np.array([e["neighbors"]["ids"] for e in part]) - start, axis=1
        )
        np.testing.assert_allclose(1 - dot, [e["neighbors"]["distances"] for e in part], atol=1e-6)


def test_the_command_counts_pictures_and_says_what_is_missing(store, rows, tmp_path):
    norm = tmp_path / "n.safetensors"
    distnorm.make("dn").fit(texts=rows[1]).save(norm)
    out = tmp_path / "map.parquet"
    words = ["export-atlas", store, "--normalization", norm, "--out", out]
    words += ["--pictures", tmp_path / "pictures", "--json", "-", "--k", "99"]
    done = CliRunner().invoke(cli, [str(word) for word in words])
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    assert (found["pictures"], found["missing_pictures"], found["k"]) == (3, IMAGES - 3, IMAGES)
    assert found["unchanged"] == ["image"]
    assert "37 pictures were not found" in done.stderr
    assert "no statistics of image queries" in done.stderr
    table = read(out)
    assert [entry["image"] is not None for entry in table[:5]] == [True] * 3 + [False] * 2
    assert table[0]["image"]["bytes"].startswith(b"\xff\xd8")
    assert table[0]["neighbors"] == table[0]["neighbors_normalized"]
    assert table[-1]["neighbors"] != table[-1]["neighbors_normalized"]


def test_queries_stand_in_for_the_stores_own_texts(store, rows, tmp_path, rng):
    norm = distnorm.make("dn").fit(images=rows[0], texts=rows[1])
    log = QueryLog(unit(rng, TEXTS, -0.4), "text", None)
    made = write_atlas(tmp_path / "map.parquet", store, norm, queries=log, with_pictures=False)
    assert made.rows == {"image": IMAGES, "text": TEXTS}
    assert made.missing == 0
    assert read(tmp_path / "map.parquet")[-1]["name"] == f"query {TEXTS}"


def test_what_cannot_be_drawn_is_one_line_and_leaves_nothing(store, rows, tmp_path, rng):
    norm = distnorm.make("dn").fit(images=rows[0], texts=rows[1])
    alone, out = tmp_path / "alone.npy", tmp_path / "map.parquet"
    np.save(alone, rows[0])
    narrow = QueryLog(np.ones((3, 5), np.float32), "text", None)
    for place, options, said in (
        (alone, {}, "two sides"),
        (store, {"k": 0}, "k = 0"),
        (store, {"queries": narrow}, "5 dimensions"),
    ):
        with pytest.raises(DistnormError, match=said) as caught:
            write_atlas(out, place, norm, **options)
        assert len(str(caught.value).splitlines()) == 1
        assert not out.exists()
    done = CliRunner().invoke(
        cli, ["export-atlas", "faiss:x.index", "--normalization", "n", "--out", str(out)]
    )
    assert done.exit_code == 2

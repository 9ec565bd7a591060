"""Lance data sets through every command, read here and by workers: as the same rows in a file."""

import io
import json

import numpy as np
import pytest
from asking import ask, invoke

import distnorm

lance = pytest.importorskip("lance", reason="needs the extra 'ray'")
pytest.importorskip("ray", reason="needs the extra 'ray'")
pa = pytest.importorskip("pyarrow")
from vector_sets import lance_set, parts

from distnorm.store.layout import PARTS, Commit
from distnorm.store.vectors import has_vectors, read_embeddings


@pytest.fixture
def places(tmp_path, rows):
    """Rows of several fragments, some of which were taken out, and the rest in a file."""
    folder = lance_set(tmp_path / "set.lance", rows)
    lance.dataset(str(folder)).delete("id < 10")
    np.save(tmp_path / "left.npy", np.concatenate([part[10:] for part in parts(rows)]))
    return folder, tmp_path / "left.npy"


@pytest.mark.parametrize("engine", ["local", "ray"])
def test_fit_and_search(session, places, rows, tmp_path, engine):
    np.save(tmp_path / "q.npy", rows[:3])
    told = []
    for place, how in zip(places, (engine, "local"), strict=True):
        out = tmp_path / f"{place.name}.safetensors"
        fit = ("fit", "--images", place, "--texts", tmp_path / "q.npy", "--method", "nnn:k=2")
        done = invoke(*fit, "--engine", how, "--out", out)
        assert done.exit_code == 0, done.output
        words = ("--query-vectors", tmp_path / "q.npy", "--normalization", out, "--k", 5)
        told.append(ask(place, *words, "--engine", how)["results"])
    for one, two in zip(*told, strict=True):
        assert [(hit["id"], hit["name"]) for hit in one] == [
            (hit["id"], hit["name"]) for hit in two
        ]
        assert [h["value"] for h in one] == pytest.approx([h["value"] for h in two], abs=1e-6)


def test_biases_become_a_column(session, places, tmp_path):
    folder, file = places
    norm = distnorm.make("nnn", k=2).fit(texts=np.load(file)[:50])
    norm.save(tmp_path / "n.safetensors")
    words = ("index", "bias", folder, "--normalization", tmp_path / "n.safetensors")
    done = invoke(*words, "--engine", "ray", "--json", "-")
    assert done.exit_code == 0, done.output
    column = json.loads(done.stdout)["column"]
    found = lance.dataset(str(folder)).to_table(columns=[column])[column].to_numpy()
    np.testing.assert_allclose(found, norm.item_bias(images=np.load(file)), atol=1e-6)
    refused = invoke(*words, "--engine", "ray", "--out", tmp_path / "out")
    assert refused.exit_code == 2
    assert "leave --out out" in refused.output


def pictures(count):
    """Pictures in cells, with captions."""
    image = pytest.importorskip("PIL.Image", reason="embedding pictures needs Pillow")
    cells = []
    for number in range(count):
        content = io.BytesIO()
        image.new("RGB", (9, 9), (20 * number, 9, 200)).save(content, "png")
        cells.append({"bytes": content.getvalue(), "path": f"{number}.png"})
    return pa.table({"image": cells, "caption": [f"star {number}" for number in range(count)]})


def test_pictures_and_captions_are_embedded(session, tmp_path):
    pytest.importorskip("onnxruntime", reason="the built-in model")
    from pyarrow import parquet

    table = pictures(7)
    lance.write_dataset(table, tmp_path / "in.lance", max_rows_per_file=3)
    parquet.write_table(table, tmp_path / "in.parquet")
    stores = {}
    for source, engine in (("in.lance", "ray"), ("in.lance", "local"), ("in.parquet", "local")):
        store = tmp_path / f"{source}-{engine}"
        words = ("embed", tmp_path / source, "--model", "builtin", "--engine", engine)
        done = invoke(*words, "--workers", 1, "--out", store)
        assert done.exit_code == 0, done.output
        commit = Commit.read(store)
        stores[store] = [
            np.load(f) for side in ("image", "text") for f in commit.files(PARTS[side])
        ]
    one, *others = stores.values()
    assert [len(rows) for rows in one] == [7, 7]
    for other in others:
        assert all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))


def test_a_set_without_what_is_asked_for_is_refused_in_a_line(session, places, tmp_path):
    folder, file = places
    np.testing.assert_array_equal(read_embeddings(folder), np.load(file))
    lance.write_dataset(pa.table({"caption": ["a", "b"]}), tmp_path / "texts.lance")
    assert has_vectors(folder)
    assert not has_vectors(tmp_path / "texts.lance")
    out = ("--out", tmp_path / "n.safetensors")
    for words, told in (
        (("fit", "--images", folder, "--key", "nope", *out), "set.lance"),
        (("embed", folder, "--model", "builtin", "--out", tmp_path / "s"), "set.lance"),
        (("search", tmp_path / "texts.lance", "--query-vectors", file), "texts.lance"),
    ):
        for engine in ("local", "ray"):
            done = invoke(*words, "--engine", engine)
            assert done.exit_code == 1, done.output
            assert done.output.strip().splitlines()[-1].startswith("distnorm: got "), done.output
            assert told in done.output

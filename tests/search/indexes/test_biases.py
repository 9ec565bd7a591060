"""Stored biases: interrupted uploads, items that come later, several normalizations at once."""

from __future__ import annotations

import json

import numpy as np
import pytest

from distnorm import DistnormError
from distnorm.search.indexes.bias_store import BiasFolder, residual_of
from distnorm.search.indexes.biases import column_of
from distnorm.search.indexes.sql import SqlBiases, named, quoted

K = 5
# One variant a system: uploads and additions differ by system, not by metric.
SYSTEMS = (
    "faiss-flat",
    "faiss-ivf",
    "usearch-cos",
    "hnswlib-ip",
    "qdrant-dot",
    "pgvector-hnsw-cosine",
    "lancedb-dot",
    "milvus-cosine",
    "chroma-cosine",
    "duckdb",
    "sqlite-vec-cosine",
    "clip-retrieval",
)


@pytest.fixture(params=SYSTEMS)
def fresh(request, index_builders, index_world, tmp_path):
    """The first 120 items in a system of their own: (case, built, its rows' keywords)."""
    case = next(case for case in index_builders.CASES if case.name == request.param)
    if case.missing:
        pytest.skip(f"{case.missing} is not installed")
    folder = tmp_path / case.name.replace("-", "_")
    if case.server:
        # The database server is shared: a table of this test's own.
        folder = tmp_path.parent / f"fresh_{tmp_path.name}_{case.name}".lower()
        folder = folder.with_name("".join(c if c.isalnum() else "_" for c in folder.name)[-40:])
    folder.mkdir()
    built = case.build(folder, range(120), index_world.items[:120])
    yield case, built
    built.stop()


def rows(case, world, n):
    return {} if case.gives_rows else {"ids": range(n), "items": world.items[:n]}


def wanted(world, norm, n):
    bias = np.asarray(norm.item_bias(images=world.items[:n].astype(np.float64)))
    scores = world.queries.astype(float) @ world.items[:n].astype(float).T - bias[None, :]
    return -np.sort(-scores, axis=1)[:, :K], scores


class Cut(Exception):
    """Stands for a lost connection or a killed process."""


def cut_after(index, batches):
    write, left = index.biases.write, [batches]

    def cutting(*arguments):
        if not left[0]:
            raise Cut
        left[0] -= 1
        write(*arguments)

    index.biases.write = cutting


def test_an_interrupted_upload_goes_on_and_nobody_sees_half(fresh, index_world):
    case, built = fresh
    norm = index_world.norm("nnn", k=5)
    given = rows(case, index_world, 120)
    with built.open() as index:
        with pytest.raises(DistnormError, match="no stored bias"):
            index.search(index_world.queries, K, norm)
        cut_after(index, 2)
        with pytest.raises(Cut):
            index.upload_bias(norm, batch=25, **given)
        with pytest.raises(DistnormError, match="no stored bias"):
            index.search(index_world.queries, K, norm)
        assert index.search(index_world.queries, K).method == "dot"
    seen = []
    with built.open() as index:
        done = index.upload_bias(
            norm, batch=25, progress=lambda *state: seen.append(state), **given
        )
        assert (done.written, done.already) == (70, 50)
        assert seen[-1][0] == 120
        assert [done for done, _ in seen] == sorted(done for done, _ in seen)
        found = index.search(index_world.queries, K, norm, certify=True)
        best, _ = wanted(index_world, norm, 120)
        own = np.asarray(norm.item_bias(index_world.queries, modality="text"))
        got = np.stack(found.scores) + own[:, None]
        if case.exact:
            np.testing.assert_allclose(got, best, atol=2e-6)
        else:
            assert np.mean(np.abs(got - best) < 2e-6) > 0.7


def test_items_that_come_later_are_counted_and_mended(fresh, index_world):
    case, built = fresh
    norm = index_world.norm("nnn", k=5)
    with built.open() as index:
        index.upload_bias(norm, **rows(case, index_world, 120))
    built.add(range(120, 160), index_world.items[120:160])
    with built.open() as index:
        found = index.search(index_world.queries, K, norm, overfetch=160)
        assert found.without_bias == 40
        assert "40 without bias" in repr(found)
        checked = index.check(norm)
        if case.gives_rows:
            assert (checked.items, checked.with_bias, checked.without_bias) == (160, 120, 40)
            assert "distnorm index bias" in checked.mend
            assert not checked.healthy
        done = index.upload_bias(norm, **rows(case, index_world, 160))
        assert (done.written, done.already) == (40, 120)
        assert index.search(index_world.queries, K, norm, overfetch=160).without_bias == 0
        checked = index.check(norm, queries=index_world.queries, k=K)
        if case.gives_rows:
            assert checked.without_bias == 0
            assert checked.healthy
            assert checked.mean_cosine > 0.9
            assert checked.agreement == 1 if case.exact else checked.agreement > 0.7


def test_normalizations_lie_side_by_side_and_fresh_computes_anew(fresh, index_world):
    case, built = fresh
    one, two = index_world.norm("nnn", k=5), index_world.norm("is", strength=0.25)
    given = rows(case, index_world, 120)
    with built.open() as index:
        index.upload_bias(one, **given)
        with pytest.raises(DistnormError, match="there are some of: nnn"):
            index.search(index_world.queries, K, two)
        index.upload_bias(two, **given)
        for norm in (one, two):
            found = index.search(index_world.queries, K, norm)
            own = np.asarray(norm.item_bias(index_world.queries, modality="text"))
            _, scores = wanted(index_world, norm, 120)
            for row, (ids, values) in enumerate(zip(found.ids, found.scores, strict=True)):
                places = [int(item) for item in ids]
                np.testing.assert_allclose(values + own[row], scores[row, places], atol=2e-6)
        done = index.upload_bias(one, fresh=True, **given)
        assert (done.written, done.already) == (120, 0)
        assert index.search(index_world.queries, K, two).method == "is"


def test_the_users_own_data_stay(index_builders, index_world, tmp_path):
    pytest.importorskip("chromadb", reason="chromadb is not installed")
    built = index_builders.chroma_index("ip", tmp_path, range(30), index_world.items[:30])
    norm = index_world.norm("nnn")
    with built.open() as index:
        index.upload_bias(norm)
        collection = index._collection
        assert collection.metadata["owner"] == "me"
        notes = collection.get(ids=["3"], include=["metadatas"])["metadatas"][0]
        assert notes["name"] == "3"
        column = column_of(norm, "image")
        assert set(notes) == {"name", column, residual_of(column)}


def test_another_normalization_has_another_column(index_world):
    norm = index_world.norm("nnn")
    assert column_of(norm, "image") == column_of(index_world.norm("nnn"), "image")
    others = [
        index_world.norm("nnn", k=3),
        index_world.norm("nnn", strength=0.25),
        index_world.norm("is"),
        index_world.norm("nnn").partial_fit(texts=index_world.texts[:1]),
    ]
    columns = {column_of(each, "image") for each in others} | {column_of(norm, "text")}
    assert len(columns) == 5
    assert column_of(norm, "image") not in columns


def test_a_folder_outlives_a_crash(tmp_path):
    folder = BiasFolder(tmp_path / "bias")
    folder.prepare("a")
    folder.write("a", ["x", "y"], np.array([1.0, 2.0]))
    (tmp_path / "bias" / "a" / ".part-000001.npz.1.tmp").write_bytes(b"half")
    again = BiasFolder(tmp_path / "bias")
    np.testing.assert_array_equal(again.read("a", ["y", "z"]), [2.0, np.nan])
    assert again.published() == {}
    about = {"method": "is", "strength": {"text": 0.5}, "params": {}, "side": "image", "count": 3}
    about |= {"lowest": -1.0, "mean": 1.5}
    again.publish("a", about)
    assert BiasFolder(tmp_path / "bias").published() == {"a": about}
    again.publish("a", None)
    assert BiasFolder(tmp_path / "bias").published() == {}
    assert np.isnan(BiasFolder(tmp_path / "bias").read("a", ["x"])).all()
    (tmp_path / "bias" / "published.json").write_text("{")
    with pytest.raises(DistnormError, match=r"no JSON.*upload them again"):
        again.published()


def test_names_of_tables_are_no_sql():
    for name in ('x"; DROP TABLE y', "", "a.b.c", ".a", "a.", "a\0b"):
        with pytest.raises(DistnormError, match=r"schema\.table"):
            named(name)
    for name, parts in (
        ("main.photos", ["main", "photos"]),
        ("photos-2026; --", ["photos-2026; --"]),
        ('shop."a.b"', ["shop", "a.b"]),
        ('"say ""hi"""', ['say "hi"']),
    ):
        assert named(name) == parts
    assert named("a.b.c", 3) == ["a", "b", "c"]
    assert quoted("a b", 'x"; DROP TABLE y') == '"a b"."x""; DROP TABLE y"'


def bias_tables(target, vector="embedding"):
    return SqlBiases(target, vector, "BIGINT", lambda *_: [], lambda *_: [], lambda _: False)


def test_every_table_and_column_of_vectors_has_biases_of_its_own():
    """PostgreSQL cuts names at 63 characters; a dot and an underscore are two things."""
    long = "product_image_embeddings_of_the_northern_shop_v"
    stores = [
        bias_tables(["public", f"{long}1"]),
        bias_tables(["public", f"{long}2"]),
        bias_tables(["a", "b_c"]),
        bias_tables(["a_b", "c"]),
        bias_tables(["a", "b_c"], "crop"),
    ]
    names = {store.table("distnorm_bias_0123456789") for store in stores}
    assert len(names) == len(stores)
    assert all(len(name.encode()) <= 63 for name in names)
    assert all(len(store.table("distnorm_bias_" + 32 * "f").encode()) <= 63 for store in stores)


@pytest.mark.parametrize(
    ("method", "part"),
    [("dn", "a shift of the query"), ("qbnorm", "item_bias of 'qbnorm'"), ("centered", "centered")],
)
def test_methods_without_a_bias_to_store(method, part, index_builders, index_world, tmp_path):
    pytest.importorskip("faiss", reason="faiss is not installed")
    built = index_builders.faiss_index("flat", tmp_path, range(30), index_world.items[:30])
    norm = index_world.norm(method)
    with built.open() as index:
        with pytest.raises(DistnormError, match=part):
            index.upload_bias(norm)
        if method != "dn":
            with pytest.raises(DistnormError, match=part):
                index.search(index_world.queries, K, norm)


def test_a_server_that_keeps_its_rows_wants_them(index_builders, index_world, tmp_path):
    built = index_builders.clip_retrieval_index(tmp_path, range(30), index_world.items[:30])
    norm = index_world.norm("nnn")
    try:
        with built.open() as index:
            with pytest.raises(DistnormError, match=r"keeps its rows.*pass ids= and items="):
                index.upload_bias(norm)
            with pytest.raises(DistnormError, match="both, of one length"):
                index.upload_bias(norm, ids=range(30))
            with pytest.raises(DistnormError, match="29 ids for 30 items"):
                index.upload_bias(norm, ids=range(29), items=index_world.items[:30])
    finally:
        built.stop()


def test_readers_take_no_part_in_an_upload(index_builders, index_world, tmp_path):
    """A reader that has the old biases keeps them while another normalization's are written."""
    pytest.importorskip("sqlite_vec", reason="sqlite_vec is not installed")
    built = index_builders.sqlite_index("l2", False, tmp_path, range(60), index_world.items[:60])
    one, two = index_world.norm("nnn", k=5), index_world.norm("nnn", k=7)
    with built.open() as reader, built.open() as writer:
        reader.upload_bias(one)
        before = reader.search(index_world.queries, K, one)
        during = []

        def look(*_):
            during.append(reader.search(index_world.queries, K, one).ids == before.ids)
            with pytest.raises(DistnormError, match="no stored bias"):
                reader.search(index_world.queries, K, two)

        writer.upload_bias(two, batch=20, progress=look)
        assert during == [True, True, True]
        assert reader.search(index_world.queries, K, two).method == "nnn"


def test_results_are_json(index_builders, index_world, tmp_path):
    pytest.importorskip("faiss", reason="faiss is not installed")
    built = index_builders.faiss_index("flat", tmp_path, range(30), index_world.items[:30])
    norm = index_world.norm("nnn")
    with built.open() as index:
        done = index.upload_bias(norm)
        both = index.search(index_world.queries, 3, norm, mode="both")
        for result in (done, both, index.check(norm)):
            json.dumps(result.to_dict(), allow_nan=False)
        first = both.normalized.to_dict()["results"][0]
        assert [entry["rank"] for entry in first] == [1, 2, 3]
        assert "biases written" in repr(done)

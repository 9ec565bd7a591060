"""Biases that stay true: their names, rows that change, what is stored, and two writers at once."""

from __future__ import annotations

import json
import shutil
import threading

import numpy as np
import pytest

import distnorm
from distnorm import DistnormError
from distnorm.search.indexes import open_index
from distnorm.search.indexes.bias_store import BiasFolder
from distnorm.search.indexes.biases import bias_store
from distnorm.search.indexes.keys import column_of, earlier_column_of

K = 5


@pytest.fixture
def file(index_builders, index_world, tmp_path):
    """A FAISS file of 120 items: (its spec, what writes others in their place)."""
    pytest.importorskip("faiss", reason="faiss is not installed")

    def build(rows):
        index_builders.faiss_index("flat", tmp_path, range(len(rows)), rows)

    build(index_world.items[:120])
    return f"faiss:{tmp_path / 'flat.index'}", build


def test_a_name_rests_on_what_changes_scores_alone(index_world):
    norm = index_world.norm("nnn", k=5)
    name = column_of(norm, "image")
    other_images = distnorm.make("nnn", k=5).fit(
        images=index_world.images[:50], texts=index_world.texts
    )
    named = index_world.norm("nnn", k=5, model="open_clip:ViT-B-32", prompt="a photo of {}")
    one_sided = distnorm.make("nnn", k=5, strength={"image": 0, "text": 0.5})
    one_sided.fit(texts=index_world.texts)
    for same in (other_images, named, one_sided):
        assert column_of(same, "image") == name
    changed = [
        index_world.norm("nnn", k=6),
        index_world.norm("nnn", k=5, strength=0.4),
        index_world.norm("csls", k=5),
        index_world.norm("nnn", k=5).partial_fit(texts=index_world.texts[:1]),
    ]
    names = {column_of(each, "image") for each in changed} | {name, column_of(norm, "text")}
    assert len(names | {column_of(norm, "image", of="crop")}) == 7
    # A temperature is set from the items' side too.
    warm = distnorm.make("is").fit(images=index_world.images[:50], texts=index_world.texts)
    assert column_of(warm, "image") != column_of(index_world.norm("is"), "image")


def test_biases_of_an_earlier_name_are_found_and_kept_up(file, index_world):
    spec, _ = file
    norm = index_world.norm("nnn", k=5)
    with open_index(spec) as index:
        index.upload_bias(norm)
        # As an earlier version left them.
        folder, old = index.biases.folder, earlier_column_of(norm, "image")
        listing = json.loads((folder / "published.json").read_text())
        listing[old] = listing.pop(column_of(norm, "image"))
        (folder / column_of(norm, "image")).rename(folder / old)
        (folder / "published.json").write_text(json.dumps(listing))
    with open_index(spec) as index:
        found = index.search(index_world.queries, K, norm, certify=True)
        assert (found.without_bias, all(found.certified)) == (0, True)
        done = index.upload_bias(norm)
        assert (done.column, done.written, done.already) == (old, 0, 120)
        assert index.upload_bias(norm, fresh=True).column == column_of(norm, "image")
        assert [each.column for each in index.stored_biases()] == [column_of(norm, "image")]


def test_a_file_that_is_built_anew_is_certified_no_more(file, index_world):
    spec, build = file
    norm = index_world.norm("nnn", k=5)
    with open_index(spec) as index:
        index.upload_bias(norm)
        assert all(index.search(index_world.queries, K, norm, certify=True).certified)
    build(index_world.items[120:240])
    with open_index(spec) as index:
        assert not any(index.search(index_world.queries, K, norm, certify=True).certified)
        checked = index.check(norm)
        assert (checked.recomputed, checked.changed, checked.healthy) == (120, 120, False)
        assert "--fresh" in checked.mend
        assert not index.stored_biases()[0].unchanged
        # Run again it finds out by itself which numbers are another row's.
        assert index.upload_bias(norm).written == 120
        assert all(index.search(index_world.queries, K, norm, certify=True).certified)
        assert index.check(norm).healthy


def test_a_file_of_another_time_with_the_same_rows_is_the_same(file, index_world, tmp_path):
    spec, _ = file
    norm = index_world.norm("nnn", k=5)
    with open_index(spec) as index:
        index.upload_bias(norm)
    path = tmp_path / "flat.index"
    path.write_bytes(path.read_bytes())
    shutil.copytree(tmp_path / "flat.index.bias", tmp_path / "moved.index.bias")
    path.rename(tmp_path / "moved.index")
    with open_index(f"faiss:{tmp_path}/moved.index") as index:
        assert all(index.search(index_world.queries, K, norm, certify=True).certified)


def test_rows_changed_in_place_are_counted(index_builders, index_world, tmp_path):
    duckdb = pytest.importorskip("duckdb", reason="duckdb is not installed")
    pytest.importorskip("pyarrow", reason="pyarrow is not installed")
    built = index_builders.duckdb_index(tmp_path, range(60), index_world.items[:60])
    norm = index_world.norm("nnn", k=5)
    with built.open() as index:
        index.upload_bias(norm)
        assert (index.check(norm).changed, index.check(norm).healthy) == (0, True)
    with duckdb.connect(str(tmp_path / "photos.duckdb")) as connection:
        for at in (3, 17):
            new = index_world.items[200 + at].tolist()
            connection.execute("UPDATE photos SET embedding = ? WHERE id = ?", [new, at])
    with built.open() as index:
        for everything in (False, True):
            checked = index.check(norm, everything=everything)
            assert (checked.recomputed, checked.changed, checked.healthy) == (60, 2, False)
        index.upload_bias(norm, fresh=True)
        assert index.check(norm).healthy


def test_two_vectors_per_item_have_biases_of_their_own(index_world, tmp_path):
    duckdb = pytest.importorskip("duckdb", reason="duckdb is not installed")
    path, norm = tmp_path / "a.db", index_world.norm("nnn", k=5)
    with duckdb.connect(str(path)) as connection:
        connection.execute("CREATE TABLE p (id INTEGER, emb FLOAT[24], crop FLOAT[24])")
        connection.executemany(
            "INSERT INTO p VALUES (?, ?, ?)",
            [
                [i, index_world.items[i].tolist(), index_world.items[100 + i].tolist()]
                for i in range(60)
            ],
        )
    for folder in ("", f"&biases={tmp_path / 'folder'}"):
        for column in ("emb", "crop"):
            with open_index(f"duckdb:{path}/p?column={column}{folder}") as index:
                with pytest.raises(DistnormError, match="no stored bias"):
                    index.search(index_world.queries, K, norm)
                assert index.upload_bias(norm).written == 60
                assert index.check(norm).healthy


def test_named_vectors_of_qdrant_have_keys_of_their_own(index_world):
    qdrant = pytest.importorskip("qdrant_client", reason="qdrant_client is not installed")
    from distnorm.search.indexes.qdrant import QdrantIndex

    models, client = qdrant.models, qdrant.QdrantClient(":memory:")
    params = models.VectorParams(size=24, distance=models.Distance.DOT)
    client.create_collection("photos", vectors_config={"emb": params, "crop": params})
    client.upsert(
        "photos",
        [
            models.PointStruct(
                id=i,
                vector={"emb": rows[0].tolist(), "crop": rows[1].tolist()},
            )
            for i, rows in enumerate(
                zip(index_world.items[:60], index_world.items[60:120], strict=True)
            )
        ],
    )
    norm = index_world.norm("nnn", k=5)
    for name in ("emb", "crop"):
        index = QdrantIndex(client, "photos", vector=name)
        assert index.upload_bias(norm).written == 60
        assert index.check(norm).healthy
    client.close()


def test_two_tables_share_a_folder_and_no_numbers(index_builders, index_world, tmp_path):
    pytest.importorskip("sqlite_vec", reason="sqlite_vec is not installed")
    norm = index_world.norm("nnn", k=5)
    for at, name in enumerate("ab"):
        (tmp_path / name).mkdir()
        rows = index_world.items[60 * at : 60 * at + 60]
        index_builders.sqlite_index("l2", False, tmp_path / name, range(60), rows)
        (tmp_path / name / "photos.sqlite").rename(tmp_path / f"{name}.sqlite")
    for name in "ab":
        spec = f"sqlite-vec:{tmp_path}/{name}.sqlite/photos"
        with open_index(spec, biases=tmp_path / "folder") as index:
            assert index.upload_bias(norm).written == 60


def test_what_is_stored_is_listed_and_dropped(file, index_world):
    spec, build = file
    one, two = index_world.norm("nnn", k=5), index_world.norm("csls")
    with open_index(spec) as index:
        assert index.stored_biases() == []
        index.upload_bias(one)
        index.upload_bias(two)
    build(index_world.items[:130])
    with open_index(spec) as index:
        index.upload_bias(two)
        listed = {each.method: each for each in index.stored_biases(one)}
        assert {name: each.lacking for name, each in listed.items()} == {"nnn": 10, "csls": 0}
        assert [listed[name].asked_for for name in ("nnn", "csls")] == [True, False]
        assert (listed["nnn"].items, listed["nnn"].params) == (120, one.params)
        json.dumps(listed["nnn"].to_dict())
        with pytest.raises(DistnormError, match=r"no stored biases 'x'.*distnorm index list"):
            index.drop_biases(listed["nnn"].column, "x")
        assert len(index.published_biases()) == 2
        index.drop_biases(*index.published_biases(one))
        assert [each.method for each in index.stored_biases()] == ["csls"]
        with pytest.raises(DistnormError, match="no stored bias of this 'nnn'"):
            index.published_biases(one)


def test_an_ingest_job_writes_biases_along(file, index_world):
    spec, build = file
    norm = index_world.norm("nnn", k=5)
    with open_index(spec) as index:
        with pytest.raises(DistnormError, match="no stored bias"):
            index.item_biases(norm, index_world.items[:3])
        index.upload_bias(norm)
        before = index.biases.published()[column_of(norm, "image")]["lowest"]
        # An item that no text comes near has a bias below all others.
        new = -index_world.texts.mean(axis=0, keepdims=True)
        new = (new / np.linalg.norm(new)).astype(np.float32)
        added = index.item_biases(norm, new)
        np.testing.assert_allclose(added.values, norm.item_bias(images=new), atol=1e-7)
        after = index.biases.published()[added.key]["lowest"]
        assert after <= added.values.min() < before
        index.biases.write(added.key, [120], added.values)
        sinkhorn = index_world.norm("sinkhorn")
        index.upload_bias(sinkhorn)
        with pytest.raises(DistnormError, match="depends on all other items"):
            index.item_biases(sinkhorn, new)
    build(np.concatenate([index_world.items[:120], new]))
    with open_index(spec) as index:
        assert index.check(norm).without_bias == 0
        assert index.upload_bias(norm).written == 0


def test_rows_that_are_handed_in_leave_what_is_stated_of_the_others(
    index_builders, index_world, tmp_path
):
    built = index_builders.clip_retrieval_index(tmp_path, range(60), index_world.items[:60])
    norm = index_world.norm("nnn", k=5)
    try:
        with built.open() as index:
            whole = index.upload_bias(norm, ids=range(60), items=index_world.items[:60])
            values = np.asarray(norm.item_bias(images=index_world.items[:60]))
            at = int(np.argmax(values))
            index.upload_bias(norm, ids=[at], items=index_world.items[at : at + 1])
            about = index.biases.published()[whole.column]
            assert (about["count"], about["lowest"]) == (60, whole.lowest)
    finally:
        built.stop()


def test_two_who_publish_at_once_lose_nothing(tmp_path):
    names = [f"distnorm_bias_{at}" for at in range(12)]
    about = {"method": "nnn", "strength": {"text": 0.5}, "params": {}, "side": "image"}
    about |= {"model": None, "count": 1, "lowest": 0.0, "mean": 1.0}

    def publish(name):
        store = BiasFolder(tmp_path / "bias")
        store.prepare(name)
        store.write(name, ["x"], np.array([1.0]))
        store.publish(name, about)

    threads = [threading.Thread(target=publish, args=[name]) for name in names]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(BiasFolder(tmp_path / "bias").published()) == sorted(names)


def test_parts_of_two_writers_have_names_of_their_own(tmp_path):
    for at in range(2):
        store = BiasFolder(tmp_path / f"{at}")
        store.prepare("a")
        store.write("a", [at], np.array([float(at)]))
    for part in (tmp_path / "1" / "a").iterdir():
        shutil.copy(part, tmp_path / "0" / "a")
    assert BiasFolder(tmp_path / "0").read("a", [0, 1]).tolist() == [0.0, 1.0]


def test_a_second_upload_of_the_same_biases_waits_for_nothing(file, index_world):
    spec, _ = file
    norm = index_world.norm("nnn", k=5)
    with open_index(spec) as one, open_index(spec) as two:
        tried = []

        def meanwhile(*_):
            with pytest.raises(DistnormError, match=r"another process.*run again"):
                two.upload_bias(norm)
            tried.append(two.upload_bias(index_world.norm("csls")).written)

        one.upload_bias(norm, batch=60, progress=meanwhile)
        assert tried == [120, 0]
        assert len(one.published_biases()) == 2


def test_a_server_that_forgets_what_others_published_is_found_out(index_world):
    qdrant = pytest.importorskip("qdrant_client", reason="qdrant_client is not installed")
    from distnorm.search.indexes.qdrant import QdrantIndex

    models, client = qdrant.models, qdrant.QdrantClient(":memory:")
    params = models.VectorParams(size=24, distance=models.Distance.DOT)
    client.create_collection("photos", vectors_config=params)
    points = [models.PointStruct(id=i, vector=r.tolist()) for i, r in enumerate(index_world.items)]
    client.upsert("photos", points)
    index = QdrantIndex(client, "photos")
    store = bias_store(index)
    note, lost = store.note, []

    def losing(name, text):
        if not lost:
            # It did not arrive.
            lost.append(name)
            return
        note(name, text)

    store.note = losing
    index.upload_bias(index_world.norm("nnn"))
    assert len(index.published_biases()) == len(lost) == 1
    client.close()


def test_a_folder_that_may_not_be_written_is_one_line(file, index_world, tmp_path):
    spec, _ = file
    (tmp_path / "taken").write_text("a file")
    with (
        open_index(spec, biases=tmp_path / "taken") as index,
        pytest.raises(DistnormError, match=r"taken.*may be written.*--biases FOLDER"),
    ):
        index.upload_bias(index_world.norm("nnn"))


def test_tables_of_earlier_names_are_found_and_dropped(index_builders, index_world, tmp_path):
    duckdb = pytest.importorskip("duckdb", reason="duckdb is not installed")
    pytest.importorskip("pyarrow", reason="pyarrow is not installed")
    built = index_builders.duckdb_index(tmp_path, range(60), index_world.items[:60])
    norm = index_world.norm("nnn", k=5)
    old = earlier_column_of(norm, "image")
    with built.open() as index:
        new = index.biases.table(index.upload_bias(norm).column)
    with duckdb.connect(str(tmp_path / "photos.duckdb")) as connection:
        connection.execute(f'ALTER TABLE "{new}" RENAME TO "{old}_photos"')
        connection.execute("UPDATE distnorm_biases SET name = ?", [f"photos {old}"])
    with built.open() as index:
        found = index.search(index_world.queries, K, norm, certify=True)
        assert (found.without_bias, all(found.certified)) == (0, True)
        assert index.upload_bias(norm).already == 60
        assert index.stored_biases(norm)[0].where == f"table {old}_photos"
        index.drop_biases(old)
    with built.open() as index:
        assert index.published_biases() == ()


def test_numbers_that_no_list_names_are_noticed(index_builders, index_world, tmp_path):
    pytest.importorskip("chromadb", reason="a server that has no locks")
    built = index_builders.chroma_index("cosine", tmp_path, range(40), index_world.items[:40])
    norm, other = index_world.norm("nnn"), index_world.norm("dn2")
    with built.open() as index:
        index.upload_bias(other)
        before = index.biases.published()
        index.upload_bias(norm)
        # Another machine that read the list before, and writes it after.
        index.biases.keep(before)
        with pytest.raises(DistnormError, match=r"a list says to be complete .40 of 40") as error:
            index.search(index_world.queries, 5, norm)
        assert "another one at the same time" in str(error.value)
        again = index.upload_bias(norm)
        assert (again.written, again.already) == (0, 40)
        assert index.search(index_world.queries, 5, norm).without_bias == 0
    built.stop()

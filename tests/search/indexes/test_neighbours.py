"""Collections that need one more word: nulls and NaN inside vectors, ids that are no names."""

from __future__ import annotations

import re
from datetime import datetime, timedelta

import numpy as np
import pytest

import distnorm
from distnorm import DistnormError
from distnorm.search.indexes import open_index

D = 8


@pytest.fixture
def rows():
    x = np.random.default_rng(2).standard_normal((20, D)) + 0.4
    return (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32)


def table(path, rows, *, id="INTEGER", vector=f"FLOAT[{D}]", ids=None, names=("id", "embedding")):
    duckdb = pytest.importorskip("duckdb", reason="duckdb is not installed")
    with duckdb.connect(str(path / "shop.duckdb")) as connection:
        connection.execute(f"CREATE TABLE photos ({names[0]} {id}, {names[1]} {vector})")
        pairs = [
            [item, row if isinstance(row, list) else row.tolist()]
            for item, row in zip(ids or range(len(rows)), rows, strict=True)
        ]
        connection.executemany("INSERT INTO photos VALUES (?, ?)", pairs)
    return f"duckdb:{path / 'shop.duckdb'}/photos"


def test_names_of_columns_in_letters_of_another_size(tmp_path, rows):
    spec = table(tmp_path, rows, names=("ID", "Embedding"))
    norm = distnorm.make("nnn", k=3).fit(images=rows, texts=rows[::-1].copy())
    with open_index(spec) as index:
        index.upload_bias(norm)
        assert index.check(norm, queries=rows[:3], k=5).agreement == 1
        assert index.search(rows[:1], 1).ids == ((0,),)


def test_ids_that_are_lists(tmp_path, rows):
    spec = table(tmp_path, rows, id="INTEGER[]", ids=[[at] for at in range(len(rows))])
    with (
        open_index(spec) as index,
        pytest.raises(DistnormError, match=r"ids of type list.*another column of ids with id="),
    ):
        index.search(rows[:1], 3)


def test_a_null_inside_a_vector_and_the_way_round_it(tmp_path, rows):
    duckdb = pytest.importorskip("duckdb", reason="duckdb is not installed")

    holed = [row.tolist() for row in rows]
    holed[4][2] = None
    spec = table(tmp_path, holed, vector="FLOAT[]")
    with (
        open_index(spec) as index,
        pytest.raises(DistnormError, match=r"NULL.*search a view of the rows WHERE") as caught,
    ):
        index.search(rows[:1], 3)
    condition = re.search(r"WHERE (.*)$", str(caught.value))[1]
    with duckdb.connect(str(tmp_path / "shop.duckdb")) as connection:
        connection.execute(f"CREATE VIEW whole AS SELECT * FROM photos WHERE {condition}")
    with open_index(spec.replace("/photos", "/whole")) as index:
        assert index.count() == len(rows) - 1
        assert index.search(rows[:1], 3).ids[0][0] == 0


def test_nan_in_a_vector_is_named_by_its_id(tmp_path, rows):
    holed = rows.copy()
    holed[4, 2] = np.nan
    with (
        open_index(table(tmp_path, holed)) as index,
        pytest.raises(DistnormError, match=r"NaN or infinity in the vector of 4 .*again, or take"),
    ):
        index.search(rows[:1], 3)


@pytest.mark.parametrize(("value", "words"), [(0.0, "zeros alone"), (np.inf, "NaN, infinity")])
def test_vectors_without_a_direction_are_named_by_their_ids(tmp_path, rows, value, words):
    faiss = pytest.importorskip("faiss", reason="faiss is not installed")
    from distnorm.search.indexes.faiss import FaissIndex

    many = np.concatenate([rows] * 5)
    many[[70, 90]] = value
    inner = faiss.IndexFlatIP(D)
    inner.add(many)
    norm = distnorm.make("nnn", k=3).fit(images=rows, texts=rows)
    with pytest.raises(DistnormError, match=rf"{words}.*of the ids 70, 90;"):
        FaissIndex(inner).upload_bias(norm)


def test_the_only_named_vector_need_not_be_named(rows):
    client_of = pytest.importorskip("qdrant_client", reason="qdrant-client is not installed")
    from distnorm.search.indexes.qdrant import QdrantIndex

    models, client = client_of.models, client_of.QdrantClient(":memory:")
    size = models.VectorParams(size=D, distance="Cosine")
    client.create_collection("photos", vectors_config={"image": size})
    client.upsert(
        "photos",
        [models.PointStruct(id=i, vector={"image": r.tolist()}) for i, r in enumerate(rows)],
    )
    norm = distnorm.make("nnn", k=3).fit(images=rows, texts=rows)
    column = QdrantIndex(client, "photos").upload_bias(norm).column
    named = QdrantIndex(client, "photos", vector="image")
    assert named.published_biases(norm) == (column,)
    assert named.search(rows[:1], 1).ids == ((0,),)
    with pytest.raises(DistnormError, match=r"filter=.*year.*write \{\"must\""):
        named.search(rows[:1], 1, filter={"year": 3})
    client.close()


def test_times_as_ids_of_lancedb(tmp_path, rows):
    lancedb = pytest.importorskip("lancedb", reason="lancedb is not installed")
    ids = [datetime(2024, 1, 1) + timedelta(seconds=at) for at in range(len(rows))]
    items = [{"id": item, "vector": row} for item, row in zip(ids, rows, strict=True)]
    lancedb.connect(tmp_path / "shop").create_table("photos", items)
    norm = distnorm.make("nnn", k=3).fit(images=rows, texts=rows)
    with open_index(f"lancedb:{tmp_path / 'shop'}/photos") as index:
        index.upload_bias(norm)
        assert index.check(norm, everything=True).healthy
        assert index.search(rows[:1], 1).ids == ((ids[0],),)

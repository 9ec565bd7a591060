"""Collections as people have them: filters, other columns, absent vectors, clients in use."""

from __future__ import annotations

import importlib

import numpy as np
import pytest

import distnorm
from distnorm import DistnormError
from distnorm.search.indexes import open_index
from distnorm.search.indexes.bias_store import BiasFolder

D, N = 16, 90
LACKING = set(range(0, N, 9))


@pytest.fixture(scope="module")
def world():
    """Unit rows of items and queries, and two normalizations of them."""
    rng = np.random.default_rng(5)
    base = rng.standard_normal((N, D))
    sides = []
    for _ in range(2):
        rows = base + 0.5 * rng.standard_normal((N, D)) + rng.standard_normal(D)
        sides.append((rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32))
    images, texts = sides
    norms = [
        distnorm.make("dn").fit(images=images, texts=texts),
        distnorm.make("nnn", k=4).fit(images=images, texts=texts),
    ]
    return images, texts[:5], norms


def qdrant(folder, rows):
    client_of = pytest.importorskip("qdrant_client", reason="qdrant-client is not installed")
    models = client_of.models
    client = client_of.QdrantClient(path=str(folder / "qdrant"))
    size = models.VectorParams(size=D, distance="Cosine")
    client.create_collection("photos", vectors_config={"photo": size, "crop": size})
    client.upsert(
        "photos",
        [
            models.PointStruct(
                id=item,
                vector={"crop": row.tolist()}
                | ({} if item in LACKING else {"photo": row.tolist()}),
                payload={"year": item, "title": f"photo {item}"},
            )
            for item, row in enumerate(rows)
        ],
    )
    client.close()
    condition = {"must": [{"key": "year", "range": {"lt": 40}}]}
    return f"qdrant:{folder / 'qdrant'}/photos?vector=photo", condition, int


def chroma(folder, rows):
    chromadb = pytest.importorskip("chromadb", reason="chromadb is not installed")
    settings = chromadb.config.Settings(anonymized_telemetry=False)
    client = chromadb.PersistentClient(str(folder / "chroma"), settings=settings)
    collection = client.create_collection("photos", embedding_function=None)
    kept = [item for item in range(N) if item not in LACKING]
    collection.add(
        ids=[str(item) for item in kept],
        embeddings=rows[kept].tolist(),
        metadatas=[{"year": item, "title": f"photo {item}"} for item in kept],
    )
    client.close()
    return f"chroma:{folder / 'chroma'}/photos", {"year": {"$lt": 40}}, int


def lancedb(folder, rows):
    module = pytest.importorskip("lancedb", reason="lancedb is not installed")
    pa = importlib.import_module("pyarrow")
    vectors = [None if item in LACKING else row.tolist() for item, row in enumerate(rows)]
    table = pa.table(
        {
            "id": [f"p{item}" for item in range(N)],
            "year": list(range(N)),
            "title": [f"photo {item}" for item in range(N)],
            "vector": pa.array(vectors, type=pa.list_(pa.float32(), D)),
        }
    )
    module.connect(folder / "lance").create_table("photos", table, on_bad_vectors="null")
    return f"lancedb:{folder / 'lance'}/photos", "year < 40", lambda item: int(item[1:])


def milvus(folder, rows):
    module = pytest.importorskip("pymilvus", reason="pymilvus is not installed")
    client = module.MilvusClient(str(folder / "milvus.db"))
    schema = client.create_schema(auto_id=True, enable_dynamic_field=True)
    schema.add_field("key", module.DataType.INT64, is_primary=True)
    schema.add_field("vector", module.DataType.FLOAT_VECTOR, dim=D)
    params = client.prepare_index_params()
    params.add_index("vector", index_type="FLAT", metric_type="COSINE")
    client.create_collection("photos", schema=schema, index_params=params)
    kept = [item for item in range(N) if item not in LACKING]
    made = client.insert(
        "photos",
        [{"vector": rows[i].tolist(), "year": i, "title": f"photo {i}"} for i in kept],
    )
    client.flush("photos")
    client.close()
    place = dict(zip(made["ids"], kept, strict=True))
    return f"milvus:{folder / 'milvus.db'}/photos", "year < 40", place.__getitem__


SYSTEMS = {"qdrant": qdrant, "chroma": chroma, "lancedb": lancedb, "milvus": milvus}


@pytest.fixture(scope="module", params=sorted(SYSTEMS))
def place(request, tmp_path_factory, world):
    return SYSTEMS[request.param](tmp_path_factory.mktemp(request.param), world[0])


def oracle(world, norm, allowed):
    images, queries, _ = world
    scores = queries.astype(float) @ images.astype(float).T
    if norm is not None:
        scores = np.asarray(norm.similarity(images.astype(float), queries.astype(float))).T
    return [sorted(allowed, key=lambda item: (-row[item], item)) for row in scores]


def test_filters_fields_and_pages_with_absent_vectors(place, world):
    spec, condition, row_of = place
    _, queries, norms = world
    with open_index(spec) as index:
        done = index.upload_bias(norms[1])
        assert done.written + done.already == N - len(LACKING) == index.count()
        check = index.check(norms[1])
        assert (check.without_bias, check.items) == (0, N - len(LACKING))
        for norm in (None, *norms):
            every = oracle(world, norm, sorted(set(range(N)) - LACKING))
            some = oracle(world, norm, sorted(set(range(40)) - LACKING))
            whole = index.search(queries, N, norm)
            assert [[row_of(i) for i in one] for one in whole.ids] == every
            assert whole.without_bias == 0
            found = index.search(queries, 6, norm, filter=condition, fields=["title", "year"])
            assert [[row_of(i) for i in one] for one in found.ids] == [one[:6] for one in some]
            for ids, fields in zip(found.ids, found.fields, strict=True):
                for item, read in zip(ids, fields, strict=True):
                    row = row_of(item)
                    assert read == {"title": f"photo {row}", "year": row}
            page = index.search(queries, 3, norm, filter=condition, offset=4, fields=["year"])
            assert [[row_of(i) for i in one] for one in page.ids] == [one[4:7] for one in some]
            assert page.to_dict()["results"][0][0]["fields"] == {"year": some[0][4]}
            short = index.search(queries, N, norm, filter=condition)
            assert [len(one) for one in short.ids] == [len(some[0])] * 5
            # What a filter leaves is not known: a list shorter than asked for is no certain one.
            assert not any(short.certified)


def test_what_cannot_be_passed_is_said(place, world):
    spec, _, _ = place
    queries = world[1]
    with open_index(spec) as index:
        for bad in ("year <<< 3", 7, {"yeer": {"$$": 3}}, ["x"]):
            with pytest.raises(DistnormError) as error:
                index.search(queries, 3, filter=bad)
            assert "\n" not in str(error.value)
        with pytest.raises(DistnormError, match="a list of names"):
            index.search(queries, 3, fields="title")
    head, _, tail = spec.partition("?")
    other = head.rpartition("/")[0] + "/phottos" + (f"?{tail}" if tail else "")
    with pytest.raises(DistnormError, match=r"no (collection|table) 'phottos'.*photos"):
        open_index(other)


def test_keys_that_milvus_makes_are_left_alone(world, tmp_path):
    spec, _, _ = milvus(tmp_path, world[0])
    norm = world[2][1]
    with open_index(spec) as index:
        assert isinstance(index.biases, BiasFolder)
        before = sorted(item for ids, _ in index.vectors(50) for item in ids)
        index.upload_bias(norm)
    with open_index(spec) as index:
        assert sorted(item for ids, _ in index.vectors(50) for item in ids) == before
        assert index.search(world[1], 5, norm).without_bias == 0
    from pymilvus import MilvusClient

    from distnorm.search.indexes.milvus import MilvusIndex

    client = MilvusClient(spec.removeprefix("milvus:").rpartition("/")[0])
    with pytest.raises(DistnormError, match=r"automatic ids.*biases=FOLDER"):
        MilvusIndex(client, "photos").upload_bias(norm)
    client.close()


def test_quantised_tables_of_lancedb_report_true_distances(world, tmp_path):
    lance = pytest.importorskip("lancedb", reason="lancedb is not installed")
    kinds = importlib.import_module("lancedb.index")
    pa = importlib.import_module("pyarrow")
    images, queries, norms = world
    rows = np.concatenate([images] * 3)[:256]
    rows = (rows + 0.05 * np.random.default_rng(1).standard_normal(rows.shape)).astype(np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    database = lance.connect(tmp_path)
    for name, kind in (
        ("pq", kinds.IvfPq(distance_type="cosine", num_partitions=1, num_sub_vectors=8)),
        ("sq", kinds.HnswSq(distance_type="cosine", num_partitions=1)),
    ):
        vectors = pa.array(rows.tolist(), type=pa.list_(pa.float32(), D))
        table = database.create_table(name, pa.table({"id": range(256), "vector": vectors}))
        table.create_index("vector", config=kind)
        with open_index(f"lancedb:{tmp_path}/{name}") as index:
            found = index.search(queries, 5, norms[0])
        scores = np.asarray(norms[0].similarity(rows, queries)).T
        for ids, values, row in zip(found.ids, found.scores, scores, strict=True):
            np.testing.assert_allclose(values, row[list(ids)], atol=1e-5)
        assert not any(found.certified)


def test_vectors_of_another_kind(world, tmp_path):
    client_of = pytest.importorskip("qdrant_client", reason="qdrant-client is not installed")
    from distnorm.search.indexes.qdrant import QdrantIndex

    models = client_of.models
    client = client_of.QdrantClient(":memory:")
    dense = models.VectorParams(size=D, distance="Cosine")
    several = models.MultiVectorConfig(comparator="max_sim")
    tokens = models.VectorParams(size=D, distance="Cosine", multivector_config=several)
    words = {"words": models.SparseVectorParams()}
    client.create_collection("tokens", vectors_config=tokens)
    client.create_collection("words", vectors_config={}, sparse_vectors_config=words)
    mixed = {"photo": dense, "tokens": tokens}
    client.create_collection("mixed", vectors_config=mixed, sparse_vectors_config=words)
    client.create_collection("plain", vectors_config=dense)
    alias = models.CreateAlias(collection_name="plain", alias_name="live")
    client.update_collection_aliases([models.CreateAliasOperation(create_alias=alias)])
    for name, vector, part in (
        ("tokens", "", "a multivector"),
        ("words", "", "of sparse vectors"),
        ("words", "words", "of sparse vectors"),
        ("mixed", "tokens", "a multivector"),
        ("mixed", "words", "of sparse vectors"),
        ("mixed", "", "photo, tokens"),
        ("plain", "photo", "leave vector= out"),
        ("nowhere", "", "no collection 'nowhere'.*mixed, plain"),
        ("live", "photo", "leave vector= out"),
    ):
        with pytest.raises(DistnormError, match=part):
            QdrantIndex(client, name, vector=vector)


def test_a_column_that_lancedb_does_not_search(world, tmp_path):
    lance = pytest.importorskip("lancedb", reason="lancedb is not installed")
    pa = importlib.import_module("pyarrow")
    rows = pa.array(world[0].astype(np.float64).tolist(), type=pa.list_(pa.float64()))
    lance.connect(tmp_path).create_table("photos", pa.table({"id": range(N), "clip": rows}))
    with pytest.raises(DistnormError, match=r"list<.*double.*FixedSizeList.*column=, or cast"):
        open_index(f"lancedb:{tmp_path}/photos?column=clip")


def test_chroma_that_a_notebook_has_open(world, tmp_path):
    chromadb = pytest.importorskip("chromadb", reason="chromadb is not installed")
    from distnorm.search.indexes.chroma import ChromaIndex

    client = chromadb.PersistentClient(
        str(tmp_path), settings=chromadb.config.Settings(anonymized_telemetry=True)
    )
    collection = client.create_collection("photos", embedding_function=None)
    collection.add(ids=[str(item) for item in range(N)], embeddings=world[0].tolist())
    with pytest.raises(DistnormError, match=r"pass that client to ChromaIndex"):
        open_index(f"chroma:{tmp_path}/photos")
    assert ChromaIndex(client, "photos").search(world[1], 3, world[2][0]).method == "dn"


def test_biases_in_a_folder_instead_of_the_system(place, world, tmp_path):
    spec, _, row_of = place
    _, queries, (_, norm) = world
    with open_index(spec, biases=tmp_path / "biases") as index:
        index.upload_bias(norm)
        found = index.search(queries, 8, norm)
    assert found.without_bias == 0
    every = oracle(world, norm, sorted(set(range(N)) - LACKING))
    assert [[row_of(i) for i in one] for one in found.ids] == [one[:8] for one in every]


@pytest.mark.parametrize("kind", ["texts with quotes", "bytes", "floats", "with nulls"])
def test_ids_of_lancedb(kind, world, tmp_path):
    lance = pytest.importorskip("lancedb", reason="lancedb is not installed")
    pa = importlib.import_module("pyarrow")
    images, queries, norms = world
    ids = {
        "texts with quotes": [f"o'neil {item}" for item in range(N)],
        "bytes": [item.to_bytes(4, "big") for item in range(N)],
        "floats": [item + 0.5 for item in range(N)],
        "with nulls": [None if item in LACKING else f"p{item}" for item in range(N)],
    }[kind]
    vectors = pa.array(images.tolist(), type=pa.list_(pa.float32(), D))
    lance.connect(tmp_path).create_table("photos", pa.table({"key": ids, "vector": vectors}))
    left = [item for item in range(N) if ids[item] is not None]
    with pytest.raises(DistnormError, match=r"no column 'id'.*key, vector.*id="):
        open_index(f"lancedb:{tmp_path}/photos")
    with open_index(f"lancedb:{tmp_path}/photos?id=key") as index:
        index.upload_bias(norms[1])
        for norm in (None, *norms):
            found = index.search(queries, 7, norm)
            wanted = [[ids[item] for item in one[:7]] for one in oracle(world, norm, left)]
            assert [list(one) for one in found.ids] == wanted
            assert found.without_bias == 0


def test_keys_of_milvus_that_hold_quotes(world, tmp_path):
    module = pytest.importorskip("pymilvus", reason="pymilvus is not installed")
    from distnorm.search.indexes.milvus import MilvusIndex

    images, queries, norms = world
    names = [f"it's {item} ü" for item in range(N)]
    client = module.MilvusClient(str(tmp_path / "milvus.db"))
    schema = client.create_schema(enable_dynamic_field=True)
    schema.add_field("name", module.DataType.VARCHAR, is_primary=True, max_length=99)
    schema.add_field("clip", module.DataType.FLOAT_VECTOR, dim=D)
    params = client.prepare_index_params()
    params.add_index("clip", index_type="FLAT", metric_type="IP")
    client.create_collection("photos", schema=schema, index_params=params)
    rows = zip(names, images.tolist(), strict=True)
    client.insert("photos", [{"name": name, "clip": row} for name, row in rows])
    client.flush("photos")
    index = MilvusIndex(client, "photos")
    index.upload_bias(norms[1])
    for norm in (None, *norms):
        found = index.search(queries, 7, norm, fields=["name"])
        wanted = [[names[item] for item in one[:7]] for one in oracle(world, norm, range(N))]
        assert [list(one) for one in found.ids] == wanted
        assert found.fields[0][0] == {"name": wanted[0][0]}
        assert found.without_bias == 0
    with pytest.raises(DistnormError, match=r"field 'name' of type VARCHAR.*clip.*column="):
        MilvusIndex(client, "photos", column="name")
    client.close()

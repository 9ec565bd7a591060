"""The linear part of stored biases: shorter lists, the same results, and what has none of it."""

from __future__ import annotations

import base64
import json

import numpy as np
import pytest

from distnorm import DistnormError
from distnorm.search.indexes import open_index
from distnorm.search.indexes.bias_store import residual_of

K = 5


@pytest.fixture(params=["faiss", "duckdb", "sqlite-vec", "lancedb", "qdrant", "milvus"])
def place(request, index_builders, index_world, tmp_path):
    """An exact index of 120 items, opened by `open`, added to by `add`."""
    module = {"qdrant": "qdrant_client", "milvus": "milvus_lite"}
    pytest.importorskip(module.get(request.param, request.param.replace("-", "_")))
    build = {
        "faiss": lambda *rest: index_builders.faiss_index("idmap", *rest),
        "duckdb": index_builders.duckdb_index,
        "sqlite-vec": lambda *rest: index_builders.sqlite_index("cosine", False, *rest),
        "lancedb": lambda *rest: index_builders.lancedb_index("dot", False, *rest),
        "qdrant": lambda *rest: index_builders.qdrant_index("Cosine", False, *rest),
        "milvus": lambda *rest: index_builders.milvus_index("IP", "FLAT", *rest),
    }[request.param]
    built = build(tmp_path, range(120), index_world.items[:120])
    yield built
    built.stop()


def exact(world, norm, n):
    """The K best by float64, ids and q.x - b(x)."""
    items = world.items[:n]
    scores = world.queries.astype(np.float64) @ items.T - np.asarray(norm.item_bias(images=items))
    order = np.argsort(-scores, axis=1, kind="stable")[:, :K]
    return order.tolist(), np.take_along_axis(scores, order, axis=1)


def same(found, world, norm, n):
    ids, scores = exact(world, norm, n)
    assert [[int(item) for item in row] for row in found.ids] == ids
    own = np.asarray(norm.item_bias(texts=world.queries))
    np.testing.assert_allclose(np.stack(found.scores) + own[:, None], scores, atol=2e-6)


def without_linear(index, column):
    about = index.biases.published()[column]
    index.biases.publish(column, {key: about[key] for key in about if key != "linear"})


@pytest.mark.parametrize("method", ["nnn", "dn2"])
def test_lists_are_the_same_and_sooner_certain(place, index_world, method):
    norm = index_world.norm(method)
    with place.open() as index:
        column = index.upload_bias(norm).column
        short = {"overfetch": 10}
        found = index.search(index_world.queries, K, norm, **short)
        grown = index.search(index_world.queries, K, norm, certify=True, **short)
        assert all(grown.certified)
        same(grown, index_world, norm, 120)
        without_linear(index, column)
        before = index.search(index_world.queries, K, norm, **short)
        assert sum(found.certified) >= sum(before.certified)
        same(index.search(index_world.queries, K, norm, certify=True), index_world, norm, 120)


def test_biases_without_a_linear_part_get_one_by_the_next_run(place, index_world):
    norm = index_world.norm("nnn")
    with place.open() as index:
        column = index.upload_bias(norm).column
        ids = [item for some, _ in index.vectors(50) for item in some]
        biases = index.biases.read(column, ids)
        # As an earlier version left them.
        without_linear(index, column)
        index.biases.write(column, ids, biases)
        assert np.isnan(index.biases.read(residual_of(column), ids)).all()
        same(index.search(index_world.queries, K, norm), index_world, norm, 120)
        done = index.upload_bias(norm)
        assert (done.written, done.already) == (0, 120)
        assert "linear" in index.biases.published()[column]
        assert np.isfinite(index.biases.read(residual_of(column), ids)).all()
        same(index.search(index_world.queries, K, norm, certify=True), index_world, norm, 120)
        index.drop_biases(column)
        assert np.isnan(index.biases.read(residual_of(column), ids)).all()


def test_items_that_were_added_with_their_bias_alone_are_ranked_by_it(place, index_world):
    norm = index_world.norm("nnn")
    with place.open() as index:
        index.upload_bias(norm)
    place.add(range(120, 140), index_world.items[120:140])
    with place.open() as index:
        added = index.item_biases(norm, index_world.items[120:140])
        first = index.sample(1)[0][0]
        ids = [type(first)(item) for item in range(120, 140)]
        index.biases.write(added.key, ids[:10], added.values[:10])
        index.biases.write(added.key, ids[10:], added.values[10:], added.residuals[10:])
        found = index.search(index_world.queries, K, norm, certify=True)
        assert found.without_bias == 0
        same(found, index_world, norm, 140)
        assert index.check(norm, everything=True).healthy


def test_the_bound_covers_what_is_added(index_builders, index_world, tmp_path):
    pytest.importorskip("faiss")
    built = index_builders.faiss_index("idmap", tmp_path, range(60), index_world.items[:60])
    norm = index_world.norm("nnn")
    with built.open() as index:
        column = index.upload_bias(norm).column
        before = index.biases.published()[column]["linear"]["lowest"]
        # Far from all rows that the linear part was fitted to.
        far = -index_world.items[:60].mean(axis=0, keepdims=True)
        far /= np.linalg.norm(far)
        added = index.item_biases(norm, np.concatenate([far, index_world.items[60:]]))
        after = index.biases.published()[column]["linear"]["lowest"]
        assert after <= added.residuals.min() < before


def test_residuals_of_other_rows_are_found(index_builders, index_world, tmp_path):
    pytest.importorskip("duckdb")
    built = index_builders.duckdb_index(tmp_path, range(60), index_world.items[:60])
    norm = index_world.norm("nnn")
    with built.open() as index:
        column = index.upload_bias(norm).column
        assert index.check(norm, everything=True).changed == 0
        biases = index.biases.read(column, [3, 4])
        index.biases.write(column, [3, 4], biases, np.array([0.5, -0.5]))
        checked = index.check(norm, everything=True)
        assert (checked.changed, checked.healthy) == (2, False)
        assert index.upload_bias(norm).written == 0
        assert index.check(norm, everything=True).healthy


def test_a_linear_part_that_is_damaged_is_refused(index_builders, index_world, tmp_path):
    pytest.importorskip("faiss")
    built = index_builders.faiss_index("flat", tmp_path, range(60), index_world.items[:60])
    norm = index_world.norm("nnn")
    with built.open() as index:
        column = index.upload_bias(norm).column
    path = tmp_path / "flat.index.bias" / "published.json"
    good = json.loads(path.read_text())
    short = base64.b64encode(np.zeros(3, "<f4").tobytes()).decode()
    nan = base64.b64encode(np.full(24, np.nan, "<f4").tobytes()).decode()
    for vector in ("no base64!", short, nan, 3):
        bad = json.loads(path.read_text())
        bad[column]["linear"]["vector"] = vector
        path.write_text(json.dumps(bad))
        with (
            open_index(f"faiss:{tmp_path}/flat.index") as index,
            pytest.raises(DistnormError, match="damaged"),
        ):
            index.search(index_world.queries, K, norm)
        path.write_text(json.dumps(good))


def test_a_query_that_is_the_linear_part_itself(index_builders, index_world, tmp_path):
    pytest.importorskip("faiss")
    built = index_builders.faiss_index("flat", tmp_path, range(60), index_world.items[:60])
    norm = index_world.norm("nnn")
    with built.open() as index:
        column = index.upload_bias(norm).column
        about = index.biases.published()[column]
        vector = index_world.queries[0].astype("<f4").tobytes()
        about["linear"]["vector"] = base64.b64encode(vector).decode()
        index.biases.publish(column, about)
        found = index.search(index_world.queries[:1], K, norm, certify=True)
        assert found.ids[0] == tuple(exact(index_world, norm, 60)[0][0])


def test_an_index_of_one_item_has_none(index_builders, index_world, tmp_path):
    pytest.importorskip("faiss")
    built = index_builders.faiss_index("flat", tmp_path, range(1), index_world.items[:1])
    norm = index_world.norm("nnn")
    with built.open() as index:
        column = index.upload_bias(norm).column
        assert "linear" not in index.biases.published()[column]
        assert index.search(index_world.queries, K, norm).ids == ((0,),) * len(index_world.queries)

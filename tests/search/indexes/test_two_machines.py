"""Two machines, whose locks do not see each other, write biases of one collection."""

from __future__ import annotations

import base64
import json

import numpy as np
import pytest

from distnorm.search.indexes.bias_store import residual_of

K = 5


@pytest.fixture(params=["qdrant", "milvus"])
def built(request, index_builders, index_world, tmp_path):
    module = {"qdrant": "qdrant_client", "milvus": "milvus_lite"}[request.param]
    pytest.importorskip(module)
    rows = (tmp_path, range(60), index_world.items[:60])
    if request.param == "qdrant":
        built = index_builders.qdrant_index("Cosine", False, *rows)
    else:
        built = index_builders.milvus_index("COSINE", "FLAT", *rows)
    yield built
    built.stop()


def test_neither_loses_what_the_other_publishes(built, index_world):
    one, two = index_world.norm("nnn"), index_world.norm("dn2")
    with built.open() as index:
        store = index.biases
        first = index.upload_bias(one).column
        about = store.published()[first]
        store.publish(first, None)
        index.upload_bias(one)
        read = store.notes

        def meanwhile():
            # The other machine publishes between our reading and our writing.
            found = read()
            store.notes = read
            store.publish("distnorm_bias_of_the_other", about)
            return found

        store.notes = meanwhile
        second = index.upload_bias(two).column
        assert set(store.published()) == {first, second, "distnorm_bias_of_the_other"}


def test_a_list_of_an_earlier_version_is_read_and_kept_up(built, index_world):
    norm = index_world.norm("nnn")
    with built.open() as index:
        store = index.biases
        column = index.upload_bias(norm).column
        about = store.published()[column]
        wanted = index.search(index_world.queries, K, norm).ids
        store.note(f"{store.key}.{column}", None)
        store.note(store.key, json.dumps({column: about, "distnorm_bias_old": about}))
        assert set(store.published()) == {column, "distnorm_bias_old"}
        assert index.search(index_world.queries, K, norm).ids == wanted
        index.drop_biases("distnorm_bias_old")
        assert set(store.published()) == {column}
        index.upload_bias(norm)
        assert not store.notes().get(store.key)
        assert index.search(index_world.queries, K, norm, certify=True).ids == wanted
        index.drop_biases(column)
        assert store.published() == {}
        assert not [name for name in store.notes() if name.startswith("distnorm")]


def test_the_later_of_two_uploads_goes_on_with_what_the_first_published(
    index_builders, index_world, tmp_path
):
    pytest.importorskip("duckdb")
    built = index_builders.duckdb_index(tmp_path, range(120), index_world.items[:120])
    norm = index_world.norm("nnn")
    with built.open() as index:
        index.upload_bias(norm)
        column = index.published_biases(norm)[0]
        about = index.biases.published()[column]
        ids = list(range(120))
        numbers = [index.biases.read(name, ids) for name in (column, residual_of(column))]
        index.drop_biases(column)
        # The other machine fitted its linear part to other rows.
        shift = np.full(24, 0.01)
        numbers[1] -= index_world.items[:120] @ shift
        vector = np.frombuffer(base64.b64decode(about["linear"]["vector"]), "<f4")
        other = (vector + shift).astype("<f4")
        about["linear"] |= {
            "vector": base64.b64encode(other.tobytes()).decode(),
            "lowest": float(numbers[1].min()) - 1e-6,
            "mean": float(numbers[1].mean()),
        }
        write, calls = index.biases.write, []

        def slow(*arguments):
            write(*arguments)
            calls.append(1)
            if len(calls) == 2:
                write(column, ids, *numbers)
                index.biases.publish(column, about)

        index.biases.write = slow
        index.upload_bias(norm, batch=25)
        assert index.biases.published()[column]["linear"]["vector"] == about["linear"]["vector"]
        assert index.check(norm, everything=True).healthy
        found = index.search(index_world.queries, K, norm, certify=True)
        scores = index_world.queries @ index_world.items[:120].T - numbers[0]
        assert [list(row) for row in found.ids] == np.argsort(-scores, axis=1)[:, :K].tolist()

"""Ids are what people have: they come back in their own type and value."""

from __future__ import annotations

from uuid import UUID

import numpy as np
import pytest

import distnorm
from distnorm import DistnormError
from distnorm.search.indexes.bias_store import BiasFolder

IDS = {
    "numbers": [0, -1, 2**63 - 1, -(2**63)],
    "large numbers": [5, -7, 2**64 - 3],
    "texts": ["a", "", "photo 1.jpg", "ü/ñ"],
    "texts that end in zeros": ["a", "a\0", "a\0\0"],
    "numbers and texts": [1, "1", "cat"],
    "uuids": [UUID(int=3), UUID(int=2**127)],
    "numbers and uuids": [3, UUID(int=3), str(UUID(int=3))],
    "bytes": [b"a", b"a\0", b"\xff"],
}


@pytest.mark.parametrize("kind", sorted(IDS))
def test_ids_of_any_kind_in_a_folder(kind, tmp_path):
    ids = IDS[kind]
    store = BiasFolder(tmp_path)
    store.prepare("column")
    store.write("column", ids, np.arange(len(ids), dtype=float))
    read = BiasFolder(tmp_path)
    assert read.read("column", ids).tolist() == list(range(len(ids)))
    assert {type(item) for item in read.values("column", ids)} == {type(item) for item in ids}
    assert np.isnan(read.read("column", ["nothing"])).all()


def test_numbers_of_numpy_are_numbers(tmp_path):
    store = BiasFolder(tmp_path)
    store.prepare("column")
    store.write("column", np.array([4, 9], dtype=np.uint64), np.ones(2))
    assert BiasFolder(tmp_path).read("column", [4, 9, 5]).tolist()[:2] == [1, 1]


@pytest.mark.parametrize("item", [1.5, True, None, (1, 2)])
def test_ids_of_no_kind(item, tmp_path):
    store = BiasFolder(tmp_path)
    store.prepare("column")
    with pytest.raises(DistnormError, match="name another column of ids with id="):
        store.write("column", ["a", item], np.ones(2))


def test_ids_handed_in_twice(index_world, index_builders, tmp_path):
    built = index_builders.clip_retrieval_index(tmp_path, range(30), index_world.items[:30])
    try:
        with built.open() as index, pytest.raises(DistnormError, match="the id 3 of several"):
            index.upload_bias(
                index_world.norm("nnn"), ids=[*range(29), 3], items=index_world.items[:30]
            )
    finally:
        built.stop()


def test_a_shift_that_was_chosen_is_put_into_a_faiss_file(index_world, tmp_path):
    faiss = pytest.importorskip("faiss", reason="faiss is not installed")
    from distnorm.search.indexes.faiss import save_with_shift

    chosen = distnorm.make("auto").fit(images=index_world.images, texts=index_world.texts)
    flat = faiss.IndexFlatIP(24)
    flat.add(index_world.items)
    if chosen.correction("text").shifts_queries:
        save_with_shift(flat, chosen, tmp_path / "auto.index")
        _, found = faiss.read_index(str(tmp_path / "auto.index")).search(index_world.queries, 5)
        shifted = chosen.shift_queries(texts=index_world.queries)
        wanted = np.argsort(-(shifted @ index_world.items.T), axis=1, kind="stable")[:, :5]
        np.testing.assert_array_equal(found, wanted)
    else:
        with pytest.raises(DistnormError, match="a linear method"):
            save_with_shift(flat, chosen, tmp_path / "auto.index")

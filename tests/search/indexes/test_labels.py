"""What lists and checks say of rows of other lengths, of codes and of damaged numbers."""

from __future__ import annotations

import numpy as np
import pytest

from distnorm import DistnormError

faiss = pytest.importorskip("faiss", reason="indexes of many kinds")

from distnorm.search.indexes.faiss import FaissIndex


def built(kind, rows, metric=faiss.METRIC_INNER_PRODUCT):
    index = faiss.index_factory(rows.shape[1], kind, metric)
    index.train(rows)
    index.add(rows)
    return FaissIndex(index)


def test_products_of_rows_of_other_lengths_are_no_cosines(index_world):
    rows, queries = index_world.items[:60].astype(np.float32), index_world.queries
    assert built("Flat", rows).search(queries, 3).score == "cosine"
    assert built("Flat", 3 * rows).search(queries, 3).score == "dot product"
    assert built("Flat", rows).search(3 * queries, 3).score == "dot product"
    changed = rows.copy()
    changed[7] *= 5
    with pytest.raises(DistnormError, match=r"such as that of 7 of length 5"):
        built("Flat", changed).search(queries, 3, index_world.norm("dn"))


def test_a_check_says_nothing_of_the_lengths_of_codes(index_world):
    rows = np.tile(index_world.items[:100], (3, 1)).astype(np.float32)
    found = built("PQ6x4", rows).check(index_world.norm("dn"))
    assert (found.unit_length, found.healthy) == (None, True)
    broken = rows.copy()
    broken[4] = np.nan
    assert built("Flat", broken).check(index_world.norm("dn")).mean_cosine is None


def test_a_check_asks_codes_on_rows_as_they_come_back(index_world):
    rows = np.tile(index_world.items[:100], (3, 1)).astype(np.float32)
    for metric in (faiss.METRIC_INNER_PRODUCT, faiss.METRIC_L2):
        index = built("PQ6x4", rows, metric)
        assert index.check(queries=index_world.queries, k=3).agreement > 0.9
        for method in ("dn", "nnn"):
            norm = index_world.norm(method)
            if method == "nnn":
                index.upload_bias(norm)
            assert index.check(norm, queries=index_world.queries, k=3).agreement > 0.9


def test_a_check_of_raw_rows_says_so(index_world):
    rows = (7 * index_world.items[:100]).astype(np.float32)
    for metric in (faiss.METRIC_INNER_PRODUCT, faiss.METRIC_L2):
        index = built("Flat", rows, metric)
        found = index.check(index_world.norm("dn"), queries=index_world.queries)
        assert (found.unit_length, found.healthy, found.agreement) == (False, False, None)
        with pytest.raises(DistnormError, match="index normalised embeddings"):
            index.upload_bias(index_world.norm("nnn"))


def test_hash_codes_are_refused():
    with pytest.raises(DistnormError, match="of hash codes, IndexLSH"):
        FaissIndex(faiss.IndexLSH(16, 32))


def test_a_file_of_packed_bits_is_refused(tmp_path):
    index = faiss.IndexBinaryFlat(32)
    index.add(np.arange(40, dtype=np.uint8).reshape(10, 4))
    faiss.write_index_binary(index, str(tmp_path / "bits.faiss"))
    with pytest.raises(DistnormError, match="a binary index, which counts bits"):
        FaissIndex.open(str(tmp_path / "bits.faiss"))


def test_the_empty_choice_is_not_listed(index_world):
    from distnorm.search.indexes.arguments import one_of

    with pytest.raises(DistnormError, match="expected ip, l2;"):
        one_of("metric", "dot", ("", "ip", "l2"))

"""Fragments have the rows, and the row numbers, that a local reading of the whole input has."""

import numpy as np
import pytest

from distnorm.distributed import sources
from distnorm.distributed.sources import open_vectors
from distnorm.errors import DistnormError
from distnorm.store.vectors import read_embeddings

pa = pytest.importorskip("pyarrow")
import pyarrow.parquet as pq
from vector_sets import lance_set, lists, npy_folder, parquet_folder, parts


def all_rows(found):
    blocks = [block for fragment in found.fragments for block in fragment.blocks(64)]
    starts = [first for first, _ in blocks]
    assert starts == np.cumsum([0, *(len(rows) for _, rows in blocks)])[:-1].tolist()
    return np.concatenate([rows for _, rows in blocks])


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
@pytest.mark.parametrize("kind", ["fixed", "list"])
def test_parquet_of_every_kind_of_list(tmp_path, rows, kind, dtype):
    folder = parquet_folder(tmp_path / "set", rows.astype(dtype), kind)
    found = open_vectors(folder)
    assert len(found) == len(rows)
    assert found.dimension == rows.shape[1]
    got = all_rows(found)
    assert got.dtype == dtype
    assert np.array_equal(got, rows.astype(dtype))
    assert np.array_equal(got, read_embeddings(folder))


def test_stretches_of_npy_shards(tmp_path, rows, monkeypatch):
    monkeypatch.setattr(sources, "FRAGMENT_BYTES", 100 * rows.shape[1] * 4)
    found = open_vectors(npy_folder(tmp_path / "set", rows))
    assert [f.rows for f in found.fragments] == [100, 100, 100, 1, 100, 100, 50, 100, 49]
    assert [f.offset for f in found.fragments] == [0, 100, 200, 0, 0, 100, 200, 0, 100]
    assert np.array_equal(all_rows(found), rows)
    last = found.fragments[-1]
    wanted = np.array([last.first, last.first + 48])
    assert np.array_equal(last.take(wanted), rows[wanted])


def test_lance_with_rows_taken_out(tmp_path, rows):
    folder = lance_set(tmp_path / "set.lance", rows)
    import lance

    lance.dataset(str(folder)).delete("id < 10")
    found = open_vectors(folder)
    left = np.concatenate([part[10:] for part in parts(rows)])
    assert np.array_equal(all_rows(found), left)
    fragment = found.fragments[1]
    wanted = np.array([fragment.first + 3, fragment.first + 200])
    assert np.array_equal(fragment.take(wanted), left[wanted])


def test_columns_of_numbers_and_a_named_column(tmp_path, rows):
    numbered = pa.table({f"e{i}": rows[:, i] for i in range(rows.shape[1])})
    pq.write_table(numbered, tmp_path / "wide.parquet", row_group_size=200)
    assert np.array_equal(all_rows(open_vectors(tmp_path / "wide.parquet")), rows)
    two = pa.table({"a": lists(rows), "b": lists(rows[::-1])})
    pq.write_table(two, tmp_path / "two.parquet")
    assert np.array_equal(all_rows(open_vectors(tmp_path / "two.parquet", key="b")), rows[::-1])
    folder = tmp_path / "folder"
    folder.mkdir()
    for number in range(2):
        pq.write_table(two, folder / f"part-{number}.parquet")
    for found in (all_rows(open_vectors(folder, key="b")), read_embeddings(folder, key="b")):
        assert np.array_equal(found, np.concatenate([rows[::-1]] * 2))


def test_empty_fragments_do_not_count(tmp_path, rows):
    folder = npy_folder(tmp_path / "set", rows, (0, 400, 0, 300))
    found = open_vectors(folder)
    assert [fragment.rows for fragment in found.fragments] == [400, 300]
    assert np.array_equal(all_rows(found), rows)


def test_what_is_wrong_is_one_line_that_names_the_fragment(tmp_path, rows):
    folder = parquet_folder(tmp_path / "mixed", rows, sizes=(300, 400))
    pq.write_table(pa.table({"emb": lists(rows[:9, :8])}), folder / "part-2.parquet")
    with pytest.raises(DistnormError, match=r"part-2.parquet with vectors of 8 .* expected 24"):
        open_vectors(folder)
    pq.write_table(pa.table({"emb": lists(rows[:9, :8], "list")}), folder / "part-2.parquet")
    with pytest.raises(DistnormError, match=r"part-2.parquet with vectors of 8 .* expected 24"):
        all_rows(open_vectors(folder))
    pq.write_table(pa.table({"other": lists(rows[:9])}), folder / "part-2.parquet")
    with pytest.raises(DistnormError, match=r"part-2.parquet without the column 'emb'"):
        open_vectors(folder)
    table = pa.table({"emb": pa.array([*rows[:3].tolist(), None])})
    pq.write_table(table, folder / "part-2.parquet")
    with pytest.raises(DistnormError, match=r"part-2.parquet, column 'emb', with 1 empty .* row 3"):
        all_rows(open_vectors(folder))
    (folder / "part-2.parquet").write_bytes(b"PAR1 and no more PAR1")
    with pytest.raises(DistnormError, match=r"part-2.parquet, which cannot be read"):
        open_vectors(folder)
    with pytest.raises(DistnormError, match="missing"):
        open_vectors(tmp_path / "missing")
    np.save(tmp_path / "none.npy", np.zeros((0, 4), np.float32))
    with pytest.raises(DistnormError, match=r"none.npy without a row"):
        open_vectors(tmp_path / "none.npy")
    (tmp_path / "pictures").mkdir()
    (tmp_path / "pictures" / "a.jpg").write_bytes(b"")
    with pytest.raises(DistnormError, match=r"distnorm embed .* --engine ray"):
        open_vectors(tmp_path / "pictures")


def test_a_file_that_changes_on_the_way_is_noticed(tmp_path, rows):
    np.save(tmp_path / "a.npy", rows)
    found = open_vectors(tmp_path / "a.npy")
    np.save(tmp_path / "a.npy", rows[:600])
    with pytest.raises(DistnormError, match=r"a.npy with 600 rows, 700 of them when"):
        all_rows(found)
    (tmp_path / "a.npy").unlink()
    with pytest.raises(DistnormError, match=r"a.npy, which is not on the machine of a worker"):
        all_rows(found)


def test_as_a_ray_data_set(session, tmp_path, rows):
    found = open_vectors(parquet_folder(tmp_path / "set", rows.astype(np.float16)))
    table = pa.concat_tables(
        found.dataset().iter_batches(batch_size=None, batch_format="pyarrow")
    ).sort_by("row")
    assert table["row"].to_pylist() == list(range(len(rows)))
    flat = table["vector"].combine_chunks().flatten().to_numpy()
    assert np.array_equal(flat.reshape(rows.shape), rows.astype(np.float16))

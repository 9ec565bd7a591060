"""Every format gives back what was written; damaged files give one clear error."""

from __future__ import annotations

import json
import warnings

import numpy as np
import pytest
from safetensors.numpy import save_file

from distnorm import DistnormError
from distnorm.store import vectors
from distnorm.store.vectors import has_vectors, read_embeddings

ROWS = np.random.default_rng(0).normal(0, 1, (7, 4)).astype(np.float32)


def test_npy_is_memory_mapped(tmp_path):
    np.save(tmp_path / "x.npy", ROWS)
    found = read_embeddings(tmp_path / "x.npy")
    assert isinstance(found, np.memmap)
    np.testing.assert_array_equal(found, ROWS)


def test_npz_by_name_and_by_side(tmp_path):
    np.savez(tmp_path / "x.npz", text=ROWS, other=ROWS + 1)
    np.testing.assert_array_equal(read_embeddings(tmp_path / "x.npz", "text"), ROWS)
    np.testing.assert_array_equal(read_embeddings(tmp_path / "x.npz", key="other"), ROWS + 1)
    with pytest.raises(DistnormError, match="'text', 'other'"):
        read_embeddings(tmp_path / "x.npz", "image")


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_safetensors_is_memory_mapped(tmp_path, dtype):
    save_file({"pad": np.zeros(3), "image": ROWS.astype(dtype)}, tmp_path / "x.safetensors")
    found = read_embeddings(tmp_path / "x.safetensors", "image")
    assert isinstance(found, np.memmap)
    np.testing.assert_array_equal(found, ROWS.astype(dtype))


def test_bfloat16_safetensors(tmp_path):
    torch = pytest.importorskip("torch")
    from safetensors.torch import save_file as save_tensors

    tensor = torch.from_numpy(ROWS).to(torch.bfloat16)
    save_tensors({"x": tensor}, tmp_path / "x.safetensors")
    found = read_embeddings(tmp_path / "x.safetensors")
    np.testing.assert_array_equal(found, tensor.float().numpy())


def test_parquet_lists(tmp_path):
    arrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    for kind in (arrow.list_(arrow.float32()), arrow.list_(arrow.float32(), 4)):
        table = arrow.table({"id": list(range(7)), "emb": arrow.array(ROWS.tolist(), kind)})
        parquet.write_table(table, tmp_path / "x.parquet")
        np.testing.assert_array_equal(read_embeddings(tmp_path / "x.parquet"), ROWS)


def test_clip_retrieval_folder_in_numeric_order(tmp_path):
    for side, rows in (("img_emb", ROWS), ("text_emb", ROWS + 1)):
        (tmp_path / side).mkdir()
        for number in (0, 2, 10):
            np.save(tmp_path / side / f"{side}_{number}.npy", (rows + number).astype(np.float16))
    wanted = np.concatenate([ROWS, ROWS + 2, ROWS + 10]).astype(np.float16)
    np.testing.assert_array_equal(read_embeddings(tmp_path, "image"), wanted)
    with pytest.raises(DistnormError, match="audio_emb"):
        read_embeddings(tmp_path, "audio")


@pytest.mark.parametrize("suffix", ["npy", "npz", "safetensors"])
@pytest.mark.parametrize("length", [0, 5, 60, 100])
def test_truncated_files(tmp_path, suffix, length):
    whole = tmp_path / f"whole.{suffix}"
    if suffix == "npy":
        np.save(whole, ROWS)
    elif suffix == "npz":
        np.savez(whole, ROWS)
    else:
        save_file({"x": ROWS}, whole)
    broken = tmp_path / f"broken.{suffix}"
    broken.write_bytes(whole.read_bytes()[:length])
    with pytest.raises(DistnormError, match="cannot be read") as caught:
        read_embeddings(broken)
    assert "\n" not in str(caught.value)


def test_files_that_are_no_embeddings(tmp_path):
    np.save(tmp_path / "objects.npy", np.array([{}], dtype=object), allow_pickle=True)
    with pytest.raises(DistnormError, match=r"Python objects.*numpy\.stack"):
        read_embeddings(tmp_path / "objects.npy")
    (tmp_path / "notes.txt").write_text("hello")
    with pytest.raises(DistnormError, match=r"notes\.txt.*no numbers"):
        read_embeddings(tmp_path / "notes.txt")
    (tmp_path / "notes.md").write_text("hello")
    with pytest.raises(DistnormError, match=r"of type \.md"):
        read_embeddings(tmp_path / "notes.md")
    with pytest.raises(DistnormError, match=r"did you mean .*objects\.npy"):
        read_embeddings(tmp_path / "object.npy")


def test_rows_whose_lengths_add_up_to_whole_rows_are_refused(tmp_path):
    arrow = pytest.importorskip("pyarrow", reason="writes .parquet")
    parquet = pytest.importorskip("pyarrow.parquet", reason="writes .parquet")
    table = arrow.table({"embedding": [[1.0, 2.0, 3.0], [4.0], [5.0, 6.0]]})
    parquet.write_table(table, tmp_path / "x.parquet")
    with pytest.raises(DistnormError, match=r"different lengths \(1, 2, 3\)"):
        read_embeddings(tmp_path / "x.parquet")


def test_an_archive_under_a_password(tmp_path):
    path = tmp_path / "x.npz"
    np.savez(path, rows=ROWS)
    data = bytearray(path.read_bytes())
    for head, flags in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        data[data.index(head) + flags] |= 1
    path.write_bytes(data)
    with pytest.raises(DistnormError, match="encrypted, password required"):
        read_embeddings(path)


@pytest.mark.parametrize("row", [0, 1, 7])
@pytest.mark.parametrize("cell", ["", "0.1x", "-", "#REF!"])
def test_a_damaged_cell_does_not_take_its_dimension_along(tmp_path, rng, row, cell):
    lines = [[f"{v:.6f}" for v in x] for x in rng.normal(size=(8, 5))]
    lines[row][2] = cell
    path = tmp_path / "x.csv"
    path.write_text("".join(",".join(line) + "\n" for line in lines))
    with pytest.raises(DistnormError):
        read_embeddings(path)


def test_a_safetensors_file_is_looked_at_by_its_own_library(tmp_path, rng):
    import json

    from safetensors.numpy import save

    content = save({"image": rng.normal(size=(4, 3)).astype(np.float32)})
    end = 8 + int.from_bytes(content[:8], "little")
    head = json.loads(content[8:end])
    head["image"]["data_offsets"] = [0, 36]
    head["image"]["shape"] = [3, 3]
    text = json.dumps(head).encode().ljust(end - 8)
    path = tmp_path / "x.safetensors"
    path.write_bytes(len(text).to_bytes(8, "little") + text + content[end:])
    with pytest.raises(DistnormError, match="cannot be read"):
        read_embeddings(path)


def test_a_file_that_does_not_fit_into_memory(tmp_path, monkeypatch):
    np.save(tmp_path / "x.npy", np.eye(3))

    def full(path):
        raise MemoryError

    monkeypatch.setitem(vectors._READERS, ".npy", full)
    with pytest.raises(DistnormError, match="needs more memory than there is"):
        read_embeddings(tmp_path / "x.npy")


def test_metadata_whose_column_names_are_no_text(tmp_path):
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    from distnorm.store.columns import read_names

    for name in ("img_emb", "metadata"):
        (tmp_path / name).mkdir()
    np.save(tmp_path / "img_emb" / "img_emb_0.npy", ROWS)
    file = tmp_path / "metadata" / "metadata_0.parquet"
    parquet.write_table(pyarrow.table({"image_path": ["a"] * 7, "bytes_": [1] * 7}), file)
    file.write_bytes(file.read_bytes().replace(b"bytes_", b"byte\xff\xfe"))
    with pytest.raises(DistnormError, match="cannot be read"):
        read_names(tmp_path)


def test_records_of_numpy_name_their_matrix(tmp_path):
    kind = np.dtype([("id", "i4"), ("vector", "f4", (4,))])
    np.save(tmp_path / "x.npy", np.array([*zip(range(7), ROWS, strict=True)], dtype=kind))
    np.testing.assert_array_equal(read_embeddings(tmp_path / "x.npy"), ROWS)
    flat = np.zeros(3, dtype=[("a", "f4"), ("b", "f4")])
    np.save(tmp_path / "y.npy", flat)
    with pytest.raises(DistnormError, match="structured_to_unstructured"):
        read_embeddings(tmp_path / "y.npy")


@pytest.mark.parametrize(
    ("names", "lacking"),
    [
        (("part_0", "part_1", "part_3"), "numbers 2 "),
        (("x-00000-of-00004", "x-00001-of-00004", "x-00002-of-00004"), "numbers 3 "),
        (("part_5", "part_6", "part_7"), None),
        (("day_20240101", "day_20240215", "day_20240301"), None),
        (("a_0", "a_2", "a_4"), "numbers 1, 3 "),
    ],
)
def test_shards_that_a_series_lacks_are_said(tmp_path, names, lacking):
    for name in names:
        np.save(tmp_path / f"{name}.npy", ROWS)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        assert len(read_embeddings(tmp_path)) == 21
    assert len(caught) == (lacking is not None)
    assert lacking is None or lacking in str(caught[0].message)


def test_a_folder_of_pictures_names_the_command_that_embeds_them(tmp_path):
    (tmp_path / "a.JPG").write_bytes(b"")
    with pytest.raises(DistnormError, match=r"distnorm embed .* --model NAME --out store"):
        read_embeddings(tmp_path, "image")


@pytest.mark.parametrize(
    "names",
    [
        [f"part-{n:05}-7f3c9a1e-0b2d-4c5e-9f10-a1b2c3d4e5f6-c000.snappy" for n in range(3)],
        [f"0354w349D0uQVSIJ_6e389549d3c04b74b0b60e8b20a42bc4_{n:06}-0" for n in range(3)],
        [f"language={name}/part-0" for name in ("de", "en", "fr")],
    ],
)
def test_parquet_folders_as_spark_and_ray_write_them(tmp_path, names):
    arrow = pytest.importorskip("pyarrow", reason="writes .parquet")
    parquet = pytest.importorskip("pyarrow.parquet", reason="writes .parquet")
    for number, name in enumerate(names):
        file = tmp_path / f"{name}.parquet"
        file.parent.mkdir(exist_ok=True)
        column = (ROWS[2 * number : 2 * number + 2]).tolist()
        parquet.write_table(arrow.table({"emb": column, "other": column}), file)
    (tmp_path / "_SUCCESS").touch()
    (tmp_path / ".hidden.parquet").touch()
    assert vectors.has_vectors(tmp_path)
    np.testing.assert_allclose(read_embeddings(tmp_path, key="emb"), ROWS[:6], rtol=1e-6)


def test_series_of_different_vectors_stay_apart(tmp_path):
    arrow = pytest.importorskip("pyarrow", reason="writes .parquet")
    parquet = pytest.importorskip("pyarrow.parquet", reason="writes .parquet")
    for name in "small_0", "small_1", "large_0":
        parquet.write_table(arrow.table({"emb": ROWS.tolist()}), tmp_path / f"{name}.parquet")
    with pytest.raises(DistnormError, match="'large', 'small'"):
        read_embeddings(tmp_path)
    assert len(read_embeddings(tmp_path, key="small")) == 2 * len(ROWS)


@pytest.mark.parametrize(
    ("columns", "vectors"),
    [
        ({"text": ["a"], "face_bboxes": [[[0.1, 0.2, 0.3, 0.4]]]}, False),
        ({"text": ["a"], "bbox": [[0.1, 0.2, 0.3, 0.4]]}, False),
        ({"text": ["a"], "bbox": [[]]}, False),
        ({"text": ["a"], "clip": [[0.1] * 8]}, True),
        ({"text": ["a"], "embedding": [[0.1, 0.2]]}, True),
        ({"emb": [[0.1, 0.2]]}, True),
        ({"id": [7], "clip": [[0.1, 0.2]]}, True),
    ],
)
def test_boxes_beside_words_are_no_vectors(tmp_path, columns, vectors):
    arrow = pytest.importorskip("pyarrow", reason="Parquet tables need pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet", reason="Parquet tables need pyarrow")
    parquet.write_table(arrow.table(columns), tmp_path / "x.parquet")
    assert has_vectors(tmp_path / "x.parquet") == vectors


def test_folders_of_numbered_arrow_and_single_files(tmp_path):
    for name in ("n", "a", "w", "s"):
        (tmp_path / name).mkdir()
    for part in range(2):
        np.save(tmp_path / "n" / f"{part}.npy", ROWS[4 * part : 4 * part + 4])
    assert has_vectors(tmp_path / "n")
    assert np.array_equal(read_embeddings(tmp_path / "n"), ROWS)
    for number, row in enumerate(ROWS):
        np.save(tmp_path / "s" / f"{number}.npy", row)
    with pytest.raises(DistnormError, match=r"numpy.stack\(.*glob.glob\('.*\*.npy'\)"):
        read_embeddings(tmp_path / "s")
    arrow = pytest.importorskip("pyarrow", reason="Arrow tables need pyarrow")
    for name, columns in (("a", {"x": ["a"] * 7, "emb": ROWS.tolist()}), ("w", {"x": ["a"] * 7})):
        table = arrow.table(columns)
        place = tmp_path / name / "data-00000-of-00001.arrow"
        with (
            arrow.OSFile(str(place), "wb") as file,
            arrow.ipc.new_stream(file, table.schema) as out,
        ):
            out.write_table(table)
    assert has_vectors(tmp_path / "a")
    assert np.allclose(read_embeddings(tmp_path / "a"), ROWS)
    assert not has_vectors(tmp_path / "w")
    assert not has_vectors(tmp_path / "w" / "data-00000-of-00001.arrow")


@pytest.mark.filterwarnings("ignore:.*left out what is no dimension")
@pytest.mark.parametrize("end", ["csv", "jsonl"])
def test_rows_behind_names(tmp_path, end):
    path = tmp_path / f"x.{end}"
    if end == "csv":  # as pandas writes an index, sep=";" and decimal=","
        rows = [f"photo {n}.jpg;" + ";".join(map(str, row)) for n, row in enumerate(ROWS.tolist())]
        path.write_text("\n".join([";0;1;2;3", *rows]).replace(".", ",").replace(",jpg", ".jpg"))
    else:
        entries = (json.dumps({f"{n}.jpg": row}) for n, row in enumerate(ROWS.tolist()))
        path.write_text("\n".join(entries))
    assert np.allclose(read_embeddings(path), ROWS)

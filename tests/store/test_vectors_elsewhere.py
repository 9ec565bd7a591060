"""Vectors within other objects and files: read as what they are, or the line that helps."""

from __future__ import annotations

import base64
import contextlib
import json
import re
import sqlite3

import numpy as np
import pytest

from distnorm.arrays import check_embeddings
from distnorm.errors import DistnormError
from distnorm.store.vectors import has_vectors, read_embeddings

pytestmark = [
    pytest.mark.filterwarnings("ignore::distnorm.errors.DistnormWarning"),
    # The lines that convert leave it to Python to close what they open.
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

ROWS = np.random.default_rng(8).normal(0, 1, (9, 6)).astype(np.float32)
OTHERS = ROWS[::-1] + 1
LISTS = ROWS.tolist()
BOXES = [[0.5, 1.5, 2.5, 3.5]] * 9


def text_of(row):
    return base64.b64encode(row.tobytes()).decode()


def written(path, value):
    """A value as JSON, or one value per line."""
    lines = path.suffix == ".jsonl"
    path.write_text("\n".join(map(json.dumps, value)) if lines else json.dumps(value))
    return path


def converted(path, **names):
    """What the line of a refusal makes of a file."""
    with pytest.raises(DistnormError) as caught:
        read_embeddings(path)
    assert "\n" not in str(caught.value)
    code = caught.value.remedy.removeprefix("convert it: ").partition("; or, to")[0]
    code = code.removeprefix("drop such records on both sides: ")
    scope = {"numpy": np, "json": json, "re": re, "base64": base64, "sqlite3": sqlite3, **names}
    exec(code, scope)
    return read_embeddings("rows.npy")


ENTRIES = [{"object": "embedding", "index": i, "embedding": row} for i, row in enumerate(LISTS)]
READ = {
    "an answer": {"object": "list", "data": ENTRIES, "model": "m", "usage": {"tokens": 3}},
    "an answer out of order": {"object": "list", "data": ENTRIES[::-1], "usage": {}},
    "a list by type": {"id": "a", "texts": ["x"] * 9, "embeddings": {"float": LISTS}},
    "two types": {"embeddings": {"float": LISTS, "int8": [[1, 2, 3, 4, 5, 6]] * 9}},
    "beside words": {"ids": ["x"] * 9, "embeddings": LISTS, "documents": None},
    "values": {"embeddings": [{"values": row} for row in LISTS]},
    "hits": {"took": 1, "hits": {"hits": [{"_id": "3", "_source": {"vec": r}} for r in LISTS]}},
    "points": {"result": {"points": [{"id": 3, "vector": row} for row in LISTS]}, "status": "ok"},
}
LINES = {
    "values": [{"embedding": {"values": row, "statistics": {"n": 3}}} for row in LISTS],
    "sources": [{"_id": "3", "_source": {"title": "x", "embedding": row}} for row in LISTS],
    "both sides": [
        {"id": 3, "vector": {"text": other, "image": row}}
        for row, other in zip(LISTS, OTHERS.tolist(), strict=True)
    ],
}


@pytest.mark.parametrize("name", READ)
def test_vectors_within_one_object(tmp_path, name):
    np.testing.assert_allclose(read_embeddings(written(tmp_path / "x.json", READ[name])), ROWS)


@pytest.mark.parametrize("name", LINES)
def test_vectors_within_the_objects_of_lines(tmp_path, name):
    path = written(tmp_path / "x.jsonl", LINES[name])
    assert has_vectors(path)
    np.testing.assert_allclose(read_embeddings(path), ROWS)
    if name == "both sides":
        np.testing.assert_allclose(read_embeddings(path, "text"), OTHERS)


CONVERTED = {
    "a list in each line": [{"predictions": [{"embeddings": {"values": row}}]} for row in LISTS],
    "texts": [{"id": 3, "embedding": json.dumps(row)} for row in LISTS],
    "packed": [{"id": 3, "embedding": text_of(row)} for row in ROWS],
    "packed beside boxes": [{"embedding": text_of(row), "bbox": BOXES[0]} for row in ROWS],
}


@pytest.mark.parametrize("name", CONVERTED)
@pytest.mark.parametrize("end", ["json", "jsonl"])
def test_the_line_that_takes_them_out_of_json(tmp_path, monkeypatch, name, end):
    monkeypatch.chdir(tmp_path)
    np.testing.assert_allclose(converted(written(tmp_path / f"x.{end}", CONVERTED[name])), ROWS)


def test_objects_by_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    named = {f"{i}.jpg": row for i, row in enumerate(LISTS)}
    stored = {"vectors": {f"v{i}": {"values": row} for i, row in enumerate(LISTS)}, "usage": 3}
    for value in (named, stored):
        np.testing.assert_allclose(converted(written(tmp_path / "x.json", value)), ROWS)


def test_answers_to_a_batch_come_in_any_order(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    order = [3, 1, 8, 0, 2, 5, 4, 7, 6]
    path = written(
        tmp_path / "x.jsonl",
        [
            {"custom_id": f"r{i}", "response": {"body": {"data": [ENTRIES[i] | {"index": 0}]}}}
            for i in order
        ],
    )
    ids = [f"r{i}" for i in range(9)]
    np.testing.assert_allclose(converted(path, IDS=ids), ROWS)


def test_a_record_without_its_vector_is_named(tmp_path):
    for gap in ({"error": "too many requests"}, {"embedding": None}):
        records = [{"embedding": row} for row in LISTS]
        records[4] = gap
        with pytest.raises(DistnormError, match="record 4"):
            read_embeddings(written(tmp_path / "x.jsonl", records))


def test_lines_about_the_next_line(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    bulk = [line for row in LISTS for line in ({"index": {"_id": 3}}, {"embedding": row})]
    np.testing.assert_allclose(converted(written(tmp_path / "x.jsonl", bulk)), ROWS)


def wrote(path, columns):
    arrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    parquet.write_table(arrow.table(columns), path)
    return path


@pytest.mark.parametrize("beside", [{}, {"box": BOXES}], ids=["alone", "beside boxes"])
def test_columns_that_pack_their_vectors(tmp_path, monkeypatch, beside):
    pandas = pytest.importorskip("pandas")
    monkeypatch.chdir(tmp_path)
    cells = {
        "bytes": [row.tobytes() for row in ROWS],
        "texts": list(map(json.dumps, LISTS)),
        "base64": list(map(text_of, ROWS)),
        "structs": [{"values": row, "count": 3} for row in LISTS],
        "lists of structs": [[{"v": one} for one in row] for row in LISTS],
    }
    for column in cells.values():
        path = wrote(tmp_path / "x.parquet", {"embedding": column, **beside})
        np.testing.assert_allclose(converted(path, pandas=pandas), ROWS, rtol=1e-6)
    if beside:
        np.testing.assert_allclose(read_embeddings(path, key="box"), BOXES)


def test_quantised_rows_are_not_passed_over_for_their_scales(tmp_path):
    codes, scales = (ROWS * 40).astype(np.int8), np.ones((9, 2), np.float32)
    np.savez(tmp_path / "x.npz", embeddings=codes, scales=scales)
    np.testing.assert_array_equal(read_embeddings(tmp_path / "x.npz"), codes)
    path = wrote(tmp_path / "x.parquet", {"embedding": codes.tolist(), "box": BOXES})
    np.testing.assert_array_equal(read_embeddings(path), codes)


def test_words_under_such_a_name_are_no_vectors(tmp_path):
    path = wrote(tmp_path / "x.parquet", {"vec": LISTS, "features": ["blue, of wool"] * 9})
    np.testing.assert_allclose(read_embeddings(path), ROWS)


def test_views_of_lists(tmp_path):
    arrow = pytest.importorskip("pyarrow")
    if not hasattr(arrow, "list_view"):
        pytest.skip("this pyarrow knows no views of lists")
    from pyarrow import feather

    rows = arrow.array(LISTS, type=arrow.list_view(arrow.float32()))
    feather.write_feather(arrow.table({"embedding": rows}), tmp_path / "x.feather")
    np.testing.assert_allclose(read_embeddings(tmp_path / "x.feather"), ROWS)


FORMS = {
    "a tuple": lambda row: str(tuple(row.tolist())),
    "postgresql's": lambda row: "{" + ",".join(map(str, row)) + "}",
    "an array": lambda row: f"array({row.tolist()}, dtype=float32)",
    "a tensor": lambda row: f"tensor({row.tolist()})",
    "scalars of numpy": lambda row: str([f"np.float32({x})" for x in row]).replace("'", ""),
}


@pytest.mark.parametrize("form", FORMS)
def test_lists_as_libraries_write_them_into_cells(tmp_path, form):
    lines = [f'{i},"{FORMS[form](row)}"' for i, row in enumerate(ROWS)]
    (tmp_path / "x.csv").write_text("id,embedding\n" + "\n".join(lines))
    np.testing.assert_allclose(read_embeddings(tmp_path / "x.csv"), ROWS, rtol=1e-6)


@pytest.mark.parametrize("form", ["base64", "hex", "spaces"])
def test_cells_that_pack_their_vectors(tmp_path, monkeypatch, form):
    pandas = pytest.importorskip("pandas")
    monkeypatch.chdir(tmp_path)
    write = {
        "base64": text_of,
        "hex": lambda row: "\\x" + row.tobytes().hex(),
        "spaces": lambda row: " ".join(map(str, row)),
    }[form]
    lines = [f"{i},{write(row)},640,480" for i, row in enumerate(ROWS)]
    (tmp_path / "x.csv").write_text("id,embedding,width,height\n" + "\n".join(lines))
    np.testing.assert_allclose(converted(tmp_path / "x.csv", pandas=pandas), ROWS, rtol=1e-6)


def test_files_of_benchmarks(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    head = np.full((9, 1), 6, "<i4").view(np.uint8)
    bytes_ = (ROWS * 20 + 100).astype(np.uint8)
    np.hstack([head, bytes_]).tofile("x.bvecs")
    (tmp_path / "x.fbin").write_bytes(np.array([9, 6], "<u4").tobytes() + ROWS.tobytes())
    (tmp_path / "x.u8bin").write_bytes(np.array([9, 6], "<u4").tobytes() + bytes_.tobytes())
    for name, wanted in (("x.bvecs", bytes_), ("x.fbin", ROWS), ("x.u8bin", bytes_)):
        np.testing.assert_array_equal(converted(tmp_path / name), wanted)


def test_words_with_their_vectors(tmp_path):
    lines = [f"w{i} {' '.join(map(str, row))}" for i, row in enumerate(ROWS)]
    (tmp_path / "x.vec").write_text("9 6\n" + "\n".join(lines))
    with pytest.warns(match="left out"):
        np.testing.assert_allclose(read_embeddings(tmp_path / "x.vec"), ROWS)


def test_words_with_spaces_between(tmp_path):
    numbers = [" ".join(map(str, row)) for row in ROWS]
    for at in (0, 3, 8):
        words = [f"w{i}" for i in range(9)]
        words[at] = ". . ."
        lines = [f"{word} {row}" for word, row in zip(words, numbers, strict=True)]
        (tmp_path / "x.txt").write_text("\n".join(lines))
        np.testing.assert_allclose(read_embeddings(tmp_path / "x.txt"), ROWS)
    (tmp_path / "x.txt").write_text("\n".join([*lines[:7], f"w 3 {numbers[7]}", lines[8]]))
    with pytest.raises(DistnormError, match=r"x\.txt"):
        read_embeddings(tmp_path / "x.txt")


def test_bytes_in_json_stay_whole(tmp_path):
    packed = np.packbits(ROWS > 0, axis=1).tolist()
    found = read_embeddings(
        written(tmp_path / "x.json", {"embeddings": {"ubinary": [[*row, 7] for row in packed]}})
    )
    with pytest.raises(DistnormError, match="unpackbits"):
        check_embeddings(found, "images")
    one_hot = np.eye(4, dtype=int).tolist()
    check_embeddings(read_embeddings(written(tmp_path / "x.json", one_hot)), "images")


def test_a_database_is_called_one(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with contextlib.closing(sqlite3.connect("x.db")) as database, database:
        database.execute('create table "TABLE" (id int, "COLUMN" blob)')
        database.executemany('insert into "TABLE" values (?, ?)', enumerate(map(bytes, ROWS)))
    with pytest.raises(DistnormError, match=r"a \.sqlite file.*sqlite3\.connect.*sqlite-vec:"):
        read_embeddings("x.db")


FOLDERS = {
    "zarr.json": r"zarr\.open",
    ".zarray": r"zarr\.open",
    "_delta_log": r"deltalake\.DeltaTable",
    "dataset_info.json": r"datasets\.load_from_disk",
    "t.lance": r"lancedb:",
    "chroma.sqlite3": r"chroma:",
}


@pytest.mark.parametrize("name", FOLDERS)
def test_folders_of_other_systems(tmp_path, name):
    (tmp_path / name).mkdir()
    np.save(tmp_path / "part-0.npy", ROWS)
    assert has_vectors(tmp_path)
    with pytest.raises(DistnormError, match=FOLDERS[name]):
        read_embeddings(tmp_path)


@pytest.mark.parametrize("end", ["npz", "safetensors"])
def test_an_array_for_every_vector(tmp_path, monkeypatch, end):
    import safetensors.numpy

    monkeypatch.chdir(tmp_path)
    named = {f"{i}.jpg": row for i, row in enumerate(ROWS)}
    if end == "npz":
        np.savez("x.npz", **named)
    else:
        safetensors.numpy.save_file(named, "x.safetensors")
    np.testing.assert_array_equal(converted(f"x.{end}", safetensors=safetensors), ROWS)


def test_an_array_called_an_archive(tmp_path):
    np.save(tmp_path / "x.npy", ROWS)
    (tmp_path / "x.npy").rename(tmp_path / "x.npz")
    np.testing.assert_array_equal(read_embeddings(tmp_path / "x.npz"), ROWS)


def test_numbers_without_a_head(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    ROWS.tofile("x.f32")
    with pytest.raises(DistnormError, match=r"numpy\.fromfile\('x\.f32', 'float32'\)"):
        read_embeddings("x.f32")


@pytest.mark.parametrize("end", ["npy", "npz", "parquet", "csv", "jsonl", "pt"])
def test_a_pointer_of_git_lfs_is_called_one(tmp_path, end):
    (tmp_path / f"x.{end}").write_bytes(
        b"version https://git-lfs.github.com/spec/v1\noid sha256:ab\nsize 3\n"
    )
    with pytest.raises(DistnormError, match="git lfs pull"):
        read_embeddings(tmp_path / f"x.{end}")

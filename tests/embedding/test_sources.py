"""Everything that pictures and sentences can come from."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import tarfile
from pathlib import Path

import numpy as np
import pytest

from distnorm import DistnormError

Image = pytest.importorskip("PIL.Image", reason="pictures need Pillow")
arrow = pytest.importorskip("pyarrow", reason="Parquet tables need pyarrow")
parquet = pytest.importorskip("pyarrow.parquet", reason="Parquet tables need pyarrow")

from distnorm.embedding import find_items, open_source
from distnorm.embedding.pictures import read_contents


def picture(path, color="red"):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (9, 7), color).save(path)
    return path


def names(source):
    return [item.name for item in open_source(source)]


def test_a_folder_is_searched_through_once(tmp_path):
    root, outside = tmp_path / "root", tmp_path / "outside"
    for name in ("b.jpg", "a.PNG", "deep/er/c.webp", ".hidden/d.jpg", ".e.jpg", "deep/f.gif"):
        path = root / name
        picture(path.with_suffix(path.suffix.lower())).rename(path)
    (root / "notes.txt").write_text("no picture")
    picture(outside / "g.jpg")
    os.symlink(root, root / "deep" / "up")
    os.symlink(outside, root / "linked")
    os.symlink(outside, root / "linked-again")
    os.symlink(root, outside / "back")
    os.symlink("self", root / "self")
    source = open_source(root)
    expected = ["a.PNG", "b.jpg", "deep/f.gif", "deep/er/c.webp", "linked/g.jpg"]
    assert [item.name for item in source] == expected
    assert source.sides == ("image",)
    assert source.count() == 5
    assert not source.problems


@pytest.mark.skipif(sys.platform == "win32", reason="names are text there")
def test_names_that_are_no_text(tmp_path):
    picture(tmp_path / "good.png")
    os.rename(tmp_path / "good.png", os.fsencode(tmp_path) + b"/b\xffd.png")
    (item,) = open_source(tmp_path)
    assert item.name == "b\\xffd.png"
    assert read_contents(item.path).size > 0


def test_patterns(tmp_path):
    for name in ("a/1.jpg", "a/b/2.jpg", "a/b/3.png"):
        picture(tmp_path / name)
    assert names(f"{tmp_path}/a/**/*.jpg") == ["1.jpg", "b/2.jpg"]
    assert names(f"{tmp_path}/a/b/*") == ["2.jpg", "3.png"]
    with pytest.raises(DistnormError, match="without pictures or texts"):
        open_source(f"{tmp_path}/a/*.gif")


def test_lists_of_paths_and_of_sentences(tmp_path):
    picture(tmp_path / "p" / "1.jpg")
    (tmp_path / "list.txt").write_text("p/1.jpg\n" + str(tmp_path / "p" / "1.jpg") + "\n")
    items = find_items(tmp_path / "list.txt")
    assert all(Path(item.path).samefile(tmp_path / "p" / "1.jpg") for item in items)
    (tmp_path / "words.txt").write_text("\ufeffa star\r\nzwei Sterne\r\n", encoding="utf-8")
    assert [item.text for item in find_items(tmp_path / "words.txt")] == ["a star", "zwei Sterne"]
    (tmp_path / "mixed.txt").write_text("a star\np/1.jpg\n")
    with pytest.raises(DistnormError, match=r"'p/1.jpg', a picture alone.*only a sentence alone"):
        open_source(tmp_path / "mixed.txt")


def test_tables(tmp_path):
    rows = [("p/1.jpg", "one, two"), ("p/2.jpg", "three")]
    (tmp_path / "t.csv").write_text('File,Caption,x\np/1.jpg,"one, two",1\np/2.jpg,three,2\n')
    (tmp_path / "t.tsv").write_text("image_path\tTEXT\np/1.jpg\tone, two\np/2.jpg\tthree\n")
    table = arrow.table(
        {"x": [1, 2], "path": ["p/1.jpg", "p/2.jpg"], "title": [r[1] for r in rows]}
    )
    parquet.write_table(table, tmp_path / "t.parquet")
    for name in ("t.csv", "t.tsv", "t.parquet"):
        source = open_source(tmp_path / name)
        assert source.sides == ("image", "text")
        assert [(item.name, item.text) for item in source] == rows
        assert next(iter(source)).path == str(tmp_path / "p/1.jpg")
    own = open_source(tmp_path / "t.csv", text_column="x")
    assert [item.text for item in own] == ["1", "2"]
    with pytest.raises(DistnormError, match="a column 'y'"):
        open_source(tmp_path / "t.csv", path_column="y")


def add(archive, name, content):
    about = tarfile.TarInfo(name)
    about.size = len(content)
    archive.addfile(about, io.BytesIO(content))


def shard(path, mode, samples):
    with tarfile.open(path, mode) as archive:
        for name, content in samples:
            add(archive, name, content)


@pytest.mark.parametrize(("end", "mode"), [(".tar", "w"), (".tar.gz", "w:gz")])
def test_webdataset(tmp_path, end, mode):
    data = [picture(tmp_path / "p.png").read_bytes()] * 3
    samples = [
        ("x/000.png", data[0]), ("x/000.txt", b"a  star\n"), ("x/000.cls", b"3"),
        ("x/001.json", json.dumps({"caption": "two", "n": 1}).encode()), ("x/001.png", data[1]),
        ("x/002.png", data[2]), ("x/002.txt", b" "),
        ("x/003.txt", b"no picture here"),
        ("x/004.seg.png", data[0]), ("x/004.txt", b"five"),
    ]  # fmt: skip
    shard(tmp_path / f"s{end}", mode, samples)
    source = open_source(tmp_path / f"s{end}")
    found = [(item.name, item.text) for item in source]
    assert found == [
        (f"s{end}/x/000.png", "a star"), (f"s{end}/x/001.png", "two"),
        (f"s{end}/x/004.seg.png", "five"),
    ]  # fmt: skip
    for item in source:
        contents = read_contents(item.path, item.offset, item.length, item.content)
        assert contents.data == data[0]
    assert source.problems == [
        (f"s{end}/x/002.txt", "an empty or unreadable text"),
        (f"s{end}/x/002", "a sample without a text"),
        (f"s{end}/x/003", "a sample without a picture"),
    ]


# The package leaves its tar files open.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_webdataset_agrees_with_the_webdataset_package(tmp_path):
    webdataset = pytest.importorskip("webdataset", reason="the oracle here")
    data = picture(tmp_path / "p.png").read_bytes()
    samples = [(f"{n:03}.{end}", data if end == "png" else b"t%d" % n)
               for n in range(5) for end in ("png", "txt")]  # fmt: skip
    shard(tmp_path / "s.tar", "w", samples)
    theirs = list(webdataset.WebDataset(str(tmp_path / "s.tar"), shardshuffle=False))
    ours = find_items(tmp_path / "s.tar")
    assert [s["txt"].decode() for s in theirs] == [item.text for item in ours]
    assert [s["png"] for s in theirs] == [
        read_contents(item.path, item.offset, item.length).data for item in ours
    ]


def test_a_damaged_tar_file_is_a_problem_and_others_go_on(tmp_path):
    data = os.urandom(3000)
    for name in ("a.tar", "b.tar"):
        shard(tmp_path / name, "w", [(f"{n}.jpg", data) for n in range(4)])
    whole = (tmp_path / "a.tar").read_bytes()
    (tmp_path / "a.tar").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "c.tar").write_bytes(b"nothing of the kind")
    source = open_source(tmp_path)
    found = [item.name for item in source]
    assert found[-4:] == [f"b.tar/{n}.jpg" for n in range(4)]
    assert [name for name, _ in source.problems] == ["a.tar", "c.tar"]
    assert names(f"{tmp_path}/b*.tar") == found[-4:]


def test_standard_input(monkeypatch, tmp_path):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"a star\nphoto.jpg\n")))
    source = open_source("-")
    assert [item.text for item in source] == ["a star", "photo.jpg"]
    assert source.count() == 2
    assert not source.complete
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"a\n\n")))
    with pytest.raises(DistnormError, match="empty text in line 2 of standard input"):
        open_source("-")


@pytest.mark.parametrize(
    ("name", "content", "part"),
    [
        ("x.txt", b"a\n\nb\n", "empty text in line 2"),
        ("x.txt", b"a\n\xff\xfe\n", "no text"),
        ("x.csv", b"id,number\n1,2\n", "columns id, number"),
        ("x.csv", b"caption\nfine\n  \n", "empty text in line 3"),
        ("x.csv", b'caption\n"one\ntwo"\n""\n', "empty text in line 4"),
        ("x.csv", b"path,caption\n,a star\n", "empty path in line 2"),
        ("x.csv", b"", "columns none"),
        ("x.tsv", b"caption\na\xff\n", "no text"),
        ("x.parquet", b"PAR1 not so", "Parquet file"),
        ("x.txt", b"", "without pictures or texts"),
        ("x.tar", b"", "without pictures or texts"),
    ],
)
def test_sources_that_cannot_be_read(tmp_path, name, content, part):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DistnormError, match=part):
        open_source(tmp_path / name)


def test_a_parquet_table_with_an_empty_text(tmp_path):
    parquet.write_table(arrow.table({"text": ["a", None]}), tmp_path / "t.parquet")
    with pytest.raises(DistnormError, match="empty text in line 2"):
        open_source(tmp_path / "t.parquet")


def test_memory_does_not_grow_with_a_source(tmp_path):
    """A list of 300,000 paths is gone through in the memory of a few."""
    with (tmp_path / "list.txt").open("w") as file:
        file.writelines(f"some/where/photo-{n:09}.jpg\n" for n in range(300_000))
    script = (
        "import resource, sys; from distnorm.embedding import open_source\n"
        "peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "source = open_source(sys.argv[1]); before = peak()\n"
        "n = sum(1 for _ in source); print(n, peak() - before)"
    )
    home = str(Path(__import__("distnorm").__file__).resolve().parent.parent)
    done = subprocess.run(
        [sys.executable, "-c", script, tmp_path / "list.txt"],
        env={**os.environ, "PYTHONPATH": home}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    count, kib = map(int, done.stdout.split())
    assert count == 300_000
    assert kib < 4096


def test_keys_are_kept_in_flat_arrays(monkeypatch):
    from distnorm.store import known

    monkeypatch.setattr(known, "_MERGE", 100)
    keys = known.KeySet()
    words = [known.key_of(str(n % 700)) for n in np.random.default_rng(0).permutation(1400)]
    met: set[bytes] = set()
    for key in words:
        assert keys.add(key) == (key not in met)
        met.add(key)
    assert known.key_of("ab", "c") != known.key_of("a", "bc")
    assert known.key_of(None) != known.key_of("")


def test_pictures_that_a_folders_table_does_not_name_are_counted(tmp_path):
    for name in ("a.png", "b.png", "sub/c.png", ".hidden/d.png"):
        picture(tmp_path / name)
    for table, text in (
        ("captions.tsv", "path\tcaption\na.png\tone\n"),
        ("metadata.csv", "file_name,text\na.png,one\n"),
        ("metadata.jsonl", '{"file_name": "a.png", "text": "one"}\n'),
        ("captions.txt", "image,caption\na.png,one\na.png,two\n"),
        ("captions.json", '[{"file_name": "./a.png", "caption": "one"}]'),
    ):
        (tmp_path / table).write_text(text)
        source = open_source(tmp_path)
        assert source.sides == ("image", "text")
        (note,) = source.notes
        assert "2 pictures" in note
        assert table in note
        assert "b.png" in note
        (tmp_path / table).unlink()
    (tmp_path / "captions.tsv").write_text("path\tcaption\na.png\t1\nb.png\t2\nsub/c.png\t3\n")
    assert open_source(tmp_path).notes == ()


def test_files_beside_pictures_without_captions_are_said(tmp_path):
    picture(tmp_path / "a.png")
    (tmp_path / "list_of_captions.csv").write_text("image,caption\na.png,one\n")
    (tmp_path / "a.json").write_text("{}")
    (note,) = open_source(tmp_path).notes
    assert "1 file " in note
    assert "list_of_captions.csv" in note


def test_captions_under_a_pictures_full_name_and_in_lists(tmp_path):
    picture(tmp_path / "a.png")
    picture(tmp_path / "b.png")
    (tmp_path / "a.png.txt").write_text("one")
    (tmp_path / "b.json").write_text('["two", "three"]')
    assert [item.text for item in open_source(tmp_path)] == ["one", "two", "three"]


def test_tables_in_folders_of_pictures_are_said(tmp_path):
    picture(tmp_path / "train" / "a.png")
    (tmp_path / "train" / "metadata.csv").write_text("file_name,text\na.png,one\n")
    (note,) = open_source(tmp_path).notes
    assert "train/metadata.csv" in note


def test_a_second_picture_of_a_sample_is_a_problem(tmp_path):
    with tarfile.open(tmp_path / "x.tar", "w") as file:
        for name in ("0.left.png", "0.right.png"):
            picture(tmp_path / name)
            file.add(tmp_path / name, name)
    source = open_source(tmp_path / "x.tar")
    assert [item.name for item in source] == ["x.tar/0.left.png"]
    ((name, reason),) = source.problems
    assert name == "x.tar/0.right.png"
    assert "another picture" in reason


def test_pictures_in_columns_of_other_names_are_said(tmp_path):
    rows = {"photos": [[{"bytes": b"x", "path": None}]], "text": ["one"]}
    parquet.write_table(arrow.table(rows), tmp_path / "x.parquet")
    (note,) = open_source(tmp_path / "x.parquet").notes
    assert "'photos'" in note


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("image,caption\na.png,one\n", "a table or JSON"),
        ('{"caption": "one"}\n{"caption": "two"}\n', "a table or JSON"),
        ("0.5 1.5\n2 3\n", "lines of numbers"),
        ("0\tone\n1\ttwo\n", "cut -f2 "),
        ("one\t2024-01-01\ntwo\t2024-01-02\n", "cut -f1 "),
        ("      3 one\n     12 two\n", "sed -E"),
    ],
)
def test_standard_input_is_sentences_and_nothing_else(monkeypatch, text, words):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text.encode())))
    with pytest.raises(DistnormError, match=words):
        open_source("-")


def test_pictures_in_forms_that_are_not_read_are_said(tmp_path):
    picture(tmp_path / "a.png")
    for name in ("a.CR2", "b.dng", "c.svg"):
        (tmp_path / name).write_bytes(b"<svg/>")
    (note,) = open_source(tmp_path).notes
    assert "2 pictures" in note
    assert "b.dng" in note
    with pytest.raises(DistnormError, match="convert it to JPEG or PNG"):
        open_source(tmp_path / "c.svg")


def test_a_pointer_of_git_lfs_is_no_sentence(tmp_path):
    (tmp_path / "x.txt").write_text("version https://git-lfs.github.com/spec/v1\nsize 3\n")
    with pytest.raises(DistnormError, match="git lfs pull"):
        open_source(tmp_path / "x.txt")

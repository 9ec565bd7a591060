"""Tables that were made elsewhere: other roots, other spellings, other names of columns."""

from __future__ import annotations

import base64
import io
import json
import re
import tarfile

import pytest

from distnorm import DistnormError

Image = pytest.importorskip("PIL.Image", reason="pictures need Pillow")

from distnorm.embedding import open_source


def png(color="red"):
    out = io.BytesIO()
    Image.new("RGB", (8, 6), color).save(out, "PNG")
    return out.getvalue()


def pictures(folder, *names):
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        (folder / name).write_bytes(png())


def lines(*values):
    return "".join(json.dumps(value) + "\n" for value in values)


def pairs(source):
    return [(item.name, item.text) for item in source]


@pytest.mark.parametrize(
    ("name", "place", "found"),
    [
        ("photos\\one bird.png", "photos", "photos/one bird.png"),
        ("D:\\me\\photos\\one bird.png", "photos", "photos/one bird.png"),
        ("/srv/me/photos/one bird.png", "photos", "photos/one bird.png"),
        ("/srv/me/one bird.png", "photos", "one bird.png"),
        ("file:///srv/me/photos/one%20bird.png", "photos", "photos/one bird.png"),
        ("one%20bird.png", ".", "one bird.png"),
        ("One Bird.PNG", ".", "one bird.png"),
        ("one bird", ".", "one bird.png"),
    ],
)
@pytest.mark.parametrize("end", ["csv", "txt"])
def test_pictures_are_found_under_other_spellings(tmp_path, name, place, found, end):
    pictures(tmp_path / place, "one bird.png")
    (tmp_path / f"t.{end}").write_text(f"image,caption\n{name},one\n{name}x,two\n")
    source = open_source(tmp_path / f"t.{end}")
    first, second = source
    assert (first.name, first.text) == (found, "one")
    assert (tmp_path / place / "one bird.png").samefile(first.path)
    assert second.path != first.path  # never another picture's
    said = [note for note in source.notes if "begins with" in note]
    assert bool(said) == name.startswith(("D:", "/srv", "file:"))
    # Said where they are, they are found there.
    (item, _) = open_source(tmp_path / f"t.{end}", pictures=tmp_path / place)
    assert (tmp_path / place / "one bird.png").samefile(item.path)


def test_a_list_of_pictures_from_elsewhere(tmp_path):
    pictures(tmp_path / "photos", "a.png", "b.png")
    (tmp_path / "list.txt").write_text("C:\\x\\photos\\a.png\nC:\\x\\photos\\b.png\n")
    assert [item.name for item in open_source(tmp_path / "list.txt")] == [
        "photos/a.png",
        "photos/b.png",
    ]


def test_folders_that_differ_stay_apart(tmp_path):
    pictures(tmp_path, "1.png")
    (tmp_path / "t.csv").write_text("image,caption\n/x/cats/1.png,a cat\n/x/dogs/1.png,a dog\n")
    cat, dog = open_source(tmp_path / "t.csv")
    assert (tmp_path / "1.png").samefile(cat.path)
    assert dog.path == "/x/dogs/1.png"


@pytest.mark.parametrize(
    ("name", "text", "found"),
    [
        ("t.csv", "photo_name,caption\na.png,one\n", [("a.png", "one")]),
        ("t.csv", "ImageFile;caption_en;caption_id\na.png;one;7\n", [("a.png", "one")]),
        ("t.json", json.dumps({"data": [{"image_path": "a.png", "caption_str": "one"}]}),
         [("a.png", "one")]),
        ("t.jsonl", lines({"filepath": "sub", "filename": "b.png", "sentences": ["one", "two"]}),
         [("sub/b.png", "one"), ("sub/b.png", "two")]),
        ("t.csv", "image,caption\na.png,\"['one' 'two'\n 'three']\"\n",
         [("a.png", "one"), ("a.png", "two"), ("a.png", "three")]),
        ("t.csv", "image,caption\na.png,\"['one', nan, None]\"\n", [("a.png", "one")]),
        ("t.csv", "image,caption\na.png,\"[{'raw': 'one'}, {'raw': 'two'}]\"\n",
         [("a.png", "one"), ("a.png", "two")]),
        ("t.jsonl", '{"image": "a.png", "text": "one"}\n{"image": "a.png", "text": NaN}\n',
         [("a.png", "one")]),
        ("t.txt", "{'a.png': 'one',\n 'b.png': 'two'}\n", [("one", "one"), ("two", "two")]),
        ("t.txt", "{0: 'one',\n 1: 'two'}\n", [("one", "one"), ("two", "two")]),
        ("t.txt", "['one',\n \"two\",\n]\n", [("one", "one"), ("two", "two")]),
    ],
)  # fmt: skip
def test_columns_and_cells_of_other_forms(tmp_path, name, text, found):
    pictures(tmp_path, "a.png")
    pictures(tmp_path / "sub", "b.png")
    (tmp_path / name).write_text(text)
    read = pairs(open_source(tmp_path / name))
    if name == "t.txt" and "a.png" in text:
        found = [("a.png", "one"), ("b.png", "two")]
    assert read == found


def test_captions_by_language_are_named(tmp_path):
    (tmp_path / "t.jsonl").write_text(lines({"key": "a", "en": {"caption": ["one", "two"]}}))
    with pytest.raises(DistnormError, match="columns key, en"):
        open_source(tmp_path / "t.jsonl")
    found = open_source(tmp_path / "t.jsonl", text_column="en")
    assert [item.text for item in found] == ["one", "two"]


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("t.csv", "image,caption1,caption2\na.png,one,two\n", "'caption1' and 'caption2'.*--text"),
        ("t.json", json.dumps([{"image_path": "a.png", "caption_a": "x", "caption_b": "y"}]),
         "'caption_a' and 'caption_b'"),
        ("t.csv", "left,right,caption\na.png,b.png,one\n", "'left' and 'right'.*--path-column"),
    ],
)  # fmt: skip
def test_several_columns_that_may_be_meant_are_said(tmp_path, name, text, words):
    pictures(tmp_path, "a.png", "b.png")
    (tmp_path / name).write_text(text)
    (note,) = open_source(tmp_path / name).notes
    assert re.search(words, note)


@pytest.mark.parametrize("mark", ["\t", ",", ";"])
def test_a_quote_that_is_not_closed_takes_no_rows(tmp_path, mark):
    pictures(tmp_path, "a.png", "b.png")
    rows = [("image", "caption"), ("a.png", '"stop'), ("b.png", "two"), ("a.png", 'a 12" pizza')]
    (tmp_path / "t.csv").write_text("".join(mark.join(row) + "\n" for row in rows))
    with pytest.raises(DistnormError, match=r"a quote in line 2 of .* up to 4"):
        open_source(tmp_path / "t.csv")
    # A text over several lines is one.
    (tmp_path / "t.csv").write_text(f'image{mark}caption\na.png{mark}"one,\ntwo, and"\n')
    assert pairs(open_source(tmp_path / "t.csv")) == [("a.png", "one,\ntwo, and")]


def test_pictures_in_base64(tmp_path):
    data = base64.b64encode(png()).decode()
    for cell in (data, f"data:image/png;base64,{data}", {"bytes": data, "path": None}):
        (tmp_path / "t.jsonl").write_text(lines({"image": cell, "text": "one"}))
        source = open_source(tmp_path / "t.jsonl")
        assert [(item.content, item.text) for item in source] == [(png(), "one")]
        assert source.count() == 1
    (tmp_path / "t.jsonl").write_text(lines({"image": {"bytes": "no!", "path": None}, "text": "x"}))
    with pytest.raises(DistnormError, match="no base64"):
        open_source(tmp_path / "t.jsonl")


def test_parquet_of_downloads_and_of_bytes(tmp_path):
    arrow = pytest.importorskip("pyarrow", reason="Parquet tables need pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet", reason="Parquet tables need pyarrow")
    rows = {"url": ["https://x.org/1"] * 3, "jpg": [png(), None, png("blue")],
            "caption": ["one", "two", None], "status": ["ok", "failed", "ok"]}  # fmt: skip
    parquet.write_table(arrow.table(rows), tmp_path / "00000.parquet")
    source = open_source(tmp_path / "00000.parquet")
    assert pairs(source) == [("00000.parquet#1", "one")]
    assert [reason for _, reason in source.problems] == [
        "a row without a picture", "a row without a text",
    ]  # fmt: skip
    rows = {"image": [{"bytes": png(), "path": None}], "caption": [b"a caf\xc3\xa9"]}
    parquet.write_table(arrow.table(rows), tmp_path / "b.parquet")
    assert [item.text for item in open_source(tmp_path / "b.parquet")] == ["a café"]
    rows = {"image": [{"bytes": png(), "path": None}], "caption": arrow.nulls(1)}
    parquet.write_table(arrow.table(rows), tmp_path / "n.parquet")
    assert open_source(tmp_path / "n.parquet").sides == ("image",)


def test_folders_of_tables_and_arrow_files_name_the_way(tmp_path):
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "train-0.parquet").write_bytes(b"PAR1")
    for source in (tmp_path / "d", f"{tmp_path}/d/*.parquet"):
        with pytest.raises(DistnormError, match=r"train-0.parquet.*one after the other"):
            open_source(source)
    (tmp_path / "d" / "data-00000-of-00001.arrow").write_bytes(b"")
    for source in (tmp_path / "d", tmp_path / "d" / "data-00000-of-00001.arrow"):
        with pytest.raises(DistnormError, match=r"Dataset.from_file\(.*arrow'\).to_parquet"):
            open_source(source)
    (tmp_path / "x.feather").write_bytes(b"")
    with pytest.raises(DistnormError, match=r"read_feather\(.*\).to_parquet"):
        open_source(tmp_path / "x.feather")


def test_captions_beside_pictures_in_large_letters_and_of_two_endings(tmp_path):
    pictures(tmp_path, "A.PNG", "a.png", "b.png")
    (tmp_path / "A.TXT").write_text("one")
    (tmp_path / "a.Txt").write_text("two")
    (tmp_path / "b.caption.txt").write_text("three")
    assert pairs(open_source(tmp_path)) == [("A.PNG", "one"), ("a.png", "two"), ("b.png", "three")]


def test_a_sample_is_its_picture_and_not_a_map_of_it(tmp_path):
    members = [("0.depth.png", png("blue")), ("0.png", png()), ("0.txt", b"one"),
               ("1.png", png()), ("1.caption.txt", b"two"), ("in.tar", b"x")]  # fmt: skip
    with tarfile.open(tmp_path / "s.tar", "w") as archive:
        for name, content in members:
            about = tarfile.TarInfo(name)
            about.size = len(content)
            archive.addfile(about, io.BytesIO(content))
    source = open_source(tmp_path / "s.tar")
    assert pairs(source) == [("s.tar/0.png", "one"), ("s.tar/1.png", "two")]
    assert [name for name, _ in source.problems] == ["s.tar/0.depth.png", "s.tar/in.tar"]


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("t.csv", "a.png,0\nb.png,1\n", "pictures with numbers.*cut -d',' -f1 t.csv"),
        ("t.txt", "a.png\t0\nb.png\t1\n", "pictures with numbers"),
        ("t.csv", "a.png,0,one bird\nb.png,1,two\n", "columns a.png, 0, one bird"),
        ("t.txt", '"one bird",\n"two birds",\n', "lines in quotes.*sed -E"),
        ("t.txt", "1. one bird\n2. two birds\n", r"behind their numbers.*sed -E"),
        ("t.tsv", "one\thttps://x.org/1.jpg\ntwo\thttps://x.org/2.jpg\n", "--input_format tsv"),
        ("t.tsv", "image_url\ncaption_a\n", "img2dataset --url_list t.tsv --input_format tsv"),
        ("t.jsonl", lines({"left": "a", "caption_a": "x", "caption_b": "y"}), "'caption_a' and 'c"),
        ("t.yaml", "names:\n  0: bird\n", "one per line"),
        ("t.xlsx", "PK", "pandas.read_excel"),
        ("t.pkl", "x", "pandas.read_pickle"),
    ],
)  # fmt: skip
def test_what_is_no_table_of_captions_names_a_way_that_works(tmp_path, name, text, words):
    (tmp_path / name).write_text(text)
    with pytest.raises(DistnormError, match=words):
        open_source(tmp_path / name)


def test_rows_without_a_head_and_notes_in_utf_16(tmp_path):
    pictures(tmp_path, "a.png", "b.png")
    (tmp_path / "t.csv").write_text("a.png,one bird\nb.png,two birds\n")
    assert pairs(open_source(tmp_path / "t.csv")) == [("a.png", "one bird"), ("b.png", "two birds")]
    (tmp_path / "t.csv").unlink()
    (tmp_path / "a.txt").write_text("one bird", "utf-16")
    (tmp_path / "b.txt").write_text("two birds")
    assert pairs(open_source(tmp_path)) == [("a.png", "one bird"), ("b.png", "two birds")]


def test_words_in_columns_of_other_names_are_said(tmp_path):
    pictures(tmp_path, "a.png")
    (tmp_path / "t.csv").write_text("image,Beschriftung\na.png,ein Vogel im Baum\n")
    (note,) = open_source(tmp_path / "t.csv").notes
    assert "'Beschriftung'" in note
    assert "--text-column" in note
    found = open_source(tmp_path / "t.csv", text_column="Beschriftung")
    assert pairs(found) == [("a.png", "ein Vogel im Baum")]

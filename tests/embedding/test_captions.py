"""Captions in the forms in which data sets keep them: tables, records, files beside pictures."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path

import pytest
from click.testing import CliRunner

from distnorm.cli.main import cli
from distnorm.errors import DistnormError, DistnormWarning

Image = pytest.importorskip("PIL.Image", reason="pictures need Pillow")
arrow = pytest.importorskip("pyarrow", reason="Parquet tables need pyarrow")
parquet = pytest.importorskip("pyarrow.parquet", reason="Parquet tables need pyarrow")

from distnorm.embedding import open_source


def png(color="red"):
    out = io.BytesIO()
    Image.new("RGB", (8, 6), color).save(out, "PNG")
    return out.getvalue()


def pairs(source):
    return [(item.name, item.text) for item in source]


def texts(source):
    return [item.text for item in source]


def lines(*values):
    return "".join(json.dumps(value) + "\n" for value in values)


def pictures(folder, *names):
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        (folder / name).write_bytes(png())


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("list.txt", "image,caption\na.png,one bird\nb.png,two birds\n"),
        ("list.lst", "image_name| number| comment\na.png| 0| one bird\nb.png| 0|two birds\n"),
        ("list", "file_name\ttext\na.png\tone bird\nb.png\ttwo birds\n"),
        ("list.csv", "path;caption\na.png;one bird\nb.png;two birds\n"),
        ("list.csv", "image,caption\na.png,one bird\nb.png,two birds,,\n"),
        ("list.token", "a.png#0\tone bird\nb.png#3\ttwo birds\n"),
        ("list.txt", "a.png,one bird\nb.png,two birds\n"),
        ("list.csv", ',image,caption\n0,a.png,one bird\n1,b.png,two birds\n'),
        ("list.jsonl", lines({"file_name": "a.png", "text": "one bird"},
                             {"file_name": "b.png", "text": "two birds"})),
        ("list.ndjson", lines({"id": 1, "image": "a.png", "caption": "one bird"},
                              {"id": 2, "image": "b.png", "caption": "two birds"})),
        ("list.txt", lines({"image": "a.png", "caption": "one bird"},
                           {"image": "b.png", "caption": "two birds"})),
        ("list.json", json.dumps([{"image": "a.png", "caption": ["one bird"]},
                                  {"image": "b.png", "caption": "two birds"}], indent=1)),
        ("list.json", lines({"image": "a.png", "caption": "one bird"},
                            {"image": "b.png", "caption": "two birds"})),
        ("list.json", json.dumps({"a.png": "one bird", "b.png": ["two birds"]})),
        ("list.json", json.dumps({
            "images": [{"id": 7, "file_name": "a.png"}, {"id": 9, "file_name": "b.png"}],
            "annotations": [{"image_id": 9, "caption": "two birds "},
                            {"image_id": 7, "caption": "one bird"}]})),
        ("list.json", json.dumps({"images": [
            {"filename": "a.png", "sentences": [{"raw": "one bird", "tokens": ["one", "bird"]}]},
            {"filename": "b.png", "sentences": [{"raw": "two birds", "tokens": []}]}]})),
    ],
)  # fmt: skip
def test_pairs_are_read_whatever_the_table_is_called(tmp_path, name, content):
    pictures(tmp_path, "a.png", "b.png")
    (tmp_path / name).write_text(content)
    source = open_source(tmp_path / name)
    assert pairs(source) == [("a.png", "one bird"), ("b.png", "two birds")]
    assert [item.path for item in source] == [str(tmp_path / "a.png"), str(tmp_path / "b.png")]
    assert source.count() == 2
    assert source.notes == ()


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("s.txt", "a bird, a tree\n{name} is here\n[1] a note\n"),
        ("s.txt", "[CLS] a bird\na tree\n"),
        ("s.txt", "file\ntext\nimage\n"),
        ("s.txt", "text, title\na bird\na tree\n"),
        ("s.txt", "1999\n2001\n"),
        ("s.txt", "see https://example.org for a bird\nhttps://example.org/b\nwww\n"),
        ("s.jsonl", lines("a bird", "a tree", "[x]")),
        ("s.json", json.dumps(["a bird", "a tree"])),
    ],
)
def test_sentences_stay_sentences(tmp_path, name, content):
    (tmp_path / name).write_text(content)
    source = open_source(tmp_path / name)
    assert source.sides == ("text",)
    assert len(texts(source)) == source.count() > 1


@pytest.mark.parametrize(
    ("name", "content", "part"),
    [
        ("v.jsonl", lines({"id": 1, "vector": [0.5, 1.5]}), "records of vectors.*numpy.save"),
        ("v.txt", lines({"id": 1, "embedding": [0.5, 1.5]}), "records of vectors"),
        ("x.jsonl", lines({"conversations": []}), "columns conversations"),
        ("x.jsonl", lines([1, 2]), "list as record 1"),
        ("x.jsonl", '{"text": "a"}\n{"text": \n', "line 2 of .*no JSON"),
        ("x.json", '{"text": ', "which is no JSON"),
        ("x.json", json.dumps({"0": ["n01", "tench"]}), "JSON of another form"),
        ("x.json", json.dumps({"images": [], "annotations": [{"bbox": []}]}), "have no caption"),
        ("x.json", "[]", "without records"),
        ("x.json", "[" * 100_000, "no JSON"),
        ("u.txt", "https://example.org/1?w=2\nhttps://example.org/2?w=2\n", "img2dataset"),
        ("u.lst", "s3://bucket/1.jpg\ns3://bucket/2.jpg\n", "list of addresses"),
        ("u.csv", "image\nhttps://example.org/1.jpg\n", "img2dataset"),
        ("u.jsonl", lines({"url": "https://example.org/1.jpg"}), "img2dataset"),
        ("u.tsv", "url\nhttps://example.org/1.jpg\n", "list of addresses"),
        ("u.txt", "one\thttps://example.org/1.jpg\ntwo\thttps://example.org/2\n", "names, url and"),
        ("n.txt", "0.5 1.5 -2e-3\n0.25 1 7\n", "lines of numbers.*loadtxt"),
        ("c.csv", "caption,image\na bird, a tree,a.png\n", "3 cells in line 2.*quotes"),
        ("n.txt", "a.png one bird\nb.png two birds\n", "after a space.*a tab"),
        ("m.txt", "<?xml version='1.0'?>\n<a/>\n", "markup"),
        ("w.txt", "a bird".encode("utf-16-le"), "iconv -f UTF-16LE -t UTF-8 w.txt"),
        ("w.csv", "caption\nune fusée".encode("latin-1"), "iconv -f ISO-8859-1"),
        ("b.txt", b"a\0b", "no text"),
        ("v.npy", b"\x93NUMPY", "vectors or arrays by its name.*fit, compare"),
        ("p.zip", b"PK", "an archive.*unpack it"),
    ],
)  # fmt: skip
def test_what_is_neither_is_refused_in_one_line(tmp_path, name, content, part):
    (tmp_path / name).write_bytes(content.encode() if isinstance(content, str) else content)
    with pytest.raises(DistnormError, match=part) as caught:
        open_source(tmp_path / name)
    assert "\n" not in str(caught.value)


def test_addresses_beside_texts_are_left_out_and_said(tmp_path):
    for name, text in (
        ("t.csv", "url,caption\nhttps://example.org/1.jpg,one bird\n"),
        ("t.csv", "image,caption\nhttps://example.org/1.jpg,one bird\n"),
        ("t.txt", "URL\tTEXT\nhttps://example.org/1.jpg\tone bird\n"),
        ("t.jsonl", lines({"image_url": "https://example.org/1.jpg", "caption": "one bird"})),
    ):
        (tmp_path / name).write_text(text)
        source = open_source(tmp_path / name)
        assert texts(source) == ["one bird"]
        assert "pictures were left out" in source.notes[0]
        assert "url" in source.notes[0]
        assert "img2dataset --url_list" in source.notes[0]


def test_pictures_are_looked_for_where_data_sets_keep_them(tmp_path):
    (tmp_path / "captions.txt").write_text("image,caption\na.png,one bird\n")
    alone = open_source(tmp_path / "captions.txt")
    assert texts(alone) == ["one bird"]
    assert alone.sides == ("text",)
    assert "none of the first pictures" in alone.notes[0]
    assert "--pictures" in alone.notes[0]
    pictures(tmp_path / "Images", "a.png")
    (item,) = open_source(tmp_path / "captions.txt")
    assert item.path == str(tmp_path / "Images" / "a.png")
    pictures(tmp_path / "other", "a.png")
    with pytest.raises(DistnormError, match=r"in .*Images and in .*other.*--pictures"):
        open_source(tmp_path / "captions.txt")
    (item,) = open_source(tmp_path / "captions.txt", pictures=tmp_path / "other")
    assert item.path == str(tmp_path / "other" / "a.png")
    (tmp_path / "list.txt").write_text("a.png\n")
    (item,) = open_source(tmp_path / "list.txt", pictures=tmp_path / "other")
    assert item.path == str(tmp_path / "other" / "a.png")
    for whole in (tmp_path, tmp_path / "other" / "a.png", f"{tmp_path}/*.png", "-"):
        with pytest.raises(DistnormError, match="a table or a list of paths"):
            open_source(whole, pictures=tmp_path / "other")
    # COCO keeps them next to the folder of its captions.
    coco = {"images": [{"id": 1, "file_name": "c.png"}],
            "annotations": [{"image_id": 1, "caption": "x"}]}  # fmt: skip
    (tmp_path / "annotations").mkdir()
    (tmp_path / "annotations" / "captions.json").write_text(json.dumps(coco))
    pictures(tmp_path / "val", "c.png")
    (item,) = open_source(tmp_path / "annotations" / "captions.json")
    assert item.path == str(tmp_path / "val" / "c.png")


def test_braces_of_webdataset_are_said_how_to_write(tmp_path):
    with pytest.raises(DistnormError, match=r"write '.*/\*\.tar' in quotes"):
        open_source(f"{tmp_path}/{{00000..00012}}.tar")


def test_foils_are_no_captions(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    pictures(tmp_path, "a.png")
    notes = [{"image_id": 1, "caption": "a bird", "foil": False},
             {"image_id": 1, "caption": "a tree", "foil": True}]  # fmt: skip
    coco = {"images": [{"id": 1, "file_name": "a.png"}], "annotations": notes}
    (tmp_path / "foils.json").write_text(json.dumps(coco))
    with pytest.raises(DistnormError, match="foils among its captions, such as 'a tree'") as error:
        open_source("foils.json")
    exec(error.value.remedy.split(": ", 1)[1].rsplit("; ", 1)[0], {"json": json, "Path": Path})
    assert pairs(open_source("captions.json")) == [("a.png", "a bird")]
    (tmp_path / "c.csv").write_text("image,caption,foil\na.png,a bird,False\na.png,a tree,True\n")
    with pytest.raises(DistnormError, match=r"first in line 3 .'foil'"):
        open_source(tmp_path / "c.csv")
    (tmp_path / "c.jsonl").write_text(
        lines({"image": "a.png", "caption": "a bird", "foil": "a tree"})
    )
    assert pairs(open_source(tmp_path / "c.jsonl")) == [("a.png", "a bird")]
    (tmp_path / "captions.json").write_text(
        json.dumps({**coco, "annotations": notes[:1], "foils": [1]})
    )
    with pytest.warns(DistnormWarning, match="left out 1 entries under 'foils'"):
        assert pairs(open_source("captions.json")) == [("a.png", "a bird")]


def test_several_captions_are_several_rows_and_none_is_counted(tmp_path):
    pictures(tmp_path, "a.png", "b.png", "c.png")
    (tmp_path / "r.jsonl").write_text(
        lines({"image": "a.png", "captions": ["one", "two"]}, {"image": "b.png", "captions": []},
              {"image": "c.png", "captions": None}, {"captions": ["four"]})
    )  # fmt: skip
    source = open_source(tmp_path / "r.jsonl")
    assert pairs(source) == [("a.png", "one"), ("a.png", "two")]
    assert source.problems == [
        ("b.png", "a row without a text"), ("c.png", "a row without a text"),
        ("line 4", "a row without a picture"),
    ]  # fmt: skip
    (tmp_path / "e.csv").write_text("image,caption\na.png,a bird, a tree\n")
    assert texts(open_source(tmp_path / "e.csv")) == ["a bird, a tree"]
    (tmp_path / "e.txt").write_text('id,text\n1,a bird\n2,"a tree, a bird"\n')
    assert texts(open_source(tmp_path / "e.txt")) == ["a bird", "a tree, a bird"]
    # Lists that were written out as text.
    (tmp_path / "w.csv").write_text(
        'filename,raw\na.png,"[""one"", ""two""]"\nb.png,"[\'three\', \'4\']"\nc.png,[five]\n'
    )
    assert texts(open_source(tmp_path / "w.csv")) == ["one", "two", "three", "4", "[five]"]


def table(path, **columns):
    parquet.write_table(arrow.table(columns), path)
    return path


def test_pictures_inside_parquet(tmp_path):
    data = [png("red"), png("blue")]
    path = table(
        tmp_path / "t.parquet",
        image=[{"bytes": data[0], "path": "image.jpg"}, {"bytes": data[1], "path": "image.jpg"}],
        caption=[["one", "two"], ["three"]],
        width=[8, 8],
    )
    source = open_source(path)
    assert pairs(source) == [
        ("t.parquet#1/image.jpg", "one"), ("t.parquet#1/image.jpg", "two"),
        ("t.parquet#2/image.jpg", "three"),
    ]  # fmt: skip
    assert [item.content for item in source] == [data[0], data[0], data[1]]
    assert source.count() == 3
    plain = open_source(table(tmp_path / "b.parquet", jpg=data))
    assert [(item.name, item.content) for item in plain] == [
        ("b.parquet#1", data[0]), ("b.parquet#2", data[1])
    ]  # fmt: skip
    pictures(tmp_path, "x.png")
    links = table(tmp_path / "l.parquet", image=[{"bytes": None, "path": "x.png"}], text=["a"])
    (item,) = open_source(links)
    assert item.path == str(tmp_path / "x.png")


@pytest.mark.parametrize(
    ("columns", "part"),
    [
        ({"text": [1, 2]}, "column 'text' of type int64 as texts"),
        ({"caption": [{"a": 1}]}, "dict .* as the text of line 1"),
        ({"caption": [[1, 2]]}, "column 'caption' of type list"),
        ({"image": [5], "text": ["a"]}, "column 'image' of type int64 as pictures"),
        ({"image": [[{"bytes": b"x"}]]}, "column 'image' of type list"),
        ({"caption": [b"\xff"]}, "bytes as the text of line 1"),
        ({"n": [1]}, "columns n"),
    ],
)  # fmt: skip
def test_cells_of_other_types_never_become_words(tmp_path, columns, part):
    with pytest.raises(DistnormError, match=part):
        open_source(table(tmp_path / "t.parquet", **columns))


def test_a_column_of_the_right_type_is_taken(tmp_path):
    path = table(tmp_path / "t.parquet", text=[5], caption=["a bird"], file=[3])
    with pytest.raises(DistnormError, match="column 'file' of type int64"):
        open_source(path)
    assert texts(open_source(table(tmp_path / "u.parquet", text=[5], title=["a"]))) == ["a"]
    path = table(tmp_path / "v.parquet", text=["a"], number=[5])
    with pytest.raises(DistnormError, match="column 'number' of type int64 as texts"):
        open_source(path, text_column="number")


def shard(path, **members):
    mode = "w:gz" if path.name.endswith("gz") else "w"
    with tarfile.open(path, mode) as archive:
        for name, content in members.items():
            info = tarfile.TarInfo(name.replace("_", "."))
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return path


def test_captions_of_a_tar_file_line_by_line(tmp_path):
    one = json.dumps({"caption": "a bird\nin a tree"}).encode()
    path = shard(
        tmp_path / "s.tar", a_png=png(), a_txt=b"one\n\ntwo\r\n three \n",
        b_json=one, b_txt=b"a bird\nin a tree\n", b_png=png(),
        c_png=png(), c_json=json.dumps({"captions": ["four", "five"]}).encode(),
    )  # fmt: skip
    assert texts(open_source(path)) == [
        "one", "two", "three", "a bird in a tree", "four", "five",
    ]  # fmt: skip


@pytest.mark.parametrize("name", ["s.tar", "s.tar.gz", "s.tgz"])
@pytest.mark.parametrize("without", [0, 2])
def test_a_sample_without_a_caption_costs_that_sample(tmp_path, name, without):
    members = {}
    for n in range(4):
        members[f"{n}_png"] = png()
        members[f"{n}_json"] = json.dumps({"caption": None}).encode()
        if n != without:
            members[f"{n}_txt"] = b"bird %d" % n
    source = open_source(shard(tmp_path / name, **members))
    assert source.sides == ("image", "text")
    assert texts(source) == [f"bird {n}" for n in range(4) if n != without]
    assert source.problems == [(f"{name}/{without}", "a sample without a text")]


def test_captions_of_few_pictures_are_left_out_and_said(tmp_path):
    pictures(tmp_path, *(f"{n}.png" for n in range(9)))
    (tmp_path / "4.txt").write_text("one\ntwo\n")
    source = open_source(tmp_path)
    assert source.sides == ("image",)
    assert len(list(source)) == 9
    assert source.notes == ("2 captions beside pictures were left out: most pictures have none",)


def test_files_beside_pictures(tmp_path):
    pictures(tmp_path / "00000", *(f"{n:03}.png" for n in range(5)))
    for n in range(4):
        (tmp_path / "00000" / f"{n:03}.txt").write_text(f"bird {n}")
        (tmp_path / "00000" / f"{n:03}.json").write_text(json.dumps({"caption": f"bird {n}"}))
    (tmp_path / "00000" / "003.txt").unlink()
    (tmp_path / "00000_stats.json").write_text("{}")
    (tmp_path / "notes.txt").write_text("of no picture")
    source = open_source(tmp_path)
    assert pairs(source) == [(f"00000/{n:03}.png", f"bird {n}") for n in range(4)]
    assert source.problems == [("00000/004.png", "a sample without a text")]


def test_boxes_of_detectors_are_no_captions(tmp_path):
    pictures(tmp_path, "a.png")
    (tmp_path / "a.txt").write_text("0 0.5 0.5 0.25 0.3\n17 .1 .1 .2 .2\n")
    source = open_source(tmp_path)
    assert source.sides == ("image",)
    assert len(list(source)) == 1
    assert source.problems == []
    assert source.notes == ()


def test_metadata_of_an_image_folder(tmp_path):
    pictures(tmp_path, "a.png", "b.png")
    (tmp_path / "metadata.jsonl").write_text(lines({"file_name": "a.png", "label": 3}))
    assert open_source(tmp_path).sides == ("image",)
    (tmp_path / "metadata.jsonl").write_text(lines({"file_name": "a.png", "text": "one"}))
    assert pairs(open_source(tmp_path)) == [("a.png", "one")]


def test_members_of_one_name_are_other_pictures(tmp_path):
    path = tmp_path / "s.tar"
    with tarfile.open(path, "w") as archive:
        for n, color in enumerate(("red", "blue")):
            for end, data in (("png", png(color)), ("txt", b"bird %d" % n)):
                info = tarfile.TarInfo(f"x.{end}")
                info.size = len(data)
                archive.addfile(info, io.BytesIO(data))
            separator = tarfile.TarInfo(f"{n}.cls")
            archive.addfile(separator)
    found = [item.name for item in open_source(path)]
    assert found[0] == "s.tar/x.png"
    assert found[1].startswith("s.tar/x.png (at ")


def test_large_members_are_left_alone(tmp_path, monkeypatch):
    from distnorm.embedding import tars

    monkeypatch.setattr(tars, "_MOST_PICTURE", 3000)
    monkeypatch.setattr(tars, "MOST_TEXT", 50)
    members = {"a_png": b"x" * 4000, "b_png": png(), "b_txt": b"w" * 60, "c_png": png()}
    source = open_source(shard(tmp_path / "s.tar.gz", **members))
    assert [item.name for item in source] == ["s.tar.gz/b.png", "s.tar.gz/c.png"]
    assert source.problems == [
        ("s.tar.gz/a.png", "4,000 bytes are too many, compressed: unpack the tar file"),
        ("s.tar.gz/b.txt", "60 bytes are too many for captions"),
    ]
    # A name that is longer than any member may be.
    monkeypatch.setattr(tars, "_MOST_PICTURE", 600)
    with tarfile.open(tmp_path / "n.tar.gz", "w:gz", format=tarfile.GNU_FORMAT) as archive:
        archive.addfile(tarfile.TarInfo("y.png"))
        archive.addfile(tarfile.TarInfo("z" * 2000 + ".png"))
    source = open_source(tmp_path / "n.tar.gz")
    assert [item.name for item in source] == ["n.tar.gz/y.png"]
    assert "damaged tar file: a part of " in source.problems[0][1]


def test_a_header_that_is_none_is_damage(tmp_path):
    path = shard(tmp_path / "s.tar", a_png=png(), b_png=png(), c_png=png())
    data = bytearray(path.read_bytes())
    data[1024 : 1024 + 512] = b"\x01" * 512
    path.write_bytes(data)
    source = open_source(path)
    assert [item.name for item in source] == ["s.tar/a.png"]
    assert source.problems == [("s.tar", "damaged tar file: no header at byte 1,024")]


def test_what_travels_in_memory_is_bounded(tmp_path, monkeypatch):
    from distnorm.embedding import feed
    from distnorm.embedding.feed import Feed
    from distnorm.store.known import Known

    class Full:
        """Decoders that take everything and answer at the end."""

        def __init__(self):
            self.jobs, self.most = [], 0

        def has_room(self):
            return True

        def submit(self, job):
            self.jobs.append(job)
            self.most = max(self.most, sum(len(j.item.content) for j in self.jobs))

        def poll(self, _):
            from distnorm.embedding.decoding import Decoded

            for job in self.jobs:
                job.result = Decoded(reason="not decoded here")
            self.jobs = []

    monkeypatch.setattr(feed, "_HELD", 10_000)
    members = {f"{n}_png": b"%d" % n + b"x" * 3000 for n in range(20)}
    pool = Full()
    with Feed(open_source(shard(tmp_path / "s.tar.gz", **members)), Known(), pool) as entries:
        assert sum(entry.verdict == "failed" for entry in entries) == 20
    assert 9_000 < pool.most < 14_000


def invoke(*words):
    return CliRunner().invoke(cli, [str(word) for word in words])


def test_the_command_says_what_was_left_out(tmp_path):
    pytest.importorskip("onnxruntime", reason="the built-in model")
    (tmp_path / "t.csv").write_text("url,caption\nhttps://example.org/1.jpg,a red star\n")
    out = tmp_path / "store"
    done = invoke("embed", tmp_path / "t.csv", "--model", "builtin", "--out", out, "--json", "-")
    assert done.exit_code == 0, done.output
    assert "note: pictures were left out: column 'url'" in done.stderr
    assert json.loads(done.stdout)["notes"][0].startswith("pictures were left out")
    saved = tmp_path / "n.safetensors"
    done = invoke("fit", "--texts", tmp_path / "t.csv", "--model", "builtin", "--out", saved)
    assert "note: pictures were left out" in done.stderr


def test_bytes_of_pictures_never_reach_the_list_of_failures(tmp_path):
    pytest.importorskip("onnxruntime", reason="the built-in model")
    path = table(tmp_path / "t.parquet", image=[{"bytes": b"no picture" * 900, "path": None}] * 3,
                 text=["a", "b", "c"])  # fmt: skip
    out = tmp_path / "store"
    done = invoke("embed", path, "--model", "builtin", "--out", out, "--workers", "0")
    assert done.exit_code == 1
    entries = [json.loads(line) for line in (out / "failed.jsonl").read_text().splitlines()]
    assert [entry["path"] for entry in entries] == [f"t.parquet#{n}" for n in (1, 2, 3)]
    assert (out / "failed.jsonl").stat().st_size < 1500


@pytest.mark.parametrize("encoding", ["utf-16", "utf-8-sig"])
def test_marked_encodings_are_read(tmp_path, encoding):
    for name, text in (
        ("w.txt", "un oiseau\nune fusée\n"),
        ("w.csv", "n,caption\n1,un oiseau\n2,une fusée\n"),
        ("w.tsv", "caption\nun oiseau\nune fusée\n"),
        ("w.jsonl", lines({"text": "un oiseau"}, {"text": "une fusée"})),
        ("sep.csv", "sep=;\nn;caption\n1;un oiseau\n2;une fusée\n"),
    ):
        (tmp_path / name).write_text(text, encoding=encoding)
        assert [item.text for item in open_source(tmp_path / name)] == ["un oiseau", "une fusée"]

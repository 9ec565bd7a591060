"""Labels, judgements, rows and names as people write them: read as what they are, or refused."""

from __future__ import annotations

import json

import numpy as np
import pytest

from distnorm import DistnormError
from distnorm.tasks.class_names import read_class_names
from distnorm.tasks.files import (
    JUDGEMENTS,
    LABELS,
    MATCHES,
    check_count,
    read_lines,
    read_numbers,
    read_rows,
    read_values,
)

NUMBERS = [4, 0, 2, 2, 1]
READ = {
    "one.txt": "4\n0\n2\n2\n1\n",
    "crlf.txt": "4\r\n0\r\n2\r\n2\r\n1\r\n\r\n",
    "savetxt.txt": "".join(f"{n:.18e}\n" for n in NUMBERS),
    "head.csv": "label\n4\n0\n2\n2\n1\n",
    "pandas.csv": ",0\n0,4\n1,0\n2,2\n3,2\n4,1\n",
    "pandas_named.csv": ",label\n0,4\n1,0\n2,2\n3,2\n4,1\n",
    "shuffled_index.csv": "Unnamed: 0,cls\n7,4\n3,0\n5,2\n1,2\n0,1\n",
    "no_head.csv": "0,4\n1,0\n2,2\n3,2\n4,1\n",
    "label_first.csv": "label,file\n4,a.jpg\n0,b.jpg\n2,c.jpg\n2,d.jpg\n1,e.jpg\n",
    "excel.csv": "file;label\na.jpg;4\nb.jpg;0\nc.jpg;2\nd.jpg;2\ne.jpg;1\n",
    "mark.csv": "\ufefflabel\n4\n0\n2\n2\n1\n",
    "tabs.tsv": "id\tlabel\n1\t4\n2\t0\n3\t2\n4\t2\n5\t1\n",
    "pictures.txt": "a.JPEG 4\nb.JPEG 0\nc.JPEG 2\nd.JPEG 2\ne.JPEG 1\n",
    "quoted.csv": 'name,label\n"a, b",4\n"c\nd",0\ne,2\nf,2\ng,1\n',
    "onehot.csv": "".join(
        ",".join(str(int(n == c)) for c in range(5)) + "\n" for n in NUMBERS
    ),
    "list.json": json.dumps(NUMBERS),
    "floats.json": json.dumps([float(n) for n in NUMBERS]),
    "records.json": json.dumps([{"file": f"{i}.jpg", "label": n} for i, n in enumerate(NUMBERS)]),
    "series.json": json.dumps({str(i): n for i, n in enumerate(NUMBERS)}),
    "frame.json": json.dumps({"label": {str(i): n for i, n in enumerate(NUMBERS)}}),
    "columns.json": json.dumps({"label": NUMBERS}),
    "split.json": json.dumps(
        {"columns": ["label"], "index": [0, 1, 2, 3, 4], "data": [[n] for n in NUMBERS]}
    ),
    "lines.jsonl": "".join(json.dumps({"label": n}) + "\n" for n in NUMBERS),
    "lines.json": "".join(json.dumps({"label": n}) + "\n" for n in NUMBERS),
    "one_list.json": json.dumps({"name": "test", "labels": NUMBERS, "n": 5}),
    "bars.csv": "file|label\na.jpg|4\nb.jpg|0\nc.jpg|2\nd.jpg|2\ne.jpg|1\n",
    "sep.csv": "sep=;\nfile;label\na.jpg;4\nb.jpg;0\nc.jpg;2\nd.jpg;2\ne.jpg;1\n",
    "commas.tsv": "file\tlabel\na.jpg\t4,0\nb.jpg\t0,0\nc.jpg\t2,0\nd.jpg\t2,0\ne.jpg\t1,0\n",
}  # fmt: skip


@pytest.mark.parametrize("name", READ)
def test_labels_are_read_from(tmp_path, name):
    (tmp_path / name).write_bytes(READ[name].encode())
    values = read_values(tmp_path / name, LABELS)
    found = values.argmax(axis=1) if values.ndim == 2 else values
    assert found.tolist() == NUMBERS


REFUSED = {
    "several columns": ("x.csv", "a,b\n1,2\n1,3\n", "2 columns ('a', 'b')"),
    "a decimal comma": ("x.csv", "3,5\n1,5\n", "a decimal comma is written as a point"),
    "two that are meant": ("x.csv", "rating,mos\n1,2\n3,4\n", "'rating', 'mos'"),
    "an empty cell": ("x.csv", "score\n1\n\n3\n", "first in row 1"),
    "nan": ("x.txt", "1\nnan\n", "no finite number, first in row 1"),
    "words": ("x.txt", "good\nbad\n", "with 'good'"),
    "ragged": ("x.csv", "1,2\n3\n", "1 cells in row 2"),
    "an object": ("x.json", '{"a.jpg": 3, "b.jpg": 1}', "order of the rows"),
    "lists of other lengths": ("x.json", "[[1], [2, 3]]", "one length"),
    "half a file": ("x.json", "[1, 2", "whole JSON"),
    "deep": ("x.json", "[" * 200_000, "whole JSON"),
    "nothing": ("x.txt", "\n\n", "without a row"),
    "a big number": ("x.json", f"[1, {'9' * 400}]", "no finite number, first in row 1"),
    "torch's": ("x.pt", "", "torch.load"),
    "an archive": ("x.csv", "PK\0\0", "no text"),
    "one line": ("x.csv", "1,2,3,4\n", "write one per line"),
    "thousands": ("x.csv", 'score\n"1,234"\n', "a decimal comma is written as a point"),
    "tensors": ("x.safetensors", "", "load_file('"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_judgements_are_refused_for(tmp_path, case):
    name, text, words = REFUSED[case]
    (tmp_path / name).write_text(text)
    with pytest.raises(DistnormError) as caught:
        read_numbers(tmp_path / name)
    assert words in str(caught.value)


def test_arrays_that_say_less_than_files_of_text(tmp_path):
    np.save(tmp_path / "words.npy", np.array(NUMBERS).astype(str))
    np.save(tmp_path / "row.npy", np.array([NUMBERS]))
    np.savez(tmp_path / "several.npz", paths=np.array(list("abcde")), labels=NUMBERS)
    with open(tmp_path / "no_ending", "wb") as file:
        np.save(file, NUMBERS)
    for name in ("words.npy", "row.npy", "several.npz", "no_ending"):
        assert read_values(tmp_path / name, LABELS).tolist() == NUMBERS
    np.savez(tmp_path / "open.npz", labels=NUMBERS, label=NUMBERS)
    with pytest.raises(DistnormError, match="'labels', 'label'"):
        read_values(tmp_path / "open.npz", LABELS)
    np.savez(tmp_path / "sparse.npz", indptr=NUMBERS, shape=NUMBERS, data=NUMBERS)
    with pytest.raises(DistnormError, match=r"load_npz.*toarray"):
        read_values(tmp_path / "sparse.npz", LABELS)


@pytest.mark.parametrize("text", ["0 tench\n1 crane\n", "1: tench\n2: crane", "0\ttench\n1\tcrane"])
def test_names_behind_their_numbers(tmp_path, text):
    (tmp_path / "x.txt").write_text(text)
    assert read_class_names(tmp_path / "x.txt").names == ["tench", "crane"]
    (tmp_path / "y.txt").write_text("3 d printer\n2 cv\n")
    assert read_class_names(tmp_path / "y.txt").names == ["3 d printer", "2 cv"]


@pytest.mark.parametrize(
    "text",
    [
        "{0: 'tench, Tinca',\n 1: 'crane'}\n",
        "['tench, Tinca',\n 'crane']\n",
        '["tench, Tinca", "crane"]',
        "{'crane': 1, 'tench, Tinca': 0}\n",
        "n01440764 1 tench, Tinca\nn02012849 2 crane\n",
    ],
)
def test_names_as_python_and_imagenet_write_them(tmp_path, text):
    (tmp_path / "x.txt").write_text(text)
    found = read_class_names(tmp_path / "x.txt")
    assert found.names == ["tench, Tinca", "crane"]
    assert found.ids == (["n01440764", "n02012849"] if text[0] == "n" else None)


def test_lines_in_brackets_that_are_no_list(tmp_path):
    (tmp_path / "x.txt").write_text("[unused]\ntench\n[crane]\n")
    assert read_class_names(tmp_path / "x.txt").names == ["[unused]", "tench", "[crane]"]


def test_a_quote_that_is_not_closed_is_damage(tmp_path):
    (tmp_path / "x.tsv").write_text('caption\tscore\n"stop\t1\ngo\t2\nsay "x"\t3\n')
    with pytest.raises(DistnormError, match="mend its quotes"):
        read_numbers(tmp_path / "x.tsv")


def test_judgements_of_several_raters_take_the_column_of_their_mean(tmp_path):
    (tmp_path / "x.csv").write_text("r1,r2,mean\n1,2,1.5\n3,4,3.5\n")
    assert read_numbers(tmp_path / "x.csv").tolist() == [1.5, 3.5]
    (tmp_path / "y.csv").write_text("caption;score\na;1,5\nb;3,5\n")
    assert read_numbers(tmp_path / "y.csv").tolist() == [1.5, 3.5]


def test_matches_as_pandas_writes_them(tmp_path):
    (tmp_path / "x.csv").write_text(",match\n0,True\n1,False\n2,True\n")
    assert read_rows(tmp_path / "x.csv", MATCHES).tolist() == [1, 0, 1]


def test_a_head_of_pandas_alone_is_named(tmp_path):
    path = tmp_path / "x.csv"
    path.write_text("0\n4\n2\n")
    with pytest.raises(DistnormError, match="pandas' head"):
        check_count(read_values(path, LABELS), 2, path, LABELS, "images.npy")
    with pytest.raises(DistnormError, match="3 judgements; expected 7"):
        check_count(read_numbers(path), 7, path, JUDGEMENTS, "captions.npy")


@pytest.mark.parametrize(
    ("values", "words"),
    [
        (np.array([1.5, 2.0]), "1.5 in row 0"),
        (np.array([0.0, 2.0**60]), "in row 1"),
        (np.array([[1, 2], [3, 4]]), "(2, 2)"),
        (np.array(["a", "b"]), "<U1"),
        (np.array([np.nan, 1.0]), "nan in row 0"),
    ],
)
def test_arrays_that_are_no_rows(tmp_path, values, words):
    np.save(tmp_path / "x.npy", values)
    with pytest.raises(DistnormError) as caught:
        read_rows(tmp_path / "x.npy")
    assert words in str(caught.value)


def test_arrays_of_one_kind_or_another(tmp_path):
    np.save(tmp_path / "x.npy", np.array([[2.0], [0.0]], dtype=np.float32))
    assert read_rows(tmp_path / "x.npy").tolist() == [2, 0]
    np.savez(tmp_path / "x.npz", labels=np.array([1, 0], dtype=np.uint8))
    assert read_rows(tmp_path / "x.npz").tolist() == [1, 0]
    np.savez(tmp_path / "y.npz", a=[1], b=[2])
    with pytest.raises(DistnormError, match="'a', 'b'"):
        read_rows(tmp_path / "y.npz")
    np.save(tmp_path / "o.npy", np.array([{}, 1], dtype=object), allow_pickle=True)
    with pytest.raises(DistnormError, match="not as objects"):
        read_rows(tmp_path / "o.npy")


NAMES = {
    "lines.txt": "tench\ngreat white shark, white shark\ncrane\n",
    "head.csv": 'name\ntench\n"great white shark, white shark"\ncrane\n',
    "index.csv": ',class\n0,tench\n1,"great white shark, white shark"\n2,crane\n',
    "order.csv": 'class_id,name\n2,crane\n0,tench\n1,"great white shark, white shark"\n',
    "list.json": '["tench", "great white shark, white shark", "crane"]',
    "rows.json": '{"tench": 0, "crane": 2, "great white shark, white shark": 1}',
    "from_one.json": '{"2": "great white shark, white shark", "1": "tench", "3": "crane"}',
    "records.jsonl": '{"name": "tench"}\n{"name": "great white shark, white shark"}\n'
    '{"name": "crane"}\n',
}


@pytest.mark.parametrize("name", NAMES)
def test_class_names_are_read_from(tmp_path, name):
    (tmp_path / name).write_text(NAMES[name])
    assert read_class_names(tmp_path / name).names == [
        "tench",
        "great white shark, white shark",
        "crane",
    ]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("x.json", '{"0": ["n01440764", "tench"], "1": ["n02012849", "crane"]}'),
        ("x.txt", "n01440764 tench\nn02012849 crane\n"),
        ("x.csv", "synset,name\nn01440764,tench\nn02012849,crane\n"),
    ],
)
def test_synsets_are_names_too(tmp_path, name, text):
    (tmp_path / name).write_text(text)
    names = read_class_names(tmp_path / name)
    assert names.names == ["tench", "crane"]
    assert names.spelled_as(np.array(["n02012849"])) == ["n01440764", "n02012849"]
    assert names.spelled_as(np.array(["crane"])) == ["tench", "crane"]


def test_a_damaged_index_column_is_no_name(tmp_path):
    (tmp_path / "x.csv").write_text("Unnamed: 0,name\n0,tench\n:,crane\n")
    assert read_class_names(tmp_path / "x.csv").names == ["tench", "crane"]


def test_class_names_that_are_none(tmp_path):
    (tmp_path / "x.csv").write_text("first,second\ntench,fish\ncrane,bird\n")
    with pytest.raises(DistnormError, match="keep one column"):
        read_class_names(tmp_path / "x.csv")
    (tmp_path / "y.txt").write_text("tench\n\ncrane\n")
    with pytest.raises(DistnormError, match="an empty name"):
        read_class_names(tmp_path / "y.txt")
    (tmp_path / "digits.txt").write_text("7\n8\n")
    assert read_class_names(tmp_path / "digits.txt").names == ["7", "8"]


def test_a_line_ends_at_a_newline_alone(tmp_path):
    (tmp_path / "x.txt").write_text("a\u2028b\nc\u0085d\n")
    assert read_lines(tmp_path / "x.txt") == ["a\u2028b", "c\u0085d"]
    (tmp_path / "y.csv").write_text('image,caption\n1,"a, b"\n2,c\n')
    assert read_lines(tmp_path / "y.csv") == ["a, b", "c"]

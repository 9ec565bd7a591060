"""Tables as spreadsheets and hands leave them: ends of lines, names of columns, marks."""

from __future__ import annotations

import json

import numpy as np
import pytest

from distnorm.errors import DistnormError
from distnorm.store.vectors import read_embeddings
from distnorm.tasks.files import LABELS, read_lines, read_values

VECTORS = {
    "ended": "a,b,c,\n1,2,3,\n4,5,6,\n",
    "ended_twice": "a,b,c,,\n1,2,3,,\n4,5,6,,\n",
    "head_alone": "a,b,c,\n1,2,3\n4,5,6\n",
    "body_alone": "a,b,c\n1,2,3,\n4,5,6,\n",
    "some_lines": "a,b,c\n1,2,3\n4,5,6,\n",
    "no_head": "1.0,2.0,3.0,\n4.0,5.0,6.0,\n",
    "semicolons": "a;b;c;\n1,0;2,0;3,0;\n4,0;5,0;6,0;\n",
    "mark": "\ufeffid,e_0,e_1,e_2\r\n9,1,2,3\r\n3,4,5,6\r\n",
    "old_mac": "id,e_0,e_1,e_2\r9,1,2,3\r3,4,5,6\r",
    "captions": 'caption,e_0,e_1,e_2\r\n"two\r\nlines, and a comma",1,2,3\r\nb,4,5,6\r\n',
    "quoted": '"e_0","e_1","e_2"\n"1","2","3"\n"4","5","6"\n',
}
LABEL_FILES = {
    "ended": "label,\n3,\n1,\n",
    "no_head": "3,\n1,\n",
    "beside": "file,label,\na.jpg,3,\nb.jpg,1,\n",
    "head_alone": "file,label,\na.jpg,3\nb.jpg,1\n",
    "body_alone": "file,label\na.jpg,3,\nb.jpg,1,\n",
    "mark": '\ufeff"label","file"\r\n"3","a.jpg"\r\n"1","b.jpg"\r\n',
    "captions": 'text,label\n"two\nlines",3\n"b, c",1\n',
}


@pytest.mark.filterwarnings("ignore:.*left out")
@pytest.mark.parametrize("name", VECTORS)
def test_vectors(name, tmp_path):
    (tmp_path / "x.csv").write_text(VECTORS[name], "utf-8", newline="")
    assert read_embeddings(tmp_path / "x.csv").tolist() == [[1, 2, 3], [4, 5, 6]]


@pytest.mark.parametrize("end", [".csv", ".txt"])
@pytest.mark.parametrize("name", LABEL_FILES)
def test_labels(name, end, tmp_path):
    (tmp_path / f"x{end}").write_text(LABEL_FILES[name], "utf-8", newline="")
    assert read_values(tmp_path / f"x{end}", LABELS).tolist() == [3, 1]


def test_a_table_of_captions_under_the_name_of_a_text(tmp_path):
    path = tmp_path / "captions.txt"
    path.write_text('image,caption\na.jpg,"one, two"\nb.jpg,three\n')
    assert read_lines(path) == ["one, two", "three"]
    path.write_text("image,caption\na.jpg,one, two\nb.jpg,three\n")
    with pytest.raises(DistnormError, match="3 cells in row 2 and 2 in the first"):
        read_lines(path)
    # Sentences are none, whatever words and commas they have.
    for words in (["a caption, a text", "b"], ["caption", "x, y"], ["text, so to say", "b, c"]):
        path.write_text("\n".join(words) + "\n")
        assert read_lines(path) in (words, words[1:])


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("e_0,e_1,e_1\n1,2,3\n4,5,6\n", "several columns called 'e_1'"),
        ('v,v\n"[1, 2]","[3, 4]"\n"[5, 6]","[7, 8]"\n', "several columns called 'v'"),
        ("a,,c\n1,2,3\n4,5,6\n", "numbers in column 2, which has no name"),
        ("a,b,\n1,2,3\n4,5,6\n", "numbers in column 3, which has no name"),
    ],
)
def test_columns_of_one_name_and_of_none_are_not_guessed_at(content, said, tmp_path):
    (tmp_path / "x.csv").write_text(content)
    with pytest.raises(DistnormError, match=said):
        read_embeddings(tmp_path / "x.csv")


def test_columns_of_one_name_elsewhere(tmp_path):
    (tmp_path / "x.csv").write_text("caption,caption\na,b\nc,d\n")
    with pytest.raises(DistnormError, match="one text per line, in one column"):
        read_lines(tmp_path / "x.csv")
    (tmp_path / "x.json").write_text(json.dumps({"columns": ["a", "a"], "data": [[1, 2], [3, 4]]}))
    with pytest.raises(DistnormError):
        read_embeddings(tmp_path / "x.json")
    arrow = pytest.importorskip("pyarrow", reason="writes .parquet")
    parquet = pytest.importorskip("pyarrow.parquet", reason="writes .parquet")
    lists = arrow.array(np.eye(2).tolist())
    parquet.write_table(arrow.Table.from_arrays([lists, lists], ["v", "v"]), tmp_path / "x.parquet")
    with pytest.raises(DistnormError, match="several columns called 'v'"):
        read_embeddings(tmp_path / "x.parquet")
    sources = pytest.importorskip("distnorm.embedding", reason="pictures and sentences")
    (tmp_path / "y.csv").write_text("image,Caption,caption\na.jpg,b,c\n")
    with pytest.raises(DistnormError, match="several columns called 'caption'"):
        sources.open_source(tmp_path / "y.csv")

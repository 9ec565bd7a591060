"""Tables of text and JSON give the matrix that was written, or one line that says why not."""

from __future__ import annotations

import json
import warnings

import numpy as np
import pytest

from distnorm.errors import DistnormError, DistnormWarning
from distnorm.store.vectors import has_vectors, read_embeddings

ROWS = np.random.default_rng(3).normal(0, 1, (30, 6)).astype(np.float32)
CODES = np.random.default_rng(3).integers(-127, 128, (30, 6))


def lines(*columns, head=None, sep=","):
    """Columns (arrays or lists) as text."""
    texts = [] if head is None else [sep.join(map(str, head))]
    for row in zip(*columns, strict=True):
        cells = [f"{x:.9g}" if isinstance(x, np.floating) else str(x) for x in row]
        texts.append(sep.join(cells))
    return "\n".join(texts) + "\n"


COUNT = range(len(ROWS))
HEAD = list(range(6))
EMB = [f"emb_{n}" for n in HEAD]
READ = {
    # as pandas writes it: a head of numbers, row numbers under an empty name, or neither
    "both.csv": (lines(COUNT, *ROWS.T, head=["", *HEAD]), True),
    "head.csv": (lines(*ROWS.T, head=HEAD), False),
    "numbered.csv": (lines(COUNT, *ROWS.T), True),
    "plain.csv": (lines(*ROWS.T), False),
    "from_one.csv": (lines(range(1, 31), *ROWS.T, head=["", *range(1, 7)]), True),
    "unnamed.csv": (lines(COUNT, *ROWS.T, head=["Unnamed: 0", *HEAD]), True),
    "floats.csv": (lines(np.arange(30.0), *ROWS.T), True),
    "shuffled.csv": (lines([*COUNT][::-1], *ROWS.T, head=["", *HEAD]), True),
    # names and labels beside the dimensions
    "ids.csv": (lines([f"p{n}.jpg" for n in COUNT], *ROWS.T), True),
    "named.csv": (lines(COUNT, *ROWS.T, [3] * 30, head=["id", *EMB, "label"]), True),
    "quoted.csv": (lines(["a, b"] * 30, *ROWS.T, head=["t", *EMB]).replace("a, b", '"a, b"'), True),
    "r.csv": (lines(range(1, 31), *ROWS.T, head=[f'"V{n}"' for n in range(1, 7)]), True),
    "glove.txt": (lines([f"w{n}" for n in COUNT], *ROWS.T, sep=" "), True),
    # other delimiters
    "tab.tsv": (lines(COUNT, *ROWS.T, head=["", *HEAD], sep="\t"), True),
    "tab.csv": (lines(*ROWS.T, sep="\t"), False),
    "semicolon.csv": (lines(*ROWS.T, head=HEAD, sep=";"), False),
    "spaces.txt": ("# saved by numpy\n" + lines(*ROWS.T, sep=" "), False),
    "end.csv": (lines(*ROWS.T).replace("\n", ",\n"), False),
    "windows.csv": ("\ufeff" + lines(*ROWS.T, head=HEAD).replace("\n", "\r\n"), False),
    "commas.csv": (lines(COUNT, *ROWS.T, head=["", *HEAD], sep=";").replace(".", ","), True),
    "commas.tsv": (lines(*ROWS.T, sep="\t").replace(".", ","), False),
    "excel.csv": ("sep=;\n" + lines(*ROWS.T, head=HEAD, sep=";"), False),
    "word2vec.txt": ("30 6\n" + lines([f"w{n}" for n in COUNT], *ROWS.T, sep=" "), True),
    # lists in cells
    "lists.csv": (
        "id,embedding\n" + "".join(f'{n},"{row}"\n' for n, row in enumerate(ROWS.tolist())),
        True,
    ),
    "wrapped.csv": (
        "embedding\n" + "".join(f'"{str(row.tolist()).replace(",", chr(10))}"\n' for row in ROWS),
        False,
    ),
    # JSON
    "a.jsonl": ("".join(f"{row}\n" for row in ROWS.tolist()), False),
    "b.jsonl": (
        "".join(json.dumps({"id": "x", "vector": row}) + "\n" for row in ROWS.tolist()),
        True,
    ),
    "c.json": (json.dumps(ROWS.tolist(), indent=1), False),
    "records.json": (
        json.dumps([{str(n): x for n, x in enumerate(row)} for row in ROWS.tolist()]),
        False,
    ),
    "split.json": (
        json.dumps({"columns": HEAD, "index": [*COUNT], "data": ROWS.tolist()}),
        False,
    ),
    "lines.json": ("".join(f"{row}\n" for row in ROWS.tolist()), False),
    "named.jsonl": (
        "".join(
            json.dumps({"id": "x"} | {f"emb_{n}": x for n, x in enumerate(row)}) + "\n"
            for row in ROWS.tolist()
        ),
        True,
    ),
    "d.json": (
        json.dumps({"model": "m", "data": [{"embedding": r} for r in ROWS.tolist()]}),
        False,
    ),
    "e.csv": ("".join(f"{row}\n" for row in ROWS.tolist()), False),
}


@pytest.mark.parametrize("name", READ)
def test_what_is_no_dimension_is_left_out_and_said(tmp_path, name):
    text, said = READ[name]
    (tmp_path / name).write_bytes(text.encode())
    assert has_vectors(tmp_path / name)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        found = read_embeddings(tmp_path / name)
    np.testing.assert_allclose(found, ROWS, rtol=1e-6)
    assert [w.category for w in caught] == [DistnormWarning] * said


def test_another_encoding(tmp_path):
    (tmp_path / "x.csv").write_text(lines(*ROWS.T, head=HEAD), encoding="utf-16")
    np.testing.assert_allclose(read_embeddings(tmp_path / "x.csv"), ROWS, rtol=1e-6)


def test_whole_numbers_with_and_without_a_head(tmp_path):
    (tmp_path / "head.csv").write_text(lines(*CODES.T, head=HEAD))
    (tmp_path / "plain.csv").write_text(lines(*CODES.T))
    for name in ("head.csv", "plain.csv"):
        np.testing.assert_array_equal(read_embeddings(tmp_path / name), CODES)


def test_two_numbered_names_are_the_two_sides(tmp_path):
    head = [f"{side}_{n}" for side in ("image", "text") for n in HEAD]
    (tmp_path / "x.csv").write_text(lines(*ROWS.T, *(ROWS + 1).T, head=head))
    np.testing.assert_allclose(read_embeddings(tmp_path / "x.csv", "image"), ROWS, rtol=1e-6)
    np.testing.assert_allclose(read_embeddings(tmp_path / "x.csv", "text"), ROWS + 1, rtol=1e-6)
    found = read_embeddings(tmp_path / "x.csv", "image", key="text")
    np.testing.assert_allclose(found, ROWS + 1, rtol=1e-6)


REFUSED = {
    "gap.csv": (lines(*ROWS[:, [0, 1, 2, 4, 5]].T, head=["0", "1", "2", "4", "5"]), "number 3"),
    "empty_cell.csv": (lines(*ROWS.T, head=HEAD) + "1,2,,4,5,6\n", "convert string ''"),
    "short.csv": (lines(*ROWS.T) + "1,2\n", "different numbers of cells"),
    "numbers.txt": ("3\n5\n8\n", "one number in a row"),
    "words.csv": ("caption\na b\n", "no numbers in a row"),
    "nothing.csv": ("\n\n", "without a line"),
    "cut.csv": ('embedding\n"[0.1 0.2 ... 0.4]"\n', "cut short.*lost them"),
    "ragged.jsonl": ("[1, 2]\n[1, 2, 3]\n", "3 numbers in row 1"),
    "words.jsonl": ('[1, "2"]\n', "record 0"),
    "large.jsonl": (f"[1.0, {10**400}]\n", "record 0"),
    "deep.jsonl": ("[" * 50_000, "too deep"),
    "dict.json": (json.dumps({"a": [1.0, 2], "b": [2.0, 3]}), r"json\.load\(open.*values\(\)"),
    "pandas.json": (
        json.dumps({str(n): {"0": 1.0, "1": 2.0} for n in (0, 1)}),
        r"pandas\.read_json",
    ),
    "without.jsonl": ('{"vector": [1.0, 2]}\n{"id": 3}\n', "record 1, without 'vector'"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused_in_one_line(tmp_path, name):
    text, words = REFUSED[name]
    (tmp_path / name).write_text(text)
    with pytest.raises(DistnormError, match=words) as caught:
        read_embeddings(tmp_path / name)
    assert "\n" not in str(caught.value)
    assert "FILE" not in str(caught.value)


@pytest.mark.parametrize(
    "text", ["a red bus, seen from afar\ntwo\n", "1\n2\n", "2019, 2020\na b\n", "", "{}\n"]
)
def test_words_are_no_vectors(tmp_path, text):
    for name in ("x.txt", "x.csv", "x.jsonl"):
        (tmp_path / name).write_text(text)
        assert not has_vectors(tmp_path / name)


def test_boxes_of_annotations_are_no_vectors(tmp_path):
    boxes = {"images": [{"id": 1}], "annotations": [{"bbox": [1.5, 2, 3, 4], "caption": "a"}]}
    (tmp_path / "x.json").write_text(json.dumps(boxes))
    assert not has_vectors(tmp_path / "x.json")


def test_controls_beside_a_number_make_it_none(tmp_path):
    (tmp_path / "x.csv").write_text("0.5,0.25\n0.5\x1f,0.75\n1.5,2\n", "utf-8")
    with pytest.raises(DistnormError):
        read_embeddings(tmp_path / "x.csv")

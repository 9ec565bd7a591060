"""Files of positives: every form gives the same pairs, and open ones are refused."""

from __future__ import annotations

import json

import numpy as np
import pytest

from distnorm import DistnormError
from distnorm.tasks.positive_pairs import read_positives

PAIRS = [(0, 4), (0, 1), (2, 1), (3, 0)]
LINES = "".join(f"{query},{item}\n" for query, item in PAIRS)
FORMS = {
    "plain.csv": LINES,
    "head.csv": "query,item\n" + LINES,
    "turned.csv": "image,text\n" + "".join(f"{item},{query}\n" for query, item in PAIRS),
    "pandas.csv": ",text,image\n" + "".join(f"{i},{q},{x}\n" for i, (q, x) in enumerate(PAIRS)),
    "numbered_head.csv": ",0,1\n" + "".join(f"{i},{q},{x}\n" for i, (q, x) in enumerate(PAIRS)),
    "trec.txt": "".join(f"{q} 0 {x} 1\n" for q, x in PAIRS) + "3 0 4 0\n",
    "q0.txt": "".join(f"{q}\tQ0\t{x}\t2\n" for q, x in PAIRS),
    "tabs.tsv": LINES.replace(",", "\t"),
    "spaces.txt": LINES.replace(",", " "),
    "relevance.tsv": "query-id\tcorpus-id\tscore\n"
    + "".join(f"{q}\t{x}\t1\n" for q, x in PAIRS)
    + "3\t4\t0\n",
    "pairs.json": json.dumps(PAIRS[:3] + [PAIRS[3]] * 2),
    "lists.json": json.dumps([[4, 1], [], [1], [0]]),
    "objects.json": json.dumps([{"query": q, "item": x} for q, x in PAIRS]),
    "mapping.json": json.dumps({"0": [4, 1], "2": [1], "3": 0}),
    "qrels.json": json.dumps({"0": {"4": 1, "1": 2}, "2": {"1": 1}, "3": {"0": 1, "2": 0}}),
    "lines.jsonl": "".join(json.dumps({"qid": q, "docid": x}) + "\n" for q, x in PAIRS),
}


@pytest.mark.parametrize("name", FORMS)
def test_pairs_are_read_from(tmp_path, name):
    (tmp_path / name).write_text(FORMS[name])
    found = read_positives(tmp_path / name, 4, 5)
    assert sorted(zip(found.rows, found.indices, strict=True)) == sorted(PAIRS)


def test_pairs_are_read_from_arrays(tmp_path):
    np.save(tmp_path / "pairs.npy", np.array(PAIRS, dtype=np.float32))
    mask = np.zeros((4, 5), dtype=bool)
    mask[tuple(np.array(PAIRS).T)] = True
    np.save(tmp_path / "mask.npy", mask)
    np.save(tmp_path / "ones.npy", mask.astype(np.float32))
    for name in ("pairs", "mask", "ones"):
        found = read_positives(tmp_path / f"{name}.npy", 4, 5)
        assert sorted(zip(found.rows, found.indices, strict=True)) == sorted(PAIRS)


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("x.csv", "0,1,2\n1,2,3\n", "3 columns"),
        ("x.csv", "query,item\n0,9\n", "item 9"),
        ("x.csv", "query,item\n7,1\n", "query 7"),
        ("x.csv", "query,item\n0,1.5\n", "not whole in 'item'"),
        ("x.csv", "query,item\n0,\n1,2\n", "no number"),
        ("x.json", "[[0, 1], [2, 3], [1, 2], [3, 4]]", "pairs or lists"),
        ("x.json", '{"0": {"a": 1}}', "two columns"),
        ("x.json", "{", "whole JSON"),
    ],
)
def test_pairs_that_are_none(tmp_path, name, text, words):
    (tmp_path / name).write_text(text)
    with pytest.raises(DistnormError) as caught:
        read_positives(tmp_path / name, 4, 5)
    assert words in str(caught.value)


def test_arrays_that_are_no_pairs(tmp_path):
    np.save(tmp_path / "x.npy", np.zeros((3, 4)))
    with pytest.raises(DistnormError, match=r"\(pairs, 2\)"):
        read_positives(tmp_path / "x.npy", 4, 5)

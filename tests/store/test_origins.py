"""What a store calls its sources: names and a mark, and no path of a machine."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from distnorm.store.origins import source_folder, source_id, source_mark

STORE = "/home/me/work/store"


@pytest.mark.parametrize(
    ("label", "names"),
    [
        ("/home/me/work/2023", "../2023"),
        ("/home/me/work/in/**/*.jpg", "../in/**/*.jpg"),
        ("/home/me/card/DCIM", "card/DCIM"),
        ("/home/me/card/DCIM/*/x?.jpg", "DCIM/*/x?.jpg"),
        ("/photos.csv", "photos.csv"),
    ],
)
def test_a_source_goes_by_names_and_a_mark(tmp_path, label, names):
    store = tmp_path.joinpath(STORE)
    name, _, mark = source_id(label, store).partition("#")
    assert (name, mark) == (names, source_mark(label))
    assert source_mark(source_id(label, tmp_path)) == mark
    assert source_mark(label + "x") != mark
    assert "/home/me" not in name


def test_what_is_no_path_stays():
    assert (
        source_id("standard input", Path(STORE))
        == source_mark("standard input")
        == "standard input"
    )
    assert source_mark(None) is None


def test_the_folder_is_a_path_where_it_is_there(tmp_path):
    store, card = tmp_path / "work" / "store", tmp_path / "work" / "card"
    (card / "DCIM").mkdir(parents=True)
    (card / "list.csv").touch()
    for label in (card, card / "*.jpg", card / "list.csv"):
        assert source_folder(source_id(str(label), store), store) == str(card)
    assert source_folder(str(card), store) == str(card)
    gone = source_id(str(tmp_path / "else" / "where"), store)
    assert source_folder(gone, store) == "else/where"
    assert source_folder(source_id(str(tmp_path / "else" / "a.tsv"), store), store) == "else"
    assert os.path.isdir(card)

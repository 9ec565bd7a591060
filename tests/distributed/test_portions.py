"""Portions that workers embed, without Ray: what is kept of them, and what counts in a next run."""

from __future__ import annotations

import importlib
import os
import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("PIL.Image", reason="embedding pictures needs Pillow")
pytest.importorskip("pyarrow", reason="stores need pyarrow")

HERE = str(Path(__file__).parents[1] / "helpers")
sys.path.insert(0, HERE)

from distnorm.distributed.portions import Portion, Portions, attach, encode_items, stands
from distnorm.embedding import Item, find_items
from distnorm.embedding.lookup import Entry
from distnorm.embedding.pipeline import decoders

tiny_encoder = importlib.import_module("tiny_encoder")


def encoded_of(items, encoder=None):
    encoder = encoder or tiny_encoder.Tiny()
    sides = tuple(s for s in ("image", "text") if getattr(items[0], {"image": "path"}.get(s, s)))
    pool = decoders(encoder, sides, 4, 0, full=False)
    return encode_items(encoder, items, sides, pool, batch_size=4, prompt=None)


def portion_of(kept, items, number=0, at=None):
    entries = [Entry(item) for item in items]
    return Portion(number, kept.key(items), entries, list(range(len(items))) if at is None else at)


@pytest.fixture
def folder(tmp_path):
    return tiny_encoder.photos(tmp_path / "in", 6)


def test_rows_are_the_encoders_and_what_failed_says_why(folder):
    (folder / "002.png").write_bytes(b"broken")
    items = find_items(folder)
    found = encoded_of(items)
    assert found.rows["image"].dtype == np.float16
    assert np.isnan(found.rows["image"]).all(axis=1).tolist() == [False, False, True] + [False] * 3
    assert [one.reason is None for one in found.decoded] == [True, True, False, True, True, True]
    assert found.unseen is None
    lost = [*items, Item("gone.png", str(folder / "gone.png"), None)]
    assert encoded_of(lost).unseen == str(folder / "gone.png")


def test_texts_of_one_picture_share_its_result(folder):
    path = str(folder / "000.png")
    items = [Item("000.png", path, text) for text in ("a", "b b b b b b b")]
    found = encoded_of(items)
    assert (len(found.decoded), found.jobs, found.over_long) == (1, [0, 0], 1)
    np.testing.assert_array_equal(found.rows["image"][0], found.rows["image"][1])
    assert (found.rows["text"][0] != found.rows["text"][1]).any()


def test_a_portion_is_found_again_by_its_items_alone(folder, tmp_path):
    items = find_items(folder)
    kept = Portions(tmp_path, ["tiny", "prompt"])
    portion = portion_of(kept, items)
    assert kept.read(portion) is None
    found = encoded_of(items)
    kept.write(portion, found)
    again = kept.read(portion_of(kept, items))
    np.testing.assert_array_equal(again.rows["image"], found.rows["image"])
    assert again.decoded == found.decoded
    # What the store has got meanwhile needs no more.
    some = kept.read(portion_of(kept, items, at=[1, 4]))
    np.testing.assert_array_equal(some.rows["image"], found.rows["image"][[1, 4]])
    assert some.jobs == [1, 4]
    assert kept.read(portion_of(kept, items[:5])) is None
    assert kept.read(portion_of(kept, items, number=1)) is None
    assert kept.read(portion_of(Portions(tmp_path, ["tiny", "another"]), items)) is None


def test_a_portion_of_some_items_does_not_do_for_more(folder, tmp_path):
    items = find_items(folder)
    kept = Portions(tmp_path, ["tiny"])
    kept.write(portion_of(kept, items, at=[0, 1, 2]), encoded_of(items[:3]))
    assert kept.read(portion_of(kept, items, at=[0, 1])) is not None
    assert kept.read(portion_of(kept, items, at=[1, 3])) is None


@pytest.mark.parametrize("damage", [b"", b"not a safetensors file", None])
def test_a_damaged_portion_is_embedded_again(folder, tmp_path, damage):
    items = find_items(folder)
    kept = Portions(tmp_path, ["tiny"])
    portion = portion_of(kept, items)
    kept.write(portion, encoded_of(items))
    (path,) = (tmp_path / "fragments").iterdir()
    path.write_bytes(path.read_bytes()[:-9] if damage is None else damage)
    assert kept.read(portion) is None
    kept.clear()
    assert not (tmp_path / "fragments").exists()


def test_changed_pictures_are_embedded_again(folder, tmp_path):
    items = find_items(folder)
    kept = Portions(tmp_path, ["tiny"])
    portion = portion_of(kept, items)
    found = encoded_of(items)
    assert stands(portion, found, os.stat)
    assert not stands(portion, found, lambda path: None)
    os.utime(folder / "003.png", (1, 1))
    assert not stands(portion, found, os.stat)


def test_a_pictures_bytes_say_whether_they_changed(folder):
    items = [
        Item(item.name, item.path, None, content=Path(item.path).read_bytes())
        for item in find_items(folder)
    ]
    portion = Portion(0, "", [Entry(item) for item in items], [0, 1, 2, 3, 4, 5])
    found = encoded_of(items)
    assert stands(portion, found, os.stat)
    portion.entries[2].item = items[3]
    assert not stands(portion, found, os.stat)


def test_entries_get_their_pictures_results(folder):
    items = find_items(folder)
    portion = Portion(0, "", [Entry(item) for item in items], [1, 2])
    attach(portion, encoded_of(items[1:3]))
    assert portion.entries[0].job is None
    assert portion.entries[1].digest == portion.encoded.decoded[0].digest
    assert "from '001.png' on" in portion.place

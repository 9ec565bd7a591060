"""Captions of one's own: COCO results and pairs."""

from __future__ import annotations

import json

import numpy as np
import pytest

from distnorm.errors import DistnormError, DistnormWarning
from distnorm.tasks.caption_files import match_images, read_caption_pairs, read_results


def test_results_name_images_by_number_stem_or_name(tmp_path):
    entries = [{"image_id": 42, "caption": "a cat"}, {"image_id": "b", "caption": "a dog"}]
    (tmp_path / "r.json").write_text(json.dumps(entries))
    found = read_results(tmp_path / "r.json")
    assert found.captions == ["a cat", "a dog"]
    names = ["x/b.jpg", "COCO_val2014_000000000042.jpg"]
    assert match_images(found.image_ids, names).tolist() == [1, 0]
    with pytest.raises(DistnormError, match="no image has"):
        match_images(["7"], names)
    with pytest.raises(DistnormError, match="several images have"):
        match_images(["1"], ["a_1.jpg", "b_01.jpg"])
    np.save(tmp_path / "x.npy", np.ones((2, 2)))
    assert read_results(tmp_path / "x.npy") is None
    (tmp_path / "r.json").write_text(json.dumps([*entries, {"image_id": 1}]))
    with pytest.raises(DistnormError, match="entry 2"):
        read_results(tmp_path / "r.json")


def test_foils_are_said(tmp_path):
    notes = [
        {"image_id": 4, "caption": "a cat", "foil": False, "foil_word": "ORIG"},
        {"image_id": 4, "caption": "a dog", "foil": True, "foil_word": "dog"},
    ]
    (tmp_path / "foils.json").write_text(json.dumps({"images": [], "annotations": notes}))
    (tmp_path / "foils.csv").write_text("image_id,caption,is_foil\n4,a cat,0\n4,a dog,1\n")
    for name, flag in (("foils.json", "foil"), ("foils.csv", "is_foil")):
        with pytest.warns(DistnormWarning, match=f"1 of the captions are foils .'{flag}'"):
            assert read_results(tmp_path / name).captions == ["a cat", "a dog"]
    (tmp_path / "r.json").write_text(json.dumps({"annotations": notes[:1], "negatives": notes[1:]}))
    with pytest.warns(DistnormWarning, match="left out 1 entries under 'negatives'"):
        assert read_results(tmp_path / "r.json").captions == ["a cat"]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("r.jsonl", '{"image_id": 4, "caption": "a cat"}\n{"image_id": 4, "caption": "a dog "}\n'),
        ("r.json", json.dumps([{"image_id": 4, "caption": ["a cat", "a dog"]}])),
        ("r.json", json.dumps({"4": ["a cat", "a dog"]})),
        (
            "r.json",
            json.dumps(
                {
                    "images": [{"id": 4, "file_name": "a.jpg"}],
                    "annotations": [
                        {"id": i, "image_id": 4, "caption": text}
                        for i, text in enumerate(("a cat", "a dog"))
                    ],
                }
            ),
        ),
        ("r.csv", 'caption,image_id\n"a cat",4\na dog,4\n'),
        ("r.txt", "image,caption\n4,a cat\n4,a dog\n"),
        ("r.json", json.dumps([{"filename": "4", "prediction": ["a cat", "a dog"]}])),
        ("r.json", json.dumps({"results": [{"image": "4", "caption": ["a cat", "a dog"]}]})),
        ("r.json", json.dumps({"image_id": 4, "caption": ["a cat", "a dog"]})),
    ],
)
def test_captions_of_one_image_are_several_entries(tmp_path, name, text):
    (tmp_path / name).write_text(text)
    found = read_results(tmp_path / name)
    assert found.captions == ["a cat", "a dog"]
    assert found.image_ids == ["4", "4"]


def test_an_image_in_a_folder_is_found_by_its_name():
    assert match_images(["7.jpg"], ["x/6.jpg", "x/7.jpg"]).tolist() == [1]
    with pytest.raises(DistnormError, match="several images have"):
        match_images(["7.jpg"], ["x/7.jpg", "y/7.jpg"])


VECTORS = json.dumps([{"image": "a.jpg", "caption": "a cat", "embedding": [0.5] * 9}])


@pytest.mark.parametrize(
    "text", ["x,y\n1,2\n", "[[1.0, 2.0]]", '{"a": 1}', "caption\na cat\n", VECTORS]
)
def test_other_files_are_no_results(tmp_path, text):
    name = "r.json" if text[0] in "[{" else "r.csv"
    (tmp_path / name).write_text(text)
    assert read_results(tmp_path / name) is None


PAIRS = {
    "original,foil\n0,1\n2,3\n": [True, True],
    "first,second,prefers\n0,1,1\n2,3,-1\n": [True, False],
    "first,second,prefers\n0,1,second\n2,3,first\n": [False, True],
    "0,1\n2,3\n": [True, True],
}


@pytest.mark.parametrize("text", PAIRS)
def test_pairs(tmp_path, text):
    (tmp_path / "p.csv").write_text(text)
    found = read_caption_pairs(tmp_path / "p.csv", 4)
    assert found.prefers_first.tolist() == PAIRS[text]
    assert found.first.tolist() == [0, 2]
    assert found.second.tolist() == [1, 3]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("first,second\n0,9\n", "no caption rows"),
        ("first,second,prefers\n0,1,3\n", "prefers '3'"),
        ("x,y,z\n0,1,2\n", "3 columns"),
    ],
)
def test_pairs_that_are_none(tmp_path, text, words):
    (tmp_path / "p.csv").write_text(text)
    with pytest.raises(DistnormError, match=words):
        read_caption_pairs(tmp_path / "p.csv", 4)


def test_pairs_of_two_images_are_refused(tmp_path):
    (tmp_path / "p.csv").write_text("0,1\n")
    pairs = read_caption_pairs(tmp_path / "p.csv", 4)
    assert pairs.accuracy(np.array([2.0, 1.0]), np.array([0, 0])) == {"mean": 1.0}
    with pytest.raises(DistnormError, match="one image"):
        pairs.accuracy(np.array([2.0, 1.0]), np.array([0, 1]))

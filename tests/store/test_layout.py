"""One reading and one writing of store.json; which shards count, in which order."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from distnorm import DistnormError
from distnorm.store.layout import Commit, is_store, shard_path, write_commit

WHOLE = {
    "schema": 1, "model": "t", "model_id": "t-1", "dimension": 3, "prompt": None,
    "normalized": True, "dtype": "float16", "sides": ["image", "text"], "id": "ab", "commit": 4,
    "shards": {"0": 2, "10": 3, "2": 1}, "pending": [2], "removed": {"3": 1}, "mine": [1],
}  # fmt: skip


def touch(folder, part, *numbers):
    for number in numbers:
        path = shard_path(folder, part, number)
        path.parent.mkdir(exist_ok=True)
        path.touch()


def test_what_is_read_is_written(tmp_path):
    (tmp_path / "store.json").write_text(json.dumps(WHOLE))
    commit = Commit.read(tmp_path)
    assert commit.shards == {0: 2, 10: 3, 2: 1}
    write_commit(commit)
    again = json.loads((tmp_path / "store.json").read_text())
    assert again == WHOLE
    assert list(again)[:-1] == list(WHOLE)[:-1]
    assert list(again["shards"]) == ["0", "2", "10"]
    write_commit(replace(commit, number=5, prompt="a {}"))
    assert Commit.read(tmp_path).number == 5
    assert Commit.read(tmp_path).prompt == "a {}"


def test_the_shards_of_a_commit_are_those_that_it_names(tmp_path):
    (tmp_path / "store.json").write_text(json.dumps(WHOLE))
    touch(tmp_path, "img_emb", 0, 1, 2, 10)
    newer = tmp_path / "img_emb" / "img_emb_2.npy.new"
    newer.touch()
    names = [path.name for path in Commit.read(tmp_path).files("img_emb")]
    assert names == ["img_emb_0.npy", "img_emb_2.npy.new", "img_emb_10.npy"]
    newer.unlink()
    assert Commit.read(tmp_path).files("img_emb")[1].name == "img_emb_2.npy"
    assert Commit.read(tmp_path).files("text_emb") == []


def test_a_folder_without_store_json_has_all_that_is_there(tmp_path):
    touch(tmp_path, "metadata", 10, 9)
    assert not is_store(tmp_path)
    commit = Commit.read(tmp_path)
    assert (commit.model, commit.prompt, commit.number) == (None, None, None)
    assert [path.stem for path in commit.files("metadata")] == ["metadata_9", "metadata_10"]


@pytest.mark.parametrize(
    "content", ["{", "[]", '"x"', '{"shards": [1]}', '{"shards": {"x": 1}}', '{"sides": 3}']
)
def test_a_damaged_store_json_is_said(tmp_path, content):
    (tmp_path / "store.json").write_text(content)
    with pytest.raises(DistnormError, match=r"store\.json.*, which is damaged"):
        Commit.read(tmp_path)

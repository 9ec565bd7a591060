"""What an index says of its biases, and files of biases, when they are not as written."""

from __future__ import annotations

import json

import numpy as np
import pytest

from distnorm import DistnormError
from distnorm.search.indexes.bias_store import BiasFolder, read_about, read_listing

ABOUT = {
    "method": "nnn", "strength": {"image": 0.5}, "params": {"k": None}, "model": None,
    "side": "image", "count": 3, "lowest": -0.1, "mean": 0.2,
}  # fmt: skip


def test_what_was_written_is_read():
    assert read_listing(json.dumps({"b": ABOUT}), "here") == {"b": ABOUT}
    assert read_about(json.dumps(ABOUT), "here") == ABOUT


@pytest.mark.parametrize(
    "change",
    [{"count": -1}, {"lowest": None}, {"mean": "x"}, {"params": []}, {"method": 1}, {"side": None}],
)
def test_what_is_not_is_one_line(change):
    with pytest.raises(DistnormError, match="upload them again"):
        read_listing(json.dumps({"b": {**ABOUT, **change}}), "here")
    for name in ABOUT.keys() - {"model"}:
        lacking = {key: value for key, value in ABOUT.items() if key != name}
        with pytest.raises(DistnormError, match=f"no value at '{name}'"):
            read_about(json.dumps(lacking), "here")


@pytest.mark.parametrize("content", ["", "[]", "[" * 99_999, '{"b": 3}', "{\xff"])
def test_a_damaged_list_is_one_line(tmp_path, content):
    (tmp_path / "published.json").write_bytes(content.encode("latin-1"))
    with pytest.raises(DistnormError, match="published"):
        BiasFolder(tmp_path).published()


def test_damaged_parts_are_one_line(tmp_path):
    folder = BiasFolder(tmp_path)
    folder.prepare("b")
    folder.write("b", [1, 2, 3], np.arange(3.0))
    (part,) = (tmp_path / "b").iterdir()
    whole = part.read_bytes()
    for content in (b"", b"x", whole[:-30], whole[:40]):
        part.write_bytes(content)
        with pytest.raises(DistnormError, match="part-000000"):
            BiasFolder(tmp_path).values("b", [1])
    np.savez(part, ids=np.arange(3), values=np.zeros(2))
    with pytest.raises(DistnormError, match="part-000000"):
        BiasFolder(tmp_path).values("b", [1])

"""Readers of a store that is being written to get one commit, whole."""

from __future__ import annotations

import json
import shutil
import threading

import numpy as np
import pytest

from distnorm import DistnormError
from distnorm.store import layout
from distnorm.store.columns import read_names, read_tables
from distnorm.store.layout import Commit, at_commit
from distnorm.store.rows import StoredRows
from distnorm.store.vectors import open_embeddings, read_embeddings, read_sides
from distnorm.store.writer import StoreWriter

pytest.importorskip("pyarrow", reason="stores need pyarrow")


def origin(folder):
    return Commit(folder, "t", "t-1", 4, "", ("image", "text"))


def rows(numbers):
    """A row that says its number, and what is written of it."""
    x = np.zeros((len(numbers), 4), np.float16)
    x[:, 0], x[:, 1] = 1, np.asarray(numbers) / 512
    n = len(numbers)
    about = {
        "image_path": [f"{i}.png" for i in numbers], "caption": [f"text {i}" for i in numbers],
        "hash": [f"{i:064x}" for i in numbers], "source": ["here"] * n,
        **dict.fromkeys(("width", "height", "size", "mtime"), [1] * n),
    }  # fmt: skip
    return {"image": x, "text": x}, about


def numbers_in(x):
    return np.rint(np.asarray(x)[:, 1].astype(float) * 512).astype(int).tolist()


@pytest.fixture
def store(tmp_path):
    with StoreWriter(origin(tmp_path / "s"), 5) as writer:
        writer.append(*rows(range(8)))
    return tmp_path / "s"


def test_rows_that_come_later_do_not_count(store):
    before = Commit.read(store)
    with StoreWriter(origin(store), 5) as writer:
        writer.append(*rows(range(8, 14)))
    assert before.stands()
    assert numbers_in(read_embeddings(before)) == list(range(8))
    assert read_names(before) == [f"{i}.png" for i in range(8)]
    assert [len(table) for _, table in read_tables(before, ("hash",))] == [5, 3]
    assert len(StoredRows(before, "text")) == 8
    assert numbers_in(read_embeddings(store)) == list(range(14))


def test_where_rows_left_it_is_read_again(store):
    def drop(commit):
        if commit.number == 1:
            with StoreWriter(origin(store), 5) as writer:
                writer.drop(0, np.array([False, True, False, True, False]))
        return numbers_in(read_embeddings(commit)), read_names(commit, "text")

    numbers, names = at_commit(store, drop)
    assert numbers == [0, 2, 4, 5, 6, 7]
    assert names == [f"text {i}" for i in numbers]


def test_new_versions_without_a_name_are_no_old_ones(store, monkeypatch):
    """New versions got their names while it was read: its shards may be later ones by now."""
    with monkeypatch.context() as patch:
        patch.setattr(StoreWriter, "_finish", lambda self: None)
        with StoreWriter(origin(store), 5) as writer:
            writer.append(*rows([8]))
    pending = Commit.read(store)
    assert pending.pending == (1,)
    assert numbers_in(read_embeddings(pending)) == list(range(9))
    with StoreWriter(origin(store), 5):
        pass
    assert not pending.stands()
    assert numbers_in(read_embeddings(store)) == list(range(9))


def test_a_store_that_never_rests_is_said(store, monkeypatch):
    monkeypatch.setattr(layout, "_TRIES", 3)
    monkeypatch.setattr(layout, "_WAIT", 0.0)
    monkeypatch.setattr(Commit, "stands", lambda self: False)
    with pytest.raises(DistnormError, match="rows keep leaving"):
        read_embeddings(store)


def test_both_sides_of_a_store_are_of_one_commit(store, monkeypatch):
    read = read_embeddings

    def grown(commit, side, **options):
        found = read(commit, side, **options)
        if side == "image":
            with StoreWriter(origin(store), 5) as writer:
                writer.append(*rows([20]))
        return found

    monkeypatch.setattr("distnorm.store.vectors.read_embeddings", grown)
    found = read_sides({"image": store, "text": store})
    assert len(found["image"]) == len(found["text"]) == 8


def test_new_times_of_files_are_a_commit(store):
    size, mtime = np.arange(5), np.arange(5) + 7
    with StoreWriter(origin(store), 5) as writer:
        writer.touch(0, size, mtime)
    commit = Commit.read(store)
    assert (commit.number, commit.pending, commit.removed) == (2, (), {})
    _, table = next(iter(read_tables(commit, ("size", "mtime"))))
    assert table.to_pydict() == {"size": size.tolist(), "mtime": mtime.tolist()}


def test_readers_beside_a_writer_see_rows_with_their_own_names(store):
    """Rows come, go and are touched; a reader's lists are always of one moment."""
    stop, wrong, reads = threading.Event(), [], []

    def look():
        while not stop.is_set():
            try:
                images, names = at_commit(
                    store, lambda c: (numbers_in(open_embeddings(c)[:]), read_names(c, "text"))
                )
                reads.append(len(names))
                if names != [f"text {i}" for i in images]:
                    wrong.append((images, names))
                stored = at_commit(store, lambda c: StoredRows(c, "image"))
                if numbers_in(np.concatenate(list(stored.take(None)))) != [
                    int(digest, 16) for digest in stored.digest
                ]:
                    wrong.append(stored.digest)
            except Exception as error:
                wrong.append(error)

    readers = [threading.Thread(target=look) for _ in range(2)]
    for reader in readers:
        reader.start()
    dice, following = np.random.default_rng(0), 8
    for _ in range(25):
        with StoreWriter(origin(store), 5) as writer:
            count = int(dice.integers(1, 4))
            writer.append(*rows(range(following, following + count)))
            following += count
            number = int(dice.choice(list(writer.shards)))
            writer.touch(number, np.array([2]), np.array([3]))
            writer.drop(number, dice.random(writer.shards[number]) < 0.3)
    stop.set()
    for reader in readers:
        reader.join()
    assert not wrong, wrong[0]
    assert reads


@pytest.mark.parametrize(
    "change",
    [
        {"shards": {"0": -1}}, {"shards": {"0": 1.5}}, {"shards": {"00": 1}}, {"shards": {"0": 9}},
        {"commit": True}, {"id": 3}, {"pending": [-1]}, {"removed": {"x": 1}}, {"sides": "image"},
        {"dimension": 0}, {"model": ["t"]}, {"schema": 2}, {"schema": "1"},
    ],
)  # fmt: skip
def test_a_store_json_that_says_the_impossible_is_one_line(store, change):
    marker = store / "store.json"
    marker.write_text(json.dumps({**json.loads(marker.read_text()), **change}))
    with pytest.raises(DistnormError, match=r"store\.json"):
        read_names(store)


@pytest.mark.parametrize("content", ["[" * 100_000, '{"commit": NaN}', '{"x": "\xff"}', ""])
def test_a_store_json_that_is_no_json_is_one_line(store, content):
    (store / "store.json").write_bytes(content.encode("latin-1"))
    with pytest.raises(DistnormError, match="store"):
        Commit.read(store)


def test_shards_that_are_gone_or_cut_are_one_line(store, tmp_path):
    for number, damage in enumerate((
        lambda path: path.unlink(), lambda path: path.write_bytes(path.read_bytes()[:-20]),
    )):  # fmt: skip
        for part in ("text_emb/text_emb_1.npy", "metadata/metadata_1.parquet"):
            copy = tmp_path / f"{number}-{part[:4]}"
            shutil.copytree(store, copy)
            damage(copy / part)
            with pytest.raises(DistnormError):
                read_names(copy, "text")


def test_a_writer_counts_no_rows_of_shards_that_are_cut(store):
    cut = store / "text_emb" / "text_emb_1.npy"
    cut.write_bytes(cut.read_bytes()[:-4])
    with pytest.raises(DistnormError, match="embed into a new folder"):
        StoreWriter(origin(store), 5)


def test_a_store_without_its_metadata_is_called_one(store):
    shutil.rmtree(store / "metadata")
    for read in (
        lambda: StoredRows(Commit.read(store), "text"),
        lambda: list(StoreWriter(origin(store), 5).tables()),
    ):
        with pytest.raises(DistnormError, match="without its folder metadata"):
            read()

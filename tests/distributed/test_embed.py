"""Embedding by actors: the store of a local run, row for row, whatever dies on the way."""

from __future__ import annotations

import importlib
import json
import os
import shutil
import signal
import sys
import tarfile
import time
from pathlib import Path

import numpy as np
import pytest
from asking import invoke

from distnorm import DistnormError
from distnorm.store.layout import PARTS, Commit

pytest.importorskip("ray", reason="needs the extra 'ray'")
pytest.importorskip("PIL.Image", reason="embedding pictures needs Pillow")
pytest.importorskip("onnxruntime", reason="the built-in model")
parquet = pytest.importorskip("pyarrow.parquet", reason="stores need pyarrow")

HERE = str(Path(__file__).parents[1] / "helpers")
sys.path.insert(0, HERE)

from distnorm.distributed.crew import Crew, caught
from distnorm.distributed.embed import embed as embed_by_actors
from distnorm.distributed.portions import Portions
from distnorm.embedding import embed, open_source
from distnorm.encoders import load_encoder

pytestmark = pytest.mark.usefixtures("session")
photos = importlib.import_module("tiny_encoder").photos


def here(source, store, **options):
    """A local run."""
    return embed(load_encoder("builtin"), open_source(source), store, model="builtin", **options)


def there(source, store, portion=16, **options):
    """The same by two actors."""
    return embed_by_actors(
        open_source(source), store, model="builtin", workers=2, portion=portion, **options
    )


def contents(store):
    """All that a store says, but for its own name and how often it was written to."""
    commit = Commit.read(store)
    about = {k: v for k, v in commit.to_dict().items() if k not in ("id", "commit", "removed")}
    about["removed"] = sum(commit.removed.values())
    rows = {
        side: np.concatenate([np.load(file) for file in commit.files(PARTS[side])])
        for side in commit.sides
    }
    tables = [
        parquet.read_table(file).drop(["commit"]).to_pylist() for file in commit.files("metadata")
    ]
    failed = store / "failed.jsonl"
    names = sorted(p.relative_to(store).as_posix() for p in store.rglob("*[!z]"))
    return about, rows, tables, failed.read_text() if failed.exists() else "", names


def assert_same(store, other):
    one, two = contents(store), contents(other)
    assert one[0] == two[0]
    assert list(one[1]) == list(two[1])
    for side, rows in one[1].items():
        np.testing.assert_array_equal(rows, two[1][side])
    assert one[2:] == two[2:]


def facts(done):
    return {**done.to_dict(), "store": ""}


@pytest.fixture
def folder(tmp_path):
    """Pictures, some broken, some equal, with two captions each but for one."""
    folder = photos(tmp_path / "in", 40)
    for n in (3, 17):
        (folder / f"{n:03}.png").write_bytes(b"broken")
    shutil.copy(folder / "000.png", folder / "030.png")
    lines = [f"{n:03}.png\tphoto {n} {'of a star ' * (n % 9)}{w}" for n in range(40) for w in "ab"]
    (folder / "captions.tsv").write_text("path\tcaption\n" + "\n".join([*lines, lines[5]]) + "\n")
    return folder


def test_a_store_of_pairs_and_what_a_second_run_does(folder, tmp_path):
    one, two = tmp_path / "one", tmp_path / "two"
    assert facts(there(folder, one, shard_rows=25)) == facts(here(folder, two, shard_rows=25))
    assert_same(one, two)
    # Changed, gone, new and merely touched.
    shutil.copy(folder / "001.png", folder / "005.png")
    os.utime(folder / "007.png", (1, 1))
    photos(folder, 2, start=40)
    text = (folder / "captions.tsv").read_text().replace("012.png", "041.png")
    (folder / "captions.tsv").write_text(text)
    done = there(folder, one, shard_rows=25, prune=True)
    assert facts(done) == facts(here(folder, two, shard_rows=25, prune=True))
    assert done.changed == done.pruned == 2
    assert_same(one, two)


def test_texts_and_tar_shards(tmp_path):
    lines = [f"a star number {n % 50} {'at night ' * (n % 5)}" for n in range(70)]
    (tmp_path / "lines.txt").write_text("\n".join(lines) + "\n")
    shards = photos(tmp_path / "in", 24).parent / "shards"
    shards.mkdir()
    for number, kind in enumerate(("w", "w:gz")):
        with tarfile.open(shards / f"{number}.tar{kind[1:].replace(':', '.')}", kind) as archive:
            for n in range(12 * number, 12 * number + 12):
                archive.add(tmp_path / "in" / f"{n:03}.png", f"{n:03}.png")
    for source, dtype in ((tmp_path / "lines.txt", "float32"), (shards, "float16")):
        one, two = tmp_path / f"{source.stem}1", tmp_path / f"{source.stem}2"
        assert facts(there(source, one, dtype=dtype)) == facts(here(source, two, dtype=dtype))
        assert_same(one, two)


def embedders():
    """Processes of this test's own actors."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            if (
                not entry.name.isdigit()
                or b"ray::_Embedder" not in (entry / "cmdline").read_bytes()
            ):
                continue
            pid = int(entry.name)
            while pid not in (0, 1, os.getpid()):
                pid = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue
        if pid == os.getpid():
            found.append(int(entry.name))
    return found


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="finds processes as Linux does")
def test_a_killed_worker_and_a_stopped_run(folder, tmp_path, monkeypatch):
    one, two = tmp_path / "one", tmp_path / "two"
    killed, sent = [], []
    write, submit = Portions.write, Crew.submit

    def deadly(self, portion, encoded):
        write(self, portion, encoded)
        if not killed:
            killed.append(embedders()[0])
            os.kill(killed[0], signal.SIGKILL)
        elif len(killed) == 1 and portion.number >= 2:
            killed.append(None)
            raise KeyboardInterrupt

    def listed(self, number, place, items):
        sent.append(number)
        submit(self, number, place, items)

    monkeypatch.setattr(Portions, "write", deadly)
    monkeypatch.setattr(Crew, "submit", listed)
    with pytest.raises(KeyboardInterrupt):
        there(folder, one)
    kept = {int(path.stem.partition("_")[2]) for path in (one / "fragments").iterdir()}
    assert 0 < len(kept) < len(sent)
    assert Commit.read(one).shards == {}
    sent.clear()
    done = there(folder, one)
    assert not kept & set(sent)
    assert facts(done) == facts(here(folder, two))
    assert_same(one, two)


def test_what_workers_lack_is_said_in_a_line(folder, tmp_path, monkeypatch):
    source = open_source(folder)
    with pytest.raises(DistnormError, match=r"no_such_module.*on the worker"):
        embed_by_actors(source, tmp_path / "s", model="python:no_such_module:it", workers=1)
    words = r"workers of 2 GPUs on a cluster whose machines have 1 at most.*leave --device cuda out"
    with pytest.raises(DistnormError, match=words):
        embed_by_actors(source, tmp_path / "s", model="builtin", num_gpus=2.0)
    # The cluster's GPU is one by name alone.
    store = ("--engine", "ray", "--model", "builtin", "--out", tmp_path / "s")
    done = invoke("embed", folder, *store, "--device", "cuda")
    assert done.exit_code == 1
    assert "got device 'cuda' for 'builtin' (on the worker" in done.output
    assert "--device cuda" in invoke("embed", folder, *store, "--device", "cuda:1").output
    with monkeypatch.context() as patch:
        patch.setattr("distnorm.__version__", "0.0.9")
        words = r"distnorm [\d.]+ on the worker .*; expected 0\.0\.9 as where"
        with pytest.raises(DistnormError, match=words):
            embed_by_actors(source, tmp_path / "s", model="builtin", workers=1)
    assert not (tmp_path / "s").exists()

    def failing(error):
        def raised():
            raise error

        return str(caught("fragment 7", raised))

    assert "got fragment 7, for which the worker" in failing(MemoryError())
    assert "not enough memory" in failing(MemoryError())
    assert "without torch;" in failing(ModuleNotFoundError("no", name="torch"))
    assert "fragment 7, at which the worker" in failing(KeyError("x"))


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="finds processes as Linux does")
def test_the_command_says_nothing_but_its_json_though_a_worker_dies(tmp_path, monkeypatch):
    (tmp_path / "lines.txt").write_text("".join(f"a star number {n}\n" for n in range(700)))
    write = Portions.write

    def deadly(self, portion, encoded):
        if not portion.number:
            os.kill(embedders()[0], signal.SIGKILL)
            time.sleep(1)  # as long as it takes Ray to tell
        write(self, portion, encoded)

    words = ("embed", tmp_path / "lines.txt", "--model", "builtin", "--json", "-", "--out")
    with monkeypatch.context() as patch:
        patch.setattr(Portions, "write", deadly)
        one = invoke(*words, tmp_path / "one", "--engine", "ray", "--workers", 1)
    two = invoke(*words, tmp_path / "two")
    assert one.exit_code == two.exit_code == 0, one.output
    assert {**json.loads(one.stdout), "store": ""} == {**json.loads(two.stdout), "store": ""}
    assert_same(tmp_path / "one", tmp_path / "two")

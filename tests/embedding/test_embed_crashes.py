"""A store through kill -9, full disks and Ctrl-C: no row lost, doubled or half-written."""

from __future__ import annotations

import importlib
import json
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import distnorm
from distnorm.store.columns import read_names
from distnorm.store.layout import Commit
from distnorm.store.vectors import read_embeddings

Image = pytest.importorskip("PIL.Image", reason="embedding pictures needs Pillow")
pytest.importorskip("pyarrow", reason="stores need pyarrow")

# Worker processes take the path over, and import the encoder's module from it.
HERE = str(Path(__file__).parents[1] / "helpers")
sys.path.insert(0, HERE)

from distnorm.embedding import Item, embed, open_source
from distnorm.store import writer

tiny_encoder = importlib.import_module("tiny_encoder")
photos = tiny_encoder.photos

HOME = str(Path(distnorm.__file__).resolve().parent.parent)
ENVIRONMENT = {**os.environ, "PYTHONPATH": os.pathsep.join([HOME, HERE]), "OMP_NUM_THREADS": "1"}
SCRIPT = """
import sys
from tiny_encoder import Tiny
from distnorm.cli.main import cli
import distnorm.encoders
distnorm.encoders.load_encoder = lambda name, **options: Tiny(delay=0.003)
cli(sys.argv[1:])
"""


def tiny():
    return tiny_encoder.Tiny()


def words(count):
    return [Item(f"word {n}", None, f"word {n}") for n in range(count)]


def start(*arguments, script=SCRIPT, preexec_fn=lambda: None, **options):
    command = [sys.executable, "-c", script, *map(str, arguments)]

    def ready():
        # What a shell starts in the background ignores Ctrl-C, and hands that on.
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        preexec_fn()

    return subprocess.Popen(
        command, env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        start_new_session=True, preexec_fn=ready, **options,
    )  # fmt: skip


def assert_same_rows(store, expected, side="image"):
    """The same names, each once, with the same rows but for the last bit of a float16."""
    mine, theirs = read_names(store, side), read_names(expected, side)
    assert sorted(mine) == sorted(theirs)
    assert len(set(mine)) == len(mine)
    order = [np.argsort(names) for names in (mine, theirs)]
    ours, others = read_embeddings(store, side)[order[0]], read_embeddings(expected, side)[order[1]]
    np.testing.assert_allclose(ours.astype(float), others.astype(float), atol=1e-3)


def assert_tidy(store):
    strays = [p for p in store.rglob("*") if p.suffix in (".tmp", ".new")]
    assert not strays
    shards = {f"img_emb_{n}.npy" for n in Commit.read(store).shards}
    assert {p.name for p in (store / "img_emb").iterdir()} == shards


def commits(store):
    """How many a store has seen, -1 where there is none."""
    number = Commit.read(store).number
    return -1 if number is None else number


def session_members(session):
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[3]) == session and fields[0] != "Z":
            found.append(stat.parent.name)
    return found


def assert_nothing_runs_on(session):
    if not Path("/proc/self/stat").exists():
        return
    for _ in range(200):
        if not session_members(session):
            return
        time.sleep(0.05)
    raise AssertionError(f"still running: {session_members(session)}")


@pytest.mark.parametrize("model", ["tiny", "builtin"])
def test_kills_lose_and_double_nothing(tmp_path, model):
    if model == "builtin":
        pytest.importorskip("onnxruntime", reason="the built-in model needs onnxruntime")
    source, count = photos(tmp_path / "in", 60), 60
    script = SCRIPT if model == "tiny" else "import sys; from distnorm.cli.main import cli; cli()"
    command = ("embed", source, "--model", model, "--batch-size", 3, "--shard-rows", 7)
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    process = start(*command, "--out", whole, script=script)
    assert process.wait() == 0, process.stderr.read()
    process.communicate()
    dice = random.Random(0)
    kills = 0
    for _ in range(6 if model == "tiny" else 3):
        process = start(*command, "--out", broken, script=script)
        # Some commits on, at any moment of the next.
        goal = max(0, commits(broken)) + dice.randrange(3)
        while process.poll() is None and commits(broken) < goal:
            time.sleep(0.002)
        time.sleep(dice.random() * 0.03)
        kills += process.poll() is None
        process.send_signal(signal.SIGKILL)
        process.communicate()
        assert_nothing_runs_on(process.pid)
        if Commit.read(broken).shards:
            # Also as it lies there: whole rows, each once.
            names = read_names(broken)
            assert names == [f"{n:03}.png" for n in range(len(names))]
    assert kills >= 2
    process = start(*command, "--out", broken, "--json", "-", script=script)
    done = json.loads(process.communicate()[0])
    assert done["written"] + done["known"] == count
    assert read_names(broken) == read_names(whole)
    assert_same_rows(broken, whole)
    assert_tidy(broken)
    assert not list(broken.glob(".*.tmp"))


class Killed(BaseException):
    """From here on nothing that is written comes to the disk."""


class Guillotine:
    """Lets so many changes of the file system happen and none after."""

    def __init__(self, monkeypatch, left):
        self.left = left
        for owner, name in (
            (os, "replace"), (np, "save"), (np, "savez"), (Path, "unlink"),
        ):  # fmt: skip
            monkeypatch.setattr(owner, name, self.guarded(getattr(owner, name)))

    def guarded(self, function):
        def call(*arguments, **options):
            if self.left <= 0:
                raise Killed
            self.left -= 1
            return function(*arguments, **options)

        return call


def test_a_crash_at_every_change_of_the_file_system(tmp_path, monkeypatch):
    """Rows are added, replaced, pruned; the run ends before the n-th change, for every n."""
    folder, more = photos(tmp_path / "in", 7), photos(tmp_path / "more", 9)
    for n in (1, 5):
        shutil.copy(more / "000.png", more / f"{n:03}.png")
    for n in (2, 6):
        (more / f"{n:03}.png").unlink()

    def run(source, store, **options):
        items = open_source(source)
        items.label = "here"  # the same source, later
        options = {"model": "t", "workers": 0, "batch_size": 2, "shard_rows": 3, **options}
        return embed(tiny(), items, store, **options)

    # No power is cut here: what was written is there, synced or not.
    monkeypatch.setattr(os, "fsync", lambda handle: None)
    old, new = tmp_path / "old", tmp_path / "new"
    run(folder, old)
    shutil.copytree(old, new)
    run(more, new, prune=True)
    before, after = sorted(read_names(old)), sorted(read_names(new))
    crashed = 0
    for left in range(1000):
        store = tmp_path / f"store-{left}"
        shutil.copytree(old, store)
        with monkeypatch.context() as patch:
            Guillotine(patch, left)
            try:
                run(more, store, prune=True)
            except Killed:
                crashed += 1
            else:
                break
        # As it lies there: all that was, perhaps with what is new; nothing torn.
        names = read_names(store)
        assert len(read_embeddings(store)) == len(names)
        assert set(before) & set(after) <= set(names) <= set(before) | set(after)
        for name in set(names):
            # An old row and a newer one of a changed file, at the most.
            assert names.count(name) <= 1 + (name in ("001.png", "005.png"))
        run(more, store, prune=True)
        assert_same_rows(store, new)
        assert_tidy(store)
        shutil.rmtree(store)
    assert crashed > 40


def test_a_file_of_the_last_moment_does_not_count(tmp_path):
    """Shards that no store.json names are left alone by readers and removed by the next run."""
    store = tmp_path / "s"
    embed(tiny(), words(3), store, model="t", shard_rows=3)
    np.save(store / "text_emb" / "text_emb_1.npy", np.ones((3, 8), np.float16))
    (store / "text_emb" / "index.faiss").write_bytes(b"mine")
    assert len(read_embeddings(store, "text")) == 3
    embed(tiny(), words(3), store, model="t", shard_rows=3)
    assert {p.name for p in (store / "text_emb").iterdir()} == {"text_emb_0.npy", "index.faiss"}


def test_ctrl_c_says_how_to_go_on_and_ends_all_processes(tmp_path):
    source, out = photos(tmp_path / "in", 200), tmp_path / "s"
    command = ("embed", source, "--model", "t", "--batch-size", 1, "--shard-rows", 7, "--out", out)
    process = start(*command)
    while process.poll() is None and commits(out) < 2:
        time.sleep(0.005)
    os.killpg(process.pid, signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130, said
    assert said.strip().splitlines()[-1].startswith("distnorm: interrupted; run again to go on")
    assert "Traceback" not in said
    assert_nothing_runs_on(process.pid)
    count = len(read_names(out))
    assert 0 < count < 200
    again = start(*command, "--json", "-")
    done = json.loads(again.communicate()[0])
    assert (done["written"], done["known"]) == (200 - count, count)


def test_a_full_disk_keeps_what_fits(tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(disk)]
    if shutil.which("mount") is None or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("no right to mount a small disk")
    try:
        source = photos(tmp_path / "in", 250)
        command = ("embed", source, "--model", "t", "--batch-size", 9, "--shard-rows", 6,
                   "--out", disk / "s")  # fmt: skip
        process = start(*command)
        _, said = process.communicate()
        assert process.returncode == 1
        assert len(said.strip().splitlines()) == 1
        assert "full disk" in said
        names = read_names(disk / "s")
        assert 0 < len(names) < 250
        assert len(read_embeddings(disk / "s")) == len(names)
        subprocess.run(["mount", "-o", "remount,size=16m", str(disk)], check=True)
        process = start(*command)
        assert process.wait() == 0, process.stderr.read()
        process.communicate()
        embed(tiny(), open_source(source), tmp_path / "whole", model="t")
        assert_same_rows(disk / "s", tmp_path / "whole")
        assert_tidy(disk / "s")
    finally:
        subprocess.run(["umount", "-l", str(disk)], check=True)


def test_a_limit_on_file_sizes_is_one_line(tmp_path):
    source, out = photos(tmp_path / "in", 40), tmp_path / "s"
    command = ("embed", source, "--model", "t", "--shard-rows", 500, "--out", out)
    embed(tiny(), open_source(source), tmp_path / "whole", model="t")

    def limit():
        resource.setrlimit(resource.RLIMIT_FSIZE, (700, 700))

    process = start(*command, "--workers", 0, preexec_fn=limit)
    _, said = process.communicate()
    assert process.returncode == 1
    assert len(said.strip().splitlines()) == 1, said
    process = start(*command)
    assert process.wait() == 0, process.stderr.read()
    process.communicate()
    assert_same_rows(out, tmp_path / "whole")


def test_a_checkpoint_after_some_time_fills_the_last_shard_up(tmp_path, monkeypatch):
    commits = []
    commit = writer.StoreWriter._commit
    monkeypatch.setattr(
        writer.StoreWriter, "_commit", lambda self, *a: (commits.append(a), commit(self, *a))[1]
    )
    embed(tiny(), words(40), tmp_path / "s", model="t", shard_rows=16, checkpoint=0.0)
    assert len(commits) == 40
    assert Commit.read(tmp_path / "s").shards == {0: 16, 1: 16, 2: 8}
    assert read_names(tmp_path / "s", "text") == [f"word {n}" for n in range(40)]

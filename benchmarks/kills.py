"""Kill -9 in the middle of everything that writes: what lies there, and what the next run does.

Run: python benchmarks/kills.py [--quick] [--episodes 500] [--seed 0] [--only NAME]

An episode copies a folder, runs one command in a process of its own and kills it: after a random
time, or right before or after a random one of its changes of the file system. Then every file must
read as it was before or as the command leaves it (a store: rows of these two, each whole), the same
command, given again, must end well and leave what it leaves without a kill, and no temporary file
may stay. Nothing here is timed.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from harness import HERE, arguments, publish

sys.path.insert(0, str(HERE.parent / "tests" / "helpers"))

import miniature

import distnorm
from distnorm.cli.main import COMMANDS, cli
from distnorm.scenes import save_scenes
from distnorm.store.columns import read_names, read_tables
from distnorm.store.layout import Commit, at_commit
from distnorm.store.vectors import open_embeddings

CHANGES = ("replace", "unlink", "fsync", "mkdir", "chmod", "open")
STRAYS = (".tmp", ".new", ".half")
# Imported once, so that a process begins with its command.
NEEDED = (
    "PIL.Image", "PIL.ImageOps", "pyarrow.parquet", "onnxruntime", "jinja2", "rich.console",
    "rich.table", "rich.progress", "distnorm.paper", "distnorm.paper.page", "distnorm.search",
    "distnorm.embedding", "distnorm.encoders.builtin", "distnorm.report.terminal",
    *(f"distnorm.cli.{name.replace('-', '_')}" for name in COMMANDS),
)  # fmt: skip
EMBED = ("--model", "builtin", "--shard-rows", "7", "--batch-size", "4")


@dataclass
class Kind:
    """A command, the folder that it begins in, and how what it leaves is looked at.

    ``look`` gives comparable values of everything that the command writes; the rows of a store may
    lie between old and new. Where the command goes on from what is there, it is not ``once``. It
    comes ``weight`` times in a round.
    """

    name: str
    prepare: Callable[[Path], None]
    command: Callable[[], None]
    look: Callable[[], Any]
    once: bool = True
    weight: int = 3
    old: Any = None
    new: Any = None
    changes: int = 0
    seconds: float = 0.0
    start: Path = field(default_factory=Path)


def run(*words: str) -> None:
    """A command as a user types it; raises unless it ends well."""
    try:
        cli([str(word) for word in words])
    except SystemExit as end:
        if end.code:
            raise RuntimeError(f"{words} ended with {end.code}") from None


def child(place: Path, action: Callable[[], Any], kill: tuple[str, float] | None = None) -> Any:
    """What ``action`` gives in a process of its own, which may be killed: None then."""
    answer = place.parent / f"{place.name}.answer"
    answer.unlink(missing_ok=True)
    pid = os.fork()
    if not pid:
        _be_child(place, action, kill, answer)
    if kill is not None and kill[0] == "time":
        end = time.monotonic() + kill[1]
        while time.monotonic() < end and not _ended(pid):
            time.sleep(0.001)
        os.kill(pid, signal.SIGKILL)
    _, status = os.waitpid(pid, 0)
    if os.WIFSIGNALED(status):
        if os.WTERMSIG(status) == signal.SIGKILL and kill is not None:
            return None
        raise RuntimeError(f"ended by signal {os.WTERMSIG(status)}")
    found = json.loads(answer.read_text())
    if "error" in found:
        raise AssertionError(found["error"])
    return found["value"]


def _ended(pid: int) -> bool:
    return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


def _be_child(
    place: Path, action: Callable[[], Any], kill: tuple[str, float] | None, answer: Path
) -> None:
    code = 0
    try:
        os.chdir(place)
        quiet = os.open(os.devnull, os.O_WRONLY)
        os.dup2(quiet, 1)
        os.dup2(quiet, 2)
        counter = _hook(None if kill is None or kill[0] == "time" else kill)
        value = action()
        counter["on"] = 0
        found = {"value": [counter["n"], value]}
    except BaseException:
        found, code = {"error": traceback.format_exc()}, 1
    with contextlib.suppress(BaseException):
        answer.write_text(json.dumps(found))
    os._exit(code)


def _hook(kill: tuple[str, float] | None) -> dict[str, int]:
    """Count changes of the file system, and end at one of them."""
    counter = {"n": 0, "on": 1}

    def wrapped(function: Callable[..., Any], *, skip: bool) -> Callable[..., Any]:
        def call(*words: Any, **options: Any) -> Any:
            counter["n"] += counter["on"]
            mine = kill is not None and counter["on"] and counter["n"] == int(kill[1])
            if mine and kill[0] == "before":
                os.kill(os.getpid(), signal.SIGKILL)
            # What was written is there after a kill, synced or not.
            result = None if skip else function(*words, **options)
            if mine:
                os.kill(os.getpid(), signal.SIGKILL)
            return result

        return call

    for name in CHANGES:
        setattr(os, name, wrapped(getattr(os, name), skip=name == "fsync"))
    return counter


# What commands leave, in values that compare.


def content(*names: str) -> Callable[[], Any]:
    """Bytes of files, as text."""

    def look() -> Any:
        return {
            name: Path(name).read_bytes().hex() if Path(name).exists() else None for name in names
        }

    return look


def rows_of(folder: str) -> dict[str, list[float]]:
    """A store's vectors, by name, text and hash of each row."""

    def read(commit: Commit) -> dict[str, list[float]]:
        if not commit.shards:
            return {}
        sides = [open_embeddings(commit, side)[:].astype(float) for side in commit.sides]
        keys = []
        for count, table in read_tables(commit, ("caption", "hash")):
            columns = {name: table.column(name).to_pylist() for name in table.column_names}
            keys += zip(columns.get("caption", [""] * count), columns["hash"], strict=True)
        names = read_names(commit, commit.sides[0])
        rows = {
            json.dumps([name, *key]): [round(v, 4) for v in vectors]
            for name, key, *parts in zip(names, keys, *sides, strict=True)
            for vectors in [np.concatenate(parts).tolist()]
        }
        assert len(rows) == len(names), "a row stands twice"
        return rows

    return at_commit(folder, read)


def same(one: Any, other: Any) -> bool:
    """Whether two looks show the same; vectors may differ in the last bit of a float16."""
    if not (isinstance(one, dict) and isinstance(other, dict) and "rows" in one):
        return one == other
    return one["rows"].keys() == other["rows"].keys() and within(one, other)


def within(found: Any, *whole: Any) -> bool:
    """Whether a store's rows are all among those of others."""
    known = {key: row for look in whole for key, row in look["rows"].items()}
    return all(
        key in known and np.allclose(known[key], row, atol=2e-3)
        for key, row in found["rows"].items()
    )


def all_stores(folder: str) -> None:
    """Every store below a folder can be read."""
    for marker in Path(folder).rglob("store.json"):
        rows_of(str(marker.parent))


def kinds() -> list[Kind]:
    """All commands that write."""

    def pictures(place: Path, count: int = 18) -> None:
        save_scenes(place / "in", count, world="matched", seed=1)
        (place / "in" / "broken.png").write_bytes(b"no picture")
        with (place / "in" / "captions.tsv").open("a") as file:
            file.write("broken.png\tnothing to see\n")

    def embedded() -> None:
        with contextlib.suppress(RuntimeError):  # one picture cannot be read
            run("embed", "in", *EMBED, "--out", "store", "--workers", "0", "--prune")

    def changed(place: Path) -> None:
        """Some lines go, some come, and a file is another one now."""
        table = place / "in" / "captions.tsv"
        head, *lines = table.read_text().splitlines()
        files = sorted((place / "in").glob("matched-*.png"))
        shutil.copy(files[0], files[5])
        table.write_text("\n".join([head, *lines[9:]]) + "\n")

    def grown(place: Path) -> None:
        pictures(place)
        table = place / "in" / "captions.tsv"
        lines = table.read_text().splitlines()
        table.write_text("\n".join(lines[:60]) + "\n")
        child(place, embedded)
        table.write_text("\n".join(lines) + "\n")
        changed(place)

    def workers() -> None:
        with contextlib.suppress(RuntimeError):
            run("embed", "in", *EMBED, "--out", "store", "--workers", "1", "--prune")

    def store() -> Any:
        failed = Path("store/failed.jsonl")
        if failed.exists():
            for line in failed.read_text().splitlines():
                json.loads(line)
        return {"rows": rows_of("store") if Path("store").is_dir() else {}}

    def vectors(place: Path) -> None:
        rng = np.random.default_rng(0)
        for name, n in (("x", 60), ("y", 60), ("more", 90)):
            x = rng.normal(0.3, 1, (n, 16)).astype(np.float32)
            np.save(place / f"{name}.npy", x / np.linalg.norm(x, axis=1, keepdims=True))

        def fit() -> None:
            run("fit", "--images", "x.npy", "--texts", "y.npy", "--out", "n.safetensors")
            run("watch", "n.safetensors", "--images", "x.npy", "--state", "state")

        child(place, fit)

    def save() -> None:
        norm = distnorm.make("dn2").fit(images=np.load("more.npy"), texts=np.load("y.npy"))
        for _ in range(20):
            norm.save("n.safetensors")

    def fitted_then_changed(place: Path) -> None:
        pictures(place)
        child(place, embedded)
        child(place, lambda: run("fit", "--images", "store", "--out", "n.safetensors"))
        changed(place)
        child(place, embedded)

    def biased(place: Path) -> None:
        pictures(place)
        table = place / "in" / "captions.tsv"
        lines = table.read_text().splitlines()
        table.write_text("\n".join(lines[:60]) + "\n")
        child(place, embedded)
        fit = ("fit", "--images", "store", "--texts", "store", "--method", "nnn")
        child(place, lambda: run(*fit, "--out", "n.safetensors"))
        child(place, search)
        table.write_text("\n".join(lines) + "\n")
        changed(place)
        child(place, embedded)

    def search() -> None:
        run("search", "store", "a red star", "--normalization", "n.safetensors", "--bias", "bias")

    def data(place: Path) -> None:
        miniature.class_folders(place / "data" / "mine", each=2)
        miniature.karpathy(place / "data" / "coco", "coco", test=8, val=6)

    def benchmark() -> None:
        words = ("--model", "builtin", "--data", "data", "--out", "out", "--no-check")
        more = ("--tasks", "coco,folder:mine", "--samples", "4", "--seeds", "1")
        run("benchmark", "paper", *words, *more, "--methods", "dot,dn")

    def results() -> Any:
        all_stores("out")
        file = Path("out/results.json")
        return json.loads(file.read_text()) if file.exists() else None

    calibrate = ("calibrate", "n.safetensors", "--images", "more.npy", "--texts", "y.npy")
    return [
        Kind("embed, a new store", pictures, embedded, store),
        Kind("embed, a store that changes", grown, embedded, store),
        Kind("embed, with decoding processes", grown, workers, store, weight=1),
        Kind("save", vectors, save, content("n.safetensors")),
        Kind("fit --update", fitted_then_changed,
             lambda: run("fit", "--update", "n.safetensors", "--images", "store"),
             content("n.safetensors")),
        Kind("calibrate", vectors, lambda: run(*calibrate), content("n.safetensors")),
        Kind("search --bias", biased, search, content("bias")),
        Kind("watch --state", vectors,
             lambda: run("watch", "n.safetensors", "--images", "more.npy", "--state", "state"),
             content("state"), once=False),
        Kind("benchmark paper", data, benchmark, results, weight=1),
    ]  # fmt: skip


def measured(kind: Kind, place: Path) -> None:
    """Run it once without a kill: what is there before and after, and how long it takes."""
    kind.start = place / "start"
    kind.start.mkdir(parents=True)
    kind.prepare(kind.start)
    _, kind.old = child(kind.start, kind.look)
    whole = place / "whole"
    shutil.copytree(kind.start, whole)
    begin = time.monotonic()
    kind.changes, _ = child(whole, kind.command)
    kind.seconds = time.monotonic() - begin
    _, kind.new = child(whole, kind.look)
    shutil.rmtree(whole)


def strays(place: Path) -> list[str]:
    """Temporary files below a folder."""
    return [str(path.relative_to(place)) for path in place.rglob("*") if path.suffix in STRAYS]


def episode(kind: Kind, place: Path, dice: random.Random) -> str:
    """One kill and what follows: whether what lay there was old, new or between."""
    shutil.copytree(kind.start, place)
    how = dice.choice(("time", "before", "after"))
    # A little more than all of it, so that the end is met as well.
    when = dice.random() * 1.1 * kind.seconds if how == "time" else dice.randrange(kind.changes) + 1
    killed = child(place, kind.command, (how, when)) is None
    _, found = child(place, kind.look)
    state = "old" if same(found, kind.old) else "new" if same(found, kind.new) else "between"
    if state == "between":
        assert isinstance(found, dict), f"neither old nor new: {found!r:.300}"
        assert "rows" in found, f"neither old nor new: {found!r:.300}"
        assert within(found, kind.old, kind.new), "rows that are neither old nor new"
        stay = kind.old["rows"].keys() & kind.new["rows"].keys()
        assert stay <= found["rows"].keys(), "rows were lost"
    child(place, kind.command)
    _, found = child(place, kind.look)
    assert same(found, kind.new) or not kind.once, f"not the end without a kill: {found!r:.300}"
    assert not strays(place), f"left: {strays(place)}"
    shutil.rmtree(place)
    return f"{state}, {'killed' if killed else 'ended before'}"


def main() -> None:
    """All kinds in turn, and publish."""

    def add(parser: Any) -> None:
        parser.add_argument("--episodes", type=int, default=500)
        parser.add_argument("--seed", type=int, default=0)
        parser.add_argument("--only", help="kinds whose name begins so")

    options = arguments(__doc__, add)
    # Interrupted or terminated, it publishes what it has seen.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    for module in NEEDED:
        importlib.import_module(module)
    count = 27 if options.quick else options.episodes
    dice = random.Random(options.seed)
    chosen = [kind for kind in kinds() if kind.name.startswith(options.only or "")]
    turns = [kind for kind in chosen for _ in range(kind.weight)]
    dice.shuffle(turns)
    ends: dict[str, Counter[str]] = {kind.name: Counter() for kind in chosen}
    wrong: list[str] = []
    with tempfile.TemporaryDirectory(prefix="kills-", ignore_cleanup_errors=True) as folder:
        for number, kind in enumerate(chosen):
            measured(kind, Path(folder) / f"kind-{number}")
        with contextlib.suppress(KeyboardInterrupt):
            for number in range(count):
                kind = turns[number % len(turns)]
                try:
                    ends[kind.name][episode(kind, Path(folder) / f"episode-{number}", dice)] += 1
                except (AssertionError, RuntimeError) as error:
                    ends[kind.name]["wrong"] += 1
                    wrong.append(f"{kind.name}, episode {number}: {error}")
                    print(wrong[-1], file=sys.stderr)
                if number % 20 == 0:
                    print(f"{number} of {count}", file=sys.stderr)
    rows = []
    for name, counts in ends.items():
        total = {
            word: sum(n for key, n in counts.items() if word in key)
            for word in ("killed", "old", "between", "new", "wrong")
        }
        words = (
            f"{sum(counts.values())} episodes, {total['killed']} killed; read as old "
            f"{total['old']}, new {total['new']}, between {total['between']}; "
            f"wrong {total['wrong']}"
        )
        rows.append((name, words, "wrong 0"))
    episodes = sum(sum(counts.values()) for counts in ends.values())
    rows.append(("all", f"{episodes} episodes, wrong {len(wrong)}", "wrong 0 of 500"))
    results = {"ends": {name: dict(counts) for name, counts in ends.items()}, "wrong": wrong}
    settings = {"episodes": episodes, "seed": options.seed}
    publish("kills", options, settings, results, rows)
    if wrong:
        raise SystemExit(1)


if __name__ == "__main__":
    main()

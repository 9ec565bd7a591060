"""`compare_retrieval` and ``distnorm compare retrieval``, alone or beside an older revision.

The README's six methods, 20 held-out splits, on the COCO 500 features of DISTNORM_REAL_DATA or
on drawn rows of their size. Every repeat runs both source trees in turn, each in a fresh process:
the function without imports and its first call, the command from start to end; both by the clock
and in processor time, which other work on the machine changes less. Results of both trees are
compared, number by number.

Run: python benchmarks/comparison.py [--quick] [--baseline TREE]
A TREE is a folder with src/distnorm, as `git worktree add TREE REVISION` makes it.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from harness import HERE, arguments, publish, random_rows, ratio, spread, summary

METHODS = ("dot", "dn", "dn*", "dn2", "is", "nnn")
CALLS = 5
COMMAND = "from distnorm.cli import main; main()"


def data(folder: Path, quick: bool) -> str:
    """Write image.npy and text.npy; says what they are."""
    places = [os.environ.get("DISTNORM_REAL_DATA"), HERE.parent.parent / "shared" / "data"]
    for place in places:
        real = Path(place or "nowhere") / "coco500-clip-vit-b16"
        if real.is_dir() and not quick:
            for name in ("image", "text"):
                np.save(folder / f"{name}.npy", np.load(real / f"{name}.npy"))
            return "COCO 500, CLIP ViT-B/16"
    n = 60 if quick else 500
    images = random_rows(n, 512)
    texts = images + random_rows(n, 512, seed=1)
    np.save(folder / "image.npy", images)
    np.save(folder / "text.npy", texts / np.linalg.norm(texts, axis=1, keepdims=True))
    return f"{n} drawn pairs"


def child(folder: Path, repeats: int) -> dict[str, Any]:
    """Seconds of one call, median of some after the first; and what it found."""
    from distnorm import compare_retrieval

    images, texts = (np.load(folder / f"{name}.npy") for name in ("image", "text"))
    times, busy = [], []
    for _ in range(CALLS + 1):
        start, busy_before = time.perf_counter(), time.process_time()
        result = compare_retrieval(images, texts, methods=METHODS, repeats=repeats)
        times.append(time.perf_counter() - start)
        busy.append(time.process_time() - busy_before)
    return {
        "seconds": summary(times[1:])["median"],
        "processor": summary(busy[1:])["median"],
        "result": result.to_dict(),
    }


def function(tree: Path, folder: Path, repeats: int) -> dict[str, Any]:
    """`child` in a fresh process on the sources of ``tree``."""
    words = [__file__, "--child", str(folder), "--splits", str(repeats)]
    done = subprocess.run(
        [sys.executable, *words], stdout=subprocess.PIPE, env=_environment(tree), check=True
    )
    return json.loads(done.stdout.splitlines()[-1])


def command(tree: Path, folder: Path, repeats: int) -> dict[str, Any]:
    """Seconds of the whole command, in a fresh process, and the JSON that it writes."""
    words = ["compare", "retrieval", "--images", "image.npy", "--texts", "text.npy"]
    words += ["--methods", ",".join(METHODS), "--repeats", str(repeats), "--json", "-"]
    start, busy = time.perf_counter(), _processor_of_children()
    done = subprocess.run(
        [sys.executable, "-c", COMMAND, *words],
        capture_output=True,
        env=_environment(tree),
        cwd=folder,
        check=True,
    )
    seconds = time.perf_counter() - start
    busy = _processor_of_children() - busy
    result = json.loads(done.stdout)
    result["protocol"].pop("prompt")
    return {"seconds": seconds, "processor": busy, "result": result}


def _processor_of_children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _environment(tree: Path) -> dict[str, str]:
    # As installed: the first round leaves compiled modules to the others.
    kept = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    return {**kept, "PYTHONPATH": str(tree / "src")}


def largest_difference(one: Any, two: Any) -> float:
    """Between numbers at the same place of two results; infinite where anything else differs.

    The first may say more than the second.
    """
    if isinstance(one, dict) and isinstance(two, dict) and one.keys() >= two.keys():
        return max((largest_difference(one[key], two[key]) for key in two), default=0.0)
    if isinstance(one, list) and isinstance(two, list) and len(one) == len(two):
        return max(map(largest_difference, one, two), default=0.0)
    if isinstance(one, float) and isinstance(two, float):
        return abs(one - two)
    return 0.0 if one == two else float("inf")


def main() -> None:
    """Run all trees in turn, compare what they found, publish."""

    def add(parser: Any) -> None:
        parser.add_argument("--baseline", type=Path, help="source tree of an older revision")
        parser.add_argument("--splits", type=int, default=None)

    options = arguments(__doc__, add)
    splits = options.splits or (2 if options.quick else 20)
    if options.child:
        print(json.dumps(child(Path(options.child), splits)))
        return
    trees = {"now": HERE.parent}
    if options.baseline is not None:
        trees["before"] = options.baseline.resolve()
    repeats = options.repeats or (1 if options.quick else 7)
    kinds = {"compare_retrieval": function, "the command": command}
    times: dict[str, list[float]] = {f"{kind}, {tree}": [] for kind in kinds for tree in trees}
    busy: dict[str, list[float]] = {name: [] for name in times}
    results: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as name:
        source = data(Path(name), options.quick)
        for round_ in range(repeats + 1):
            for kind, run in kinds.items():
                for tree, path in trees.items():
                    done = run(path, Path(name), splits if round_ else 1)
                    if not round_:
                        continue
                    times[f"{kind}, {tree}"].append(done["seconds"])
                    busy[f"{kind}, {tree}"].append(done["processor"])
                    results[f"{kind}, {tree}"] = done["result"]
    timings = {name: summary(values) for name, values in times.items()}
    processor = {name: summary(values) for name, values in busy.items()}
    rows = []
    found: dict[str, Any] = {"timings": timings, "processor": processor}
    if "before" in trees:
        for kind in kinds:
            for what, figures in (("", timings), (", in processor time", processor)):
                faster = spread(ratio(figures, f"{kind}, before", f"{kind}, now"), digits=2)
                rows.append((f"times as fast as before, {kind}{what}", faster, ">= 1.5"))
        found["difference"] = max(
            largest_difference(results[f"{kind}, now"], results[f"{kind}, before"])
            for kind in kinds
        )
        rows.append(("largest difference in any number", f"{found['difference']:.1e}", "0"))
    rows += [(f"seconds, {name}", spread(values), "") for name, values in timings.items()]
    rows += [(f"of a processor, {name}", spread(v), "") for name, v in processor.items()]
    settings = {"data": source, "methods": " ".join(METHODS), "splits": splits, "repeats": repeats}
    publish("comparison", options, settings, found, rows)


if __name__ == "__main__":
    main()
